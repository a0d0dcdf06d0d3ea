"""Partial text by re-decoding: guesses at an utterance that still goes on, by an engine that hears it as a whole.

The utterance so far is decoded again as sound comes. Behind a guess at much sound the next begins later, in the
quietest place of that one, so that no guess costs more than another, however long someone speaks without a pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lingting.audio.segments import quietest_cut
from lingting.domain import SAMPLE_RATE, Language, Samples, Seconds
from lingting.recognition.engine import Before, Heard, Need, Request, Work
from lingting.recognition.partials import FIRST_WITHIN, LATER_WITHIN, Stream
from lingting.recognition.stabiliser import stabilise
from lingting.recognition.utterance import join_texts
from lingting.text import spacing
from lingting.text.words import has_han

_WHOLE = 4
"""A longer guess is shown without its last Han character, whose sound may be cut in half, until speech pauses; unless
so much waits that the next guess will come late."""

_POOR = -1.3
"""A first guess of a lower mean log probability is not shown: measured at 0.7 s, seven characters in ten are wrong."""

_SHORT = 2 * SAMPLE_RATE
"""At more audio it is shown whatever it is."""

_OVERLAP = SAMPLE_RATE // 10
"""When speech goes on behind a pause, so much of the pause is heard again."""


@dataclass(frozen=True, slots=True)
class RedecodingConfig:
    """When the next guess is due.

    Attributes:
        first: audio of an utterance, padding included, before the first guess at it.
        step: new audio before the next guess.
        growth: the same as a part of the utterance, whose decode costs more the longer it is.
        sure: from this much audio on the language of a guess is kept for the utterance.
        tail: behind a guess at more audio than this, the next begins later.
        open: it begins at least this much before the end of the guess before it.
    """

    first: Seconds = 0.7
    step: Seconds = 0.4
    growth: float = 0.06
    sure: Seconds = 2.5
    tail: Seconds = 3.5
    open: Seconds = 1.2


class Redecoding:
    """Guesses at the utterance that begins at sample `start`. Only the event loop touches it.

    Attributes:
        guess: what is shown.
        heard: one past the last sample that `guess` is about.
    """

    def __init__(
        self, stream: Stream, config: RedecodingConfig, start: int, before: Before, changed: Callable[[], None]
    ) -> None:
        self.guess = ""
        self.heard = start
        self._stream = stream
        self._config = config
        self._start = self._anchor = start
        self._before = before
        self._changed = changed
        self._settled = ""
        self._previous = ""
        self._language: Language | None = None
        self._asked: asyncio.Future[Heard | None] | None = None
        self._closed = False

    def look(self, last_voice: int, *, live: bool = True) -> None:
        """Ask for a guess if enough of the sound is new."""
        if self._asked is not None or self._closed or self.heard >= last_voice:
            return
        stream, config = self._stream, self._config
        engine = stream.engines.partial
        now = stream.audio.end
        step = max(config.step * SAMPLE_RATE, config.growth * (now - self._start))
        if now - self.heard < (step if self.heard > self._start else config.first * SAMPLE_RATE):
            return
        anchor = self._anchor
        times = now - anchor > config.tail * SAMPLE_RATE
        taken = [now]

        def begin() -> Work | None:  # on a lane, when the turn comes: the newest sound is what is heard
            if self._closed:
                return None
            taken[0] = stream.audio.end
            samples = stream.audio.slice(anchor, taken[0])
            language = stream.language or self._language
            return engine.begin(Request(samples, Need.GUESS, language, before=self._before, times=times))

        asked = stream.submit(
            engine,
            begin,
            since=stream.arrivals.of(self.heard),
            within=LATER_WITHIN if self.guess else FIRST_WITHIN,
            kind="guess",
            live=live,
            gives_way=True,
        )
        self._asked = asked
        asked.add_done_callback(lambda future: self._guessed(future, taken[0], last_voice))

    def settle(self, heard: Heard, end: int) -> None:
        """See `Partials`."""
        self.drop()
        self.heard = max(self.heard, end)
        if not heard.text:
            return
        self._note_language(heard)
        self.guess = self._previous = self._stream.writing.guess(heard.text, heard.language, self._stream.options)
        self._settled = heard.text
        self._anchor = max(self._anchor, end - _OVERLAP)

    def finish(self, samples: Samples, *, live: bool = True) -> None:
        """A guess is no final text: the utterance has to be decoded as a whole."""

    def close(self) -> None:
        """No more guesses; what is shown stays."""
        self._closed = True
        self.drop()

    def drop(self) -> None:
        """Forget the guess that was asked for."""
        if self._asked is not None:
            self._asked.cancel()
            self._asked = None

    def _guessed(self, future: asyncio.Future[Heard | None], end: int, last_voice: int) -> None:
        if future is not self._asked:
            return
        self._asked = None
        if future.cancelled() or self._closed:
            return
        self.heard = max(self.heard, end)
        heard = None if future.exception() is not None else future.result()
        if heard is not None and heard.text:
            self._show(heard)
        self._changed()

    def _show(self, heard: Heard) -> None:
        length = self.heard - self._start
        if not self.guess and heard.average is not None and heard.average < _POOR and length < _SHORT:
            return
        self._note_language(heard)
        stream = self._stream
        newest = stream.writing.guess(join_texts(self._settled, heard.text), heard.language, stream.options)
        if len(newest) > _WHOLE and has_han(newest[-1]) and not stream.scheduler.busy:
            newest = newest[:-1]
        self.guess = stabilise(self.guess, self._previous, newest)
        self._previous = newest
        if heard.times is not None:
            self._begin_later(heard)

    def _note_language(self, heard: Heard) -> None:
        if self.heard - self._start >= self._config.sure * SAMPLE_RATE:
            self._language = heard.language

    def _begin_later(self, heard: Heard) -> None:
        """Have the next guess begin in the quietest place of this one; the text before stays until the final text."""
        samples = self._stream.audio.slice(self._anchor, self.heard)
        low, high = len(samples) // 3, len(samples) - round(self._config.open * SAMPLE_RATE)
        if high <= low:
            return
        cut = quietest_cut(samples, np.zeros(0, np.float32), low, high)
        words = self._stream.writing.words(heard, 0.0)
        before = [word.text for word in words if (word.start + word.end) / 2 < cut / SAMPLE_RATE]
        self._settled = join_texts(self._settled, spacing.join(before))
        self._anchor += cut
