"""Seconds in which this process ran: nobody's stream ends because the server stood still."""

from __future__ import annotations

import time
from collections.abc import Callable

from lingting.domain import Seconds


class AwakeClock:
    """Seconds that only go forward, and by no more than `most` from one reading to the next.

    A machine that was suspended, or a process that was stopped, could not take packets meanwhile: of that time `most`
    counts. Who lives by it reads it more often than that. Use from one thread.
    """

    def __init__(self, most: Seconds, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._read_at = clock()
        self._seconds = 0.0

    def __call__(self) -> float:
        now = self._clock()
        self._seconds += min(now - self._read_at, self._most)
        self._read_at = now
        return self._seconds
