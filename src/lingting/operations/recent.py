"""How long answers took lately: percentiles by interface for those who look at the server now."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 300.0
_KEPT = 5000


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one interface within the window; times in seconds."""

    interface: str
    requests: int
    caller_errors: int
    server_errors: int
    median: float
    p95: float
    longest: float


class Recent:
    """The answers of the last `WINDOW_SECONDS`, at most 5000 for each interface. Use from one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._seen: dict[str, deque[tuple[float, float, bool | None]]] = {}

    @property
    def uptime_seconds(self) -> float:
        """Time since the server began to answer."""
        return self._clock() - self._started

    def observe(self, interface: str, seconds: float, *, ours: bool | None) -> None:
        """Note one answer; `ours` says whose the error is, None that there was none."""
        self._seen.setdefault(interface, deque(maxlen=_KEPT)).append((self._clock(), seconds, ours))

    def summary(self) -> list[Answers]:
        """Every interface that answered within the window, by name."""
        oldest = self._clock() - WINDOW_SECONDS
        rows = []
        for interface, seen in sorted(self._seen.items()):
            while seen and seen[0][0] < oldest:
                seen.popleft()
            if seen:
                times = sorted(seconds for _, seconds, _ in seen)
                rows.append(
                    Answers(
                        interface,
                        len(times),
                        sum(ours is False for _, _, ours in seen),
                        sum(ours is True for _, _, ours in seen),
                        _percentile(times, 0.5),
                        _percentile(times, 0.95),
                        times[-1],
                    )
                )
        return rows


def _percentile(ordered: list[float], share: float) -> float:
    """The smallest value that is not below `share` of all values (nearest rank)."""
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]
