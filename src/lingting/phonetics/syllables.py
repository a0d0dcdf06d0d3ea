"""Mandarin syllables: initial, final and tone, and which of them are easily taken for each other."""

from __future__ import annotations

from functools import lru_cache

INITIALS = ("zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcsyw")

_NEAR_INITIALS = {"zh": "z", "ch": "c", "sh": "s", "l": "n"}
_NEAR_FINALS = {"ang": "an", "eng": "en", "ing": "in", "iang": "ian", "uang": "uan"}


@lru_cache(maxsize=1024)
def split(syllable: str) -> tuple[str, str]:
    """The initial (may be empty) and the final of a toneless syllable such as `zhong`; ü is written `v`."""
    for initial in INITIALS:
        if syllable.startswith(initial):
            return initial, syllable[len(initial) :]
    return "", syllable


@lru_cache(maxsize=1024)
def family(syllable: str) -> str:
    """The name shared by all syllables that are easily taken for each other.

    They differ as zh/z, ch/c, sh/s, n/l at the start or as an/ang, en/eng, in/ing, ian/iang, uan/uang at the end.
    """
    initial, final = split(syllable)
    return _NEAR_INITIALS.get(initial, initial) + _NEAR_FINALS.get(final, final)


def differences(first: str, second: str) -> int:
    """In how many of initial and final two syllables of one family differ: 0, 1 or 2."""
    return sum(left != right for left, right in zip(split(first), split(second), strict=True))
