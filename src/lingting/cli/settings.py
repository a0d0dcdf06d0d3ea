"""`lingting settings`: every setting, its value and where that comes from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False)


@app.command()
def settings(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List every setting: its name in the environment, its value, where that comes from, and what it is."""
    from lingting.settings import PREFIX, Settings, load, sources

    loaded, origin = load(), sources()
    rows: list[dict[str, Any]] = [
        {
            "name": PREFIX + name.upper(),
            "toml": name,
            "value": _plain(getattr(loaded, name)) if field.repr else _hidden(getattr(loaded, name)),
            "default": _plain(field.get_default(call_default_factory=True, validated_data={})),
            "source": origin[name],
            "description": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        changed = row["source"] != "default"
        note = f"  ({row['source']}; default {_shown(row['default'])})" if changed else "  (default)"
        typer.secho(f"{row['name']}={_shown(row['value'])}{note}", bold=changed)
        typer.echo(f"    {row['description']}")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return re.sub(r"(://[^/@]*:)[^/@]*@", r"\1***@", value) if isinstance(value, str) else value  # no passwords of URLs


def _hidden(secret: str) -> str:
    return "***" if secret else ""


def _shown(value: Any) -> str:
    return "" if value is None else str(value)
