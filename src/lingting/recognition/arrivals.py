"""When the sound of a stream arrived, by the clock."""

from __future__ import annotations

import time
from collections import deque


class Arrivals:
    """Remembers for the samples of a stream when they came. Only the event loop touches it."""

    def __init__(self) -> None:
        self._ends: deque[tuple[int, float]] = deque()

    def note(self, end: int) -> None:
        """The samples before `end` are there now."""
        self._ends.append((end, time.monotonic()))

    def of(self, sample: int) -> float:
        """When this sample arrived, by `time.monotonic`; now for one that has not come."""
        return next((when for end, when in self._ends if end > sample), time.monotonic())

    def forget(self, before: int) -> None:
        """Nobody will ask for samples before this one."""
        while self._ends and self._ends[0][0] <= before:
            self._ends.popleft()
