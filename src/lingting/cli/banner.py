"""What `lingting serve` prints once it is ready: on the first start how to use it, later what there is."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lingting.access.directory import Directory
    from lingting.settings import Settings

DEMO = "demo"


def greet(settings: Settings, url: str) -> None:
    """On the very first start make the demo credentials and show how to use them; later show their names."""
    from lingting.access.database import COMMAND_SECONDS, Database
    from lingting.access.directory import Directory

    database = Database(settings.database, COMMAND_SECONDS)
    try:
        database.open()
        directory = Directory(database)
        made = directory.create_demo()
        if made is not None:
            app, key = made
            _say(first_start(settings, url, app.app.id, app.app_secret, key.key))
        else:
            _say(later_start(url, directory))
    finally:
        database.close()


def first_start(settings: Settings, url: str, app_id: str, app_secret: str, key: str) -> str:
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
            "Try each of the three interfaces:",
            "",
            *(f"{line}\n" for line in curl_lines(settings, url, key)),
            f"Ready on {url}",
        ]
    )


def later_start(url: str, directory: Directory) -> str:
    """What every later start shows: the demo credentials that are still there, without their secrets."""
    names = [f"app {app.id}" for app in directory.apps() if app.name == DEMO]
    names += [f"API key {key.prefix}…" for key in directory.keys() if key.name == DEMO]  # noqa: SIM118
    demo = (
        f"Demo credentials: {', '.join(names)} (their secrets were shown on the first start)."
        if names
        else "The demo credentials are gone."
    )
    return f"{demo}\nNew ones: lingting apps create NAME, lingting keys create NAME.\nReady on {url}"


def curl_lines(settings: Settings, url: str, key: str) -> list[str]:
    """One command per interface that works as it is written."""
    from lingting import samples

    folder = (settings.data_dir / "sample").absolute()
    base, curl = here(url), f"curl -s{'k' if settings.tls else ''} -H 'Authorization: Bearer {key}'"
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


def here(url: str) -> str:
    """The address at which this machine reaches a server that listens on `url`."""
    return url.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
