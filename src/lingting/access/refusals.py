"""Bearers and logins that were refused lately: asked again, they are answered from memory. Event loop only."""

from __future__ import annotations

import copy
from collections.abc import Callable

from lingting.access.errors import AccessError

MOST = 10_000
SECONDS = 60.0


class Refusals:
    """At most `MOST` refusals, the oldest of which go first, for at most `SECONDS`.

    Whoever keeps them clears them when credentials change, so that a new one works at once.

    Args:
        monotonic: seconds that only go forward.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._refused: dict[bytes, tuple[float, AccessError]] = {}

    def __len__(self) -> int:
        return len(self._refused)

    def add(self, digest: bytes, error: AccessError) -> None:
        """Remember how something with this digest was refused."""
        self._refused.pop(digest, None)
        while len(self._refused) >= MOST:
            del self._refused[next(iter(self._refused))]
        self._refused[digest] = self._monotonic() + SECONDS, copy.copy(error)

    def find(self, digest: bytes) -> AccessError | None:
        """The error to raise again, if there is one."""
        until, error = self._refused.get(digest, (0.0, None))
        if error is not None and until <= self._monotonic():
            del self._refused[digest]
            return None
        return copy.copy(error)

    def clear(self) -> None:
        """Forget all: credentials have changed."""
        self._refused.clear()
