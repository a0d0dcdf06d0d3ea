"""An utterance that an engine hears in its process, as the server sees it."""

from __future__ import annotations

import threading

import numpy as np

from lingting.domain import SAMPLE_RATE, Language, Samples
from lingting.engines.process import wire
from lingting.engines.process.child import Child
from lingting.recognition.engine import Outcome, Work


class Chunk:
    """The next sound of an ear."""

    __slots__ = ("ear",)
    group = "sound"
    most = 32

    def __init__(self, ear: RemoteEar) -> None:
        self.ear = ear


class RemoteEar:
    """An ear whose utterance is heard in the process; it keeps the sound until there is enough for a chunk.

    `feed`, `finish` and `close` may be called while a chunk is out.

    Args:
        number: its name in the process.
        engine: what the engine says of itself.
        language, hot_words: as of `StreamingEngine.listen`.
    """

    def __init__(self, number: int, engine: wire.Ready, language: Language | None, hot_words: tuple[str, ...]) -> None:
        self._number = number
        self._chunk = round(engine.chunk * SAMPLE_RATE)
        self._language = language
        self._hot_words = hot_words
        self._child: Child | None = None
        self._lock = threading.Lock()
        self._waiting: list[Samples] = []
        self._fed = 0
        self._needed = round(engine.delay * SAMPLE_RATE)
        self._more = False
        self._finished = False
        self._told = False
        self._out = False
        self._closed = False

    def feed(self, samples: Samples) -> Work | None:
        with self._lock:
            if self._finished:
                raise ValueError("the utterance is finished")
            self._waiting.append(samples)
            self._fed += len(samples)
            return self._next()

    def finish(self) -> Work | None:
        with self._lock:
            if not self._fed:
                self._finished = self._told = True
                return None
            self._finished = True
            return self._next()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._waiting = []
            if self._child is not None:
                self._child.forget(self._number)

    def __del__(self) -> None:
        if not self._closed and self._child is not None:
            self._child.forget(self._number)

    # -- for the engine's step ----------------------------------------------------------------------------------------

    def joins(self, child: Child) -> bool:
        """Whether the process is the one that heard this utterance from its beginning."""
        self._child = self._child or child
        return self._child is child

    def sound(self) -> wire.Sound:
        """What is to be heard next."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._told = self._finished
            samples = np.concatenate(waiting) if waiting else np.zeros(0, np.float32)
            return wire.Sound(self._number, wire.samples_out(samples), self._told, self._language, self._hot_words)

    def heard(self, result: wire.Result) -> Outcome:
        """What came of it."""
        with self._lock:
            self._out = False
            self._more = result.more is not None
            self._needed += self._chunk if result.stepped else SAMPLE_RATE // 100
            if result.error is not None:
                self._closed = True
            return wire.outcome_in(result, self._next())

    def _next(self) -> Chunk | None:
        due = self._more or self._fed >= self._needed or (self._finished and not self._told)
        if self._out or self._closed or not due or (self._told and not self._more):
            return None
        self._out = True
        return Chunk(self)
