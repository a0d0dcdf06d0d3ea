"""`lingting doctor`: looks at everything that recognition and the server need, and says what to mend."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lingting.command_name import as_typed

if TYPE_CHECKING:
    from rich.console import Console

    from lingting.cli.checks import Finding

app = typer.Typer(add_completion=False)

HELP = """Check processor, memory, clock, data folder, disk, database, TLS, port, model and second pass,
and recognise a sample.

Each finding says what to do about it. The settings are those that `lingting serve` would use.

Exit codes: 0 nothing is wrong (there may be warnings), 1 something is wrong."""

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "wrong": ("✗", "red")}
_INDENT = 15


@app.command(help=HELP)
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """See HELP."""
    from rich.console import Console

    from lingting.cli.checks import Finding, examine
    from lingting.errors import SettingsError
    from lingting.settings import load

    console = Console(highlight=False)
    findings: list[Finding] = []

    def note(finding: Finding) -> None:
        finding = replace(finding, found=as_typed(finding.found), advice=as_typed(finding.advice))
        findings.append(finding)
        if not as_json:
            _show(console, finding)

    try:
        settings = load()
    except SettingsError as error:
        note(Finding("settings", "wrong", str(error), "mend it, then run lingting doctor again"))
    else:
        for finding in examine(settings):
            note(finding)
    wrong = sum(finding.status == "wrong" for finding in findings)
    if as_json:
        report: dict[str, Any] = {"ok": not wrong, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(report, ensure_ascii=False, indent=2) + "\n")
    else:
        warnings = sum(finding.status == "warning" for finding in findings)
        console.print(_verdict(wrong, warnings), style="red" if wrong else "green", markup=False)
    if wrong:
        raise typer.Exit(1)


def _show(console: Console, finding: Finding) -> None:
    from rich.table import Table
    from rich.text import Text

    mark, style = _MARKS[finding.status]
    line = Table.grid(padding=(0, 1))
    line.add_column(width=1)
    line.add_column(width=_INDENT - 4)
    line.add_column()
    text = Text(finding.found)
    if finding.advice:
        text.append(f"\n→ {finding.advice}", style="bold")
    line.add_row(Text(mark, style=style), Text(finding.check), text)
    console.print(line)


def _verdict(wrong: int, warnings: int) -> str:
    if wrong:
        return f"\n{wrong} thing{'s are' if wrong > 1 else ' is'} wrong; what to do stands behind each arrow."
    if warnings:
        return f"\nIt works; {warnings} thing{'s' if warnings > 1 else ''} could be better."
    return "\nAll is well."
