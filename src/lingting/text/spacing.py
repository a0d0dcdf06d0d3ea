"""One rule for spaces between units.

A space stands between a Latin word and a Han character and between Latin words and numbers; none stands between Han
characters, between a Han character and a plain number (2024年), before punctuation, or beside full-width punctuation,
but for the quotes and dots that English has too, between words that are both Latin (“Hello” she said).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lingting.text.words import OPENERS, is_han

_FULL_WIDTH = frozenset("，。、？！；：…—”’」』）】》〉“‘「『（【《〈～·")
_LATIN_TOO = frozenset("“”‘’…")
_LETTER = re.compile(r"[^\W\d_]")


def join(units: Iterable[str]) -> str:
    """Text of the units for reading; `split_units` of the result gives the units back."""
    pieces: list[str] = []
    before = ""
    for unit in units:
        if not unit:
            continue
        if before and _apart(before, unit):
            pieces.append(" ")
        pieces.append(unit)
        before = unit
    return "".join(pieces)


def _apart(before: str, after: str) -> bool:
    if after[0] in "\"'":
        return True
    han_before, han_after = is_han(before), is_han(after)
    marks = _FULL_WIDTH if han_before or han_after else _FULL_WIDTH - _LATIN_TOO
    if before[-1] in marks or after[0] in marks:
        return False
    if before[-1] in OPENERS and before[-1] not in "\"'":
        return False
    if han_before and han_after:
        return not before[-1].isalnum()
    if han_before or han_after:
        latin = after if han_before else before
        return bool(_LETTER.search(latin)) or not (before[-1].isalnum() or before[-1] in "%‰°")
    return True
