"""`lingting serve`: prepare the data folder, start the server, and on the first start show how to use it."""

from __future__ import annotations

import errno
import shlex
import socket
import sys
from typing import TYPE_CHECKING

import typer

from lingting.errors import SettingsError

if TYPE_CHECKING:
    from lingting.access.directory import Directory
    from lingting.settings import Settings

app = typer.Typer(add_completion=False)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEMO = "demo"


@app.command()
def serve() -> None:
    """Start the server. Settings come from the environment or a TOML file; `lingting settings` lists them."""
    from lingting.settings import load

    settings = load()
    require_free_port(settings)
    prepare(settings)

    from lingting import service
    from lingting.api import server

    built = service.build(settings)
    warn_of_plain_http(settings)
    greet(settings)
    server.run(built)


def prepare(settings: Settings) -> None:
    """Make the data folder complete: the model, where it can be installed without a network, and the sample."""
    from lingting import samples
    from lingting.cli.models import ensure
    from lingting.models import Store

    store = Store.at(settings.models_dir)
    model = store.catalogue.models.get(settings.model)
    if model and model.embedded and not store.folder(settings.model).exists():
        ensure(store, settings.model)
    store.path(settings.model)
    samples.write(settings.data_dir / "sample")


def require_free_port(settings: Settings) -> None:
    """Say plainly that the address cannot be listened on, before anything else is done.

    Raises:
        SettingsError: it is in use, not allowed or not of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        socket.create_server((settings.host, settings.port), family=family).close()
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"port {settings.port} on {settings.host} is in use; stop what listens there or set LINGTING_PORT"
            ) from error
        raise SettingsError(f"cannot listen on {settings.host} port {settings.port}: {error}") from error


def warn_of_plain_http(settings: Settings) -> None:
    """Warn when others can reach the server without TLS."""
    if settings.host in LOOPBACK or settings.host.startswith("127.") or settings.tls:
        return
    _say(
        f"Warning: {settings.host} is reachable from other machines, and this server speaks plain http. Feishu's "
        "Python SDK refuses http:// except on 127.0.0.1 and localhost, and keys and speech travel in clear. Set "
        "LINGTING_TLS_CERTIFICATE and LINGTING_TLS_KEY, or put a proxy with TLS in front."
    )


def greet(settings: Settings) -> None:
    """On the very first start make the demo credentials and show how to use them; later show their names."""
    from lingting.access.database import Database
    from lingting.access.directory import Directory

    database = Database(settings.database)
    try:
        database.open()
        directory = Directory(database)
        made = directory.create_demo()
        if made is not None:
            app, key = made
            _say(first_start(settings, app.app.id, app.app_secret, key.key))
        else:
            _say(later_start(settings, directory))
    finally:
        database.close()


def first_start(settings: Settings, app_id: str, app_secret: str, key: str) -> str:
    """What the very first start shows: the only time the secrets are seen."""
    return "\n".join(
        [
            "",
            "First start: a demo app and a demo API key were made. They are shown this once.",
            "",
            f"  app_id      {app_id}",
            f"  app_secret  {app_secret}",
            f"  API key     {key}",
            "",
            f"Once the server is ready ({address(settings)}), try each of the three interfaces:",
            "",
            *(f"{line}\n" for line in curl_lines(settings, key)),
        ]
    )


def later_start(settings: Settings, directory: Directory) -> str:
    """What every later start shows: the demo credentials that are still there, without their secrets."""
    names = [f"app {app.id}" for app in directory.apps() if app.name == DEMO]
    names += [f"API key {key.prefix}…" for key in directory.keys() if key.name == DEMO]  # noqa: SIM118
    demo = (
        f"Demo credentials: {', '.join(names)} (their secrets were shown on the first start)."
        if names
        else "The demo credentials are gone."
    )
    return f"{demo}\nNew ones: lingting apps create NAME, lingting keys create NAME. Address: {address(settings)}"


def curl_lines(settings: Settings, key: str) -> list[str]:
    """One command per interface that works as it is written."""
    from lingting import samples

    folder = (settings.data_dir / "sample").absolute()
    base, curl = address(settings), f"curl -s{'k' if settings.tls else ''} -H 'Authorization: Bearer {key}'"
    speech = f"{base}/open-apis/speech_to_text/v1/speech"
    last = sum(name.startswith("stream-") for name in samples.contents()) - 1
    numbers = " ".join(str(number) for number in range(last + 1))
    json_type = "-H 'Content-Type: application/json'"

    def data(name: str) -> str:
        return f"--data-binary @{shlex.quote(str(folder / name))}"

    packet = f"--data-binary @{shlex.quote(str(folder))}/stream-$n.json"
    return [
        f"{curl} {speech}/file_recognize {json_type} {data('file.json')}; echo",
        f"for n in {numbers}; do {curl} {speech}/stream_recognize {json_type} {packet}; echo; sleep 1; done",
        f"{curl} {base}/v1/audio/asr/flash -H 'format: wav' {data('sample.wav')}; echo",
    ]


def address(settings: Settings) -> str:
    """The address at which this machine reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{'https' if settings.tls else 'http'}://{host}:{settings.port}"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
