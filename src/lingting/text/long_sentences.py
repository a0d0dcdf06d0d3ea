"""Long sentences cut where the speaker paused longest: people who speak without stopping still speak in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lingting.domain import RawWord
from lingting.text.words import SENTENCE_ENDS, tail

LONGEST = 48
"""Units after which a Chinese sentence is cut at a comma; printed Chinese seldom goes beyond."""

_SHORTEST = 10


def shorten(words: Sequence[RawWord], longest: int = LONGEST) -> list[RawWord]:
    """Turn commas of overlong sentences into full stops, the one with the longest pause behind it first.

    Both parts keep at least ten units. Where all pauses are equal, the comma nearest to the middle is taken; a sentence
    without a comma stays whole.
    """
    result = list(words)
    start = 0
    for index, word in enumerate(words):
        if index == len(words) - 1 or SENTENCE_ENDS.intersection(tail(word.text)):
            _cut(result, start, index + 1, longest)
            start = index + 1
    return result


def _cut(words: list[RawWord], start: int, end: int, longest: int) -> None:
    if end - start <= longest:
        return
    middle = (start + end) / 2
    commas = [index for index in range(start + _SHORTEST - 1, end - _SHORTEST) if tail(words[index].text) == "，"]
    if not commas:
        return
    best = max(
        commas, key=lambda index: (round(words[index + 1].start - words[index].end, 1), -abs(index + 1 - middle))
    )
    words[best] = replace(words[best], text=words[best].text.removesuffix("，") + "。")
    _cut(words, start, best + 1, longest)
    _cut(words, best + 1, end, longest)
