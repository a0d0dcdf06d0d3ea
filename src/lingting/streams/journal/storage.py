"""What a journal asks of the place where it is kept; the storage in memory."""

from __future__ import annotations

from collections import deque
from typing import Protocol, TypeAlias

from lingting.errors import Overloaded

Key: TypeAlias = tuple[str, str]
"""Tenant and stream_id."""


class JournalError(Overloaded):
    """The journal cannot be written or read now, so that nothing can be acknowledged; trying again makes sense."""


class Storage(Protocol):
    """Keeps entries by stream, in the order in which they were appended. Used from one event loop; nothing blocks it.

    An entry that was appended survives the process. Every method may raise JournalError, and StreamMoved where another
    process has taken the stream over.
    """

    async def append(self, key: Key, entry: bytes) -> int:
        """Keep an entry behind those that are there; returns its number, which only grows for a key."""

    async def checkpoint(self, key: Key, entry: bytes, first: int) -> int:
        """Keep an entry that makes those below number `first` needless: they are dropped, at once or a little later.

        When nothing before the entry is needed any more, that is when `first` is its own number, they go at once.
        """

    async def recover(self, key: Key) -> list[tuple[int, bytes]]:
        """The entries that are kept, with their numbers; after a crash without one that was not appended whole."""

    async def forget(self, key: Key) -> None:
        """Drop everything of a stream."""

    async def sweep(self, seconds: float) -> None:
        """Drop streams that a former process left and nobody went on with for so long."""

    async def close(self) -> None:
        """Let go of files and connections."""


class MemoryStorage:
    """Keeps entries in this process: for tests, and for sessions that move within it."""

    def __init__(self) -> None:
        self._entries: dict[Key, deque[tuple[int, bytes]]] = {}
        self._numbers: dict[Key, int] = {}

    async def append(self, key: Key, entry: bytes) -> int:
        number = self._numbers[key] = self._numbers.get(key, -1) + 1
        self._entries.setdefault(key, deque()).append((number, entry))
        return number

    async def checkpoint(self, key: Key, entry: bytes, first: int) -> int:
        number = await self.append(key, entry)
        entries = self._entries[key]
        while entries[0][0] < first:
            entries.popleft()
        return number

    async def recover(self, key: Key) -> list[tuple[int, bytes]]:
        return list(self._entries.get(key, ()))

    async def forget(self, key: Key) -> None:
        self._entries.pop(key, None)
        self._numbers.pop(key, None)

    async def sweep(self, seconds: float) -> None:
        """What is in memory goes with the process."""

    async def close(self) -> None:
        """Nothing is held."""
