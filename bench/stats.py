"""Percentiles and the text measures of live streams: coverage, lag, erasure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

_DIGIT = re.compile(r"(\d)")
_HAN_DIGITS = str.maketrans("〇零一二两三四五六七八九幺", "0012234567891")


@dataclass(frozen=True, slots=True)
class Summary:
    """Percentiles of `count` measurements; None where there were none."""

    count: int
    p50: float | None
    p95: float | None
    max: float | None

    @classmethod
    def of(cls, values: Iterable[float]) -> Summary:
        """Of these values, with linear interpolation between ranks."""
        array = np.fromiter(values, float)
        if not array.size:
            return cls(0, None, None, None)
        middle, high = np.percentile(array, [50, 95]).tolist()
        return cls(array.size, middle, high, float(array.max()))


def common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many units two texts have in common from their start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def erased(before: Sequence[str], after: Sequence[str]) -> int:
    """Units of `before` that `after` does not begin with, so that a reader saw them change."""
    return len(before) - common(before, after)


def digits_apart(units: Iterable[str]) -> list[str]:
    """The units with every digit a unit of its own, Chinese ones as Arabic: how a number is written says nothing about
    how far a text reaches."""
    return [piece for unit in units for piece in _DIGIT.split(unit.translate(_HAN_DIGITS)) if piece]


def coverage(shown: Sequence[str], final: Sequence[str]) -> int:
    """How many units of the final text the text shown reaches: the longest of the beginnings of `final` that are
    nearest to `shown` by edit distance."""
    row = list(range(len(final) + 1))
    for index, left in enumerate(shown, start=1):
        diagonal, row[0] = row[0], index
        for column, right in enumerate(final, start=1):
            diagonal, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, diagonal + (left != right))
    best = min(row)
    return max(column for column, distance in enumerate(row) if distance == best)


def transfer(source: Sequence[str], times: Sequence[float], target: Sequence[str]) -> list[float]:
    """Times for the units of `target` from a `source` that has times, by aligning the two.

    Units that the alignment pairs take the time of their partner; those between are spread evenly.
    """
    if not target:
        return []
    known = [(column, times[index]) for index, column in _pairs(source, target)]
    first, last = (times[0], times[-1]) if times else (0.0, 0.0)
    places = [column for column, _ in known]
    if not places or places[0] != 0:
        known.insert(0, (0, min(first, known[0][1] if known else first)))
    if known[-1][0] != len(target) - 1:
        known.append((len(target) - 1, max(last, known[-1][1])))
    spread = np.interp(np.arange(len(target)), [column for column, _ in known], [time for _, time in known])
    result: list[float] = np.maximum.accumulate(spread).tolist()
    return result


def lag(now: float, covered: int, spoken: Sequence[float]) -> float:
    """Seconds for which the oldest spoken unit that is not shown has been waiting at `now`; 0 when all are shown.

    Args:
        covered: how many units are shown.
        spoken: when each unit of the final text had been spoken, ascending.
    """
    return max(0.0, now - spoken[covered]) if covered < len(spoken) else 0.0


def _pairs(source: Sequence[str], target: Sequence[str]) -> list[tuple[int, int]]:
    """Indices that the best alignment by edit distance pairs, in order."""
    rows, columns = len(source), len(target)
    cost = np.zeros((rows + 1, columns + 1), int)
    cost[:, 0], cost[0, :] = np.arange(rows + 1), np.arange(columns + 1)
    for row in range(1, rows + 1):
        for column in range(1, columns + 1):
            change = source[row - 1] != target[column - 1]
            cost[row, column] = min(
                cost[row - 1, column - 1] + change, cost[row - 1, column] + 1, cost[row, column - 1] + 1
            )
    pairs: list[tuple[int, int]] = []
    row, column = rows, columns
    while row and column:
        change = source[row - 1] != target[column - 1]
        if cost[row, column] == cost[row - 1, column - 1] + change:
            row, column = row - 1, column - 1
            pairs.append((row, column))
        elif cost[row, column] == cost[row - 1, column] + 1:
            row -= 1
        else:
            column -= 1
    return pairs[::-1]
