"""Spoken numbers, dates, money and percentages as digits (inverse text normalisation).

Where a number stands is decided by our own rules, which know idioms and prose; what its digits are is wetext's work.
So nothing outside a number can change, and a result that is no number is refused. What is not a number stays as it
was said: 二零二四年五月一日上午九点 becomes 2024年5月1日上午9点.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lingting.domain import Language, RawWord
from lingting.text import numbers_en, numbers_zh
from lingting.text.words import OPENERS, core, is_han, one_unit_each, tail

_PASSES = 4
"""A number written as digits may tell what its neighbour is; in real sentences one pass finds all."""

_TELLING = 4
"""Words behind a number that may tell how it is written."""


def convert(words: Sequence[RawWord], language: Language) -> list[RawWord]:
    """Write spoken numbers as digits.

    A rewritten number becomes one word from the start of the first word said to the end of the last. Chinese numbers
    are read in either language, and so are English ones, wherever they stand.

    Args:
        words: one unit each; longer ones are cut.
    """
    del language  # the script of a word says how to read it, also in a mixed sentence
    units = one_unit_each(words)
    for _ in range(_PASSES):
        text, owners = _text(units)
        found = list(numbers_zh.spans(text)) if not numbers_zh.NUMERALS.isdisjoint(text) else []
        if not found:
            break
        units = _apply_runs(units, [(owners[start], owners[end - 1] + 1, new) for start, end, new in found])
    return _apply_runs(units, numbers_en.runs([core(unit.text) for unit in units], [tail(u.text) for u in units]))


def open_tail(words: Sequence[RawWord]) -> int:
    """How many words at the end may still be written otherwise when more is said: a number there, and the few words
    behind one that tell what it is. Live text confirms none of them."""
    cores = [core(unit.text).lower() for unit in words]
    first = len(cores)
    for index in range(len(cores) - 1, -1, -1):
        if index < first - _TELLING:
            break
        if _of_number(cores[index]):
            first = index
    return len(cores) - first


def _of_number(said: str) -> bool:
    return said in numbers_zh.NUMERALS or said in {"分", "之", "点"} or numbers_en.of_number(said)


def _text(units: Sequence[RawWord]) -> tuple[str, list[int]]:
    pieces: list[str] = []
    owners: list[int] = []
    for index, unit in enumerate(units):
        piece = unit.text if is_han(unit.text) else f" {unit.text} "
        pieces.append(piece)
        owners += [index] * len(piece)
    return "".join(pieces), owners


def _apply_runs(units: Sequence[RawWord], runs: Iterable[tuple[int, int, str]]) -> list[RawWord]:
    """Replace units `first` up to `last` by one word each, keeping the punctuation around them."""
    result: list[RawWord] = []
    done = 0
    for first, last, new in runs:
        said = units[first:last]
        opened = said[0].text[: len(said[0].text) - len(said[0].text.lstrip(OPENERS))]
        result += units[done:first]
        result.append(
            replace(
                said[-1],
                text=opened + new + tail(said[-1].text),
                start=said[0].start,
                probability=sum(word.probability for word in said) / len(said),
            )
        )
        done = last
    return [*result, *units[done:]]
