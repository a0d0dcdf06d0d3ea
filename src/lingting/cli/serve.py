"""`lingting serve`: prepare the data folder and start the server."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lingting.api.server import StartableBackend
    from lingting.settings import Settings

app = typer.Typer(add_completion=False)

HELP = """Start the server.

Every setting comes from the environment (LINGTING_PORT) or the data folder's lingting.toml; `lingting settings` lists \
them. An option stands above both.

The first Ctrl-C ends it when what is in flight has its answer, the second one at once."""


@app.command(help=HELP)
def serve(
    *,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; 0.0.0.0 for all.", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", min=0, max=65535, help="Port to listen on.", show_default=False)
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Folder of database, models and sample.", show_default=False)
    ] = None,
) -> None:
    """See HELP."""
    from lingting.cli.banner import greet
    from lingting.cli.models import ensure
    from lingting.core_dumps import forbid_core_dumps
    from lingting.operations import logs
    from lingting.prepared import prepare
    from lingting.settings import PREFIX, load

    for name, value in (("HOST", host), ("PORT", port), ("DATA_DIR", data_dir)):
        if value is not None:
            os.environ[PREFIX + name] = str(value)
    settings = load()
    forbid_core_dumps()
    logs.configure(settings.log_level, settings.log_format)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if settings.cluster_role != "door":
        prepare(settings, ensure)

    from lingting.api import server

    built = _built(settings)

    def ready(url: str) -> None:
        if settings.cluster_role == "home":
            sys.stdout.write(f"Ready on {url}\n")
            sys.stdout.flush()
        else:
            greet(settings, url, built.access.invitations.create)

    raise typer.Exit(server.run(built, on_ready=ready))


def _built(settings: Settings) -> StartableBackend:
    """The service of this server's role."""
    if settings.cluster_role != "none":
        from lingting import cluster

        return cluster.build(settings)
    from lingting import service

    return service.build(settings)
