"""An engine that answers at once, or when it is told to; it stands for a real one where order is what matters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lingting.domain import SAMPLE_RATE, Language, Samples
from lingting.errors import EngineRestarted
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


class FakeEar:
    """Writes one character for each chunk of sound; the last chunk is what `finish` makes of the rest."""

    def __init__(self, engine: FakeStreaming) -> None:
        self._engine = engine
        self._samples = 0
        self._chunks = 0
        self._out = False
        self._finished = False
        self.closed = False

    def feed(self, samples: Samples) -> Work | None:
        self._samples += len(samples)
        return self._next()

    def finish(self) -> Work | None:
        self._finished = True
        return self._next()

    def close(self) -> None:
        self.closed = True

    def _next(self) -> Work | None:
        ready = self._samples // CHUNK > self._chunks or self._finished
        if self._out or not ready:
            return None
        self._out = True
        return _Chunk(self)

    def step(self) -> Outcome:
        self._out = False
        if self._samples // CHUNK > self._chunks:
            self._chunks += 1
        else:
            self._chunks, self._finished = -(-self._samples // CHUNK), False
        text = ("天地玄黄宇宙洪荒日月盈昃辰宿列张" * 20)[: self._chunks]
        return Outcome(heard=says(text), more=self._next())


@dataclass(frozen=True, eq=False)
class _Chunk:
    ear: FakeEar
    most: int = 32
    group: str = "chunk"


CHUNK = SAMPLE_RATE // 2


class FakeStreaming:
    """A streaming engine; it loses the works of its first `failures` steps.

    Attributes:
        ears: every ear that it opened.
        together: how many chunks each step took.
        before_step: is called in the thread of each step.
    """

    name = "fake-streaming"
    delay = 0.5

    def __init__(self, failures: int = 0) -> None:
        self.ears: list[FakeEar] = []
        self.together: list[int] = []
        self.before_step: Callable[[], object] = lambda: None
        self._failures = failures

    def listen(self, language: Language | None, hot_words: tuple[str, ...]) -> FakeEar:
        self.ears.append(FakeEar(self))
        return self.ears[-1]

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        self.before_step()
        if self._failures:
            self._failures -= 1
            raise EngineRestarted("gone", guilty=False)
        self.together.append(len(works))
        return [work.ear.step() for work in works if isinstance(work, _Chunk)]
