"""What `lingting serve` prints once it is ready: a link that signs in, and how to use the server."""

from __future__ import annotations

import ipaddress
import shlex
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lingting.command_name import typed

if TYPE_CHECKING:
    from lingting.access.directory import Directory
    from lingting.settings import Settings

DEMO = "demo"


def greet(settings: Settings, url: str, invite: Callable[[], str]) -> None:
    """On the very first start make the demo credentials and show how to use them; later show their names.

    Args:
        settings: those of the server.
        url: where it listens.
        invite: makes a code that signs in once.
    """
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
            _say(later_start(directory))
    finally:
        database.close()
    _say(f"{invitation(url, invite)}\n\nReady on {url}")


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
            "Each of the interfaces, with a sample recording (file, stream, flash, OpenAI):",
            "",
            *(f"{line}\n" for line in curl_lines(settings, url, key)),
            f"OpenAI's clients: OPENAI_BASE_URL={here(url)}/v1 OPENAI_API_KEY={key}",
            f"More keys and apps: {typed()} keys create NAME, {typed()} apps create NAME",
        ]
    )


def later_start(directory: Directory) -> str:
    """What every later start shows: the demo credentials that are still there, without their secrets."""
    names = [f"app {app.id}" for app in directory.apps() if app.name == DEMO]
    names += [f"API key {key.prefix}…" for key in directory.keys() if key.name == DEMO]  # noqa: SIM118
    demo = (
        f"Demo credentials: {', '.join(names)} (their secrets were shown on the first start)."
        if names
        else "The demo credentials are gone."
    )
    return f"{demo}\nNew ones: {typed()} apps create NAME, {typed()} keys create NAME."


def invitation(url: str, invite: Callable[[], str]) -> str:
    """Links to the page that sign in, once each: for this machine, and where others can reach it, for a phone."""
    link = f"{here(url)}/#sign-in={invite()}"
    lines = ["", "The page, in a browser (this link signs in once, within 15 minutes):", "", f"  {link}"]
    other = elsewhere(url)
    if other is not None:
        import segno

        link = f"{other}/#sign-in={invite()}"
        lines += ["", "On a phone or another machine:", "", f"  {link}"]
        if sys.stdout.isatty():
            lines += ["", _terminal(segno.make(link, error="l", micro=False))]
    return "\n".join(lines)


def _terminal(code: object) -> str:
    """A QR code in half blocks, dark on light whatever the terminal's colours are."""
    rows = [list(row) for row in code.matrix_iter(border=2)]  # type: ignore[attr-defined]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    lines = (
        "".join(" ▄▀█"[2 * (not above) + (not below)] for above, below in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    )
    return "\n".join(f"\x1b[97;40m{line}\x1b[0m" for line in lines)


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
        f"{curl} {base}/v1/audio/transcriptions -F model=whisper-1 -F file=@{shlex.quote(str(folder / 'sample.wav'))}; "
        "echo",
    ]


def here(url: str) -> str:
    """The address at which this machine reaches a server that listens on `url`."""
    return url.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")


def elsewhere(url: str) -> str | None:
    """The address at which other machines reach it; None where only this one can."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return url
    if address.is_loopback:
        return None
    if not address.is_unspecified:
        return url
    outward = _outward_address()
    return f"{parts.scheme}://{outward}:{parts.port}" if outward else None


def _outward_address() -> str | None:
    """The address of this machine on its network; nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1: of nobody
            address = str(probe.getsockname()[0])
        except OSError:
            return None
    return None if ipaddress.ip_address(address).is_loopback else address


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
