"""The second pass: from an engine's guesses to the characters that were most likely meant by the sounds it heard."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from lingting.domain import Hypothesis
from lingting.errors import ModelError
from lingting.phonetics import search
from lingting.phonetics.hot_words import HotWords
from lingting.phonetics.latin import Found, LatinHotWords, TextCost, Unit, syllable_phones, word_phones
from lingting.phonetics.lattice import Arc, Builder, Hot, Sounds
from lingting.phonetics.lexicon import Lexicon
from lingting.phonetics.models import SHIPPED, CompactModel, KenlmModel, LanguageModel

_RUN = re.compile(r"[一-鿿]+")
_TAIL = re.compile(r"([一-鿿]{1,8})[，、,\s]*$")
_SENTENCE_END = re.compile("[。？！；?!;]|[.](?![^\\W_])")
_LONGEST_RUN = 200


@dataclass(frozen=True, slots=True)
class Change:
    """A stretch that was rewritten: `before` at offset `position` of the text became `after`, of the same length.

    `reason` says how the two sound: the same, in another tone, or near; or that it is a hot word. `cost` is what the
    change cost in nats, which the words it makes were worth.
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
    """The few numbers of the method, chosen on the choosing part of the recordings (docs/contributor/phonetics.md).

    Attributes:
        sounds: what changes cost.
        hot: how willingly hot words are heard.
        engine_weight: of the engine's log probability of a hypothesis.
        first: nats by which a hypothesis must be better than the engine's first to be preferred.
        border: of the compact model, see there.
        beam: paths kept in the search.
    """

    sounds: Sounds = field(default_factory=Sounds)
    hot: Hot = field(default_factory=Hot)
    engine_weight: float = 4.0
    first: float = 4.0
    border: float = 0.3
    beam: int = 12


KENLM = Tuning(sounds=Sounds(same=1.0, tone=6.0, alone=5.0, sure=0.9), hot=Hot(cost=6.0, change=0.6), first=10.0)
"""For KenLM files, which know more and so may rewrite more where the engine was in doubt. Chosen on all sources of the
recordings in eight versions each: the fewest errors of those that make at most 0.5 % of what was right wrong."""


class Corrector:
    """Rewrites Chinese text by sound. Thread-safe."""

    def __init__(self, lexicon: Lexicon, model: LanguageModel, tuning: Tuning, *, unused: str = "") -> None:
        self.language_model_name = model.name
        self.unused_language_model = unused
        self._model = model
        self._lexicon = lexicon
        self._builder = Builder(lexicon, tuning.sounds, tuning.hot)
        self._tuning = tuning
        self._prepared = lru_cache(maxsize=64)(lambda words: HotWords(words, lexicon))
        self._prepared_latin = lru_cache(maxsize=64)(LatinHotWords)
        self.is_word: Callable[[str], bool] = lru_cache(maxsize=8192)(lexicon.is_word)
        """Whether two to six Han characters are a word of the lexicon."""

    @classmethod
    def load(cls, language_model: Path | Literal["compact"] | None = None) -> Corrector:
        """The corrector with a KenLM file, or with the compact model.

        Args:
            language_model: the KenLM file, "compact", or None for the file that is shipped. Only that one gives way to
                the compact model where it cannot be used, as without the `kenlm` module; then `unused_language_model`
                says why.

        Raises:
            ModelError: the named file cannot be used, or the installation is damaged.
        """
        lexicon = Lexicon()
        unused = ""
        if language_model != "compact":
            try:
                return cls(lexicon, KenlmModel(language_model or SHIPPED), KENLM)
            except ModelError as error:
                if language_model is not None:
                    raise
                unused = str(error)
        tuning = Tuning()
        return cls(lexicon, CompactModel(lexicon, tuning.border), tuning, unused=unused)

    def correct(
        self, hypotheses: Sequence[Hypothesis], *, context: str = "", hot_words: Sequence[str] = ()
    ) -> Correction:
        """The best reading of an utterance.

        Args:
            hypotheses: the engine's guesses, best first, in simplified script; at least one.
            context: what was said before; where it ends in the middle of a sentence, the text goes on there.
            hot_words: names and terms to listen for; the Chinese ones are found by sound.

        Raises:
            HotWordsError: the hot words are too many or too long.
        """
        prepared = self._prepared(tuple(hot_words))
        if not _han(hypotheses[0].text):
            return Correction(0, hypotheses[0].text, (), -hypotheses[0].log_probability)
        task = _Task(prepared, self._state_behind(context), {})
        size = _han(hypotheses[0].text)
        seen: set[str] = set()
        candidates = []
        for index, hypothesis in enumerate(hypotheses):
            if hypothesis.text not in seen and _han(hypothesis.text) == size:
                seen.add(hypothesis.text)
                candidates.append(self._correct_one(index, hypothesis, task))
        return min(candidates, key=lambda candidate: candidate.score)

    def latin(self, words: Sequence[str], hot_words: Sequence[str]) -> list[Found]:
        """Where hot words with Latin letters stand in a text, found by sound; in order, without overlaps.

        Args:
            words: the text, a Han character or a Latin word each; "" where a mark stands, which no hot word goes over.
            hot_words: names and terms to listen for, as for `correct`.
        """
        prepared = self._prepared_latin(tuple(hot_words))
        if not prepared:
            return []
        units = [Unit(word, self._phones(word)) for word in words]
        return prepared.find(units, TextCost(units, self._builder, self._model))

    def _phones(self, word: str) -> str:
        if not _RUN.fullmatch(word):
            return word_phones(word)
        reading = next(iter(self._lexicon.readings(ord(word))), None)
        return syllable_phones(self._lexicon.syllable(reading[0])) if reading else ""

    def _correct_one(self, index: int, hypothesis: Hypothesis, task: _Task) -> Correction:
        text = hypothesis.text
        score = -self._tuning.engine_weight * hypothesis.log_probability
        if index:
            score += self._tuning.first
        confidence = hypothesis.confidence if len(hypothesis.confidence) == len(text) else ()
        pieces: list[str] = []
        changes: list[Change] = []
        done = said = 0
        state = task.before
        for run in _RUN.finditer(text):
            between = text[done : run.start()]
            pieces.append(between)
            if done and _SENTENCE_END.search(between):
                state = self._model.start()
            for start in range(run.start(), run.end(), _LONGEST_RUN):
                end = min(start + _LONGEST_RUN, run.end())
                part = text[start:end]
                path = self._path(part, said, state, task, confidence[start:end])
                state = path.state
                said += len(part)
                score += path.cost
                for arc in path.arcs():
                    before = part[arc.start : arc.start + len(arc.word)]
                    if before != arc.word:
                        changes.append(
                            Change(start + arc.start, before, arc.word, self._reason(before, arc), arc.change)
                        )
                    pieces.append(arc.word)
            done = run.end()
        pieces.append(text[done:])
        return Correction(index, "".join(pieces), tuple(changes), score)

    def _path(self, part: str, said: int, state: Any, task: _Task, confidence: Sequence[float]) -> search.Path:
        """The best path through a run that stands behind `said` Han characters; hypotheses share most of their runs, so
        each is searched once in a place, with the first's confidence."""
        known = task.paths.get((part, said, state))
        if known is None:
            lattice = self._builder.build(part, task.hot_words, confidence)
            known = task.paths[part, said, state] = search.best(lattice, self._model, state, self._tuning.beam)
        return known

    def _state_behind(self, context: str) -> Any:
        """The model's state behind what was said before, that of a new sentence where one ended."""
        tail = _TAIL.search(context)
        if tail is None:
            return self._model.start()
        return search.best(self._builder.build(tail.group(1)), self._model, self._model.start(), 1).state

    def _reason(self, before: str, arc: Arc) -> str:
        if arc.hot:
            return "hot word"
        return self._builder.relation(before, arc.word)


@dataclass(frozen=True, slots=True)
class _Task:
    """What the hypotheses of one utterance share: hot words, the state before the first run, paths already found."""

    hot_words: HotWords
    before: Any
    paths: dict[tuple[str, int, Any], search.Path]


def _han(text: str) -> int:
    """How many Han characters a text has: hypotheses with more or fewer are not comparable by their costs."""
    return sum(len(run) for run in _RUN.findall(text))
