"""Partial text of one utterance that still goes on: a guess that is shown, and may change.

There are two sources of it: an engine that hears the utterance as a whole, again and again (`redecoding.py`), and one
that listens while someone speaks (`listening.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lingting.domain import Account, Language, RecognitionOptions, Samples, Seconds
from lingting.recognition.arrivals import Arrivals
from lingting.recognition.buffer import AudioBuffer
from lingting.recognition.engine import Engine, Heard, OfflineEngine, StreamingEngine, Work
from lingting.recognition.scheduler import Scheduler, Task
from lingting.recognition.utterance import Writing

FIRST_WITHIN: Seconds = 1.2
LATER_WITHIN: Seconds = 1.8
"""Seconds after which a guess at an utterance is late: the first one, and those behind it."""


@dataclass(frozen=True, slots=True)
class LiveEngines:
    """Who makes the text of live sessions.

    Attributes:
        final: makes final text of whole utterances, and of recordings.
        partial: makes guesses, by hearing what there is of an utterance as a whole.
        ear: makes guesses instead, by listening; None where no model that can is named.
        ear_is_final: what the ear has heard at the end of an utterance is its final text.
    """

    final: OfflineEngine
    partial: OfflineEngine
    ear: StreamingEngine | None = None
    ear_is_final: bool = False

    @classmethod
    def of(cls, engine: OfflineEngine) -> LiveEngines:
        """One engine for everything."""
        return cls(engine, engine)


@dataclass(frozen=True, slots=True)
class Stream:
    """What the utterances of one live session share.

    Attributes:
        engines: whose text it is.
        audio: its sound, written by whoever listens.
        arrivals: when that came.
    """

    scheduler: Scheduler
    engines: LiveEngines
    writing: Writing
    options: RecognitionOptions
    account: Account
    audio: AudioBuffer
    arrivals: Arrivals

    @property
    def language(self) -> Language | None:
        """The language that is asked for, if any."""
        return self.options.language or self.writing.language

    def submit(
        self,
        engine: Engine,
        begin: Callable[[], Work | None],
        *,
        since: float,
        within: Seconds,
        kind: str,
        live: bool = True,
        gives_way: bool = False,
        waits: bool = False,
    ) -> asyncio.Future[Heard | None]:
        """Have the engine do something for this stream; see `Task`."""
        task = Task(
            engine,
            begin,
            self.account,
            since=since,
            within=within,
            kind=kind,
            live=live,
            gives_way=gives_way,
            waits=waits,
        )
        return asyncio.wrap_future(self.scheduler.submit(task))


class Partials(Protocol):
    """Guesses at one utterance. Only the event loop touches them."""

    @property
    def guess(self) -> str:
        """What is shown."""

    @property
    def heard(self) -> int:
        """One past the last sample that `guess` is about."""

    def look(self, last_voice: int, *, live: bool = True) -> None:
        """There is more sound, with speech up to sample `last_voice`; `live` says that it is heard as it is spoken."""

    def settle(self, heard: Heard, end: int) -> None:
        """A full decode of the utterance up to sample `end` stands for every guess before, unless it has no text."""

    def drop(self) -> None:
        """Forget the guess that was asked for: a full decode is on its way."""

    def finish(self, samples: Samples, *, live: bool = True) -> asyncio.Future[Heard | None] | None:
        """The utterance has ended and is `samples`: its final text, if most of it was heard already; None where it has
        to be decoded as a whole."""

    def close(self) -> None:
        """No more guesses; what is shown stays."""
