"""Guesses that flicker little: a change inside text that is already shown needs two guesses in a row to agree on it.

The idea is the local agreement of Liu, Spanakis and Niehues, "Low-Latency Sequence-to-Sequence Speech Recognition and
Translation by Partial Hypothesis Selection" (2020), turned round: text is shown at once, and what successive guesses
have to agree on is its replacement.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

from lingting.text import spacing
from lingting.text.scoring import normalise
from lingting.text.words import split_units

_EDGE = 1
"""Units on either side of a change that must agree as well."""

_GROWTH = 3
"""A change that adds as many units is text that nobody has seen yet, and is shown at once."""


def stabilise(shown: str, previous: str, newest: str) -> str:
    """What to show now. Units (a Han character, a Latin word) are compared without punctuation and case.

    Args:
        shown: the guess that is shown.
        previous: the guess before the newest, as the engine gave it.
        newest: the newest guess.
    """
    if not shown or newest.startswith(shown):
        return newest
    old, new = split_units(shown), split_units(newest)
    old_keys, new_keys = _keys(old), _keys(new)
    before = _joined(_keys(split_units(previous)))
    pieces: list[str] = []
    for kind, old_start, old_end, new_start, new_end in SequenceMatcher(
        None, old_keys, new_keys, autojunk=False
    ).get_opcodes():
        around = _joined(new_keys[max(0, new_start - _EDGE) : new_end + _EDGE])
        accepted = (
            kind == "equal"
            or len(old) - old_end <= _EDGE
            or (new_end - new_start) - (old_end - old_start) >= _GROWTH
            or around in before
        )
        pieces += new[new_start:new_end] if accepted else old[old_start:old_end]
    return spacing.join(pieces)


def _keys(units: Sequence[str]) -> list[str]:
    return [_key(unit) for unit in units]


@lru_cache(maxsize=8192)
def _key(unit: str) -> str:
    return normalise(unit)


def _joined(keys: Sequence[str]) -> str:
    return "\0" + "".join(f"{key}\0" for key in keys)
