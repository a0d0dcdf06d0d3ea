"""`lingting tokens`: the key that signs every tenant access token."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from lingting.cli.access_options import Json, Yes, opened_directory, seconds

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _tokens() -> None:
    """Replace the key that signs the tokens of all apps."""


@app.command("rotate-key")
def rotate_key(
    now: Annotated[bool, typer.Option("--now", help="End every token at once: all apps must log in again.")] = False,
    grace: Annotated[
        float | None,
        typer.Option(
            "--grace",
            parser=seconds,
            metavar="TIME",
            help="How long tokens of the old key go on: 10m, 1h; until they expire unless said.",
            show_default=False,
        ),
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Sign tokens with a new key; those of the old key go on until they expire, unless --now or --grace says less."""
    from lingting.access.signing import DEFAULT_GRACE

    if now and grace is not None:
        raise typer.BadParameter("--now and --grace exclude each other")
    remaining = 0.0 if now else DEFAULT_GRACE if grace is None else grace
    if not remaining and not yes:
        typer.confirm("End every token of every app now?", abort=True, err=True)
    with opened_directory() as directory:
        until = directory.rotate_signing_key(remaining)
    shown = None if until is None else datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
    if as_json:
        typer.echo(json.dumps({"old_tokens_valid_until": shown}))
    elif shown is None:
        typer.echo("A new key signs tokens. Every token ended; apps get another by logging in.")
    else:
        typer.echo(f"A new key signs tokens. Those of the old key go on until {shown}, or their own end before that.")
