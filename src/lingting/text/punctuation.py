"""Punctuation: what the engine wrote, in the form of its language, and what it left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lingting.domain import Language, RawWord, Seconds
from lingting.text import breaks, capitals, questions
from lingting.text.words import CLOSERS, OPENERS, core, has_han, is_han, one_unit_each, tail

_FULL_WIDTH = {",": "，", "、": "、", ".": "。", "?": "？", "!": "！", ";": "；", ":": "：", "…": "……"}
_HALF_WIDTH = {",": ",", "、": ",", ".": ".", "?": "?", "!": "!", ";": ";", ":": ":", "…": "..."}
_KIND = {"，": ",", "。": ".", "？": "?", "！": "!", "；": ";", "：": ":"}
_STRENGTH = "?!.…;:,、"
"""Of a run of marks, the one that stays, strongest first."""
_FINAL = frozenset("?!.…")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Pauses:
    """Pauses that make a mark where the engine wrote none, in seconds.

    Attributes:
        comma: a comma in Chinese.
        stop: a full stop in Chinese.
        border: a full stop in Chinese where a segment of the engine's own ends.
        english_comma: a comma in English, which engines punctuate well themselves.
        english_stop: a full stop in English.
    """

    comma: Seconds = 0.35
    stop: Seconds = 0.8
    border: Seconds = 0.5
    english_comma: Seconds = 0.6
    english_stop: Seconds = 1.2


DEFAULT_PAUSES = Pauses()


def restore(
    words: Sequence[RawWord],
    language: Language,
    *,
    pauses: Pauses = DEFAULT_PAUSES,
    speech: Sequence[tuple[Seconds, Seconds]] = (),
    final: bool = True,
    is_word: Callable[[str], bool] | None = None,
    punctuated: bool = False,
) -> list[RawWord]:
    """Write punctuation as a person would: full-width in Chinese, Latin in English.

    Marks of the engine stay where they are sensible; runs of them become one, and leading ones fall away. Missing
    ones are put back from pauses, from the engine's segment borders and from the words themselves. Words without
    times (all zero) get marks from borders and words only. What was said does not change, but for capitals in English.

    Args:
        words: one unit each; longer ones are cut.
        speech: spans in which somebody is heard, without padding, ascending; silence between them counts as pause.
        final: whether the utterance has ended, so that its last word ends a sentence.
        is_word: whether two to four Han characters are a word; no comma is put inside one.
        punctuated: the marks that are there can be relied on; none is added.
    """
    draft = _Draft(one_unit_each(words), pauses, speech, final, is_word)
    if language == "zh" and not punctuated:
        draft.mark_chinese()
    elif not punctuated:
        draft.mark_english()
    return draft.written(language)


class _Draft:
    """Words, and the mark behind each in its half-width form, "" for none."""

    def __init__(
        self,
        units: list[RawWord],
        pauses: Pauses,
        speech: Sequence[tuple[Seconds, Seconds]],
        final: bool,
        is_word: Callable[[str], bool] | None,
    ) -> None:
        self.units = units
        self.cores = [core(unit.text) for unit in units]
        self.tails = [tail(unit.text) for unit in units]
        self.marks = [_mark_of(behind) for behind in self.tails]
        self.gaps = [*breaks.gaps(units, speech), 0.0]
        self.pauses = pauses
        self.final = final
        self.is_word = is_word

    def mark_chinese(self) -> None:
        clause = sentence = 0
        for index in range(len(self.units)):
            mark = self.marks[index]
            if index == len(self.units) - 1:
                if self.final and mark not in _FINAL:
                    mark = "."
            elif not mark:
                mark = self._missing(index, index + 1 - clause)
            if mark == "." and questions.chinese(self.cores[sentence : index + 1], self.marks[sentence:index]):
                mark = "?"
            self.marks[index] = mark
            if mark:
                clause = index + 1
            if mark in _FINAL:
                sentence = index + 1

    def _missing(self, index: int, left: int) -> str:
        """The mark behind a unit that has none; `left` units stand before it since the last mark."""
        gap, border, cores = self.gaps[index], self.units[index].border, self.cores
        stop = gap >= self.pauses.stop or (border and gap >= self.pauses.border)
        pause = gap >= self.pauses.comma
        right = breaks.until_mark(self.marks, index + 1)
        if questions.ends_asking(cores, index):
            return "?"
        if breaks.opens_clause(cores, index + 1):
            least = breaks.OPENER_LEFT if not (border or pause) else 2
            return "." if stop and left >= breaks.STOP_LEFT else "," if left >= least and right >= 2 else ""
        if not (stop or pause or border) or not breaks.may_break(cores, index, paused=stop or pause):
            return ""
        if stop and breaks.leads(cores, index):
            return ","
        if stop:
            return "." if left >= breaks.STOP_LEFT or gap >= 2 * self.pauses.stop else ","
        enough = (2, 2) if pause else (breaks.BORDER_LEFT, breaks.BORDER_RIGHT)
        split = breaks.opens(cores, index) or (
            self.is_word is not None and breaks.inside_word(cores, index, self.is_word)
        )
        return "," if left >= enough[0] and right >= enough[1] and not split else ""

    def mark_english(self) -> None:
        sentence = 0
        bare = not any(self.marks[:-1])
        for index in range(len(self.units)):
            mark = self.marks[index]
            if index == len(self.units) - 1:
                missing = "." if self.final and mark not in _FINAL else ""
            else:
                missing = self._missing_english(index) if bare and not mark else ""
            if missing == "." and questions.english(self.cores[sentence : index + 1]):
                missing = "?"
            self.marks[index] = missing or mark
            if self.marks[index] in _FINAL:
                sentence = index + 1

    def _missing_english(self, index: int) -> str:
        gap = self.gaps[index]
        if gap >= self.pauses.english_stop or (self.units[index].border and gap >= self.pauses.stop):
            return "."
        return "," if gap >= self.pauses.english_comma else ""

    def written(self, language: Language) -> list[RawWord]:
        """The words with their marks as they stand in text."""
        result: list[RawWord] = []
        capital = language == "en"
        cores = self.cores
        if capital:
            cores = capitals.calm(cores, [mark in _FINAL for mark in self.marks])
        for index, unit in enumerate(self.units):
            said = cores[index]
            if language == "en":
                said = _capital(said, start=capital)
                capital = self.marks[index] in _FINAL
            closers = "".join(c for c in self.tails[index] if c in CLOSERS or c == "'")
            mark = self._mark_in_text(index, language)
            first = self.tails[index][:1]
            text = said + (closers + mark if first and first in closers else mark + closers)
            result.append(unit if text == unit.text else replace(unit, text=text))
        return result

    def _mark_in_text(self, index: int, language: Language) -> str:
        """Full-width beside Han characters and at the end of Chinese, else half-width."""
        mark, said = self.marks[index], self.cores[index]
        if not mark or (mark == "." and said.endswith(".")):
            return ""
        following = self.cores[index + 1] if index + 1 < len(self.cores) else ""
        kept = any(c in _KIND or c == "、" for c in self.tails[index]) or "……" in self.tails[index]
        if language == "en":
            full = is_han(said) and (kept or has_han(following))
        elif following:
            full = kept or is_han(said) or has_han(following)
        else:
            added = not self.tails[index] and not _LETTER.search(said)
            full = kept or added or any(map(has_han, self.cores))
        return (_FULL_WIDTH if full else _HALF_WIDTH)[mark]


def _mark_of(behind: str) -> str:
    """The one mark that the punctuation behind a unit amounts to, in its half-width form."""
    kinds = [_KIND.get(c, c) for c in behind]
    if (".." in behind or "…" in behind) and not {"?", "!"}.intersection(kinds):
        return "…"
    found = [kind for kind in kinds if kind in _STRENGTH]
    return min(found, key=_STRENGTH.index) if found else ""


def _capital(text: str, *, start: bool) -> str:
    bare = text.lstrip(OPENERS)
    opened = text[: len(text) - len(bare)]
    if bare == "i" or bare.startswith(("i'", "i’")) or (start and bare.islower() and "." not in bare.removesuffix(".")):
        bare = bare[0].upper() + bare[1:]
    return opened + bare
