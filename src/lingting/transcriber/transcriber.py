"""`from lingting import Transcriber`: a model in the process of the program that uses it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeVar, overload

import numpy as np

from lingting.audio.decode import Decoder
from lingting.audio.formats import DECLARED
from lingting.audio.recording import Recording
from lingting.domain import SAMPLE_RATE, Language, RecognitionOptions, Samples, Seconds, Sentence, Transcript
from lingting.models import Store, install
from lingting.recognition.live import LiveSession
from lingting.service import Recognition
from lingting.settings import Settings, load
from lingting.transcriber.audio import Audio, Packet, in_milliseconds, mono, resampled, rounded
from lingting.transcriber.loop import Loop
from lingting.transcriber.stream import Stream, Update, updates

T = TypeVar("T")

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
        _ensure(self.settings)
        self._recognition = Recognition(self.settings)
        self._decoder = Decoder()
        self._loop = Loop()

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
            return in_milliseconds(self._loop.call(self._recognition.recognizer.recognize(recording, options)))

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

        stream = Stream(self._loop, self._loop.call(opened()), sample_rate)
        return stream if audio is None else updates(stream, audio)

    def close(self) -> None:
        """Stop everything; what is not finished is dropped."""
        if self._loop.closed:
            return
        self._loop.end(self._decoder.close())
        self._recognition.close()
        self._loop.close()

    def recording(self, audio: Audio, *, sample_rate: int = SAMPLE_RATE) -> Recording:
        """A recording that is decoded and not recognised yet: how long it is, and what is wrong with it.

        Use it with `with`, or close it. Arguments and errors: `transcribe`.
        """
        if isinstance(audio, Recording):
            return audio
        if isinstance(audio, np.ndarray):
            return Recording.of_samples(resampled(mono(audio), sample_rate))
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
            while (sentence := self._loop.call(_next(pending))) is not None:
                yield rounded(sentence)
        finally:
            if not self._loop.closed:
                self._loop.call(_end(pending))

    def _decode(self, path: Path, form: str, sample_rate: int) -> Recording:
        return self._loop.call(
            self._decoder.decode(path, format=form, sample_rate=sample_rate, max_seconds=LONGEST_SECONDS)
        )

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


async def _next(pending: AsyncIterator[Sentence]) -> Sentence | None:
    return await anext(pending, None)


async def _end(pending: AsyncIterator[Sentence]) -> None:
    close = getattr(pending, "aclose", None)
    if close is not None:
        await close()
