"""Recognition without a server: `from lingting import Transcriber`."""

from __future__ import annotations

import asyncio
import math
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypeVar, overload

import numpy as np
import soxr
from numpy.typing import NDArray

from lingting.audio.decode import Decoder
from lingting.audio.formats import DECLARED
from lingting.audio.pcm import pcm16_to_samples
from lingting.audio.recording import Recording
from lingting.domain import SAMPLE_RATE, Language, RecognitionOptions, Samples, Seconds, Sentence, Transcript
from lingting.errors import LingtingError
from lingting.models import Store, install
from lingting.recognition.events import LiveEvent
from lingting.recognition.live import LiveSession
from lingting.service import Recognition
from lingting.settings import Settings, load

T = TypeVar("T")

Audio: TypeAlias = str | PathLike[str] | bytes | NDArray[np.float32] | NDArray[np.int16] | Recording
"""A recording: the path of an audio file, its content, samples of one channel, or what `Transcriber.recording` gave."""

Packet: TypeAlias = bytes | NDArray[np.float32] | NDArray[np.int16]
"""Live audio as it comes: samples, or bytes of 16-bit little-endian ones."""

LONGEST_SECONDS: Seconds = 24 * 3600.0


class Transcriber:
    """A model in this process. The same recognition as the server's, so the same text.

    ::

        from lingting import Transcriber

        with Transcriber() as transcriber:
            print(transcriber.transcribe("meeting.m4a").text)

    Every method may be called from any thread, and blocks. Loading takes a second or so; keep one and use it often.

    Args:
        model: name of the model; one that comes with the packages is installed on first use.
        data_dir: folder of the models; that of the settings when None.
        language: "zh" or "en" where all speech is in it; None decides for each utterance.
        script: Chinese script of the text.
        convert_numbers: write spoken numbers, dates and money as digits.
        threads: threads of the engine; 0 takes one per physical core.
        settings: whatever else the server's settings say; those of the environment and the TOML file when None.

    Raises:
        ModelError: the model is not installed or cannot be loaded; the message names the command that mends it.
        SettingsError: a setting is invalid.
    """

    def __init__(
        self,
        model: str | None = None,
        data_dir: str | PathLike[str] | None = None,
        language: Language | None = None,
        *,
        script: Literal["simplified", "traditional", "as-is"] | None = None,
        convert_numbers: bool | None = None,
        threads: int | None = None,
        settings: Settings | None = None,
    ) -> None:
        given = {
            "model": model,
            "data_dir": None if data_dir is None else Path(data_dir),
            "language": _language(language),
            "script": script,
            "convert_numbers": convert_numbers,
            "compute_threads": threads,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        # nobody else's work is refused for ours, so ours may wait
        self.settings = (settings or load()).model_copy(
            update=chosen
            | {"max_wait_seconds": math.inf, "max_lag_seconds": math.inf, "stream_backlog_seconds": math.inf}
        )
        self._closed = False
        _ensure(self.settings)
        self._recognition = Recognition(self.settings)
        self._decoder = Decoder()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="transcriber", daemon=True)
        self._thread.start()

    def __enter__(self) -> Transcriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def transcribe(
        self,
        audio: Audio,
        *,
        sample_rate: int = SAMPLE_RATE,
        language: Language | None = None,
        hot_words: Sequence[str] = (),
        convert_numbers: bool = False,
        max_sentence_silence: Seconds = 3.0,
        speakers: int | None = None,
    ) -> Transcript:
        """What is said in a recording.

        Args:
            audio: path of an audio file of any known format, its bytes, or an array of shape (samples,), float32 in
                [-1, 1] or int16.
            sample_rate: of an array, and of a raw `.pcm` file.
            language: "zh" or "en"; None decides for each utterance.
            hot_words: names and terms to listen for.
            convert_numbers: write spoken numbers as digits.
            max_sentence_silence: seconds of silence that always end a sentence.
            speakers: how many speakers to tell apart, 0 for as many as there are; each sentence then names its speaker
                (A, B and so on). The settings must name models for that.

        Raises:
            AudioError: the audio is empty or cannot be decoded.
            NoSpeakers: there are no models that tell speakers apart, or the recording is too long for them.
            RecognitionFailed: the engine failed.
            OSError: the file cannot be read.
        """
        options = _options(language, hot_words, convert_numbers, max_sentence_silence, speakers)
        with self._opened(audio, sample_rate) as recording:
            return in_milliseconds(self._call(self._recognition.recognizer.recognize(recording, options)))

    def sentences(
        self,
        audio: Audio,
        *,
        sample_rate: int = SAMPLE_RATE,
        language: Language | None = None,
        hot_words: Sequence[str] = (),
        convert_numbers: bool = False,
        max_sentence_silence: Seconds = 3.0,
        speakers: int | None = None,
    ) -> Iterator[Sentence]:
        """The sentences of a recording in order, each as soon as it is known. Arguments and errors: `transcribe`."""
        options = _options(language, hot_words, convert_numbers, max_sentence_silence, speakers)
        with self._opened(audio, sample_rate) as recording:
            yield from self._sentences(recording, options)

    def samples(self, audio: Audio, *, sample_rate: int = SAMPLE_RATE) -> Samples:
        """A recording as recognition hears it: shape (n,), float32 at 16 kHz. Arguments and errors: `transcribe`."""
        with self._opened(audio, sample_rate) as recording:
            return recording.window(0, recording.size)

    @overload
    def stream(
        self,
        *,
        sample_rate: int = ...,
        language: Language | None = ...,
        hot_words: Sequence[str] = ...,
        convert_numbers: bool = ...,
    ) -> Stream: ...
    @overload
    def stream(
        self,
        audio: Iterable[Packet],
        *,
        sample_rate: int = ...,
        language: Language | None = ...,
        hot_words: Sequence[str] = ...,
        convert_numbers: bool = ...,
    ) -> Iterator[Update]: ...
    def stream(
        self,
        audio: Iterable[Packet] | None = None,
        *,
        sample_rate: int = SAMPLE_RATE,
        language: Language | None = None,
        hot_words: Sequence[str] = (),
        convert_numbers: bool = False,
    ) -> Stream | Iterator[Update]:
        """Recognise live audio; arguments as in `transcribe`.

        Of packets, such as a generator that reads a microphone, it makes updates: finals, which joined are the text,
        and partials, each of which replaces the one before::

            for update in transcriber.stream(microphone()):
                print(update.text, end="\\n" if update.is_final else "\\r")

        Without packets it is a stream to feed::

            with transcriber.stream() as stream:
                for packet in microphone():
                    stream.accept(packet)
                    print(stream.text)
                print(stream.finish().text)
        """
        options = _options(language, hot_words, convert_numbers, RecognitionOptions().max_sentence_silence)

        async def opened() -> LiveSession:
            return self._recognition.recognizer.open_live(options)

        stream = Stream(self, self._call(opened()), sample_rate)
        return stream if audio is None else _updates(stream, audio)

    def close(self) -> None:
        """Stop everything; what is not finished is dropped."""
        if self._closed:
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._recognition.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        await self._decoder.close()
        ours = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)

    def recording(self, audio: Audio, *, sample_rate: int = SAMPLE_RATE) -> Recording:
        """A recording that is decoded and not recognised yet: how long it is, and what is wrong with it.

        Use it with `with`, or close it. Arguments and errors: `transcribe`.
        """
        if isinstance(audio, Recording):
            return audio
        if isinstance(audio, np.ndarray):
            return Recording.of_samples(_resampled(_mono(audio), sample_rate))
        if isinstance(audio, bytes):
            with tempfile.NamedTemporaryFile(prefix="lingting-") as file:
                file.write(audio)
                file.flush()
                return self._decode(Path(file.name), "wav", sample_rate)
        path = Path(audio)
        suffix = path.suffix.lower().lstrip(".")
        return self._decode(path, suffix if suffix in DECLARED else "wav", sample_rate)

    def _opened(self, audio: Audio, sample_rate: int) -> AbstractContextManager[Recording]:
        """The recording while it is used; one that is the caller's stays open."""
        recording = self.recording(audio, sample_rate=sample_rate)
        return nullcontext(recording) if recording is audio else recording

    def _sentences(self, recording: Recording, options: RecognitionOptions) -> Iterator[Sentence]:
        pending = self._recognition.recognizer.sentences(recording, options)
        try:
            while (sentence := self._call(_next(pending))) is not None:
                yield rounded(sentence)
        finally:
            if not self._closed:
                self._call(_end(pending))

    def _decode(self, path: Path, form: str, sample_rate: int) -> Recording:
        return self._call(self._decoder.decode(path, format=form, sample_rate=sample_rate, max_seconds=LONGEST_SECONDS))

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the loop and wait; the work is cancelled when waiting is interrupted."""
        future = self._submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin on the loop."""
        if self._closed:
            work.close()
            raise LingtingError("this transcriber is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    @staticmethod
    def _asked(
        *,
        sample_rate: int = SAMPLE_RATE,
        language: Language | None = None,
        hot_words: Sequence[str] = (),
        convert_numbers: bool = False,
        max_sentence_silence: Seconds = 3.0,
        speakers: int | None = None,
    ) -> tuple[int, RecognitionOptions]:
        """The arguments of `transcribe`."""
        return sample_rate, _options(language, hot_words, convert_numbers, max_sentence_silence, speakers)

    def _post(self, work: Any, *arguments: Any) -> None:
        if self._closed:
            raise LingtingError("this transcriber is closed")
        self._loop.call_soon_threadsafe(work, *arguments)


@dataclass(frozen=True, slots=True)
class Update:
    """News of a stream: text that is final and continues the final text before, or a guess at what follows it.

    Attributes:
        text: the piece; a guess stands in place of the guess before.
        is_final: whether it will not change any more.
    """

    text: str
    is_final: bool


class Updates:
    """What changed in a stream since it was asked last. For one thread."""

    def __init__(self) -> None:
        self._confirmed = 0
        self._guess = ""

    def of(self, stream: Stream) -> Iterator[Update]:
        """The news: final text first, then the guess where it differs."""
        confirmed, guess, _ = stream._shown
        if len(confirmed) > self._confirmed:
            yield Update(confirmed[self._confirmed :], True)
            self._confirmed = len(confirmed)
        if guess != self._guess:
            self._guess = guess
            if guess:
                yield Update(guess, False)


class Stream:
    """Live audio and the text of it so far, for one thread that feeds and any that read. From `Transcriber.stream`."""

    def __init__(self, transcriber: Transcriber, session: LiveSession, sample_rate: int) -> None:
        self._transcriber = transcriber
        self._session = session
        self._resampler = (
            None
            if sample_rate == SAMPLE_RATE
            else soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        )
        self._odd = b""
        self._shown = ("", "", "")
        self._accepted = 0
        self._ended = False
        self._changed = threading.Event()
        self.on_change: Callable[[], None] | None = None
        """Called whenever the text may have changed, in a thread of the transcriber; it must not block."""
        session.on_event = self._note

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    @property
    def confirmed(self) -> str:
        """Text that never changes any more."""
        return self._shown[0]

    @property
    def guess(self) -> str:
        """Text behind the confirmed part that may still change."""
        return self._shown[1]

    @property
    def text(self) -> str:
        """The whole text so far: the confirmed part, then the guess."""
        return self._shown[2]

    @property
    def duration(self) -> Seconds:
        """Seconds of audio accepted."""
        return round(self._accepted / SAMPLE_RATE, 3)

    def accept(self, audio: Packet) -> None:
        """Take the audio that comes next; never blocks.

        Args:
            audio: an array as in `Transcriber.transcribe`, or bytes of 16-bit little-endian samples; bytes may end
                within a sample.
        """
        if self._ended:
            raise LingtingError("this stream has ended")
        if isinstance(audio, bytes):
            whole = self._odd + audio
            self._odd = whole[len(whole) & ~1 :]
            audio = np.frombuffer(whole[: len(whole) & ~1], "<i2")
        samples = _mono(audio)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        self._feed(samples)

    def wait(self, timeout: Seconds | None = None) -> bool:
        """Wait until the text may have changed since the last call; False when `timeout` seconds passed first."""
        changed = self._changed.wait(timeout)
        self._changed.clear()
        return changed

    def finish(self) -> Transcript:
        """The final transcript of everything accepted; the stream ends with it.

        Raises:
            RecognitionFailed: the engine failed on a part of it.
        """
        return self._finished(self._transcriber._call(self._finishing()))

    def _finishing(self) -> Coroutine[Any, Any, Transcript]:
        """End the audio; what is returned is to be run on the loop."""
        if self._ended:
            raise LingtingError("this stream has ended")
        if self._resampler is not None:
            self._feed(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        self._ended = True
        return self._session.finish()

    def _finished(self, transcript: Transcript) -> Transcript:
        self._shown = (transcript.text, "", transcript.text)
        self._changed.set()
        return in_milliseconds(transcript)

    def abort(self) -> None:
        """Drop everything; harmless at any time."""
        if not self._ended and not self._transcriber._closed:
            self._transcriber._post(self._session.abort)
        self._ended = True

    def _feed(self, samples: Samples) -> None:
        self._accepted += len(samples)
        self._transcriber._post(self._session.accept, samples)

    def _note(self, _: LiveEvent) -> None:
        """On the loop: keep what readers of other threads are shown."""
        if not self._ended:
            self._shown = (self._session.confirmed, self._session.guess, self._session.text)
            self._changed.set()
            if self.on_change is not None:
                self.on_change()


def rounded(sentence: Sentence) -> Sentence:
    """A sentence with its times in whole milliseconds; more digits say nothing."""
    words = tuple(replace(word, start=round(word.start, 3), end=round(word.end, 3)) for word in sentence.words)
    return replace(sentence, start=round(sentence.start, 3), end=round(sentence.end, 3), words=words)


def in_milliseconds(transcript: Transcript) -> Transcript:
    """A transcript with its times in whole milliseconds."""
    sentences = tuple(rounded(sentence) for sentence in transcript.sentences)
    return replace(transcript, duration=round(transcript.duration, 3), sentences=sentences)


def _updates(stream: Stream, packets: Iterable[Packet]) -> Iterator[Update]:
    news = Updates()
    with stream:
        for packet in packets:
            stream.accept(packet)
            yield from news.of(stream)
        stream.finish()
        yield from news.of(stream)


def _ensure(settings: Settings) -> None:
    """Install a model that comes with the packages where it is not there yet."""
    store = Store.at(settings.models_dir)
    model = store.catalogue.models.get(settings.model)
    if model is not None and model.embedded and not store.folder(settings.model).exists():
        install(store, settings.model)


def _language(language: Language | None) -> Language | None:
    if language not in (None, "zh", "en"):
        raise ValueError(f"language must be 'zh', 'en' or None, got {language!r}")
    return language


def _options(
    language: Language | None,
    hot_words: Sequence[str],
    convert_numbers: bool,
    max_sentence_silence: Seconds,
    speakers: int | None = None,
) -> RecognitionOptions:
    if isinstance(hot_words, str):
        raise ValueError("hot_words must be a list of words, not one string")
    if speakers is not None and speakers < 0:
        raise ValueError(f"speakers must be 0 or more, got {speakers}")
    return RecognitionOptions(
        language=_language(language),
        hot_words=tuple(hot_words),
        convert_numbers=convert_numbers,
        max_sentence_silence=max_sentence_silence,
        speakers=speakers,
    )


def _mono(audio: NDArray[Any]) -> Samples:
    if audio.ndim != 1:
        raise ValueError(f"audio must have one channel, shape (samples,), got shape {audio.shape}")
    if audio.dtype == np.int16:
        return pcm16_to_samples(audio)
    if audio.dtype.kind == "f":
        return np.ascontiguousarray(audio, np.float32)
    raise ValueError(f"audio must be float32 or int16, got {audio.dtype}")


def _resampled(samples: Samples, sample_rate: int) -> Samples:
    if sample_rate == SAMPLE_RATE or not samples.size:
        return samples
    resampled: Samples = soxr.resample(samples, sample_rate, SAMPLE_RATE)
    return resampled


async def _next(pending: AsyncIterator[Sentence]) -> Sentence | None:
    return await anext(pending, None)


async def _end(pending: AsyncIterator[Sentence]) -> None:
    close = getattr(pending, "aclose", None)
    if close is not None:
        await close()
