"""Mandarin syllables: initial, final and tone, and which of them are easily taken for each other."""

from __future__ import annotations

from functools import lru_cache

INITIALS = ("zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcsyw")

_NEAR_INITIALS = {"zh": "z", "ch": "c", "sh": "s", "l": "n"}
_NEAR_FINALS = {"ang": "an", "eng": "en", "ing": "in", "iang": "ian", "uang": "uan"}

_PLACES = {
    **dict.fromkeys(["b", "p"], "lips"),
    **dict.fromkeys(["d", "t"], "ridge"),
    **dict.fromkeys(["n", "l"], "n"),
    **dict.fromkeys(["g", "k", "h"], "velum"),
    **dict.fromkeys(["j", "q", "x"], "palate"),
    **dict.fromkeys(["z", "c", "s", "zh", "ch", "sh"], "teeth"),
}
_NASAL = ("n", "ng")


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


def alike(first: str, second: str) -> bool:
    """Whether an engine may take one syllable for the other though they are of different families.

    One part of them is the same or near, and the other is of one class: initials that are made in one place and differ
    in manner or breath (z c s zh ch sh; j q x; g k h; b p; d t), or finals that end in a nasal (chuang and cheng).
    """
    (initial, final), (other_initial, other_final) = split(first), split(second)
    near_start = _NEAR_INITIALS.get(initial, initial) == _NEAR_INITIALS.get(other_initial, other_initial)
    near_end = _NEAR_FINALS.get(final, final) == _NEAR_FINALS.get(other_final, other_final)
    if near_end:
        return initial in _PLACES and _PLACES[initial] == _PLACES.get(other_initial)
    return near_start and bool(initial) and final.endswith(_NASAL) and other_final.endswith(_NASAL)
