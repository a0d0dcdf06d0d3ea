"""What live work asks of the machine: how much compute it takes lately, how late its text comes, and what it would take
if the text came at another time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lingting.domain import Seconds

OVER: Seconds = 10.0
"""Time constant of the averages of compute."""

_LAG_WEIGHT = 0.1
"""Of the newest text in the average lag."""

_LAG_STAYS: Seconds = 2.0
"""So long without text the average stays as it is; then it goes down by a second a second."""


@dataclass(slots=True)
class _Average:
    """Lanes that were busy lately: an exponential average over `OVER`."""

    lanes: float = 0.0
    at: float = 0.0

    def now(self, now: float) -> float:
        return self.lanes * math.exp((self.at - now) / OVER)

    def add(self, cost: Seconds, now: float) -> None:
        self.lanes, self.at = self.now(now) + cost / OVER, now


class LiveLoad:
    """Measures live work. Not thread-safe: its owner locks; `now` is of `time.monotonic`.

    Some of it must be done whatever happens, such as final text. Guesses give way: a stream has one at a time, which
    hears the newest sound when its turn comes, so they fill idle lanes, and become the fewer the later they come.
    """

    def __init__(self) -> None:
        self._firm = _Average()
        self._giving_way = _Average()
        self._lag: Seconds = 0.0
        self._lag_at = 0.0

    def worked(self, cost: Seconds, now: float, *, gives_way: bool) -> None:
        """A lane was busy with live work for `cost` seconds."""
        (self._giving_way if gives_way else self._firm).add(cost, now)

    def told(self, lag: Seconds, now: float) -> None:
        """There was text so long after the oldest sound that it is about."""
        before = self.lag(now)
        self._lag, self._lag_at = before + _LAG_WEIGHT * (lag - before), now

    def lag(self, now: float) -> Seconds:
        """How late text came lately, on average."""
        return max(0.0, self._lag - max(0.0, now - self._lag_at - _LAG_STAYS))

    def demand(self, lag: Seconds, within: Seconds, now: float) -> float:
        """Lanes that the same live work would keep busy if its text came `within` so many seconds, and not after `lag`
        as it does: what gives way comes as much more often as text would come earlier."""
        return self._firm.now(now) + self._giving_way.now(now) * lag / within
