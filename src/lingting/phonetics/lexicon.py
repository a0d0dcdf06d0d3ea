"""Words by sound: how characters are read, and which words of the lexicon sound like a stretch of text."""

from __future__ import annotations

import itertools
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lingting.phonetics import container, syllables

PATH = Path(__file__).with_name("compact.model")
LONGEST_WORD = 6
_FAMILY_BITS = 9
_TONES = 5


class Lexicon:
    """Characters with their readings and words with their frequencies, mapped from a file; read-only and thread-safe.

    A reading is a number: 0 is none, else `1 + syllable * 5 + tone - 1` with tones 1 to 5, 5 being the neutral one.
    A family is the number of a set of syllables that are taken for each other (`syllables.family`).
    """

    def __init__(self, path: Path = PATH) -> None:
        """Map a file that scripts/phonetics/build.py made.

        Raises:
            ModelError: the file is missing or damaged.
        """
        self.meta, self.arrays = container.read(path)
        self.syllables: list[str] = self.meta["syllables"]
        self.reading_count = 1 + len(self.syllables) * _TONES
        self.families = np.array(self.meta["families"], np.uint16)
        self.cost_step = float(self.meta["cost_step"])
        characters = self.arrays["characters"]
        self.row_of = np.full(0x10000, len(characters), np.uint16)
        self.row_of[characters] = np.arange(len(characters), dtype=np.uint16)
        self.character_count = len(characters)

    def readings(self, code: int) -> list[tuple[int, float]]:
        """The readings of a character, most frequent first, each with its cost in nats (−log of its share)."""
        row = int(self.row_of[code])
        if row == self.character_count:
            return []
        found = self.arrays["readings"][row]
        shares = self.arrays["shares"][row]
        return [
            (int(reading), float(share) * self.cost_step)
            for reading, share in zip(found, shares, strict=True)
            if reading
        ]

    def syllable(self, reading: int) -> str:
        """The toneless syllable of a reading, in pinyin."""
        return self.syllables[(reading - 1) // _TONES]

    def family(self, reading: int) -> int:
        """The family of a reading."""
        return int(self.families[(reading - 1) // _TONES])

    def matches(self, length: int, keys: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Words of `length` characters under each of `keys` (see `key`): for every word found the index of its key, and
        its row in the tables of that length."""
        table = self.arrays[f"keys{length}"]
        wanted = keys.astype(table.dtype)
        first = np.searchsorted(table, wanted, side="left")
        counts = np.searchsorted(table, wanted, side="right") - first
        owners = np.repeat(np.arange(len(keys)), counts)
        offsets = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return owners, first[owners] + offsets

    def words(
        self, length: int, rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.float32]]:
        """Code points and readings of words, each of shape (words, length), and their costs in nats, shape (words,)."""
        codes = self.arrays[f"words{length}"][rows]
        packed = self.arrays[f"packed{length}"][rows].astype(np.uint32)
        shifts = np.arange(3 * (length - 1), -1, -3, dtype=np.uint32)
        columns = packed[:, None] >> shifts & 7
        readings = self.arrays["readings"][self.row_of[codes], columns]
        return codes, readings, self.arrays[f"costs{length}"][rows] * np.float32(self.cost_step)

    def is_word(self, text: str) -> bool:
        """Whether two to six Han characters are a word of it."""
        if not 2 <= len(text) <= LONGEST_WORD or max(map(ord, text)) > 0xFFFF:
            return False
        heard = [{self.family(reading) for reading, _ in self.readings(ord(character))} for character in text]
        keys = np.array([key(families) for families in itertools.product(*heard)], np.uint64)
        _, rows = self.matches(len(text), keys)
        found = self.arrays[f"words{len(text)}"][rows] == [ord(character) for character in text]
        return bool(found.all(axis=1).any())

    @cached_property
    def relatives(self) -> dict[int, list[tuple[int, int]]]:
        """For each syllable the syllables of its family, each with the number of parts in which it differs."""
        members: dict[int, list[int]] = {}
        for syllable, family in enumerate(self.families):
            members.setdefault(int(family), []).append(syllable)
        return {
            syllable: [
                (other, syllables.differences(self.syllables[syllable], self.syllables[other])) for other in group
            ]
            for group in members.values()
            for syllable in group
        }

    @cached_property
    def alike(self) -> dict[int, list[int]]:
        """For each syllable those of other families that an engine may take for it all the same (`syllables.alike`)."""
        names = list(enumerate(self.syllables))
        return {
            syllable: [
                other
                for other, second in names
                if self.families[other] != self.families[syllable] and syllables.alike(first, second)
            ]
            for syllable, first in names
        }


def key(families: tuple[int, ...]) -> int:
    """The number under which the lexicon keeps the words that sound like these families."""
    value = 0
    for family in families:
        value = value << _FAMILY_BITS | family
    return value
