"""An engine that answers at once, or when it is told to; it stands for the real one where order is what matters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from lingting.domain import SAMPLE_RATE, Language, Samples
from lingting.recognition.engine import CharacterTimes, Decoded, DecodeRequest, Encoded, EngineHypothesis

Answer = Callable[[DecodeRequest], Decoded]


def says(text: str, *, average: float = -0.2, no_speech: float = 0.0, language: Language = "zh") -> Decoded:
    """An answer of one hypothesis."""
    hypothesis = EngineHypothesis(text, tuple(range(len(text))), average * len(text), average)
    return Decoded(language, (hypothesis,), no_speech)


class FakeEngine:
    """Writes the loudness of the audio as its text unless given an `answer`; remembers what it was asked.

    Attributes:
        encoded: (loudness, window) of every encoding, in the order they began.
        batches: loudnesses of every decoded batch, in order.
        gate: while it is clear, encoding blocks; `entered` is released by every encoding that begins.
    """

    name = "fake"
    windows = (20, 25, 30)
    fast_windows = (12, *windows)
    guess_windows = (6, *fast_windows)

    def __init__(self, answer: Answer | None = None) -> None:
        self._answer = answer or (lambda request: says(str(loudness(request))))
        self.encoded: list[tuple[int, int]] = []
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def encode(self, samples: Samples, window: int) -> Encoded:
        level = round(float(samples.max(initial=0.0)) * 1000)
        self.encoded.append((level, window))
        self.entered.release()
        assert self.gate.wait(30)
        return Encoded(window, len(samples) / SAMPLE_RATE, np.full((1, 1), level, np.float32))

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Decoded]:
        self.batches.append([loudness(request) for request in requests])
        assert len({request.encoded.window for request in requests}) == 1
        return [self._answer(request) for request in requests]

    def align(self, items: Sequence[tuple[Encoded, Language, EngineHypothesis]]) -> list[CharacterTimes]:
        found = []
        for encoded, _, hypothesis in items:
            edges = np.linspace(0, encoded.seconds, len(hypothesis.text) + 1, dtype=np.float32)
            found.append(CharacterTimes(edges[:-1], edges[1:], np.ones(len(hypothesis.text), np.float32)))
        return found


def loudness(request: DecodeRequest) -> int:
    """The level that `tone` was given."""
    return int(request.encoded.states[0, 0])


def tone(level: int, seconds: float = 1.0) -> Samples:
    """Samples by whose level a test knows them again."""
    return np.full(int(seconds * SAMPLE_RATE), level / 1000, np.float32)
