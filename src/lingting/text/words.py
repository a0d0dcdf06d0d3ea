"""Units of text: one Han character or one Latin word or number, with the punctuation that follows it.

A unit's core is what was said; its tail is the punctuation behind it. Opening quotes and brackets belong to the unit
that they open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from lingting.domain import RawWord

HAN = (
    r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Characters written without spaces: Han, and kana so that a stray one does no harm."""

MARKS = "，。、？！；：…,.?!;:—－-–~～·"
CLOSERS = '”’」』）】》〉)]}"'
OPENERS = "“‘「『（【《〈([{\"'"

PUNCTUATION = '，。！？；：、…—,.!?;:"“”‘’《》（）()'
"""What is taken off either side of a word for callers to whom a word is what was said."""

SENTENCE_ENDS = frozenset("。！？.!?…")
"""What ends a sentence where it stands behind a word."""

_ALNUM = r"[^\W_" + HAN + r"]"
_CORE = (
    rf"(?:(?<!\S)’)?[$€£¥#@]*{_ALNUM}(?:{_ALNUM}|['’]{_ALNUM}|(?<=\d),(?=\d{{3}}(?!\d))|[.\-_&+@/](?={_ALNUM})|(?<=\d):(?=\d))*"
    r"(?:[%‰°]+|\+\+|#)?"
)
_ABBREVIATION = r"(?:[Mm]rs?|[Mm]s|[Dd]r|Prof|St|Jr|Sr|vs|etc|No|[ap]\.m|[A-Z](?:\.[A-Z])+|i\.e|e\.g)\."
_BEHIND = re.escape(MARKS + CLOSERS) + "'"
_UNIT = re.compile(
    rf"[{re.escape(OPENERS)}]*(?:{_ABBREVIATION}(?!\w)|[{HAN}]|{_CORE}|[^\s{_BEHIND}])[{_BEHIND}]*|[{_BEHIND}]+"
)
_OPENING = re.compile("[“‘「『（【《〈(\\[{]")
_TAIL_OF = re.compile(rf"[{_BEHIND}]+$")
_ENDS_ABBREVIATED = re.compile(rf"^[{re.escape(OPENERS)}]*{_ABBREVIATION}$")
_HAN_ONE = re.compile(rf"[{HAN}]")
_HAN_GAP = re.compile(rf"(?<=[{HAN}])[ \u3000]+(?=[{HAN}])|\s*\n\s*")


def is_han(text: str) -> bool:
    """Whether the first character of `text` that is no opening mark is written without spaces (Han or kana)."""
    return bool(_HAN_ONE.match(text.lstrip(OPENERS)))


def has_han(text: str) -> bool:
    """Whether there is any Han character in `text`."""
    return bool(_HAN_ONE.search(text))


def split_units(text: str) -> list[str]:
    """Split text into units; contractions, hyphenated words, decimals, percentages and addresses stay whole.

    `spacing.join` puts them together again. Only the first unit may be nothing but punctuation; an opening mark that
    opens nothing falls away.
    """
    return [unit for unit, _ in _located(text)]


def _located(text: str) -> list[tuple[str, int]]:
    """The units of `text`, each with the offset at which its own characters begin."""
    units: list[tuple[str, int]] = []
    opened = ""
    for match in _UNIT.finditer(text):
        piece = match.group()
        if _says(piece):
            units.append((opened + piece, match.start()))
            opened = ""
            continue
        closing = _OPENING.split(piece)[0] if not opened else ""
        opened += "".join(_OPENING.findall(piece))
        if units and closing:
            units[-1] = (units[-1][0] + closing, units[-1][1])
        elif closing:
            units.append((closing, match.start()))
    return units


def _says(unit: str) -> bool:
    return bool(unit.strip(MARKS + CLOSERS + OPENERS))


def tail(unit: str) -> str:
    """The punctuation behind the core of a unit; the full stop of an abbreviation ("p.m.") is not part of it."""
    if unit.isalnum():
        return ""
    match = _TAIL_OF.search(unit)
    if not match:
        return ""
    found = match.group()
    if found[0] == "." and _ENDS_ABBREVIATED.match(unit[: match.start() + 1]):
        return found[1:]
    return found


def core(unit: str) -> str:
    """The unit without the punctuation behind it."""
    behind = tail(unit)
    return unit[: -len(behind)] if behind else unit


def from_text(text: str) -> list[RawWord]:
    """Words without times for text that has none; a space between two Han characters or a new line is a border."""
    words: list[RawWord] = []
    for piece in _HAN_GAP.split(text):
        units = split_units(piece)
        words += [RawWord(unit, 0.0, 0.0) for unit in units]
        if units:
            words[-1] = replace(words[-1], border=True)
    if words:
        words[-1] = replace(words[-1], border=False)
    return words


def from_characters(
    text: str,
    start: Sequence[float],
    end: Sequence[float],
    probability: Sequence[float],
    borders: Iterable[int] = (),
) -> list[RawWord]:
    """Words of a text whose every character has a time.

    Args:
        text: the text as the engine wrote it.
        start: seconds at which each character of `text` begins, and so `end`, and `probability` in [0, 1].
        borders: offsets in `text` behind which a segment of the engine's own ends.
    """
    closed = {offset for offset in borders if offset < len(text)}
    closed |= {match.start() for match in _HAN_GAP.finditer(text)}
    words: list[RawWord] = []
    previous = 0
    for unit, offset in _located(text):
        said = core(unit).lstrip(OPENERS) or unit
        first = text.index(said, offset)
        last = first + len(said)
        if words and any(previous <= border <= first for border in closed):
            words[-1] = replace(words[-1], border=True)
        scores = probability[first:last]
        words.append(
            RawWord(
                text=unit,
                start=float(start[first]),
                end=float(end[last - 1]),
                probability=float(sum(scores)) / len(scores),
            )
        )
        previous = last
    return words


def one_unit_each(words: Iterable[RawWord]) -> list[RawWord]:
    """Words of exactly one unit each: longer ones are cut, their time shared by length; empty ones fall away.

    A word that is only punctuation joins the word before it, or falls away at the beginning.
    """
    result: list[RawWord] = []
    for word in words:
        units = split_units(word.text)
        if units and not _says(units[0]):
            if result:
                result[-1] = replace(result[-1], text=result[-1].text + units[0])
            units = units[1:]
        if units:
            result += _share(word, units)
        elif word.border and result:
            result[-1] = replace(result[-1], border=True)
    return result


def _share(word: RawWord, units: Sequence[str]) -> list[RawWord]:
    if len(units) == 1:
        return [word if word.text == units[0] else replace(word, text=units[0])]
    sizes = [max(1, len(core(unit))) for unit in units]
    step = (word.end - word.start) / sum(sizes) if sizes else 0.0
    shared: list[RawWord] = []
    start = word.start
    for index, (unit, size) in enumerate(zip(units, sizes, strict=True)):
        last = index == len(units) - 1
        end = word.end if last else start + step * size
        shared.append(replace(word, text=unit, start=start, end=end, border=word.border and last))
        start = end
    return shared
