"""Work that stops when the client who asked for it leaves, or when it takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request

from lingting.api.http.body import ClientLeft
from lingting.errors import RecognitionTooSlow

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """How long the recognition of one recording may take, from when its audio is there.

    Attributes:
        seconds: the whole time.
        end: when it is over, by the clock of the event loop.
    """

    seconds: float
    end: float

    @classmethod
    def of(cls, seconds: float) -> TimeLimit:
        """A limit that begins now."""
        return cls(seconds, asyncio.get_running_loop().time() + seconds)

    async def within(self, work: Awaitable[T]) -> T:
        """The result of `work`, which is cancelled at the end of the time.

        Raises:
            RecognitionTooSlow: the time is over.
        """
        try:
            async with asyncio.timeout_at(self.end):
                return await work
        except TimeoutError:
            raise RecognitionTooSlow(self.seconds) from None


async def while_connected(request: Request, work: Awaitable[T], limit: TimeLimit) -> T:
    """The result of `work`, which is cancelled when the client leaves or the time is over; call it with the body read.

    Raises:
        ClientLeft: the client closed the connection first.
        RecognitionTooSlow: the time is over.
    """
    working = asyncio.ensure_future(limit.within(work))
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft
        return working.result()
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
