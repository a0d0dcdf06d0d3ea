"""An engine that answers at once, or when it is told to; it stands for a real one where order is what matters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lingting.domain import SAMPLE_RATE, Language, Samples
from lingting.recognition.engine import CharacterTimes, Heard, Outcome, Request, Work

Answer = Callable[[Request], Heard]


def says(text: str, *, average: float = -0.2, language: Language = "zh") -> Heard:
    """An answer without times."""
    return Heard(text, language, average=average)


@dataclass(frozen=True)
class _First:
    """What is done singly."""

    request: Request
    most: int = 1
    group: str = "first"


@dataclass(frozen=True)
class _Second:
    """What is done in batches, of requests of the same need."""

    request: Request
    most: int = 6

    @property
    def group(self) -> tuple[str, str]:
        return "second", self.request.need.value


class FakeEngine:
    """Writes the loudness of the audio as its text unless given an `answer`; remembers what it was asked.

    Attributes:
        begun: loudness of every request whose first step began, in order.
        requests: the requests, in the same order.
        batches: loudnesses of every batch of second steps, in order.
        gate: while it is clear, first steps block; `entered` is released by every one that begins.
    """

    name = "fake"
    longest = 28.0

    def __init__(self, answer: Answer | None = None) -> None:
        self._answer = answer or (lambda request: says(str(loudness(request))))
        self.begun: list[int] = []
        self.requests: list[Request] = []
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def begin(self, request: Request) -> Work:
        return _First(request)

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        if isinstance(works[0], _First):
            (work,) = works
            assert isinstance(work, _First)
            self.begun.append(loudness(work.request))
            self.requests.append(work.request)
            self.entered.release()
            assert self.gate.wait(30)
            return [Outcome(more=_Second(work.request))]
        requests = [work.request for work in works if isinstance(work, _Second)]
        self.batches.append([loudness(request) for request in requests])
        assert len({request.need for request in requests}) == 1
        return [Outcome(heard=_timed(self._answer(request), request)) for request in requests]


def _timed(heard: Heard, request: Request) -> Heard:
    if not request.times or heard.times is not None:
        return heard
    edges = np.linspace(0, len(request.samples) / SAMPLE_RATE, len(heard.text) + 1, dtype=np.float32)
    times = CharacterTimes(edges[:-1], edges[1:], np.ones(len(heard.text), np.float32))
    return Heard(heard.text, heard.language, times, heard.borders, heard.average)


def loudness(request: Request) -> int:
    """The level that `tone` was given."""
    return round(float(request.samples.max(initial=0.0)) * 1000)


def tone(level: int, seconds: float = 1.0) -> Samples:
    """Samples by whose level a test knows them again."""
    return np.full(int(seconds * SAMPLE_RATE), level / 1000, np.float32)
