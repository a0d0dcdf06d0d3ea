"""A clock that runs while a peer is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lingting.domain import Seconds


class Idle:
    """Calls `ended` once when `seen` was not called for so many seconds. Event loop only.

    Args:
        owed: whether the peer waits for an answer; while it does, its silence means nothing.
    """

    def __init__(self, seconds: Seconds, ended: Callable[[], None], owed: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._ended = ended
        self._owed = owed
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_later(seconds, self._look)

    def seen(self) -> None:
        """The peer has said something."""
        self._last = self._loop.time()

    def stop(self) -> None:
        """Call nothing any more."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._owed():
            self.seen()
        left = self._last + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._ended()
