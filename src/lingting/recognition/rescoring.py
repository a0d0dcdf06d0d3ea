"""The second pass over Chinese: an engine's hypotheses go to a corrector in simplified script."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from lingting.domain import Hypothesis, Language
from lingting.text.script import convert
from lingting.text.words import has_han

corrections = logging.getLogger("lingting.corrections")
"""What the second pass changed and why, at level debug. It holds text, so it stays off unless its own level is set."""
corrections.setLevel(logging.INFO)


class Correction(Protocol):
    """The outcome of a second pass: which hypothesis it starts from, and its text, as long as the hypothesis'."""

    @property
    def index(self) -> int: ...
    @property
    def text(self) -> str: ...
    def explain(self) -> str:
        """One line for each change; empty where nothing was changed."""
        ...


class Corrector(Protocol):
    """A second pass over an engine's hypotheses in simplified Chinese. Thread-safe."""

    def correct(
        self, hypotheses: Sequence[Hypothesis], *, context: str = "", hot_words: Sequence[str] = ()
    ) -> Correction: ...


class SecondPass:
    """A `Rescorer` that asks a corrector wherever there is Chinese, or hot words that might be."""

    def __init__(self, corrector: Corrector) -> None:
        self._corrector = corrector

    def rescore(
        self, hypotheses: Sequence[Hypothesis], language: Language, *, before: str, hot_words: Sequence[str]
    ) -> tuple[int, str]:
        simplified = [
            Hypothesis(convert(hypothesis.text, "simplified"), hypothesis.log_probability, hypothesis.confidence)
            for hypothesis in hypotheses
        ]
        if not has_han(simplified[0].text) and not hot_words:
            return 0, simplified[0].text
        correction = self._corrector.correct(simplified, context=before, hot_words=hot_words)
        if corrections.isEnabledFor(logging.DEBUG) and (changes := correction.explain()):
            corrections.debug("%s\n%s", correction.text, changes)
        return correction.index, correction.text
