"""Live recognition: text that grows while someone speaks.

Voice activity finds utterances. While one goes on, partials guess at it (`recognition/partials.py`). When speech
pauses, its full-quality decode begins; when the pause lasts, that result is final. Text that is final never changes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lingting.audio.pcm import pcm16_to_samples, samples_to_pcm16
from lingting.audio.voice import VoiceDetector
from lingting.domain import SAMPLE_RATE, Account, RecognitionOptions, Samples, Seconds, Transcript
from lingting.errors import RecognitionFailed, StreamBehind
from lingting.recognition.arrivals import Arrivals
from lingting.recognition.endpoint import Ended, EndpointConfig, Endpointer, Event, Paused, Started
from lingting.recognition.engine import Heard
from lingting.recognition.events import Final, Guess, LiveEvent, SpeechStarted, SpeechStopped
from lingting.recognition.finals import Checkpoint, Finals, Utterance
from lingting.recognition.intake import Intake
from lingting.recognition.listening import Listening
from lingting.recognition.observer import NOBODY, Observer
from lingting.recognition.partials import LiveEngines, Partials, Stream
from lingting.recognition.redecoding import Redecoding, RedecodingConfig
from lingting.recognition.scheduler import Scheduler
from lingting.recognition.utterance import Writing, join_texts, transcript

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """Rules of live sessions.

    Attributes:
        endpoint: when an utterance ends.
        redecoding: when guesses by hearing again are due.
        backlog: seconds of sound that may wait to be heard before a sender is told to slow down.
    """

    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    redecoding: RedecodingConfig = field(default_factory=RedecodingConfig)
    backlog: Seconds = 300.0


class LiveSession:
    """The recognition of one stream. Use from one event loop; nothing here blocks it.

    Args:
        scheduler: owner of compute.
        engines: make the text.
        detector: voice activity.
        writing: how text is written.
        config: rules.
        listeners: threads for voice activity.
        writers: threads for text rules.
        options: what the caller asked for.
        account: who it is for.
        observer: is told how late text comes.
        on_close: is called once, when the session is over.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        engines: LiveEngines,
        *,
        detector: VoiceDetector,
        writing: Writing,
        config: LiveConfig,
        listeners: Executor,
        writers: Executor,
        options: RecognitionOptions,
        account: Account | None = None,
        observer: Observer = NOBODY,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_close = on_close
        self._observer = observer
        self._config = config
        self._listeners = listeners
        self._loop = asyncio.get_running_loop()
        self._endpointer: Endpointer | None = Endpointer(detector, config.endpoint)
        self._stream = Stream(
            scheduler, engines, writing, options, account or Account(), self._endpointer.audio, Arrivals()
        )
        self._intake = Intake()
        self._finals = Finals(self._stream, writers, observer, tell=self._confirmed, changed=self._changed)
        self._listening: asyncio.Task[None] | None = None
        self._current: Utterance | None = None
        self._speaking = False
        self._shown = ""
        self._closed = False
        self.on_event: Callable[[LiveEvent], None] | None = None
        """Called on the event loop with everything that happens, in order."""

    # -- what callers see ---------------------------------------------------------------------------------------------

    @property
    def confirmed(self) -> str:
        """Text that never changes any more."""
        return self._finals.confirmed

    @property
    def failures(self) -> int:
        """Utterances whose text is missing because the engine failed on them."""
        return self._finals.failures

    @property
    def confirmed_seconds(self) -> Seconds:
        """How much of the audio, from its beginning, the confirmed text covers."""
        return self._finals.confirmed_samples / SAMPLE_RATE

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Where another session of the same rules can go on; a new object whenever an utterance has become final, and
        from time to time while nobody speaks."""
        return self._finals.checkpoint

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on where another session was; the first sound that is accepted follows `checkpoint.samples`."""
        if self._endpointer is None or self._intake.received:
            raise ValueError("a session resumes before it accepts sound")
        self._endpointer.restore(checkpoint.endpointer)
        self._finals.resume(checkpoint)
        self._intake.resume(checkpoint.samples)
        self._stream.arrivals.note(checkpoint.samples)
        if checkpoint.endpointer.start is not None:
            self._start(checkpoint.endpointer.start)

    @property
    def guess(self) -> str:
        """Text behind the confirmed part that may still change."""
        guess = ""
        for utterance in (*self._finals.ending, self._current):
            if utterance is not None and utterance.partials is not None:
                guess = join_texts(guess, utterance.partials.guess)
        return guess

    @property
    def text(self) -> str:
        """The whole text of the stream so far: the confirmed part, then the guess."""
        return join_texts(self.confirmed, self.guess)

    @property
    def duration(self) -> Seconds:
        """Seconds of audio accepted."""
        return self._intake.received / SAMPLE_RATE

    def require_room(self) -> None:
        """Pass while the sound that waits to be heard is within bounds.

        Raises:
            StreamBehind: too much waits; the sender should wait and send again.
        """
        waiting = (self._intake.waiting + self._finals.waiting) / SAMPLE_RATE
        if waiting >= self._config.backlog:
            raise StreamBehind(
                f"{waiting:.0f} s of sound wait to be heard, at most {self._config.backlog:g} s may; "
                "send this packet again later, and no faster than it is spoken",
                retry_after=2.0,
            )

    def accept(self, samples: Samples | NDArray[np.int16]) -> None:
        """Take more audio: shape (n,) at 16 kHz, float32 in [-1, 1] or int16. Never blocks."""
        if self._closed or not len(samples):
            return
        self._intake.add(samples_to_pcm16(samples))
        self._stream.arrivals.note(self._intake.received)
        self._listen()

    def flush(self) -> None:
        """End the utterance that is open with the sound accepted so far; a `Final` that says so follows in any case."""
        if not self._closed:
            self._intake.flush()
            self._listen()

    async def finish(self) -> Transcript:
        """The transcript of everything that was accepted; the session ends with it.

        Utterances on which the engine failed are missing in it; `failures` counts them.

        Raises:
            RecognitionFailed: there is no text because the engine failed.
        """
        try:
            while self._listening is not None:
                await asyncio.wait({self._listening})
            if self._endpointer is not None:
                endpointer = self._endpointer
                self._handle(await self._loop.run_in_executor(self._listeners, endpointer.finish))
            await self._finals.done()
            finals = self._finals
            if finals.failure is not None and not finals.confirmed:
                raise RecognitionFailed("the stream could not be recognised") from finals.failure
            return replace(transcript(finals.sentences, self.duration), text=finals.confirmed)
        finally:
            self._close()

    def abort(self) -> None:
        """Drop everything; may be called at any time."""
        self._close()

    # -- listening ----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        if self._listening is None and self._intake and not self._closed:
            self._listening = self._loop.create_task(self._hear())
            self._listening.add_done_callback(self._heard)

    async def _hear(self) -> None:
        while self._intake and self._endpointer is not None:
            await self._finals.room()
            if self._closed:
                return
            endpointer, pieces = self._endpointer, self._intake.take()
            hear = partial(_feed, endpointer, pieces) if pieces else endpointer.flush
            events = await self._loop.run_in_executor(self._listeners, hear)
            if self._closed:
                return
            self._intake.heard(pieces)
            self._handle(events)
            if not pieces:
                self._flushed(any(isinstance(event, Ended) for event in events))
            self._guess()
            if self._current is None:
                self._stream.arrivals.forget(endpointer.audio.end - SAMPLE_RATE)
                self._finals.nobody_speaks(endpointer)

    def _heard(self, task: asyncio.Task[None]) -> None:
        self._listening = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("listening to a stream failed", exc_info=error)
            self._finals.failure = error
            self._intake.clear()
            return
        self._listen()

    def _handle(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Started(start):
                    self._start(start)
                case Paused(end=end, samples=samples):
                    on_a_chance = not self._stream.engines.ear_is_final and not self._stream.scheduler.busy
                    if self._current is not None and on_a_chance and self._intake.live:
                        self._finals.begin(self._current, end, samples, wanted=self._pause_since(end))
                case Ended():
                    self._end(event)

    def _pause_since(self, end: int) -> Callable[[], bool]:
        """Whether nothing was said behind sample `end`; may be asked on any thread."""
        endpointer = self._endpointer
        return lambda: endpointer is not None and endpointer.last_voice <= end

    def _start(self, start: int) -> None:
        if self._intake.live:
            self._stream.scheduler.expect_live()
        self._current = Utterance(start, self._guess_from(start))
        if not self._speaking:
            self._speaking = True
            self._tell(SpeechStarted(start / SAMPLE_RATE))

    def _guess_from(self, start: int) -> Partials:
        ear = self._stream.engines.ear
        if ear is not None:
            return Listening(self._stream, ear, start, self._changed)
        return Redecoding(self._stream, self._config.redecoding, start, self._finals.before(), self._changed)

    def _end(self, event: Ended) -> None:
        utterance = self._current
        if utterance is None:
            return
        self._current = None
        utterance.ended = event
        if utterance.final is None or utterance.final_end < event.voice:
            by_ear = self._heard_by_ear(utterance, event)
            self._finals.begin(utterance, event.end, event.samples, by_ear, live=self._intake.live)
        if utterance.partials is not None:
            utterance.partials.close()
        if not event.cut:
            self._speaking = False
            self._tell(SpeechStopped(event.end / SAMPLE_RATE))
        self._finals.add(utterance)

    def _heard_by_ear(self, utterance: Utterance, event: Ended) -> asyncio.Future[Heard | None] | None:
        """The final text of an ear that heard just this utterance; of a cut one it has heard too much."""
        if utterance.partials is None or event.cut or not self._stream.engines.ear_is_final:
            return None
        return utterance.partials.finish(event.samples, live=self._intake.live)

    def _flushed(self, ended: bool) -> None:
        """The caller ended an utterance: the latest one if that is open no more, else one of nothing."""
        if ended:
            self._finals.ending[-1].flushed = True
        else:
            at = self._stream.audio.end
            self._finals.add(Utterance(at, flushed=True))

    def _guess(self) -> None:
        utterance, endpointer = self._current, self._endpointer
        if utterance is None or endpointer is None or utterance.partials is None:
            return
        if not self._intake.live and self._stream.scheduler.busy:
            return
        if utterance.final is None or utterance.final.done():
            utterance.partials.look(endpointer.last_voice, live=self._intake.live)

    # -- telling ------------------------------------------------------------------------------------------------------

    def _confirmed(self, final: Final) -> None:
        """An utterance is final."""
        self._tell(final)
        self._changed()

    def _changed(self) -> None:
        """A guess may have changed; the next may be due."""
        if self._closed:
            return
        guess = self.guess
        if guess != self._shown:
            if self._current is not None and self._current.partials is not None and guess:
                since = time.monotonic() - self._stream.arrivals.of(self._current.partials.heard - 1)
                self._observer.shown("partial" if self._shown else "first", since)
            self._shown = guess
            self._tell(Guess(guess))
        self._guess()

    def _tell(self, event: LiveEvent) -> None:
        if self.on_event is not None and not self._closed:
            self.on_event(event)

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._on_close()
        self._finals.close()
        if self._current is not None:
            self._current.close()
        self._current = None
        self._intake.clear()
        self._endpointer = None


def _feed(endpointer: Endpointer, pieces: Sequence[NDArray[np.int16]]) -> list[Event]:
    return [event for piece in pieces for event in endpointer.feed(pcm16_to_samples(piece.data.cast("B")))]
