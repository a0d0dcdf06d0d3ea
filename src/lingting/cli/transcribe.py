"""`lingting transcribe`: recordings into text, in this process or on a server."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from lingting.cli import outputs
from lingting.errors import LingtingError

if TYPE_CHECKING:
    from rich.console import Console

    from lingting.cli.outputs import Source
    from lingting.domain import Transcript

app = typer.Typer(add_completion=False)

SOME_FAILED = 1
USAGE = 2
INTERRUPTED = 130

Recognise: TypeAlias = "Callable[[Path, Callable[[float], None]], Transcript]"
"""Recognises a file and is told where to report the part of it that is done, from 0 to 1."""


class Format(StrEnum):
    """What can be written."""

    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    JSON = "json"
    TSV = "tsv"


class Language(StrEnum):
    """What may be spoken."""

    AUTO = "auto"
    ZH = "zh"
    EN = "en"

    @property
    def forced(self) -> Literal["zh", "en"] | None:
        """The language, or None when it is to be recognised."""
        match self:
            case Language.ZH:
                return "zh"
            case Language.EN:
                return "en"
        return None


@dataclass(frozen=True, slots=True)
class Asked:
    """What recognition is asked for."""

    language: Language
    hot_words: tuple[str, ...]
    convert_numbers: bool
    model: str | None
    speakers: int | None


HELP = """Write down what is said in recordings, here or on a server.

One recording in one format is printed. Of several recordings, of a folder, or in several formats, each is written to \
a file beside it, or under --output-dir. What is written already is skipped, so a batch that broke off goes on when it \
is started again.

Exit codes: 0 all were recognised, 1 some were not, 2 the command is wrong, 130 interrupted."""


@app.command(help=HELP)
def transcribe(
    recordings: Annotated[
        list[str],
        typer.Argument(metavar="FILE|FOLDER|-…", help="Recordings, folders of them, or - for standard input."),
    ],
    *,
    formats: Annotated[
        list[Format] | None, typer.Option("--format", "-f", help="What to write; may be given more than once. [txt]")
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", "-o", help="Where to write; beside each recording otherwise.")
    ] = None,
    language: Annotated[Language, typer.Option("--language", "-l", help="What is spoken.")] = Language.AUTO,
    hot_words: Annotated[
        str, typer.Option("--hot-words", metavar="WORD,…", help="Names and terms to listen for.")
    ] = "",
    convert_numbers: Annotated[
        bool, typer.Option("--convert-numbers", help="Write spoken numbers as digits (not with --server).")
    ] = False,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Name of the model.")] = None,
    speakers: Annotated[
        int | None,
        typer.Option(
            "--speakers",
            metavar="NUMBER",
            min=0,
            max=50,
            help="Tell so many speakers apart; 0: as many as there are.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=32, help="Recordings at once.")] = 2,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell on stderr which characters were changed by sound, and why.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Do again what is done already.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False,
    server: Annotated[
        str | None, typer.Option("--server", metavar="URL", help="Let a server do the work: http://host:8300.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", envvar="LINGTING_API_KEY", help="API key for the server.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Take any certificate of the server.")] = False,
) -> None:
    """See HELP."""
    chosen = list(dict.fromkeys(formats or [Format.TXT]))
    try:
        sources = outputs.plan(recordings, [each.value for each in chosen], output_dir)
        outputs.clashes(sources)
    except outputs.NotFound as error:
        raise _usage(str(error)) from None
    if server is None and (key is not None or insecure) and not os.environ.get("LINGTING_API_KEY"):
        raise _usage("--key and --insecure need --server")
    if convert_numbers and server is not None:
        raise _usage("--convert-numbers works in this process only; on a server it is a setting")
    if server is not None and speakers and speakers > 0:
        raise _usage("a server finds out by itself how many speakers there are: --speakers 0")
    if server is not None and speakers is not None and model is not None:
        raise _usage("--speakers with --server takes the server's default model; leave --model out")
    if explain and server is not None:
        raise _usage("--explain works in this process only")
    if explain:
        _explain()
    words = tuple(word.strip() for word in hot_words.replace("，", ",").split(",") if word.strip())
    asked = Asked(language, words, convert_numbers, model, speakers)
    if not sources:
        raise _usage(f"there are no recordings in {', '.join(recordings)}")
    waiting = sources if force else [source for source in sources if not source.done]
    goes_on = any(source.outputs for source in sources)
    batch = Batch(chosen, total=len(sources), skipped=len(sources) - len(waiting), goes_on=goes_on, quiet=quiet)
    if waiting:
        try:
            with _remote(server, key, insecure, asked) if server else _local(asked) as recognise:
                batch.run(waiting, recognise, jobs)
        except KeyboardInterrupt:
            batch.interrupted()
    batch.summary()
    if batch.failed:
        raise typer.Exit(SOME_FAILED)


class Batch:
    """Recordings on their way to text: progress where there is a terminal, a line for each error."""

    def __init__(self, formats: Sequence[Format], *, total: int, skipped: int, goes_on: bool, quiet: bool) -> None:
        from rich.console import Console

        self.failed = 0
        self._formats = formats
        self._total = total
        self._skipped = skipped
        self._quiet = quiet
        self._goes_on = goes_on
        self._kept: list[Path] = []  # of standard input; pool threads add, the main one reads
        self._done = 0
        self._audio = 0.0
        self._console: Console = Console(stderr=True, highlight=False)
        self._started = time.monotonic()

    def run(self, sources: Sequence[Source], recognise: Recognise, jobs: int) -> None:
        """Recognise and write them all."""
        from concurrent.futures import ThreadPoolExecutor, as_completed

        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        sizes = {source: max(1, source.size) for source in sources}
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        hidden = self._quiet or not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=hidden, expand=True) as bars:
            whole = bars.add_task("", total=sum(sizes.values()))

            def shown() -> str:
                return f"{self._skipped + self._done + self.failed}/{self._total} recordings"

            def one(source: Source) -> tuple[Transcript, float]:
                reached = 0.0

                def report(part: float) -> None:
                    nonlocal reached
                    bars.advance(whole, (part - reached) * sizes[source])
                    reached = part

                began = time.monotonic()
                try:
                    with _file(source, self._kept) as path:
                        transcript = recognise(path, report)
                    self._write(source, transcript)
                finally:
                    report(1.0)
                return transcript, time.monotonic() - began

            bars.update(whole, description=shown())
            pool = ThreadPoolExecutor(min(jobs, len(sources)), thread_name_prefix="transcribe")
            try:
                futures = {pool.submit(one, source): source for source in sources}
                for future in as_completed(futures):
                    source = futures[future]
                    try:
                        transcript, seconds = future.result()
                    except (LingtingError, OSError) as error:
                        self.failed += 1
                        self._say(f"lingting: {source.shown}: {_reason(error)}", style="red")
                    else:
                        self._done += 1
                        self._audio += transcript.duration
                        if transcript.warning is not None and not self._quiet:
                            self._say(f"lingting: {source.shown}: warning: {transcript.warning}", style="yellow")
                        if source.outputs and not self._quiet:
                            names = ", ".join(str(output) for output in source.outputs)
                            self._say(f"{names}  {transcript.duration:.1f} s of audio in {seconds:.1f} s")
                    bars.update(whole, description=shown())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def summary(self) -> None:
        """A last line for batches."""
        if self._total == 1 and not self._skipped:
            return
        parts = [f"{self._done} recognised"] if self._done else []
        parts += [f"{self._skipped} already done"] if self._skipped else []
        parts += [f"{self.failed} failed"] if self.failed else []
        line = f"{', '.join(parts)} of {self._total}"
        if self._audio:
            line += f"; {_minutes(self._audio)} of audio in {_minutes(time.monotonic() - self._started)}"
        if self.failed:
            line += ". The same command again tries what failed."
        elif self._skipped and not self._done:
            line += "; --force does them again"
        if not self._quiet or self.failed:
            self._say(line)

    def interrupted(self) -> None:
        """Say what an interrupted batch has reached, and end the process without waiting for what is under way."""
        goes_on = "; the same command again goes on where it stopped" if self._goes_on else ""
        self._say(f"lingting: interrupted{goes_on}")
        sys.stdout.flush()
        for path in self._kept:
            path.unlink(missing_ok=True)
        os._exit(INTERRUPTED)

    def _write(self, source: Source, transcript: Transcript) -> None:
        from lingting import subtitles

        if not source.outputs:
            sys.stdout.write(subtitles.render(transcript, self._formats[0].value))
            sys.stdout.flush()
        for form, output in zip(self._formats, source.outputs, strict=False):
            outputs.write(output, subtitles.render(transcript, form.value))

    def _say(self, line: str, style: str | None = None) -> None:
        self._console.print(line, style=style, markup=False, soft_wrap=True)


@contextlib.contextmanager
def _local(asked: Asked) -> Iterator[Recognise]:
    from lingting.cli.models import ensure
    from lingting.models import Store
    from lingting.settings import load

    settings = load()
    store, name = Store.at(settings.models_dir), asked.model or settings.model
    known = store.catalogue.models.get(name)
    if known is not None and known.embedded and not store.folder(name).exists():
        ensure(store, name)

    from lingting.recognition.utterance import transcript
    from lingting.transcriber import Transcriber

    with Transcriber(name, settings=settings) as transcriber:

        def recognise(path: Path, report: Callable[[float], None]) -> Transcript:
            sentences = []
            with transcriber.recording(path) as recording:
                for sentence in transcriber.sentences(
                    recording,
                    language=asked.language.forced,
                    hot_words=asked.hot_words,
                    convert_numbers=asked.convert_numbers,
                    speakers=asked.speakers,
                ):
                    sentences.append(sentence)
                    report(min(1.0, sentence.end / recording.duration))
                return transcript(sentences, recording.duration, recording.warning)

        yield recognise


@contextlib.contextmanager
def _remote(url: str, key: str | None, insecure: bool, asked: Asked) -> Iterator[Recognise]:
    from lingting.cli.remote import Server, ServerError

    try:
        server = Server(url, key, insecure=insecure)
    except ServerError as error:
        raise _usage(str(error)) from None

    def recognise(path: Path, report: Callable[[float], None]) -> Transcript:
        return server.transcribe(
            path,
            language=asked.language.forced,
            hot_words=asked.hot_words,
            model=asked.model or "",
            speakers=asked.speakers is not None,
        )

    yield recognise


@contextlib.contextmanager
def _file(source: Source, kept: list[Path]) -> Iterator[Path]:
    """The file of a recording; standard input is kept in one meanwhile, which is told in `kept`."""
    if source.path is not None:
        yield source.path
        return
    if sys.stdin.isatty():
        raise LingtingError("standard input is a terminal; pipe a recording into it, or name a file")
    with tempfile.NamedTemporaryFile(prefix="lingting-", suffix=".audio") as file:
        kept.append(Path(file.name))
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield Path(file.name)


def _usage(message: str) -> typer.Exit:
    sys.stderr.write(f"lingting: {message}\n")
    return typer.Exit(USAGE)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return str(error)


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _explain() -> None:
    """Print what the second pass over Chinese changes."""
    import logging

    from lingting.recognition.rescoring import corrections

    corrections.addHandler(logging.StreamHandler())
    corrections.setLevel(logging.DEBUG)
