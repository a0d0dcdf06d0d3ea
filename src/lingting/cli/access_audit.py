"""`lingting audit`: who made, changed or revoked which credential, when, and from where."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from lingting.cli.access_options import Json, day, opened_directory
from lingting.cli.access_output import print_json, print_table

app = typer.Typer(add_completion=False)


@app.command()
def show_audit(
    since: Annotated[
        date | None,
        typer.Option("--from", parser=day, metavar="DATE", help="First day (UTC); the first of all unless said."),
    ] = None,
    until: Annotated[
        date | None, typer.Option("--to", parser=day, metavar="DATE", help="Last day (UTC); today unless said.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show every change of a tenant, app, key or signing key: who made it, when, from where."""
    from dataclasses import asdict

    with opened_directory() as directory:
        entries = directory.audit(since, until)
    rows = [{**asdict(entry), "at": _iso(entry.at)} for entry in entries]
    if as_json:
        print_json(rows)
    else:
        print_table("Changes (UTC)", [_short(row) for row in rows])


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _short(row: dict[str, Any]) -> dict[str, Any]:
    details = {name: value for name, value in row["details"].items() if value not in (None, [], {})}
    return {
        "at": row["at"][:19].replace("T", " "),
        "actor": row["actor"],
        "origin": row["origin"],
        "action": row["action"],
        "of": f"{row['subject_name']} ({row['subject_id']})" if row["subject_name"] else row["subject_id"],
        "tenant": row["tenant_name"],
        "details": json.dumps(details, ensure_ascii=False) if details else "",
    }
