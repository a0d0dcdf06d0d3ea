"""How many live sessions are open, and how many of them are so new that their cost does not show yet."""

from __future__ import annotations

import math
import time

from lingting.domain import Seconds

SHOWS_AFTER: Seconds = 10.0
"""Time constant with which the cost of a session comes to show in what the machine does."""


class Openings:
    """Counts live sessions. Only the event loop touches it."""

    def __init__(self) -> None:
        self.open = 0
        self._usual = 0.0
        self._at = time.monotonic()

    @property
    def new(self) -> float:
        """Sessions that are open above the number of the last seconds."""
        return max(0.0, self.open - self._settle())

    def opened(self) -> None:
        """A session began."""
        self._settle()
        self.open += 1

    def closed(self) -> None:
        """A session ended."""
        self._settle()
        self.open -= 1

    def _settle(self) -> float:
        """The number of the last seconds, up to now."""
        now = time.monotonic()
        self._usual += (self.open - self._usual) * (1 - math.exp((self._at - now) / SHOWS_AFTER))
        self._at = now
        return self._usual
