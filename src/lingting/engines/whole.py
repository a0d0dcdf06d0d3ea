"""A streaming engine used for whole utterances, so that files work where only a streaming model is installed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import cast

from lingting.domain import Seconds
from lingting.recognition.engine import Ear, Heard, Outcome, Request, StreamingEngine, Work


@dataclass(frozen=True, slots=True)
class _Part:
    """The next work of an utterance, and what hears it."""

    ear: Ear
    inner: Work

    @property
    def group(self) -> Hashable:
        return self.inner.group

    @property
    def most(self) -> int:
        return self.inner.most


@dataclass(frozen=True, slots=True)
class _Nothing:
    """An utterance without sound."""

    heard: Heard
    group: Hashable = "nothing"
    most: int = 1


class Whole:
    """An `OfflineEngine` that gives all of an utterance to an ear and waits for its final text."""

    longest: Seconds = 28.0

    def __init__(self, engine: StreamingEngine) -> None:
        self._engine = engine

    @property
    def name(self) -> str:
        return self._engine.name

    def begin(self, request: Request) -> Work:
        ear = self._engine.listen(request.language, request.hot_words)
        fed = ear.feed(request.samples)
        work = ear.finish() or fed
        return _Nothing(Heard("", request.language or "zh")) if work is None else _Part(ear, work)

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        if isinstance(works[0], _Nothing):
            return [Outcome(heard=cast(_Nothing, work).heard) for work in works]
        parts = [cast(_Part, work) for work in works]
        outcomes = self._engine.step([part.inner for part in parts])
        return [_onward(part, outcome) for part, outcome in zip(parts, outcomes, strict=True)]


def _onward(part: _Part, outcome: Outcome) -> Outcome:
    if outcome.more is not None:
        return Outcome(more=_Part(part.ear, outcome.more))
    part.ear.close()
    return outcome
