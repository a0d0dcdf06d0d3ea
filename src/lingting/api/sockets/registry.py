"""All live connections of the server: how many there are, and how they end when it stops."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Connection(Protocol):
    """A connection, whatever protocol it speaks."""

    def leave(self) -> None:
        """Finish what is being said, send its text, and end the connection, with the protocol's word for a restart."""


class Connections:
    """The connections that are open. Event loop only."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """A connection was accepted."""
        self._open.add(connection)

    def discard(self, connection: Connection) -> None:
        """A connection has ended."""
        self._open.discard(connection)
        self._changed.set()

    async def leave(self) -> None:
        """Ask every connection to leave, and return when all have."""
        for connection in list(self._open):
            connection.leave()
        while self._open:
            self._changed.clear()
            await self._changed.wait()
