"""The second pass: from an engine's guesses to the characters that were most likely meant by the sounds it heard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lingting.errors import ModelError
from lingting.phonetics import search
from lingting.phonetics.hot_words import HotWords
from lingting.phonetics.lattice import Builder, Hot, Sounds
from lingting.phonetics.lexicon import Lexicon
from lingting.phonetics.models import DEBIAN_FOLDER, DEBIAN_MODELS, CompactModel, KenlmModel, LanguageModel
from lingting.recognition.types import Hypothesis

_RUN = re.compile(r"[一-鿿]+")
_LONGEST_RUN = 200


@dataclass(frozen=True, slots=True)
class Change:
    """A stretch that was rewritten: `before` at offset `position` of the text became `after`, of the same length.

    `cost` is what the change cost in nats, by sound; the words it makes were worth more.
    """

    position: int
    before: str
    after: str
    reason: str
    cost: float


@dataclass(frozen=True, slots=True)
class Correction:
    """A corrected text.

    Attributes:
        index: the hypothesis it starts from.
        text: as long as that hypothesis' text, character for character.
        changes: what was rewritten, in order.
        score: cost of the whole in nats, the engine's own included; lower is better.
    """

    index: int
    text: str
    changes: tuple[Change, ...]
    score: float

    def explain(self) -> str:
        """One line for each change, for people."""
        return "\n".join(
            f"{change.position}: {change.before} -> {change.after} ({change.reason}, {change.cost:.1f} nats)"
            for change in self.changes
        )


@dataclass(frozen=True, slots=True)
class Tuning:
    """The few numbers of the method, chosen on the choosing part of the recordings (docs/contributor/phonetics.md)."""

    sounds: Sounds = field(default_factory=Sounds)
    hot: Hot = field(default_factory=Hot)
    engine_weight: float = 4.0
    border: float = 0.3
    beam: int = 12


class Corrector:
    """Rewrites Chinese text by sound. Thread-safe."""

    def __init__(self, lexicon: Lexicon, model: LanguageModel, tuning: Tuning, *, unused: str = "") -> None:
        self.language_model_name = model.name
        self.unused_language_model = unused
        self._model = model
        self._lexicon = lexicon
        self._builder = Builder(lexicon, tuning.sounds, tuning.hot)
        self._tuning = tuning

    @classmethod
    def load(cls, language_model: Path | None = None) -> Corrector:
        """The compact model, or the KenLM file that is named or that Debian's libime-data-language-model installed.

        A file that is only found, not named, and cannot be used leaves the compact model in force; then
        `unused_language_model` says why.

        Raises:
            ModelError: the named file cannot be used, or the installation is damaged.
        """
        lexicon = Lexicon()
        if language_model is not None:
            return cls(lexicon, KenlmModel(language_model), Tuning())
        unused = ""
        for found in sorted(DEBIAN_FOLDER.glob(DEBIAN_MODELS)):
            try:
                return cls(lexicon, KenlmModel(found), Tuning())
            except ModelError as error:
                unused = str(error)
        tuning = Tuning()
        return cls(lexicon, CompactModel(lexicon, tuning.border), tuning, unused=unused)

    def correct(
        self, hypotheses: Sequence[Hypothesis], *, context: str = "", hot_words: Sequence[str] = ()
    ) -> Correction:
        """The best reading of an utterance.

        Args:
            hypotheses: the engine's guesses, best first, in simplified script; at least one.
            context: what was said before.
            hot_words: names and terms to listen for; the Chinese ones are found by sound.

        Raises:
            HotWordsError: the hot words are too many or too long.
        """
        if not _han(hypotheses[0].text):
            return Correction(0, hypotheses[0].text, (), -hypotheses[0].log_probability)
        prepared = HotWords(hot_words, self._lexicon)
        first = self._correct_one(0, hypotheses[0], prepared)
        candidates = [first]
        size = _han(hypotheses[0].text)
        for index, hypothesis in enumerate(hypotheses[1:], start=1):
            if _han(hypothesis.text) == size:
                candidates.append(self._correct_one(index, hypothesis, prepared))
        return min(candidates, key=lambda candidate: candidate.score)

    def _correct_one(self, index: int, hypothesis: Hypothesis, hot_words: HotWords) -> Correction:
        text = hypothesis.text
        score = -self._tuning.engine_weight * hypothesis.log_probability
        pieces: list[str] = []
        changes: list[Change] = []
        done = 0
        for run in _RUN.finditer(text):
            pieces.append(text[done : run.start()])
            for start in range(run.start(), run.end(), _LONGEST_RUN):
                part = text[start : min(start + _LONGEST_RUN, run.end())]
                path = search.best(
                    self._builder.build(part, hot_words), self._model, self._model.start(), self._tuning.beam
                )
                score += path.cost
                for arc in path.arcs():
                    before = part[arc.start : arc.start + len(arc.word)]
                    if before != arc.word:
                        reason = "hot word" if arc.hot else "sound"
                        changes.append(Change(start + arc.start, before, arc.word, reason, arc.change))
                    pieces.append(arc.word)
            done = run.end()
        pieces.append(text[done:])
        return Correction(index, "".join(pieces), tuple(changes), score)


def _han(text: str) -> int:
    """How many Han characters a text has: hypotheses with more or fewer are not comparable by their costs."""
    return sum(len(run) for run in _RUN.findall(text))
