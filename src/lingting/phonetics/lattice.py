"""The lattice: every word that sounds like some stretch of a run of Han characters, and the cost of hearing it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lingting.phonetics.hot_words import HotWords
from lingting.phonetics.lexicon import LONGEST_WORD, Lexicon, key

_NEUTRAL = 4
_TONES = 5
_READING_LIMIT = 4.0
_KEYS_PER_SPAN = 16
_USUAL_CONFIDENCE = 0.75
_MOST_SURE = 4.0


@dataclass(frozen=True, slots=True)
class Sounds:
    """What it costs, in nats, to write another character than the engine did.

    Attributes:
        same: the other character has the same syllable and tone.
        tone: it has the same syllable in another tone.
        near: added for each part of the syllable (initial, final) that is only near.
        alone: added when the other character is a word by itself, since so short a word proves little.
        sure: weight of how sure the engine was of its character, which is added.
        rare: weight of how rare a reading of a character is.
    """

    same: float = 3.0
    tone: float = 6.0
    near: float = 5.0
    alone: float = 2.0
    sure: float = 0.0
    rare: float = 0.5


@dataclass(frozen=True, slots=True)
class Hot:
    """How willingly hot words are heard.

    Attributes:
        cost: of a hot word as a word, nats; about that of a frequent one.
        change: weight of the cost of the characters it changes.
        limit: cost per character, in nats and before that weight, over which it is not considered.
        alike: added for a character that is only alike (`syllables.alike`), in words of three characters and more.
    """

    cost: float = 8.0
    change: float = 0.8
    limit: float = 8.0
    alike: float = 8.0


@dataclass(frozen=True, slots=True)
class Arc:
    """A word over `[start, start + len(word))` of a run.

    Attributes:
        change: cost of the characters it changes, nats.
        cost: −log of the word's frequency, nats.
        hot: it is a hot word; no language model is asked about it.
    """

    start: int
    word: str
    change: float
    cost: float
    hot: bool = False


class Builder:
    """Builds lattices from one lexicon. Thread-safe: what it remembers is only ever added to."""

    def __init__(self, lexicon: Lexicon, sounds: Sounds, hot: Hot, width: int = 24, margin: float = 14.0) -> None:
        """Keep, of all words over one stretch, at most `width` and those within `margin` nats of the best."""
        self._lexicon = lexicon
        self._sounds = sounds
        self._hot = hot
        self._width = width
        self._margin = margin
        self._rows: dict[int, tuple[NDArray[np.intp], NDArray[np.float32]]] = {}
        self._loose: dict[int, tuple[NDArray[np.intp], NDArray[np.float32]]] = {}
        self._readings: dict[int, list[tuple[int, float]]] = {}

    def build(
        self,
        run: str,
        hot_words: HotWords | None = None,
        confidence: Sequence[float] = (),
    ) -> list[list[Arc]]:
        """The words that may end at each position of `run`; entry `i` holds those that end before character `i`.

        `confidence` is the engine's probability of each character; without it, it is taken to be unsure of all alike.
        """
        size = len(run)
        codes = np.array([ord(character) for character in run], np.uint16)
        sure = [self._sounds.sure * _sureness(each) for each in confidence or [_USUAL_CONFIDENCE] * size]
        hearing = self._table(codes, sure, self._hearing)
        families = [self._families(int(code)) for code in codes]
        arcs: list[list[Arc]] = [[] for _ in range(size + 1)]
        for length in range(1, min(size, LONGEST_WORD) + 1):
            self._add_words(
                arcs=arcs,
                run=run,
                codes=codes,
                hearing=hearing,
                families=families,
                length=length,
            )
        if hot_words:
            hot = self._hot
            alike = self._table(codes, sure, self._alike)
            for said in hot_words.heard(codes, hearing, alike, hot.limit):
                change = said.change * hot.change
                arcs[said.start + len(said.word)].append(Arc(said.start, said.word, change, hot.cost, hot=True))
        for position, character in enumerate(run):
            ending = arcs[position + 1]
            if not any(arc.start == position and arc.word == character for arc in ending):
                ending.append(Arc(position, character, 0.0, 14.0))
        return arcs

    def _add_words(
        self,
        *,
        arcs: list[list[Arc]],
        run: str,
        codes: NDArray[np.uint16],
        hearing: NDArray[np.float32],
        families: Sequence[Sequence[int]],
        length: int,
    ) -> None:
        keys: list[int] = []
        starts: list[int] = []
        for start in range(len(run) - length + 1):
            for combination in itertools.islice(itertools.product(*families[start : start + length]), _KEYS_PER_SPAN):
                keys.append(key(combination))
                starts.append(start)
        if not keys:
            return
        owners, rows = self._lexicon.matches(length, np.array(keys, np.uint64))
        if not len(rows):
            return
        words, readings, costs = self._lexicon.words(length, rows)
        begin = np.array(starts)[owners]
        positions = begin[:, None] + np.arange(length)
        change = np.where(words == codes[positions], np.float32(0), hearing[positions, readings])
        total_change = change.sum(axis=1)
        if length == 1:
            total_change[total_change > 0] += self._sounds.alone
        total = total_change + costs
        order = np.lexsort((total, begin))
        kept = 0
        previous = -1
        best = 0.0
        names = words.astype("<u2")
        seen: set[bytes] = set()
        for index in order:
            start = int(begin[index])
            value = float(total[index])
            if start != previous:
                previous, kept, best = start, 0, value
                seen.clear()
            if kept >= self._width or value > best + self._margin:
                continue
            raw = names[index].tobytes()
            if raw in seen:
                continue
            seen.add(raw)
            kept += 1
            arcs[start + length].append(
                Arc(start, raw.decode("utf-16-le"), float(total_change[index]), float(costs[index]))
            )

    def relation(self, before: str, after: str) -> str:
        """How two stretches of equal length sound to each other: `same sound`, `other tone` or `near sound`."""
        pairs = [(ord(first), ord(second)) for first, second in zip(before, after, strict=True) if first != second]
        if all(self._shared(first, second, tones=True) for first, second in pairs):
            return "same sound"
        if all(self._shared(first, second, tones=False) for first, second in pairs):
            return "other tone"
        return "near sound"

    def _shared(self, first: int, second: int, *, tones: bool) -> bool:
        def sounds(code: int) -> set[int]:
            return {reading if tones else (reading - 1) // _TONES for reading, _ in self._known(code)}

        return not sounds(first).isdisjoint(sounds(second))

    def _known(self, code: int) -> list[tuple[int, float]]:
        found = self._readings.get(code)
        if found is None:
            found = [entry for entry in self._lexicon.readings(code) if entry[1] <= _READING_LIMIT]
            self._readings[code] = found
        return found

    def _families(self, code: int) -> list[int]:
        return list(dict.fromkeys(self._lexicon.family(reading) for reading, _ in self._known(code)))

    def _table(
        self,
        codes: NDArray[np.uint16],
        sure: Sequence[float],
        row: Callable[[int], tuple[NDArray[np.intp], NDArray[np.float32]]],
    ) -> NDArray[np.float32]:
        """Cost of each reading at each character, shape (characters, readings), by the rows of the characters."""
        table = np.full((len(codes), self._lexicon.reading_count), np.inf, np.float32)
        for position, code in enumerate(codes):
            heard, costs = row(int(code))
            table[position, heard] = costs + sure[position]
        return table

    def _hearing(self, code: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The readings that can be meant where the engine wrote this character, and their costs."""
        row = self._rows.get(code)
        if row is None:
            found: dict[int, float] = {}
            for reading, rarity in self._known(code):
                syllable, tone = divmod(reading - 1, _TONES)
                for other, differences in self._lexicon.relatives[syllable]:
                    for heard in range(_TONES):
                        kept = heard in (tone, _NEUTRAL) or tone == _NEUTRAL
                        cost = (self._sounds.same if kept else self._sounds.tone) + differences * self._sounds.near
                        cost += self._sounds.rare * rarity
                        index = 1 + other * _TONES + heard
                        found[index] = min(found.get(index, cost), cost)
            row = np.array(list(found), np.intp), np.array(list(found.values()), np.float32)
            self._rows[code] = row
        return row

    def _alike(self, code: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The readings that are only alike to those of a character, and their costs: of a hot word's changes alone."""
        row = self._loose.get(code)
        if row is None:
            found: dict[int, float] = {}
            for reading, rarity in self._known(code):
                syllable, tone = divmod(reading - 1, _TONES)
                for other in self._lexicon.alike[syllable]:
                    for heard in range(_TONES):
                        kept = heard in (tone, _NEUTRAL) or tone == _NEUTRAL
                        cost = (self._sounds.same if kept else self._sounds.tone) + self._hot.alike
                        cost += self._sounds.rare * rarity
                        index = 1 + other * _TONES + heard
                        found[index] = min(found.get(index, cost), cost)
            row = np.array(list(found), np.intp), np.array(list(found.values()), np.float32)
            self._loose[code] = row
        return row


def _sureness(confidence: float) -> float:
    """−log of the probability that the engine's character is wrong, in nats."""
    return min(_MOST_SURE, -math.log(max(1 - confidence, 1e-9)))
