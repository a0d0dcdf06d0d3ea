"""`lingting ready`: whether the server of these settings takes requests; for the health checks of containers."""

from __future__ import annotations

import sys

import typer

app = typer.Typer(add_completion=False)

HELP = """Ask the server of these settings, over TLS where it speaks that, whether it takes requests.

Exit codes: 0 it does, 1 it loads, stops or does not answer."""


@app.command(help=HELP)
def ready() -> None:
    """See HELP."""
    import msgspec

    from lingting.cli.own_server import ask
    from lingting.settings import load

    settings = load()
    answer = ask(settings, "/readyz")
    if answer is None:
        sys.stdout.write(f"nothing answers on {settings.host}:{settings.port}\n")
        raise typer.Exit(1)
    status, content = answer
    told = msgspec.json.decode(content)
    sys.stdout.write(": ".join([told["status"], *told.get("why", ())]) + "\n")
    if status != 200:
        raise typer.Exit(1)
