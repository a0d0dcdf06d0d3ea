"""Guesses that flicker little: a change inside text that is already shown needs two guesses in a row to agree on it.

The idea is the local agreement of Liu, Spanakis and Niehues, "Low-Latency Sequence-to-Sequence Speech Recognition and
Translation by Partial Hypothesis Selection" (2020), turned round: text is shown at once, and what successive guesses
have to agree on is its replacement.
"""

from __future__ import annotations

from difflib import SequenceMatcher

_EDGE = 1
"""Characters on either side of a change that must agree as well."""


def steady(shown: str, previous: str, newest: str) -> str:
    """What to show now.

    Args:
        shown: the guess that is shown.
        previous: the guess before the newest, as the engine gave it.
        newest: the newest guess.
    """
    if not shown or newest.startswith(shown):
        return newest
    blocks = SequenceMatcher(None, shown, newest, autojunk=False).get_opcodes()
    pieces: list[str] = []
    for index, (kind, old_start, old_end, new_start, new_end) in enumerate(blocks):
        old, new = shown[old_start:old_end], newest[new_start:new_end]
        tail = index == len(blocks) - 1 or (index == len(blocks) - 2 and len(shown) - old_end <= _EDGE)
        around = newest[max(0, new_start - _EDGE) : new_end + _EDGE]
        agreed = kind == "equal" or tail or around in previous
        pieces.append(new if agreed else old)
    return "".join(pieces)
