"""Live recognition: text that grows while someone speaks.

Voice activity finds utterances. While one goes on, partials guess at it (`recognition/partials.py`). When speech
pauses, its full-quality decode begins; when the pause lasts, that result is final. Text that is final never changes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lingting.audio.pcm import pcm16_to_samples
from lingting.audio.voice import VoiceDetector
from lingting.domain import SAMPLE_RATE, Account, Language, RecognitionOptions, Samples, Seconds, Sentence, Transcript
from lingting.errors import RecognitionFailed, StreamBehind
from lingting.recognition.arrivals import Arrivals
from lingting.recognition.endpoint import (
    Ended,
    EndpointConfig,
    Endpointer,
    EndpointerState,
    Event,
    Paused,
    Started,
)
from lingting.recognition.engine import Before, Heard, Need, Request, Work
from lingting.recognition.events import Final, Guess, LiveEvent, SpeechStarted, SpeechStopped
from lingting.recognition.listening import Listening
from lingting.recognition.observer import NOBODY, Observer
from lingting.recognition.partials import LiveEngines, Partials, Stream
from lingting.recognition.redecoding import Redecoding, RedecodingConfig
from lingting.recognition.scheduler import Scheduler
from lingting.recognition.utterance import Writing, join_texts, transcript

log = logging.getLogger(__name__)

_FINAL_WITHIN: Seconds = 0.5
_SAID = 40
"""Characters of the text before that the second pass gets to see."""
_LANGUAGES = 12
"""Languages of the latest finals that the next is told; what was before hardly counts any more."""
_PIECE = 5 * SAMPLE_RATE
"""Voice activity takes so much at a time, so that streams take turns."""
_RUN_AHEAD = 60 * SAMPLE_RATE
"""Voice activity goes on while less than this waits for its final text."""
_FAST: Seconds = 5.0
"""A stream that is so far ahead of a speaker is no live one: its work is done in the background."""
_LEAK = 1.25
"""A speaker catches up with what was sent at once, at this many seconds a second."""


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


@dataclass(eq=False, slots=True)
class _Utterance:
    """An utterance that is not final yet, or an end that was asked for where nothing was said (`partials` is None).

    Attributes:
        partials: guesses at it.
        final: its full decode, begun at a pause or at its end.
        final_end: one past the last sample of `final`.
        ended: how it ended; None while it goes on.
        flushed: it ended because the caller said so.
        by_ear: `final` is what an ear makes of the sound that it heard already.
    """

    start: int
    partials: Partials | None = None
    final: asyncio.Future[Heard | None] | None = None
    final_end: int = -1
    ended: Ended | None = None
    flushed: bool = False
    by_ear: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is final of a session, as plain data.

    Attributes:
        endpointer: endpoints and the sound that they need.
        confirmed: the text that is final.
        confirmed_samples: samples that it covers.
        languages: of the latest finals.
        finals: how many utterances are final.
    """

    endpointer: EndpointerState
    confirmed: str
    confirmed_samples: int
    languages: tuple[Language, ...]
    finals: int

    @property
    def samples(self) -> int:
        """How many samples were heard: those behind are not in here."""
        return self.endpointer.end


class _Flush:
    """Stands between pieces of sound where the caller ended an utterance."""


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
    ) -> None:
        self._observer = observer
        self._scheduler = scheduler
        self._writing = writing
        self._config = config
        self._listeners = listeners
        self._writers = writers
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._endpointer: Endpointer | None = Endpointer(detector, config.endpoint)
        self._stream = Stream(
            scheduler, engines, writing, options, account or Account(), self._endpointer.audio, Arrivals()
        )
        self._incoming: deque[NDArray[np.int16] | _Flush] = deque()
        self._incoming_samples = 0
        self._listening: asyncio.Task[None] | None = None
        self._current: _Utterance | None = None
        self._speaking = False
        self._ending: deque[_Utterance] = deque()
        self._settling: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()
        self._confirmed = ""
        self._confirmed_samples = 0
        self._confirmed_samples = 0
        self._sentences: list[Sentence] = []
        self._languages: tuple[Language, ...] = ()
        self._finals = 0
        self._checkpoint: Checkpoint | None = None
        self._failure: BaseException | None = None
        self._shown = ""
        self._closed = False
        self._received = 0
        self._ahead: Seconds = 0.0
        self._accepted_at = time.monotonic()
        self.failures = 0
        """Utterances whose text is missing because the engine failed on them."""
        self.on_event: Callable[[LiveEvent], None] | None = None
        """Called on the event loop with everything that happens, in order."""

    # -- what callers see ---------------------------------------------------------------------------------------------

    @property
    def confirmed(self) -> str:
        """Text that never changes any more."""
        return self._confirmed

    @property
    def confirmed_seconds(self) -> Seconds:
        """How much of the audio, from its beginning, the confirmed text covers."""
        return self._confirmed_samples / SAMPLE_RATE

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Where another session of the same rules can go on; a new object whenever an utterance has become final."""
        return self._checkpoint

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on where another session was; the first sound that is accepted follows `checkpoint.samples`."""
        if self._endpointer is None or self._received:
            raise ValueError("a session resumes before it accepts sound")
        self._endpointer.restore(checkpoint.endpointer)
        self._confirmed = checkpoint.confirmed
        self._confirmed_samples = checkpoint.confirmed_samples
        self._languages = checkpoint.languages
        self._finals = checkpoint.finals
        self._received = checkpoint.samples
        self._stream.arrivals.note(self._received)
        self._checkpoint = checkpoint
        if checkpoint.endpointer.start is not None:
            self._start(checkpoint.endpointer.start)

    @property
    def guess(self) -> str:
        """Text behind the confirmed part that may still change."""
        guess = ""
        for utterance in (*self._ending, self._current):
            if utterance is not None and utterance.partials is not None:
                guess = join_texts(guess, utterance.partials.guess)
        return guess

    @property
    def text(self) -> str:
        """The whole text of the stream so far: the confirmed part, then the guess."""
        return join_texts(self._confirmed, self.guess)

    @property
    def duration(self) -> Seconds:
        """Seconds of audio accepted."""
        return self._received / SAMPLE_RATE

    def require_room(self) -> None:
        """Pass while the sound that waits to be heard is within bounds.

        Raises:
            StreamBehind: too much waits; the sender should wait and send again.
        """
        waiting = (self._incoming_samples + self._ending_samples()) / SAMPLE_RATE
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
        pcm = _to_pcm16(samples)
        now = time.monotonic()
        seconds = len(pcm) / SAMPLE_RATE
        self._ahead = max(0.0, self._ahead - _LEAK * (now - self._accepted_at)) + seconds
        self._accepted_at = now
        self._received += len(pcm)
        self._incoming_samples += len(pcm)
        self._stream.arrivals.note(self._received)
        self._incoming.extend(pcm[first : first + _PIECE] for first in range(0, len(pcm), _PIECE))
        self._listen()

    def flush(self) -> None:
        """End the utterance that is open with the sound accepted so far; a `Final` that says so follows in any case."""
        if not self._closed:
            self._incoming.append(_Flush())
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
            while self._settling is not None:
                await asyncio.wait({self._settling})
            if self._failure is not None and not self._confirmed:
                raise RecognitionFailed("the stream could not be recognised") from self._failure
            return replace(transcript(self._sentences, self.duration), text=self._confirmed)
        finally:
            self._close()

    def abort(self) -> None:
        """Drop everything; may be called at any time."""
        self._close()

    # -- listening ----------------------------------------------------------------------------------------------------

    @property
    def _live(self) -> bool:
        """Whether the sound comes as fast as someone speaks, and not faster."""
        return self._ahead <= _FAST

    def _ending_samples(self) -> int:
        return sum(one.ended.end - one.ended.start for one in self._ending if one.ended is not None)

    def _listen(self) -> None:
        if self._listening is None and self._incoming and not self._closed:
            self._listening = self._loop.create_task(self._hear())
            self._listening.add_done_callback(self._heard)

    async def _hear(self) -> None:
        while self._incoming and self._endpointer is not None:
            while self._ending_samples() > _RUN_AHEAD:
                self._progress.clear()
                await self._progress.wait()
                if self._closed:
                    return
            endpointer = self._endpointer
            if isinstance(self._incoming[0], _Flush):
                self._incoming.popleft()
                events = await self._loop.run_in_executor(self._listeners, endpointer.flush)
                if not self._closed:
                    self._handle(events)
                    self._flushed(any(isinstance(event, Ended) for event in events))
                continue
            pieces = self._pieces()
            events = await self._loop.run_in_executor(self._listeners, _feed, endpointer, pieces)
            if self._closed:
                return
            self._incoming_samples -= sum(map(len, pieces))
            self._handle(events)
            self._guess()
            if self._current is None:
                self._stream.arrivals.forget(endpointer.audio.end - SAMPLE_RATE)

    def _pieces(self) -> list[NDArray[np.int16]]:
        pieces: list[NDArray[np.int16]] = []
        length = 0
        while self._incoming and length < _PIECE:
            piece = self._incoming[0]
            if isinstance(piece, _Flush):
                break
            self._incoming.popleft()
            pieces.append(piece)
            length += len(piece)
        return pieces

    def _heard(self, task: asyncio.Task[None]) -> None:
        self._listening = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("listening to a stream failed", exc_info=error)
            self._failure = error
            self._incoming.clear()
            return
        self._listen()

    def _handle(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Started(start):
                    self._start(start)
                case Paused(end=end, samples=samples):
                    on_a_chance = self._live and not self._stream.engines.ear_is_final and not self._scheduler.busy
                    if self._current is not None and on_a_chance:
                        self._finalise(self._current, end, samples)
                case Ended():
                    self._end(event)

    def _start(self, start: int) -> None:
        if self._live:
            self._scheduler.expect_live()
        self._current = _Utterance(start, self._guess_from(start))
        if not self._speaking:
            self._speaking = True
            self._tell(SpeechStarted(start / SAMPLE_RATE))

    def _guess_from(self, start: int) -> Partials:
        ear = self._stream.engines.ear
        if ear is not None:
            return Listening(self._stream, ear, start, self._changed)
        return Redecoding(self._stream, self._config.redecoding, start, self._before(), self._changed)

    def _end(self, event: Ended) -> None:
        utterance = self._current
        if utterance is None:
            return
        self._current = None
        utterance.ended = event
        if utterance.final is None or utterance.final_end < event.voice:
            self._finalise(utterance, event.end, event.samples, heard=self._heard_by_ear(utterance, event))
        if utterance.partials is not None:
            utterance.partials.close()
        if not event.cut:
            self._speaking = False
            self._tell(SpeechStopped(event.end / SAMPLE_RATE))
        self._settle_later(utterance)

    def _heard_by_ear(self, utterance: _Utterance, event: Ended) -> asyncio.Future[Heard | None] | None:
        """The final text of an ear that heard just this utterance; of a cut one it has heard too much."""
        if utterance.partials is None or event.cut or not self._stream.engines.ear_is_final:
            return None
        return utterance.partials.finish(event.samples, live=self._live)

    def _flushed(self, ended: bool) -> None:
        """The caller ended an utterance: the latest one if that is open no more, else one of nothing."""
        if ended:
            self._ending[-1].flushed = True
        else:
            at = self._stream.audio.end
            self._settle_later(_Utterance(at, flushed=True))

    def _guess(self) -> None:
        utterance, endpointer = self._current, self._endpointer
        if utterance is None or endpointer is None or utterance.partials is None:
            return
        if not self._live and self._scheduler.busy:
            return
        if utterance.final is None or utterance.final.done():
            utterance.partials.look(endpointer.last_voice, live=self._live)

    # -- final text ---------------------------------------------------------------------------------------------------

    def _before(self) -> Before:
        return Before(self._confirmed[-_SAID:], self._languages)

    def _finalise(
        self, utterance: _Utterance, end: int, samples: Samples, heard: asyncio.Future[Heard | None] | None = None
    ) -> None:
        """Begin the full-quality decode of an utterance up to sample `end`, unless its text is `heard` already."""
        if utterance.final is not None:
            utterance.final.cancel()
        oldest = utterance.start
        if utterance.partials is not None:
            utterance.partials.drop()
            oldest = utterance.partials.heard
        utterance.final_end, utterance.by_ear = end, heard is not None
        before, stream = self._before(), self._stream
        engine = stream.engines.final

        def begin() -> Work:
            need = Need.QUICK if self._scheduler.busy else Need.BEST
            return engine.begin(
                Request(samples, need, stream.language, hot_words=self._options.hot_words, before=before)
            )

        utterance.final = heard or stream.submit(
            engine,
            begin,
            since=stream.arrivals.of(min(oldest, end - 1)),
            within=_FINAL_WITHIN,
            kind="final",
            waits=True,
            live=self._live,
        )
        utterance.final.add_done_callback(lambda future: self._decoded(utterance, future, end))

    def _decoded(self, utterance: _Utterance, future: asyncio.Future[Heard | None], end: int) -> None:
        """A full decode is done: until it is final, its text is the guess."""
        if future is not utterance.final or future.cancelled() or self._closed or future.exception() is not None:
            return
        heard = future.result()
        if heard is not None and utterance.partials is not None:
            utterance.partials.settle(heard, end)
            self._changed()

    def _settle_later(self, utterance: _Utterance) -> None:
        self._ending.append(utterance)
        self._settle_soon()

    def _settle_soon(self) -> None:
        if self._settling is None and self._ending and not self._closed:
            self._settling = self._loop.create_task(self._settle())
            self._settling.add_done_callback(self._settled)

    async def _settle(self) -> None:
        """Confirm ended utterances in order."""
        while self._ending:
            utterance = self._ending[0]
            final = await self._final(utterance)
            if self._closed:
                return
            self._ending.popleft()
            if utterance.ended is not None:
                self._confirmed_samples = utterance.ended.end
            self._finals += 1
            self._note_checkpoint(utterance)
            self._progress.set()
            self._tell(final)
            self._changed()

    def _note_checkpoint(self, utterance: _Utterance) -> None:
        if utterance.ended is not None and utterance.ended.behind is not None:
            self._checkpoint = Checkpoint(
                utterance.ended.behind, self._confirmed, self._confirmed_samples, self._languages, self._finals
            )

    async def _final(self, utterance: _Utterance) -> Final:
        at = utterance.start / SAMPLE_RATE
        if utterance.final is None or utterance.ended is None:
            return Final(self._finals, "", at, at, flushed=True)
        ended = utterance.ended
        final = Final(self._finals, "", at, ended.end / SAMPLE_RATE, cut=ended.cut, flushed=utterance.flushed)
        try:
            heard = await self._text_of(utterance, ended)
        except RecognitionFailed as error:
            log.warning(
                "an utterance of a stream could not be recognised, the stream goes on: %s to %s s of flow %s",
                *(f"{final.start:.1f}", f"{final.end:.1f}", self._stream.account.flow),
            )
            self._failure = error
            self.failures += 1
            self._observer.lost()
            return replace(final, failed=True)
        if self._closed or heard is None or not heard.text:
            return final
        return await self._confirm(final, utterance, ended, heard)

    async def _text_of(self, utterance: _Utterance, ended: Ended) -> Heard | None:
        """What was heard in an utterance; if an ear was lost over it, what a decode of the whole gives."""
        assert utterance.final is not None
        if not utterance.by_ear:
            return await utterance.final
        try:
            return await utterance.final
        except RecognitionFailed:
            self._finalise(utterance, ended.end, ended.samples)
            return await utterance.final

    async def _confirm(self, final: Final, utterance: _Utterance, ended: Ended, heard: Heard) -> Final:
        write = partial(
            self._writing.sentences,
            self._writing.words(heard, final.start),
            heard.language,
            self._options,
            speech=[(span.start / SAMPLE_RATE, span.end / SAMPLE_RATE) for span in ended.voiced],
            duration=self.duration,
            final=not ended.cut,
            punctuated=heard.punctuated,
        )
        sentences = await self._loop.run_in_executor(self._writers, write)
        text = ""
        for sentence in sentences:
            text = join_texts(text, sentence.text)
        self._confirmed = join_texts(self._confirmed, text)
        if not self._options.timestamps:
            sentences = [replace(sentence, words=()) for sentence in sentences]
        self._sentences += sentences
        self._languages = (*self._languages, heard.language)[-_LANGUAGES:]
        self._observer.shown("final", time.monotonic() - self._stream.arrivals.of(ended.end - 1))
        self._stream.arrivals.forget(utterance.start)
        return replace(final, text=text, sentences=tuple(sentences), language=heard.language)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._settling = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a final text failed", exc_info=error)
            self._failure = error
            self.failures += 1
            self._ending.clear()
            self._progress.set()
        self._settle_soon()  # an utterance may have ended since the task did

    # -- telling ------------------------------------------------------------------------------------------------------

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
        for utterance in (*self._ending, *((self._current,) if self._current else ())):
            if utterance.partials is not None:
                utterance.partials.close()
            if utterance.final is not None:
                utterance.final.cancel()
        self._ending.clear()
        self._current = None
        self._incoming.clear()
        self._endpointer = None
        self._progress.set()


def _feed(endpointer: Endpointer, pieces: Sequence[NDArray[np.int16]]) -> list[Event]:
    return [event for piece in pieces for event in endpointer.feed(pcm16_to_samples(piece.data.cast("B")))]


def _to_pcm16(samples: Samples | NDArray[np.int16]) -> NDArray[np.int16]:
    if samples.dtype == np.int16:
        return samples.astype(np.int16, copy=False)
    pcm: NDArray[np.int16] = np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype(np.int16)
    return pcm
