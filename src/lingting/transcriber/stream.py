"""Live audio in, text out: the library's streams."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import soxr

from lingting.domain import SAMPLE_RATE, Samples, Seconds, Transcript
from lingting.errors import LingtingError
from lingting.recognition.events import LiveEvent
from lingting.recognition.live import LiveSession
from lingting.transcriber.audio import Packet, in_milliseconds, mono
from lingting.transcriber.loop import Loop


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

    def __init__(self, loop: Loop, session: LiveSession, sample_rate: int) -> None:
        self._loop = loop
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
        samples = mono(audio)
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
        return self._finished(self._loop.call(self._finishing()))

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
        if not self._ended and not self._loop.closed:
            self._loop.post(self._session.abort)
        self._ended = True

    def _feed(self, samples: Samples) -> None:
        self._accepted += len(samples)
        self._loop.post(self._session.accept, samples)

    def _note(self, _: LiveEvent) -> None:
        """On the loop: keep what readers of other threads are shown."""
        if not self._ended:
            self._shown = (self._session.confirmed, self._session.guess, self._session.text)
            self._changed.set()
            if self.on_change is not None:
                self.on_change()


def updates(stream: Stream, packets: Iterable[Packet]) -> Iterator[Update]:
    news = Updates()
    with stream:
        for packet in packets:
            stream.accept(packet)
            yield from news.of(stream)
        stream.finish()
        yield from news.of(stream)
