"""Live recognition: text that grows while someone speaks.

While an utterance goes on, it is decoded again as audio comes and the result is shown as a guess. When speech pauses,
its full-quality decode begins; when the pause lasts, that result is final. Text that is final never changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from lingting.audio.segments import quietest_cut
from lingting.audio.voice import VoiceDetector
from lingting.domain import (
    SAMPLE_RATE,
    Language,
    RecognitionOptions,
    Samples,
    Seconds,
    Sentence,
    Transcript,
)
from lingting.errors import RecognitionFailed
from lingting.recognition.batcher import Batcher, Job, Kind, Recognised
from lingting.recognition.endpoint import Ended, EndpointConfig, Endpointer, Event, Paused, Started
from lingting.recognition.steady import steady
from lingting.recognition.utterance import Writing, glue, transcript
from lingting.text import spacing
from lingting.text.words import has_han

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """Rules of live sessions.

    Attributes:
        endpoint: when an utterance ends.
        first: audio of an utterance, padding included, before the first guess at it.
        step: new audio before the next guess.
        growth: the same as a part of the utterance, whose decode costs more the longer it is.
        sure: from this much audio on the language of a guess is kept for the utterance.
        tail: behind a guess at more audio than this, the next begins later, so that none costs more than another.
        open: it begins at least this much before the end of the guess before it.
    """

    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    first: Seconds = 0.7
    step: Seconds = 0.4
    growth: float = 0.06
    sure: Seconds = 2.5
    tail: Seconds = 3.5
    open: Seconds = 1.2


@dataclass(eq=False, slots=True)
class _Utterance:
    """An utterance that is not final yet; only the event loop touches it.

    Attributes:
        anchor: the sample at which the audio of the next guess begins.
        settled: the text of guesses before that.
        guess: what is shown.
        previous: what the guess before would have shown.
        heard: one past the last sample that a guess or the final text has heard.
    """

    start: int
    anchor: int
    settled: str = ""
    guess: str = ""
    previous: str = ""
    heard: int = 0
    partial: asyncio.Future[Recognised | None] | None = None
    final: asyncio.Future[Recognised | None] | None = None
    final_end: int = -1
    language: Language | None = None
    ended: Ended | None = None


_WHOLE = 4
"""A longer guess is shown without its last Han character, whose sound may be cut in half, until speech pauses; unless
so much waits that the next guess will come late."""

_POOR = -1.3
"""A first guess of a lower mean log probability is not shown: measured at 0.7 s, seven characters in ten are wrong."""

_SHORT = 2 * SAMPLE_RATE
"""At more audio it is shown whatever it is."""

_OVERLAP = SAMPLE_RATE // 10
"""When speech goes on behind a pause, so much of the pause is heard again."""

_MEMORY = 0.7
_MEMORY_STEP = 0.8


class LiveSession:
    """The recognition of one stream. Use from one event loop; nothing here blocks it."""

    def __init__(
        self,
        batcher: Batcher,
        *,
        detector: VoiceDetector,
        writing: Writing,
        config: LiveConfig,
        pool: Executor,
        options: RecognitionOptions,
    ) -> None:
        self._batcher = batcher
        self._writing = writing
        self._config = config
        self._pool = pool
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._endpointer: Endpointer | None = Endpointer(detector, config.endpoint)
        self._incoming: list[Samples] = []
        self._listening: asyncio.Task[None] | None = None
        self._current: _Utterance | None = None
        self._ending: deque[_Utterance] = deque()
        self._settling: asyncio.Task[None] | None = None
        self._confirmed = ""
        self._confirmed_samples = 0
        self._sentences: list[Sentence] = []
        self._prior = 0.0
        self._failure: BaseException | None = None
        self._closed = False
        self._received = 0
        self.on_change: Callable[[], None] | None = None
        """Called on the event loop whenever the text may have changed."""
        batcher.live_opened()

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
    def guess(self) -> str:
        """Text behind the confirmed part that may still change."""
        guess = ""
        for utterance in (*self._ending, *((self._current,) if self._current else ())):
            guess = glue(guess, utterance.guess)
        return guess

    @property
    def text(self) -> str:
        """The whole text of the stream so far: the confirmed part, then the guess."""
        return glue(self._confirmed, self.guess)

    @property
    def duration(self) -> Seconds:
        """Seconds of audio accepted."""
        return self._received / SAMPLE_RATE

    def accept(self, samples: Samples) -> None:
        """Take more audio: shape (n,), float32 at 16 kHz. Never blocks."""
        if self._closed or not len(samples):
            return
        self._received += len(samples)
        self._incoming.append(samples)
        self._listen()

    async def finish(self) -> Transcript:
        """The transcript of everything that was accepted; the session ends with it.

        Raises:
            RecognitionFailed: the engine failed on a part of it.
        """
        try:
            while self._listening is not None:
                await asyncio.wait({self._listening})
            if self._endpointer is not None:
                endpointer = self._endpointer
                self._handle(await self._loop.run_in_executor(self._pool, endpointer.finish))
            while self._settling is not None:
                await asyncio.wait({self._settling})
            if self._failure is not None:
                raise RecognitionFailed("a part of the stream could not be recognised") from self._failure
            return replace(transcript(self._sentences, self.duration), text=self._confirmed)
        finally:
            self._close()

    def abort(self) -> None:
        """Drop everything; may be called at any time."""
        self._close()

    # -- listening ----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        if self._listening is None and self._incoming and not self._closed:
            self._listening = self._loop.create_task(self._hear())
            self._listening.add_done_callback(self._heard)

    async def _hear(self) -> None:
        while self._incoming and self._endpointer is not None:
            pieces, self._incoming = self._incoming, []
            events = await self._loop.run_in_executor(self._pool, _feed, self._endpointer, pieces)
            if self._closed:
                return
            self._handle(events)
            self._guess()

    def _heard(self, task: asyncio.Task[None]) -> None:
        self._listening = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("listening to a stream failed", exc_info=error)
            self._failure = error
            self._incoming = []
            return
        self._listen()

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Started(start):
                    self._current = _Utterance(start, start)
                case Paused(end=end, samples=samples):
                    if self._current is not None and not self._batcher.busy:
                        self._finalise(self._current, end, samples)
                case Ended():
                    self._end(event)

    def _end(self, event: Ended) -> None:
        utterance = self._current
        if utterance is None:
            return
        self._current = None
        utterance.ended = event
        if utterance.final is None or utterance.final_end < event.voice:
            self._finalise(utterance, event.end, event.samples)
        if utterance.partial is not None:
            utterance.partial.cancel()
        self._ending.append(utterance)
        if self._settling is None:
            self._settling = self._loop.create_task(self._settle())
            self._settling.add_done_callback(self._settled)

    # -- decoding -----------------------------------------------------------------------------------------------------

    def _finalise(self, utterance: _Utterance, end: int, samples: Samples) -> None:
        """Begin the full-quality decode of an utterance up to `end`."""
        if utterance.final is not None:
            utterance.final.cancel()
        if utterance.partial is not None:
            utterance.partial.cancel()
            utterance.partial = None
        unheard = end - max(utterance.heard, utterance.start)
        utterance.final_end = utterance.heard = end
        utterance.final = self._submit(
            Job(
                audio=lambda: samples,
                kind=Kind.FINAL,
                language=self._options.language or self._writing.language,
                prior=self._prior,
                context=self._writing.context(self._options),
                choose=self._writing.chooser(self._options, self._confirmed[-40:]),
                waited=max(0, unheard) / SAMPLE_RATE,
            )
        )
        utterance.final.add_done_callback(lambda future: self._show(utterance, future))

    def _guess(self) -> None:
        """Ask for a guess at the current utterance, if there is enough that is new."""
        utterance, endpointer = self._current, self._endpointer
        if utterance is None or endpointer is None or utterance.partial is not None:
            return
        if utterance.final is not None and not utterance.final.done():
            return
        if utterance.heard >= endpointer.last_voice:
            return
        new = endpointer.audio.end - max(utterance.heard, utterance.start)
        length = endpointer.audio.end - utterance.start
        step = max(self._config.step * SAMPLE_RATE, self._config.growth * length)
        if new < (step if utterance.heard else self._config.first * SAMPLE_RATE):
            return

        def newest() -> Samples | None:
            if utterance.ended is not None or self._closed:
                return None
            utterance.heard = endpointer.audio.end
            return endpointer.audio.slice(utterance.anchor, utterance.heard)

        utterance.partial = self._submit(
            Job(
                audio=newest,
                kind=Kind.PARTIAL if utterance.guess else Kind.FIRST,
                language=self._options.language or self._writing.language or utterance.language,
                prior=self._prior,
                beam=1,
                align=endpointer.audio.end - utterance.anchor > self._config.tail * SAMPLE_RATE,
                waited=new / SAMPLE_RATE,
            )
        )
        utterance.partial.add_done_callback(lambda future: self._guessed(utterance, future))

    def _submit(self, job: Job) -> asyncio.Future[Recognised | None]:
        return asyncio.wrap_future(self._batcher.submit(job))

    def _guessed(self, utterance: _Utterance, future: asyncio.Future[Recognised | None]) -> None:
        if utterance.partial is future:
            utterance.partial = None
        self._show(utterance, future)
        if utterance is self._current and not self._closed:
            self._guess()

    def _show(self, utterance: _Utterance, future: asyncio.Future[Recognised | None]) -> None:
        if future.cancelled() or self._closed or future.exception() is not None:
            return
        recognised = future.result()
        if recognised is None:
            return
        heard = utterance.heard - utterance.start
        if not utterance.guess and future is not utterance.final and recognised.average < _POOR and heard < _SHORT:
            return
        if heard >= self._config.sure * SAMPLE_RATE:
            utterance.language = recognised.language
        if future is utterance.final:
            utterance.guess = self._writing.guess(recognised.text, recognised.language, self._options)
            utterance.previous, utterance.settled = utterance.guess, recognised.text
            utterance.anchor = max(utterance.anchor, utterance.final_end - _OVERLAP)
        else:
            text = glue(utterance.settled, recognised.text)
            newest = self._writing.guess(text, recognised.language, self._options)
            if len(newest) > _WHOLE and has_han(newest[-1]) and not self._batcher.busy:
                newest = newest[:-1]
            utterance.guess = steady(utterance.guess, utterance.previous, newest)
            utterance.previous = newest
            if recognised.times is not None:
                self._begin_later(utterance, recognised)
        self._changed()

    def _begin_later(self, utterance: _Utterance, recognised: Recognised) -> None:
        """Have the next guess begin in the quietest place of this one; the text before stays as it is until the final
        text."""
        if self._endpointer is None:
            return
        samples = self._endpointer.audio.slice(utterance.anchor, utterance.heard)
        low, high = len(samples) // 3, len(samples) - round(self._config.open * SAMPLE_RATE)
        if high <= low:
            return
        cut = quietest_cut(samples, np.zeros(0, np.float32), low, high)
        words = self._writing.words(recognised, 0.0)
        before = [word.text for word in words if (word.start + word.end) / 2 < cut / SAMPLE_RATE]
        utterance.settled = glue(utterance.settled, spacing.join(before))
        utterance.anchor += cut

    async def _settle(self) -> None:
        """Confirm ended utterances in order."""
        while self._ending:
            utterance = self._ending[0]
            assert utterance.final is not None and utterance.ended is not None
            try:
                recognised = await utterance.final
            except RecognitionFailed as error:
                self._failure = error
                recognised = None
            if self._closed:
                return
            if recognised is not None:
                await self._confirm(utterance, utterance.ended, recognised)
            self._confirmed_samples = utterance.ended.end
            self._ending.popleft()
            self._changed()

    async def _confirm(self, utterance: _Utterance, ended: Ended, recognised: Recognised) -> None:
        offset = utterance.start / SAMPLE_RATE
        speech = [(span.start / SAMPLE_RATE, span.end / SAMPLE_RATE) for span in ended.voiced]
        words = self._writing.words(recognised, offset)
        write = partial(
            self._writing.sentences,
            words,
            recognised.language,
            self._options,
            speech=speech,
            duration=self.duration,
            final=not ended.cut,
        )
        sentences = await self._loop.run_in_executor(self._pool, write)
        for sentence in sentences:
            self._confirmed = glue(self._confirmed, sentence.text)
        if not self._options.timestamps:
            sentences = [replace(sentence, words=()) for sentence in sentences]
        self._sentences += sentences
        step = _MEMORY_STEP if recognised.language == "zh" else -_MEMORY_STEP
        self._prior = self._prior * _MEMORY + step

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._settling = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a final text failed", exc_info=error)
            self._failure = error
            self._ending.clear()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for utterance in (*self._ending, *((self._current,) if self._current else ())):
            for future in (utterance.partial, utterance.final):
                if future is not None:
                    future.cancel()
        self._ending.clear()
        self._current = None
        self._incoming = []
        self._endpointer = None
        self._batcher.live_closed()


def _feed(endpointer: Endpointer, pieces: Sequence[Samples]) -> list[Event]:
    return [event for piece in pieces for event in endpointer.feed(piece)]
