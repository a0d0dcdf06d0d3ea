"""Partial text by listening: a streaming engine hears an utterance chunk by chunk, and its text only grows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lingting.domain import Samples
from lingting.errors import RecognitionFailed
from lingting.recognition.engine import Ear, Heard, StreamingEngine, Work
from lingting.recognition.partials import FIRST_WITHIN, LATER_WITHIN, Stream

log = logging.getLogger(__name__)

_EARS = 2
"""How many ears an utterance gets: when one is lost with its engine, the sound is heard again, once."""


class Listening:
    """Guesses at the utterance that begins at sample `start`, by an ear of its own. Only the event loop touches it.

    Attributes:
        guess: what is shown.
        heard: one past the last sample that `guess` is about.
    """

    def __init__(self, stream: Stream, engine: StreamingEngine, start: int, changed: Callable[[], None]) -> None:
        self.guess = ""
        self.heard = start
        self._stream = stream
        self._engine = engine
        self._start = self._fed = start
        self._changed = changed
        self._ears = 0
        self._ear: Ear | None = None
        self._asked: asyncio.Future[Heard | None] | None = None
        self._ending: asyncio.Future[Heard | None] | None = None
        self._closed = False
        self._listen()

    def look(self, last_voice: int, *, live: bool = True) -> None:
        """Let the ear hear what is new; if that completes a chunk, have it decoded.

        Voice activity may be ahead, in its thread: where it has found the end of the utterance already, what is new is
        not all there any more, or belongs to the next. The rest comes with the end (`finish`).
        """
        if self._ear is None or self._closed or self._ending is not None:
            return
        audio = self._stream.audio
        end = audio.end
        samples = audio.slice(self._fed, end)
        if audio.ended <= self._start:
            self._feed(samples, end, live=live)

    def settle(self, heard: Heard, end: int) -> None:
        """The text of a full decode is shown until the ear has heard more."""
        self.heard = max(self.heard, end)
        if heard.text:
            self._show(heard)

    def drop(self) -> None:
        """The ear listens on; a full decode does not make it deaf."""

    def finish(self, samples: Samples, *, live: bool = True) -> asyncio.Future[Heard | None] | None:
        """Have the ear hear the rest and write what it has not written yet; None where it was lost."""
        end = self._start + len(samples)
        if self._ear is not None and end > self._fed:  # more than the stream's buffer may hold by now
            self._feed(samples[self._fed - self._start :], end, live=live)
        work = self._ear.finish() if self._ear is not None else None
        if self._ear is None or (work is None and self._asked is None):
            return None
        self._ending = asyncio.get_running_loop().create_future()
        if work is not None:
            self._asked = self._submit(work, self._fed, live=live)
        return self._ending

    def close(self) -> None:
        """No more guesses; what is shown stays. The ear closes once what it was to finish is done."""
        self._closed = True
        if self._ending is None or self._ending.done():
            self._hang_up()

    def _feed(self, samples: Samples, end: int, *, live: bool) -> None:
        work = self._ear.feed(samples) if self._ear is not None and len(samples) else None
        self._fed = end
        if work is not None:
            self._asked = self._submit(work, end, live=live)

    def _listen(self) -> None:
        self._ears += 1
        self._fed = self._start
        self._ear = self._engine.listen(self._stream.language, self._stream.options.hot_words)

    def _hang_up(self) -> None:
        if self._asked is not None:
            self._asked.cancel()
            self._asked = None
        if self._ear is not None:
            self._ear.close()
            self._ear = None

    def _submit(self, work: Work, end: int, *, live: bool) -> asyncio.Future[Heard | None]:
        begun = False

        def begin() -> Work:
            nonlocal begun
            if begun:  # the engine was restarted, and the ear went with it
                raise RecognitionFailed("the ear was lost")
            begun = True
            return work

        future = self._stream.submit(
            self._engine,
            begin,
            since=self._stream.arrivals.of(self.heard),
            within=LATER_WITHIN if self.guess else FIRST_WITHIN,
            kind="chunk",
            live=live,
        )
        future.add_done_callback(lambda done: self._decoded(done, end))
        return future

    def _decoded(self, future: asyncio.Future[Heard | None], end: int) -> None:
        if future is not self._asked:
            return
        self._asked = None
        if future.cancelled():
            return
        if future.exception() is not None:
            self._lost()
            return
        heard = future.result()
        self.heard = max(self.heard, end)
        if heard is not None:
            self._show(heard)
        if self._ending is not None:
            if not self._ending.done():
                self._ending.set_result(heard)
            self._hang_up()
            return
        self._changed()

    def _lost(self) -> None:
        """The engine failed on this ear: the utterance is heard again by another, or decoded as a whole at its end."""
        self._hang_up()
        if self._ending is not None:
            if not self._ending.done():
                self._ending.set_exception(RecognitionFailed("the engine failed"))
            return
        if self._ears < _EARS and not self._closed:
            log.warning("an ear of %s was lost; the utterance is heard again", self._engine.name)
            self._listen()
            self._changed()

    def _show(self, heard: Heard) -> None:
        self.guess = self._stream.writing.guess(
            heard.text, heard.language, self._stream.options, punctuated=heard.punctuated
        )
