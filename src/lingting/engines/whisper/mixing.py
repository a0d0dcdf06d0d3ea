"""An utterance in two languages, from what the model wrote of it in each.

Whisper writes one language at a time, and what is said in the other comes out as nonsense of which it is unsure:
打开 come in maybe is written 打开靠近未必, or but I can't come in maybe. The two texts are laid side by side by time,
and the likeliest way through both is taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lingting.domain import Language, Seconds
from lingting.recognition.engine import CharacterTimes
from lingting.text.words import OPENERS, core, has_han, split_units

SWITCH = 1.0
"""Nats of a change of language."""
BETTER: dict[Language, float] = {"zh": 3.0, "en": 0.0}
"""Nats by which a text in both must be likelier than the one in the language that the utterance seems to be in. Clear
English is far from such doubt; what is in doubt and seems to be English is mostly a Mandarin speaker's."""
PIECE = 1.0
"""Nats of every further token of a word: what the model has no token for is seldom a word of the language."""
APART: Seconds = 0.16
"""Words of the two texts that begin so near each other begin at the same time."""

_LEAST = 1e-6
_LATIN = re.compile("[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Written:
    """What the model wrote of an utterance, or part of it, with the times of its characters."""

    text: str
    times: CharacterTimes


@dataclass(frozen=True, slots=True)
class _Unit:
    """A Han character or Latin word: its offset, cost in nats, end of the one before, and own start."""

    offset: int
    cost: float
    before: Seconds
    start: Seconds


def mixed(text: Written, other: Written, language: Language) -> Written | None:
    """Both texts in one, each where the model was surer; None where `text` is best as it is.

    Args:
        text: in the language that the utterance seems to be in.
        other: the same utterance in the other language.
        language: that of `text`.
    """
    chinese = text if language == "zh" else other
    if has_han(chinese.text) and _LATIN.search(chinese.text):  # told Chinese, it writes English where it hears it
        return None if language == "zh" else other
    first, second = _units(text), _units(other)
    if not first or not second:
        return None
    cost, path = _cheapest(first, second)
    if cost > sum(unit.cost for unit in first) - BETTER[language]:
        return None
    both = _joined([_part((text, other)[which], (first, second)[which], start, end) for which, start, end in path])
    # digits are of either language: five five is not 5、5
    return both if has_han(both.text) and _LATIN.search(both.text) else None


def _units(written: Written) -> list[_Unit]:
    """The units of a text; none where one is not found in it, as words of stray marks are not."""
    units: list[_Unit] = []
    times = written.times
    place = 0
    before = 0.0
    for unit in split_units(written.text):
        said = core(unit).lstrip(OPENERS) or unit
        first = written.text.find(said, place)
        if first < 0:
            return []
        place = first + len(said)
        probability = [max(float(each), _LEAST) for each in times.probability[first:place]]
        if has_han(said):
            pieces = probability
        else:  # the characters of a token have one probability
            pieces = [each for index, each in enumerate(probability) if not index or each != probability[index - 1]]
        cost = -sum(math.log(each) for each in pieces) + PIECE * (len(pieces) - 1)
        start = float(times.start[first])
        units.append(_Unit(first, cost, min(before, start), start))
        before = float(times.end[place - 1])
    return units


def _cheapest(first: Sequence[_Unit], second: Sequence[_Unit]) -> tuple[float, list[tuple[int, int, int]]]:
    """The cheapest way through two texts, which may change from one to the other where words of both begin.

    Returns:
        its cost, and its parts: which of the two, the first unit, and one past the last.
    """
    meetings = [(0, 0), *_meetings(first, second), (len(first), len(second))]
    sums = [np.cumsum([0.0, *(unit.cost for unit in units)]).tolist() for units in (first, second)]
    best: list[list[tuple[float, int, int]]] = [[(0.0, 0, 0), (SWITCH, 0, 1)]]
    for place in range(1, len(meetings)):
        best.append([(math.inf, 0, 0)] * 2)
        for earlier in range(place):
            if any(meetings[earlier][which] > meetings[place][which] for which in (0, 1)):
                continue
            for which in (0, 1):
                own = sums[which][meetings[place][which]] - sums[which][meetings[earlier][which]]
                for came in (0, 1):
                    cost = best[earlier][came][0] + own + SWITCH * (came != which and earlier > 0)
                    if cost < best[place][which][0]:
                        best[place][which] = (cost, earlier, came)
    which = min((0, 1), key=lambda each: best[-1][each][0])
    total = best[-1][which][0]
    parts: list[tuple[int, int, int]] = []
    place = len(meetings) - 1
    while place:
        _, earlier, came = best[place][which]
        parts.append((which, meetings[earlier][which], meetings[place][which]))
        place, which = earlier, came
    return total, [part for part in reversed(parts) if part[1] < part[2]]


def _meetings(first: Sequence[_Unit], second: Sequence[_Unit]) -> Iterator[tuple[int, int]]:
    """The pairs of units that begin at the same time: the pauses before them meet, or nearly."""
    for one, unit in enumerate(first[1:], start=1):
        for two, other in enumerate(second[1:], start=1):
            if max(unit.before, other.before) - min(unit.start, other.start) <= APART:
                yield one, two


def _part(written: Written, units: Sequence[_Unit], start: int, end: int) -> Written:
    begin = units[start].offset if start else 0
    behind = units[end].offset if end < len(units) else len(written.text)
    times = written.times
    arrays = (array[begin:behind] for array in (times.start, times.end, times.probability))
    return Written(written.text[begin:behind], CharacterTimes(*arrays))


def _joined(parts: Sequence[Written]) -> Written:
    """The parts one after the other, a space between them; no time runs backwards."""
    text = ""
    starts, ends, probabilities = [], [], []
    for part in parts:
        if text and not text.endswith(" "):
            text += " "
            starts.append(part.times.start[:1])
            ends.append(part.times.start[:1])
            probabilities.append(part.times.probability[:1])
        text += part.text
        starts.append(part.times.start)
        ends.append(part.times.end)
        probabilities.append(part.times.probability)
    start = np.maximum.accumulate(np.concatenate(starts))
    return Written(text, CharacterTimes(start, np.maximum(start, np.concatenate(ends)), np.concatenate(probabilities)))
