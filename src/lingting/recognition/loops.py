"""Repetition: telling an engine that repeats itself from a person who does, by the time that it takes to speak."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lingting.domain import Seconds
from lingting.recognition.engine import CharacterTimes
from lingting.text.words import HAN

FASTEST = 10.0
"""Syllables a second that nobody exceeds for longer than a word; rapid Mandarin has 7."""

_COMPRESSION = 2.4
_CHARACTERS_PER_SECOND = 30.0
_LEAST = 8
_REPETITION = re.compile(r"(.{1,24}?)\1{3,}", re.DOTALL)
_STUTTER = re.compile(rf"([{HAN}])\1{{3,}}")
_LEAST_AROUND = 4
_SAID_AGAIN = frozenset("哈呵嘿嘻嘎啊哦噢呃嗯唔喂哎唉对是好行不没来走快等看听说谢再大很太真零一二三四五六七八九幺两")
"""Characters that people do say four times in a row."""
_DIGITS = re.compile(r"[\d零一二三四五六七八九〇幺两.\s-]+")
_SYLLABLE = re.compile(rf"[{HAN}]|\d|[aeiouy]+|\b[^\W\d_aeiouy{HAN}]+\b", re.IGNORECASE)


def loops(text: str, seconds: Seconds) -> bool:
    """Whether `text` looks like an engine that repeats itself, so that a second answer is worth its compute.

    A short unit that stands there four times in a row, a character that nobody says four times in a row and that stands
    so in a longer text, or text that compresses by more than 2.4 (Whisper's own
    measure), is suspicious; spoken digits may repeat. People repeat themselves as well, so nothing may be deleted on
    this verdict alone: see `impossible` and `cut`.
    """
    if len(text) > 16 + _CHARACTERS_PER_SECOND * seconds:
        return True
    if any(not _DIGITS.fullmatch(found.group(1)) for found in _repetitions(text)):
        return True
    for found in _STUTTER.finditer(text):
        if found.group(1) not in _SAID_AGAIN and len(text) - len(found.group()) >= _LEAST_AROUND:
            return True
    raw = text.encode()
    return len(raw) > 60 and len(raw) / len(zlib.compress(raw)) > _COMPRESSION


def impossible(text: str, seconds: Seconds) -> bool:
    """Whether `text` repeats itself and is more than anyone says in `seconds`."""
    return syllables(text) > FASTEST * seconds and any(True for _ in _repetitions(text))


def syllables(text: str) -> int:
    """About how many syllables `text` has: one for a Han character, a digit, or a group of Latin vowels."""
    return sum(1 for _ in _SYLLABLE.finditer(text))


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays of a text.

    Attributes:
        text: the characters that stay.
        places: where each of them stood in the text before, ascending, shape (len(text),).
    """

    text: str
    places: NDArray[np.intp]

    def times(self, times: CharacterTimes) -> CharacterTimes:
        """The times of the characters that stay, of those of the text before."""
        return CharacterTimes(times.start[self.places], times.end[self.places], times.probability[self.places])

    def borders(self, borders: Iterable[int]) -> tuple[int, ...]:
        """Offsets in the text before as offsets in this one; those inside what is gone fall together."""
        return tuple(sorted({int(np.searchsorted(self.places, border)) for border in borders} - {0}))


def cut(text: str, seconds: Seconds, times: CharacterTimes | None = None, *, truncated: bool = False) -> Kept:
    """Take out of `text` the rounds of a repetition that nobody can have said in the time; all behind them stays.

    An engine that loops has no sound for its rounds, so alignment gives them next to no time. With times, the rounds
    from the first on behind which two or more come at twice `FASTEST` are gone. Without, rounds are gone until the
    rest can be said in `seconds`. At least one round stays.

    Args:
        text: what the engine wrote, or the same with other characters in the same places.
        seconds: length of the audio.
        times: of the characters of `text`.
        truncated: the engine ran out of its budget: a repetition at the end that no times speak for is its own.
    """
    gone: list[tuple[int, int]] = []
    excess = syllables(text) - FASTEST * seconds
    for found in _repetitions(text):
        size = len(found.group(1))
        rounds = len(found.group()) // size
        each = max(1, syllables(found.group(1)))
        if times is not None:
            kept = _said(times, found.start(), size, rounds, each)
        elif truncated and size > len(text) - found.end():
            kept = 1
        else:
            kept = max(1, rounds - max(0, -int(-excess // each)))
            excess -= each * (rounds - kept)
        if kept == rounds:
            continue
        rest = text[found.end() :]
        end = len(text) if found.group(1).startswith(rest) else found.end()
        gone.append((found.start() + kept * size, end))
    places = np.ones(len(text), np.bool_)
    for first, last in gone:
        places[first:last] = False
    where = np.flatnonzero(places)
    return Kept("".join(text[place] for place in where), where)


def _said(times: CharacterTimes, start: int, size: int, rounds: int, each: int) -> int:
    """How many rounds of a repetition were said: those before the first behind which all come too fast."""
    begins: Sequence[float] = times.start[start : start + rounds * size : size].tolist()
    end = float(times.end[start + rounds * size - 1])
    least = each / (2 * FASTEST)
    for kept in range(1, rounds - 1):
        if end - begins[kept] < (rounds - kept) * least:
            return kept
    return rounds


def _repetitions(text: str) -> Iterable[re.Match[str]]:
    """Where a unit of at most 24 characters stands four times in a row or more, over eight characters at least."""
    return (found for found in _REPETITION.finditer(text) if len(found.group()) >= _LEAST)
