"""The time of day, and what it would be had nobody set the clock: no token ends because a clock was set."""

from __future__ import annotations

from collections.abc import Callable

from lingting.access.tokens import CLOCK_SKEW, LIFETIME

_MOST = 8
"""So many settings of the clock are remembered."""


class TimeOfDay:
    """Unix seconds, by the clock and by those that it was before it was set. Belongs to the event loop.

    Args:
        clock: Unix seconds; somebody may set it.
        monotonic: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._offset = clock() - monotonic()
        self._before: list[tuple[float, float]] = []

    def readings(self) -> tuple[float, ...]:
        """What the clock shows, and for as long as a token lasts what it would show had it not been set.

        Steps of less than `CLOCK_SKEW` are none: clocks are corrected all the time.
        """
        now, elapsed = self._clock(), self._monotonic()
        offset = now - elapsed
        if abs(offset - self._offset) > CLOCK_SKEW:
            self._before = [(elapsed + LIFETIME + CLOCK_SKEW, self._offset), *self._before][:_MOST]
        self._offset = offset
        return now, *(elapsed + before for until, before in self._before if until > elapsed)
