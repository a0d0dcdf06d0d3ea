"""Punctuation: what the engine wrote, in the form of its language, and what it left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lingting.recognition.types import Language, RawWord, Seconds
from lingting.text import breaks, questions
from lingting.text.words import CLOSERS, OPENERS, core, has_han, is_han, one_unit_each, tail

FULL_WIDTH = {",": "，", ".": "。", "?": "？", "!": "！", ";": "；", ":": "：", "…": "……"}
LATIN = {"，": ",", "、": ",", "。": ".", "？": "?", "！": "!", "；": ";", "：": ":", "…": "..."}
_FINAL = frozenset("。！？.!?…")
_RANK = "?!.…;:,、"
"""Of a run of marks, the one that stays, strongest first."""
_LETTER = re.compile(r"[^\W\d_]")
_LATIN_OF = {"，": ",", "。": ".", "？": "?", "！": "!", "；": ";", "：": ":", "…": "…", "·": ""}


@dataclass(frozen=True, slots=True)
class Pauses:
    """Pauses that make a mark where the engine wrote none, in seconds.

    Attributes:
        comma: a comma in Chinese.
        stop: a full stop in Chinese.
        border: a full stop where a segment of the engine's own ends.
        english_comma: a comma in English, which engines punctuate well themselves.
        english_stop: a full stop in English.
    """

    comma: Seconds = 0.35
    stop: Seconds = 0.8
    border: Seconds = 0.5
    english_comma: Seconds = 0.6
    english_stop: Seconds = 1.2


def restore(
    words: Sequence[RawWord],
    language: Language,
    *,
    pauses: Pauses | None = None,
    speech: Sequence[tuple[Seconds, Seconds]] = (),
    final: bool = True,
) -> list[RawWord]:
    """Write punctuation as a person would: full-width in Chinese, Latin in English.

    Marks of the engine stay where they are sensible; runs of them become one, and leading ones fall away. Missing
    ones are put back from pauses, from the engine's segment borders and from the words themselves. Words without
    times (all zero) get marks from borders and words only. What was said does not change, but for capitals in English.

    Args:
        words: one unit each; longer ones are cut.
        speech: spans in which voice activity heard speech; silence between them counts as pause.
        final: whether the utterance has ended, so that its last word ends a sentence.
    """
    pauses = pauses or Pauses()
    units = one_unit_each(words)
    cores = [core(unit.text) for unit in units]
    marks = [_own_mark(tail(unit.text)) for unit in units]
    closers = ["".join(c for c in tail(unit.text) if c in CLOSERS or c == "'") for unit in units]
    gaps = breaks.gaps(units, speech)
    if language == "zh":
        _mark_chinese(units, cores, marks, gaps, pauses, final)
    else:
        _mark_english(units, cores, marks, gaps, pauses, final)
    result: list[RawWord] = []
    capital = language == "en"
    for index, unit in enumerate(units):
        following = cores[index + 1] if index + 1 < len(cores) else ""
        kept = any(c in FULL_WIDTH.values() for c in tail(unit.text))
        mark = _written(marks[index], cores, index, following, language, kept)
        text = cores[index]
        if language == "en":
            text = _capital(text, capital)
            capital = bool(mark) and mark[-1] in _FINAL
        text += mark + closers[index] if not tail(unit.text).startswith(tuple(CLOSERS)) else closers[index] + mark
        result.append(unit if text == unit.text else replace(unit, text=text))
    return result


def _own_mark(behind: str) -> str:
    """The one mark that a run of marks amounts to, in its Latin form; "" for none."""
    latin = [_LATIN_OF.get(c, c) for c in behind]
    if ".." in behind and not any(c in "?!" for c in latin):
        return "…"
    found = [c for c in latin if c and c in _RANK]
    return min(found, key=_RANK.index) if found else ""


def _mark_chinese(
    units: Sequence[RawWord],
    cores: Sequence[str],
    marks: list[str],
    gaps: Sequence[Seconds],
    pauses: Pauses,
    final: bool,
) -> None:
    clause = sentence = 0
    last = len(units) - 1
    for index in range(len(units)):
        mark = marks[index]
        if index == last:
            if final and mark not in {"?", "!", ".", "…"}:
                mark = "."
        elif not mark:
            mark = _missing_chinese(units, cores, marks, index, clause, gaps[index], pauses)
        if mark in {".", ";"} or (mark == "," and index < last):
            asks = questions.chinese(cores[sentence : index + 1], [*marks[sentence:index], ""])
            if mark == "." and asks:
                mark = "?"
        marks[index] = mark
        if mark:
            clause = index + 1
        if mark in {"?", "!", ".", "…"}:
            sentence = index + 1


def _missing_chinese(
    units: Sequence[RawWord],
    cores: Sequence[str],
    marks: Sequence[str],
    index: int,
    clause: int,
    gap: Seconds,
    pauses: Pauses,
) -> str:
    left = index + 1 - clause
    right = breaks.until_mark(marks, index + 1)
    border = units[index].border
    strength = "none"
    if gap >= pauses.stop or (border and gap >= pauses.border):
        strength = "stop"
    elif gap >= pauses.comma:
        strength = "comma"
    elif border:
        strength = "border"
    if not breaks.may_break(cores, index, strength):
        return ""
    if strength == "stop":
        return "." if left >= breaks.STOP_LEFT or gap >= 2 * pauses.stop else ","
    if questions.ends_asking(cores, index):
        return "?"
    if strength == "comma" and left >= 2 and right >= 2:
        return ","
    if strength == "border" and left >= breaks.BORDER_LEFT and right >= breaks.BORDER_RIGHT:
        return ","
    if breaks.opens_clause(cores, index + 1) and left >= breaks.CONJUNCTION_LEFT and right >= 2:
        return ","
    return ""


def _mark_english(
    units: Sequence[RawWord],
    cores: Sequence[str],
    marks: list[str],
    gaps: Sequence[Seconds],
    pauses: Pauses,
    final: bool,
) -> None:
    sentence = 0
    last = len(units) - 1
    unmarked = not any(marks[:-1])
    for index in range(len(units)):
        if index == last:
            if final and marks[index] not in {"?", "!", ".", "…"}:
                marks[index] = "?" if questions.english(cores[sentence:]) else "."
        elif not marks[index] and unmarked:
            gap = gaps[index]
            if gap >= pauses.english_stop or (units[index].border and gap >= pauses.stop):
                marks[index] = "?" if questions.english(cores[sentence : index + 1]) else "."
            elif gap >= pauses.english_comma:
                marks[index] = ","
        if marks[index] in {"?", "!", ".", "…"}:
            sentence = index + 1


def _written(mark: str, cores: Sequence[str], index: int, following: str, language: Language, kept: bool) -> str:
    """The mark as it stands in text: full-width beside Han characters and at the end of Chinese, else Latin."""
    if not mark or (mark == "." and cores[index].endswith(".")):
        return ""
    if is_han(cores[index]):
        full = language == "zh" or has_han(following)
    elif following:
        full = language == "zh" and has_han(following)
    else:
        full = language == "zh" and (kept or not _LETTER.search(cores[index]) or any(map(has_han, cores)))
    if full:
        return FULL_WIDTH.get(mark, mark)
    return LATIN.get(mark, mark)


def _capital(text: str, start: bool) -> str:
    bare = text.lstrip(OPENERS)
    if bare == "i" or bare.startswith(("i'", "i’")):
        bare = "I" + bare[1:]
    elif start and bare.islower():
        bare = bare[0].upper() + bare[1:]
    return text[: len(text) - len(bare)] + bare
