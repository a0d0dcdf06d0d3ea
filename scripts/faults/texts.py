"""Comparing what was heard with what an undisturbed server hears: which passage is missing, how much differs."""

from __future__ import annotations

import difflib
import re

MISSING_UNITS = 6
"""So many characters or words in a row that nothing stands for are taken for lost sound."""


def units(text: str) -> list[str]:
    """Han characters, and words of other letters and digits, without punctuation and case."""
    return re.findall(r"[a-z0-9]+|[^\W_]", text.lower())


def missing(expected: list[str], units: list[str]) -> str:
    """The longest passage that nothing stands for; empty where all are short."""
    longest: list[str] = []
    for _, first, end, other, other_end in difflib.SequenceMatcher(None, expected, units, False).get_opcodes():
        if (end - first) - (other_end - other) > len(longest):
            longest = expected[first:end]
    return "".join(longest) if len(longest) >= MISSING_UNITS else ""


def differing(expected: list[str], units: list[str]) -> int:
    """How many of either are not in the other in the same order."""
    same = sum(block.size for block in difflib.SequenceMatcher(None, expected, units, False).get_matching_blocks())
    return max(len(expected), len(units)) - same
