"""`lingting listen`: what a microphone hears, shown while it is said."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from urllib.parse import quote

import typer

from lingting.cli.packets import PacketStream
from lingting.cli.transcribe import USAGE, Language
from lingting.errors import LingtingError
from lingting.extras import install_command

if TYPE_CHECKING:
    from lingting.domain import Samples

app = typer.Typer(add_completion=False)

PACKET_SECONDS = 0.2
RATE = 16_000
_REFRESH_SECONDS = 0.1

HELP = """Show what a microphone hears, or a file as if it were spoken now, while it is said.

Text that is sure is plain, a guess that may still change is dim. Ctrl-C ends it, and the whole text is printed. Where \
the output is no terminal, each piece of text is printed once, when it is sure.

A server that goes away costs nothing that was spoken: it is listened on, and all is sent when the server is back. A \
second Ctrl-C waits for no more text: what is sure is printed, and sound that a server gave no text for is written to \
a file.

A microphone needs the package sounddevice; without it the command says how to install it.

Exit codes: 0 ended, 1 it failed, 2 the command is wrong."""


class Session(Protocol):
    """Live recognition, here or on a server."""

    @property
    def confirmed(self) -> str: ...
    @property
    def guess(self) -> str: ...
    def accept(self, pcm: bytes) -> None: ...
    def finish(self) -> Any: ...
    def abort(self) -> None: ...


@app.command(help=HELP)
def listen(
    *,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Hear this recording, as fast as it was spoken.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", "-d", help="Name or number of the microphone.")] = None,
    language: Annotated[Language, typer.Option("--language", "-l", help="What is spoken.")] = Language.AUTO,
    hot_words: Annotated[
        str, typer.Option("--hot-words", metavar="WORD,…", help="Names and terms to listen for.")
    ] = "",
    model: Annotated[str | None, typer.Option("--model", "-m", help="Name of the model (not with --server).")] = None,
    server: Annotated[
        str | None, typer.Option("--server", metavar="URL", help="Let a server do the work: http://host:8300.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", envvar="LINGTING_API_KEY", help="API key for the server.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Take any certificate of the server.")] = False,
) -> None:
    """See HELP."""
    if server is not None and model is not None:
        raise _usage("--model works in this process only; a server has its own")
    if file is not None and device is not None:
        raise _usage("--file and --device exclude each other")
    if file is not None and not file.is_file():
        raise _usage(f"there is no file {file}")
    microphone = None if file is not None else _microphone()
    words = tuple(word.strip() for word in hot_words.replace("，", ",").split(",") if word.strip())
    hearing = _remote(server, key, insecure, language, words) if server else _local(model, language, words)
    with hearing as (session, decode):
        packets = _of_file(decode(file)) if file is not None else _of_microphone(microphone, device)
        text = _show(session, packets)
    if sys.stdout.isatty():
        sys.stdout.write(f"{text}\n" if text else "lingting: nothing was said\n")


def _show(session: Session, packets: Iterator[bytes]) -> str:
    """Feed the packets, show the text as it grows, and return the whole of it."""
    screen = _Screen() if sys.stdout.isatty() else _Lines()
    try:
        with screen:
            with contextlib.suppress(KeyboardInterrupt), contextlib.closing(packets):  # type: ignore[type-var]
                for packet in packets:
                    session.accept(packet)
                    screen.show(session.confirmed, session.guess, getattr(session, "notice", ""))
            if notice := getattr(session, "notice", ""):
                screen.show(session.confirmed, session.guess, f"{notice}; Ctrl-C again does not wait")
            session.finish()
            screen.show(session.confirmed, "")
            return session.confirmed
    except BaseException as error:
        session.abort()
        if isinstance(session, PacketStream):
            if session.reached and isinstance(error, KeyboardInterrupt | LingtingError):
                return _given_up(session, error)
        elif isinstance(error, KeyboardInterrupt) and session.confirmed:
            return session.confirmed
        raise


def _given_up(session: PacketStream, error: BaseException) -> str:
    """Nobody waits any longer, or the server refuses: write the sound without a text to a file, and say where."""
    import wave

    rest = session.rest
    if len(rest) >= RATE:
        path = Path(time.strftime("lingting-%Y%m%d-%H%M%S.wav"))
        with path.open("wb") as raw, wave.open(raw, "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(rest)
        sys.stderr.write(f"lingting: {len(rest) / (2 * RATE):.0f} s of sound have no text; they are in {path}\n")
    if isinstance(error, LingtingError):
        sys.stdout.write(f"{session.confirmed}\n" if session.confirmed and sys.stdout.isatty() else "")
        raise error
    return session.confirmed


class _Screen:
    """Text that is sure, plain, and a guess, dim; the last lines of it where it is longer than the terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False)
        self._live = Live(
            "listening; Ctrl-C ends", console=self._console, auto_refresh=False, transient=True, screen=False
        )
        self._shown: tuple[str, str, str] | None = None

    def __enter__(self) -> _Screen:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, confirmed: str, guess: str, notice: str = "") -> None:
        from rich.text import Text

        if (confirmed, guess, notice) == self._shown or not (confirmed or guess or notice):
            return
        self._shown = confirmed, guess, notice
        lines = last_lines(confirmed, guess, self._console.width, self._console.height - 2)
        if notice:
            lines.append(Text(f"\n[{notice}]", style="yellow"))
        self._live.update(lines, refresh=True)


class _Lines:
    """Each piece of text once, when it is sure."""

    def __init__(self) -> None:
        self._printed = ""
        self._notice = ""

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, confirmed: str, guess: str, notice: str = "") -> None:
        if notice != self._notice:
            sys.stderr.write(f"lingting: {notice or 'the server is back'}\n")
            self._notice = notice
        if len(confirmed) > len(self._printed):
            sys.stdout.write(confirmed[len(self._printed) :].strip() + "\n")
            sys.stdout.flush()
            self._printed = confirmed


def last_lines(confirmed: str, guess: str, width: int, height: int) -> Any:
    """A rich text of what fits the terminal, the newest at the bottom, the guess dim."""
    from rich.console import Console
    from rich.text import Text

    from lingting.recognition.utterance import join_texts

    text = Text(confirmed)
    text.append(join_texts(confirmed, guess.lstrip())[len(confirmed) :], style="dim")
    lines = text.wrap(Console(width=width), width)
    return Text("\n").join(lines[-max(1, height) :])


def _of_file(samples: Samples) -> Iterator[bytes]:
    """Packets of a recording, each when it would have been spoken."""
    from lingting.audio.pcm import samples_to_pcm16

    pcm = samples_to_pcm16(samples).tobytes()
    size = int(PACKET_SECONDS * RATE) * 2
    started = time.monotonic()
    for number, start in enumerate(range(0, len(pcm), size)):
        due = started + number * PACKET_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))
        yield pcm[start : start + size]


def _microphone() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise LingtingError(
            f"a microphone needs the package sounddevice: {install_command('microphone')}, or hear a recording "
            "with --file"
        ) from None
    except OSError as error:
        raise LingtingError(f"{error}; install it (Debian and Ubuntu: apt install libportaudio2)") from None
    return sounddevice


def _of_microphone(sounddevice: Any, device: str | None) -> Iterator[bytes]:
    """Packets of a microphone, as they are spoken; resampled where it does not know 16 kHz."""
    import numpy as np
    import soxr

    chosen: int | str | None = int(device) if device and device.isdigit() else device
    try:
        rate = _rate(sounddevice, chosen)
        resampler = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="int16")
        block = int(PACKET_SECONDS * rate)
        with sounddevice.RawInputStream(
            samplerate=rate, channels=1, dtype="int16", blocksize=block, device=chosen
        ) as stream:
            while True:
                data = bytes(stream.read(block)[0])
                if resampler is not None:
                    data = resampler.resample_chunk(np.frombuffer(data, np.int16)).tobytes()
                yield data
    except (ValueError, sounddevice.PortAudioError) as error:
        raise LingtingError(
            f"the microphone cannot be used ({error}); `python -m sounddevice` lists the devices for --device"
        ) from None


def _rate(sounddevice: Any, device: int | str | None) -> int:
    try:
        sounddevice.check_input_settings(device=device, channels=1, dtype="int16", samplerate=RATE)
    except sounddevice.PortAudioError:
        return int(sounddevice.query_devices(device, "input")["default_samplerate"])
    return RATE


@contextlib.contextmanager
def _local(
    model: str | None, language: Language, hot_words: tuple[str, ...]
) -> Iterator[tuple[Session, Callable[[Path], Samples]]]:
    from lingting.transcriber import Transcriber

    with (
        Transcriber(model) as transcriber,
        transcriber.stream(language=language.forced, hot_words=hot_words) as stream,
    ):
        yield stream, transcriber.samples


@contextlib.contextmanager
def _remote(
    url: str, key: str | None, insecure: bool, language: Language, hot_words: tuple[str, ...]
) -> Iterator[tuple[Session, Callable[[Path], Samples]]]:
    from lingting.cli.remote import Server, ServerError

    try:
        server = Server(url, key, insecure=insecure)
    except ServerError as error:
        raise _usage(str(error)) from None
    headers = {"language": language.forced or "", "hot-words": quote(",".join(hot_words))}
    stream = PacketStream(server, {name: value for name, value in headers.items() if value})
    try:
        yield stream, _decoded
    finally:
        stream.abort()


def _decoded(path: Path) -> Samples:
    import asyncio

    from lingting.audio.decode import Decoder
    from lingting.audio.formats import DECLARED
    from lingting.transcriber import LONGEST_SECONDS

    async def decode() -> Samples:
        decoder = Decoder(1)
        suffix = path.suffix.lower().lstrip(".")
        try:
            with await decoder.decode(
                path,
                format=suffix if suffix in DECLARED else "wav",
                sample_rate=RATE,
                max_seconds=LONGEST_SECONDS,
            ) as recording:
                return recording.window(0, recording.size)
        finally:
            await decoder.close()

    return asyncio.run(decode())


def _usage(message: str) -> typer.Exit:
    sys.stderr.write(f"lingting: {message}\n")
    return typer.Exit(USAGE)
