"""Hot words: names and terms that enter the lattice by their sound."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lingting.hot_words import HotWordsError, check
from lingting.phonetics.lexicon import Lexicon

__all__ = ["Heard", "HotWords", "HotWordsError"]

_HAN = re.compile(r"[一-鿿]{2,16}")
_LONG = 3


@dataclass(frozen=True, slots=True)
class _Group:
    """Hot words of one length: their characters as columns of the list's `characters`, shape (words, length)."""

    words: tuple[str, ...]
    columns: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Heard:
    """A hot word that may have been said at `start` of a run; `change` is what hearing it there costs, in nats."""

    start: int
    word: str
    change: float


class HotWords:
    """A list of hot words, prepared. The Chinese ones are found by sound; one character alone is too little to find."""

    def __init__(self, words: Sequence[str], lexicon: Lexicon) -> None:
        """Check and prepare a list.

        Raises:
            HotWordsError: it is over the limits of `lingting.hot_words`.
        """
        check(words)
        chinese = sorted({word.strip() for word in words if _HAN.fullmatch(word.strip())})
        characters = sorted(set("".join(chinese)))
        column = {character: index for index, character in enumerate(characters)}
        self._codes = [ord(character) for character in characters]
        self._readings = [np.array([reading for reading, _ in lexicon.readings(code)], np.intp) for code in self._codes]
        self._groups = [
            _Group(
                tuple(group),
                np.array([[column[character] for character in word] for word in group], np.intp),
            )
            for length in sorted({len(word) for word in chinese})
            if (group := [word for word in chinese if len(word) == length])
        ]

    def __bool__(self) -> bool:
        return bool(self._groups)

    def heard(
        self,
        codes: NDArray[np.uint16],
        hearing: NDArray[np.float32],
        alike: NDArray[np.float32],
        limit: float,
    ) -> list[Heard]:
        """Where the words may have been said in a run.

        Up to half of the characters of a word of at least `_LONG` may be only alike: the others say which word it is.

        Args:
            codes: the run's code points, shape (characters,).
            hearing: cost of each reading at each character, shape (characters, readings).
            alike: the same, for readings that are only alike.
            limit: cost per character, in nats, over which a word is not considered.
        """
        size = len(codes)
        table = np.full((size, len(self._codes)), np.inf, np.float32)
        loose = np.full_like(table, np.inf)
        for index, (code, readings) in enumerate(zip(self._codes, self._readings, strict=True)):
            if len(readings):
                table[:, index] = hearing[:, readings].min(axis=1)
                loose[:, index] = alike[:, readings].min(axis=1)
            table[codes == code, index] = 0.0
        only = np.isinf(table)
        loose = np.where(only, loose, table)
        found = []
        for group in self._groups:
            length = group.columns.shape[1]
            if length > size:
                continue
            total = np.zeros((size - length + 1, len(group.words)), np.float32)
            guessed = np.zeros_like(total)
            long = length >= _LONG
            costs = loose if long else table
            for offset in range(length):
                rows, columns = slice(offset, offset + len(total)), group.columns[:, offset]
                total += costs[rows, columns]
                guessed += only[rows, columns]
            if long:
                total[guessed > length // 2] = np.inf
            for start, word in zip(*np.nonzero(total <= limit * length), strict=True):
                found.append(Heard(int(start), group.words[word], float(total[start, word])))
        return found
