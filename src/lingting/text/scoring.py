"""Comparing texts: what two guesses agree on, and how many errors a hypothesis has."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from lingting.text import script
from lingting.text.words import HAN

_TOKEN = re.compile(rf"[{HAN}]|[^\W_{HAN}]+(?:['’][^\W_{HAN}]+)*")


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Errors (substitutions, insertions, deletions) against a reference of `length` units."""

    errors: int
    length: int

    def __add__(self, other: ErrorCount) -> ErrorCount:
        return ErrorCount(self.errors + other.errors, self.length + other.length)

    @property
    def rate(self) -> float:
        """Errors per unit of the reference; 0 for an empty reference without errors, 1 for one with."""
        return self.errors / self.length if self.length else float(self.errors > 0)


def tokens(text: str) -> list[str]:
    """The units that are compared: one per Han character or Latin word or number, in lower case, half width,
    simplified script and without punctuation."""
    return _TOKEN.findall(script.convert(unicodedata.normalize("NFKC", text).lower().replace("’", "'"), "simplified"))


def normalise(text: str) -> str:
    """Text reduced to what was said: lower case, half width, simplified, no punctuation, no spaces."""
    return "".join(tokens(text)).replace("'", "")


def error_rate(reference: str, hypothesis: str) -> ErrorCount:
    """Errors of `hypothesis` by edit distance over `tokens`: character errors in Chinese, word errors in English, and
    in a mixed sentence a Latin word counts as one unit."""
    expected, heard = tokens(reference), tokens(hypothesis)
    return ErrorCount(_distance(expected, heard), len(expected))


def _distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Levenshtein distance by the two-row method (Wagner and Fischer, 1974)."""
    row = list(range(len(second) + 1))
    for index, left in enumerate(first, start=1):
        diagonal, row[0] = row[0], index
        for column, right in enumerate(second, start=1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (left != right)),
            )
    return row[-1]
