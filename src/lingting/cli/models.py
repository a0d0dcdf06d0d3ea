"""`lingting models`: list, show, pull, verify, remove and use models."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lingting.cli.models_check import check_model
from lingting.command_name import typed
from lingting.errors import DownloadFailed, ModelError

if TYPE_CHECKING:
    from lingting.models import Downloader, Mirrors, Model, Store, Watch

app = typer.Typer(no_args_is_help=True, add_completion=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Name = Annotated[str, typer.Argument(help="Name of the model.")]


@app.callback()
def models() -> None:
    """List, show, pull, verify, remove and use models."""


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models that are installed and those that can be."""
    store, used = _store()
    installed = store.installed()
    names = [*store.catalogue.models, *(name for name in installed if name not in store.catalogue.models)]
    rows = [_row(store, name, name in installed, name == used) for name in names]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        state = ("in use" if row["used"] else "installed") if row["installed"] else _origin(row)
        typer.echo(f"{row['name']:<24}{state:<11}{row['bytes'] / 1e6:>7.0f} MB  {row['description']}")


@app.command("show")
def show_model(name: Name, as_json: Json = False) -> None:
    """Show all that is known of a model: what it is good for, its licence, where it comes from, every digest."""
    store, used = _store()
    installed = store.folder(name).is_dir()
    model = store.describe(name) if installed else store.catalogue.find(name)
    downloads = [] if model.embedded else _downloads(model, _mirrors())
    row = {
        **_row(store, name, installed, name == used),
        "description": model.description or "A model of your own.",
        "engine": model.engine,
        "live": model.streaming,
        "languages": list(model.languages),
        "path": str(store.folder(name)) if installed else None,
        "memory_mb": model.memory_mb,
        "punctuates": model.punctuates,
        "published": {"values": model.published.values, "source": model.published.source} if model.published else None,
        "roles": model.roles,
        "options": model.options,
        "downloads": downloads,
    }
    if as_json:
        typer.echo(json.dumps(row, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{model.name}: {row['description']}")
    for title, value in _lines(model, row):
        typer.echo(f"{title:<18}{value}")
    for download in downloads:
        typer.echo(f"\n{download['file']}, {download['bytes']} bytes\n  SHA-256 {download['sha256']}")
        for url in download["urls"]:
            typer.echo(f"  {url}")


@app.command("pull")
def pull_model(
    name: Name,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="File or folder that holds the model as it was published, instead of a network."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Install a model: from its packages, downloaded or from a folder; verified, and whole or not at all."""
    store, _ = _store()
    if source is not None and not source.exists():
        raise ModelError(f"{source} does not exist; --from takes a file or folder that holds the model")
    ensure(store, name, source=source, lines=not as_json)
    _print(store, name, "installed", as_json)


@app.command("verify")
def verify_model(name: Name, as_json: Json = False) -> None:
    """Compare the digests of an installed model with what they must be."""
    store, _ = _store()
    with progress() as watch:
        store.verify(name, watch)
    _print(store, name, "verified", as_json)


@app.command("remove")
def remove_model(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete an installed model, unless a running server uses it."""
    store, used = _store()
    if store.folder(name).is_dir() and not yes:
        if not sys.stdin.isatty():
            raise ModelError(f"nobody is there to ask whether {name} may be deleted; say it with --yes")
        note = ", the model that the settings name" if name == used else ""
        if not typer.confirm(f"Delete {name}{note} ({store.size(name) / 1e6:.0f} MB)?", err=True):
            raise ModelError("nothing was deleted")
    store.remove(name)
    _print(store, name, "removed", as_json)


@app.command("use")
def use_model(name: Name, as_json: Json = False) -> None:
    """Make the server use an installed model from its next start on: writes the setting `model` into the TOML file."""
    from lingting import settings_file
    from lingting.models.vetting import vet

    store, _ = _store()
    if vet(store, name).engine == "punctuation":
        raise ModelError(f"{name} recognises nothing; `lingting models list` shows the models that do")
    file = settings_file.write("model", name)
    if os.environ.get("LINGTING_MODEL", name) != name:
        _say(f"LINGTING_MODEL={os.environ['LINGTING_MODEL']} in the environment stands above {file}; unset it")
    if as_json:
        typer.echo(json.dumps({"name": name, "file": str(file), "done": "used"}))
    else:
        typer.echo(
            f"the server uses {name} from its next start on ({file}); try it with: {typed()} models check {name}"
        )


app.command("check")(check_model)


def ensure(store: Store, name: str, *, source: Path | None = None, lines: bool = False) -> None:
    """Install the model where it is not whole, with a progress bar.

    Args:
        store: where to.
        name: which.
        source: a file or folder to take it from.
        lines: say each step in a line where there is no terminal for a bar.

    Raises:
        ModelError: nothing was installed, for a reason of its own or because the person stopped it.
    """
    from lingting.models.install import install

    try:
        with progress(lines=lines) as watch:
            install(store, name, watch, downloader=_downloader(), source=source)
    except KeyboardInterrupt:
        raise ModelError(f"interrupted; nothing was installed. Start again with: lingting models pull {name}") from None
    except DownloadFailed as error:
        raise DownloadFailed(f"{error}. Without a network: lingting models pull {name} --from FOLDER") from error


@contextmanager
def progress(*, lines: bool = False) -> Iterator[Watch]:
    """A bar on standard error with speed and time left; where that is no terminal, a line for each step, or nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from lingting.models.watch import Watch

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        class Bar(Watch):
            def begin(self, what: str, total: int, done: int = 0) -> None:
                bar.reset(task, total=total, completed=done, description=what)
                if lines and not console.is_terminal:
                    there = f", {done / 1e6:.0f} MB of them are there" if done else ""
                    _say(f"{what}: {total / 1e6:.0f} MB{there}")

            def advance(self, count: int) -> None:
                bar.advance(task, count)

            def wait(self) -> None:
                _say("waiting for another process that is installing ...")

        yield Bar()


def _row(store: Store, name: str, installed: bool, used: bool) -> dict[str, Any]:
    model = store.catalogue.models.get(name)
    return {
        "name": name,
        "installed": installed,
        "used": used,
        "embedded": model.embedded if model else False,
        "bytes": store.size(name),
        "engine": model.engine if model else None,
        "live": model.streaming if model else None,
        "languages": list(model.languages) if model else None,
        "licence": model.licence if model else None,
        "description": model.description if model else "A model of your own.",
    }


def _origin(row: dict[str, Any]) -> str:
    return "embedded" if row["embedded"] else "download"


def _lines(model: Model, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "installed", row["path"] or f"no: {typed()} models pull {model.name}"
    yield "engine", f"{model.engine}, {'writes along' if model.streaming else 'takes finished utterances'}"
    yield "languages", ", ".join(model.languages) or "not stated"
    yield "size", f"{row['bytes'] / 1e6:.0f} MB {'on disk' if row['installed'] else 'to fetch'}"
    if model.memory_mb:
        yield "memory", f"about {model.memory_mb} MB"
    yield "punctuation", "its own" if model.punctuates else "none of its own"
    yield "licence", model.licence or "not known"
    if model.published:
        yield "published", f"{model.published.values} ({model.published.source})"
    for role, path in model.roles.items():
        yield f"  {role}", path
    for option, value in model.options.items():
        yield f"  {option}", str(value)


def _downloads(model: Model, mirrors: Mirrors) -> list[dict[str, Any]]:
    """What there is to download, for people who do it by hand."""
    found = []
    if model.archive:
        archive = model.archive
        urls = mirrors.urls(model.name, archive.filename, archive.urls)
        found.append({"file": archive.filename, "bytes": archive.bytes, "sha256": archive.sha256, "urls": urls})
    for file in model.files:
        urls = mirrors.urls(model.name, file.path, [each + file.path for each in model.sources])
        found.append({"file": file.path, "bytes": file.bytes, "sha256": file.sha256, "urls": urls})
    return found


def _store() -> tuple[Store, str]:
    """The store of the settings, and the name of the model in use."""
    from lingting.models.store import Store
    from lingting.settings import load

    settings = load()
    return Store.at(settings.models_dir), settings.model


def _mirrors() -> Mirrors:
    from lingting.models.mirrors import Mirrors
    from lingting.settings import load

    return Mirrors.of(load())


def _downloader() -> Downloader:
    from lingting.models.download import Downloader

    return Downloader(_mirrors())


def _print(store: Store, name: str, done: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"name": name, "path": str(store.folder(name)), "done": done}))
    else:
        typer.echo(f"{name} is {done} ({store.folder(name)})")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
