"""Final text of a live session: ended utterances are decoded in full, confirmed in order, and never change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

from lingting.domain import SAMPLE_RATE, Language, Samples, Seconds, Sentence
from lingting.errors import RecognitionFailed
from lingting.recognition.endpoint import Ended, Endpointer, EndpointerState
from lingting.recognition.engine import Before, Heard, Need, Request, Work
from lingting.recognition.events import Final
from lingting.recognition.observer import Observer
from lingting.recognition.partials import Partials, Stream
from lingting.recognition.utterance import join_texts

log = logging.getLogger(__name__)

_WITHIN: Seconds = 0.5
_SAID = 40
"""Characters of the text before that the second pass gets to see."""
_LANGUAGES = 12
"""Languages of the latest finals that the next is told; what was before hardly counts any more."""
_SILENT = 10 * SAMPLE_RATE
"""While nobody speaks a session can be gone on with behind every so many samples."""
_RUN_AHEAD = 60 * SAMPLE_RATE
"""Voice activity goes on while less than this waits for its final text."""


@dataclass(eq=False, slots=True)
class Utterance:
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

    def close(self) -> None:
        """Drop what it waits for."""
        if self.partials is not None:
            self.partials.close()
        if self.final is not None:
            self.final.cancel()


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


class Finals:
    """The final text of one session. Only the event loop touches it.

    Args:
        stream: whose text it is.
        writers: threads for text rules.
        observer: is told how late text comes.
        tell: is called with every final, in order, once it is in `confirmed`.
        changed: is called when a guess became better by a full decode.

    Attributes:
        confirmed: text that never changes any more.
        confirmed_samples: samples from the beginning of the stream that it covers.
        sentences: of that text.
        ending: utterances that have ended and are not final yet, the oldest first.
        checkpoint: where another session can go on; a new object whenever an utterance has become final, and from time
            to time while nobody speaks.
        failures: utterances whose text is missing because the engine failed on them.
        failure: the latest reason.
    """

    def __init__(
        self,
        stream: Stream,
        writers: Executor,
        observer: Observer,
        *,
        tell: Callable[[Final], None],
        changed: Callable[[], None],
    ) -> None:
        self.confirmed = ""
        self.confirmed_samples = 0
        self.sentences: list[Sentence] = []
        self.ending: deque[Utterance] = deque()
        self.checkpoint: Checkpoint | None = None
        self.failures = 0
        self.failure: BaseException | None = None
        self._stream = stream
        self._writers = writers
        self._observer = observer
        self._tell = tell
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._languages: tuple[Language, ...] = ()
        self._number = 0
        self._settling: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Samples of utterances that have ended and are not final yet."""
        return sum(one.ended.end - one.ended.start for one in self.ending if one.ended is not None)

    def before(self) -> Before:
        """What was said so far, for the next utterance."""
        return Before(self.confirmed[-_SAID:], self._languages)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on where another session was."""
        self.confirmed, self.confirmed_samples = checkpoint.confirmed, checkpoint.confirmed_samples
        self._languages, self._number = checkpoint.languages, checkpoint.finals
        self.checkpoint = checkpoint

    def add(self, utterance: Utterance) -> None:
        """An utterance has ended; it becomes final behind those before it."""
        self.ending.append(utterance)
        self._settle_soon()

    def nobody_speaks(self, endpointer: Endpointer) -> None:
        """No utterance is open, and nothing feeds the endpointer now: silence need not be kept to be heard again."""
        before = 0 if self.checkpoint is None else self.checkpoint.samples
        if not self.ending and endpointer.audio.end - before >= _SILENT:
            self._note_checkpoint(endpointer.state())

    async def room(self) -> None:
        """Wait while too much sound waits for its final text, or until it is closed."""
        while self.waiting > _RUN_AHEAD and not self._closed:
            self._progress.clear()
            await self._progress.wait()

    async def done(self) -> None:
        """Wait until every utterance that was added is final."""
        while self._settling is not None:
            await asyncio.wait({self._settling})

    def close(self) -> None:
        """Drop what is not final."""
        self._closed = True
        for utterance in self.ending:
            utterance.close()
        self.ending.clear()
        self._progress.set()

    def begin(
        self,
        utterance: Utterance,
        end: int,
        samples: Samples,
        heard: asyncio.Future[Heard | None] | None = None,
        *,
        live: bool = True,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Begin the full-quality decode of an utterance up to sample `end`, unless its text is `heard` already.

        Args:
            wanted: is asked on a lane when its turn comes; if not, nothing is decoded and there is no text.
        """
        if utterance.final is not None:
            utterance.final.cancel()
        oldest = utterance.start
        if utterance.partials is not None:
            utterance.partials.drop()
            oldest = utterance.partials.heard
        utterance.final_end, utterance.by_ear = end, heard is not None
        before, stream = self.before(), self._stream
        engine = stream.engines.final

        def begin() -> Work | None:
            if not wanted():
                return None
            need = Need.QUICK if stream.scheduler.busy else Need.BEST
            return engine.begin(
                Request(samples, need, stream.language, hot_words=stream.options.hot_words, before=before)
            )

        utterance.final = heard or stream.submit(
            engine,
            begin,
            since=stream.arrivals.of(min(oldest, end - 1)),
            within=_WITHIN,
            kind="final",
            waits=True,
            live=live,
        )
        utterance.final.add_done_callback(lambda future: self._decoded(utterance, future, end))

    def _decoded(self, utterance: Utterance, future: asyncio.Future[Heard | None], end: int) -> None:
        """A full decode is done: until it is final, its text is the guess."""
        if future is not utterance.final or future.cancelled() or self._closed or future.exception() is not None:
            return
        heard = future.result()
        if heard is not None and utterance.partials is not None:
            utterance.partials.settle(heard, end)
        self._changed()

    def _settle_soon(self) -> None:
        if self._settling is None and self.ending and not self._closed:
            self._settling = self._loop.create_task(self._settle())
            self._settling.add_done_callback(self._settled)

    async def _settle(self) -> None:
        """Confirm ended utterances in order."""
        while self.ending:
            utterance = self.ending[0]
            final = await self._final(utterance)
            if self._closed:
                return
            self.ending.popleft()
            if utterance.ended is not None:
                self.confirmed_samples = utterance.ended.end
            self._number += 1
            if utterance.ended is not None and utterance.ended.behind is not None:
                self._note_checkpoint(utterance.ended.behind)
            self._progress.set()
            self._tell(final)

    def _note_checkpoint(self, state: EndpointerState) -> None:
        self.checkpoint = Checkpoint(state, self.confirmed, self.confirmed_samples, self._languages, self._number)

    async def _final(self, utterance: Utterance) -> Final:
        at = utterance.start / SAMPLE_RATE
        if utterance.final is None or utterance.ended is None:
            return Final(self._number, "", at, at, flushed=True)
        ended = utterance.ended
        final = Final(self._number, "", at, ended.end / SAMPLE_RATE, cut=ended.cut, flushed=utterance.flushed)
        try:
            heard = await self._text_of(utterance, ended)
        except RecognitionFailed as error:
            log.warning(
                "an utterance of a stream could not be recognised, the stream goes on: %s to %s s of flow %s",
                *(f"{final.start:.1f}", f"{final.end:.1f}", self._stream.account.flow),
            )
            self.failure = error
            self.failures += 1
            self._observer.lost()
            return replace(final, failed=True)
        if self._closed or heard is None or not heard.text:
            return final
        return await self._confirm(final, utterance, ended, heard)

    async def _text_of(self, utterance: Utterance, ended: Ended) -> Heard | None:
        """What was heard in an utterance; if an ear was lost over it, or its decode was not wanted when its turn came,
        what a decode of the whole gives."""
        assert utterance.final is not None
        if not utterance.by_ear:
            heard = await utterance.final
            if heard is None and not self._closed:  # it was not wanted when its turn came, and now it is
                self.begin(utterance, ended.end, ended.samples)
                heard = await utterance.final
            return heard
        try:
            return await utterance.final
        except RecognitionFailed:
            self.begin(utterance, ended.end, ended.samples)
            return await utterance.final

    async def _confirm(self, final: Final, utterance: Utterance, ended: Ended, heard: Heard) -> Final:
        stream = self._stream
        write = partial(
            stream.writing.sentences,
            stream.writing.words(heard, final.start),
            heard.language,
            stream.options,
            speech=[(span.start / SAMPLE_RATE, span.end / SAMPLE_RATE) for span in ended.voiced],
            duration=stream.audio.end / SAMPLE_RATE,
            final=not ended.cut,
            punctuated=heard.punctuated,
        )
        sentences = await self._loop.run_in_executor(self._writers, write)
        text = ""
        for sentence in sentences:
            text = join_texts(text, sentence.text)
        self.confirmed = join_texts(self.confirmed, text)
        if not stream.options.timestamps:
            sentences = [replace(sentence, words=()) for sentence in sentences]
        self.sentences += sentences
        self._languages = (*self._languages, heard.language)[-_LANGUAGES:]
        self._observer.shown("final", time.monotonic() - stream.arrivals.of(ended.end - 1))
        stream.arrivals.forget(utterance.start)
        return replace(final, text=text, sentences=tuple(sentences), language=heard.language)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._settling = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a final text failed", exc_info=error)
            self.failure = error
            self.failures += 1
            self.ending.clear()
            self._progress.set()
        self._settle_soon()  # an utterance may have ended since the task did
