"""How tenants, apps, keys and usage are printed: tables for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from lingting.access.records import ApiKey, App, CreatedApp, CreatedKey, Tenant

_WIDEST = 1000
_WRAPPED_AT = {"name": 30, "owner": 30, "models": 30, "note": 40, "limits": 40}


def _plain(record: Tenant | App | ApiKey) -> dict[str, Any]:
    """A record as JSON shows it: times in ISO 8601, an app's id under the name that clients know."""
    from dataclasses import asdict

    values = asdict(record)
    for name in ("expires_at", "created_at", "last_used_at", "previous_valid_until"):
        if values.get(name) is not None:
            values[name] = datetime.fromtimestamp(values[name], UTC).isoformat(timespec="seconds")
    if "limits" in values:
        values["limits"] = {name: value for name, value in values["limits"].items() if value is not None}
    return values


def _state(record: Tenant | App | ApiKey) -> str:
    expires_at = getattr(record, "expires_at", None)
    if record.disabled:
        return "disabled"
    return "expired" if expires_at is not None and expires_at <= datetime.now(UTC).timestamp() else "enabled"


def print_secret(made: CreatedApp | CreatedKey, as_json: bool) -> None:
    """A new app or key with its secret."""
    from lingting.access.records import CreatedApp

    if isinstance(made, CreatedApp):
        record: App | ApiKey = made.app
        secrets = {"app_id": made.app.id, "app_secret": made.app_secret}
    else:
        record, secrets = made.record, {"key": made.key}
    if as_json:
        typer.echo(json.dumps({**secrets, **_plain(record), "state": _state(record)}, ensure_ascii=False))
        return
    typer.echo(f"{record.name} ({record.id}, tenant {record.tenant}): shown this once, stored nowhere.\n")
    for name, value in secrets.items():
        typer.echo(f"  {name:<10}  {value}")
    if record.previous_valid_until is not None:
        typer.echo(f"\nThe old one goes on until {_plain(record)['previous_valid_until']}.")


def print_one(record: Tenant | App | ApiKey, as_json: bool, state: str = "") -> None:
    """One record, a line for each field; `state` overrides what the record says."""
    values = {**_plain(record), "state": state or _state(record)}
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False))
        return
    del values["disabled"]
    for name, value in values.items():
        typer.echo(f"{name:<22}{_shown(name, value)}")


def print_many(title: str, records: Sequence[Tenant | App | ApiKey], columns: Sequence[str], as_json: bool) -> None:
    """A table of records with these columns, less those that say nothing new of any record; JSON has every field."""
    rows = [{**_plain(record), "state": _state(record)} for record in records]
    if as_json:
        print_json(rows)
        return
    columns = [name for name in columns if any(_says(name, row) for row in rows)]
    print_table(title, [{name: _cell(name, row[name]) for name in columns} for row in rows])


def print_table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Rows of equal fields as a table; one that is wider than the terminal is not squeezed."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not rows:
        console.print(f"{title}: none")
        return
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name, value in rows[0].items():
        number = isinstance(value, int | float)
        table.add_column(name, justify="right" if number else "left", max_width=_WRAPPED_AT.get(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(f"{value:,.0f}" if isinstance(value, float) else str(value)) for value in row.values()))
    console.width = max(console.width, console.measure(table, options=console.options.update(width=_WIDEST)).maximum)
    console.print(table)


def _says(name: str, row: dict[str, Any]) -> bool:
    """Whether a field tells more than what is so unless someone said otherwise."""
    from lingting.access.principal import DEFAULT_SCOPES

    match name:
        case "scopes":
            return set(row["scopes"]) != set(DEFAULT_SCOPES)
        case "owner":
            return bool(row["owner"] != row["name"])
        case "weight":
            return bool(row[name] != 1)
        case "models" | "model" | "expires_at" | "note" | "limits":
            return bool(row[name])
        case _:
            return True


def _cell(name: str, value: Any) -> str:
    """A value in a table: a scope or model a line, times to the minute."""
    if isinstance(value, list | tuple):
        return "\n".join(value)
    if name.endswith("_at") and value is not None:
        return str(value)[:16].replace("T", " ")
    return _shown(name, value)


def _shown(name: str, value: Any) -> str:
    match value:
        case None:
            return {"models": "every model", "expires_at": "never", "last_used_at": "never"}.get(name, "none")
        case dict():
            return ", ".join(f"{key}={item}" for key, item in value.items()) or "as set"
        case list() | tuple():
            return ", ".join(value) or "none"
        case _:
            return str(value)


def print_json(rows: Sequence[dict[str, Any]]) -> None:
    """Rows as a JSON array."""
    typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))


def print_csv(rows: Sequence[dict[str, Any]]) -> None:
    """Rows as CSV under a line of names; nothing when there are none."""
    if rows:
        writer = csv.DictWriter(sys.stdout, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
