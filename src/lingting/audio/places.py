"""A few places that tenants share: whoever has fewest of them gets the next one that is free."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from itertools import count

from lingting.domain import Seconds
from lingting.errors import Overloaded

_FIRST_COST: Seconds = 1.0
_MEMORY = 0.8


class Places:
    """Places for work that takes a while; for one event loop.

    Of the tenants that wait, the one with the fewest places goes first, and of equals the one that got a place longest
    ago, so that ten files of one tenant do not keep another's only file waiting.

    Args:
        number: places.
        max_wait: no longer wait is begun or gone on with.
    """

    def __init__(self, number: int, max_wait: Seconds) -> None:
        self._number = number
        self._max_wait = max_wait
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._served: dict[str, int] = {}
        self._turns = count()
        self._cost = _FIRST_COST

    def predicted_wait(self) -> Seconds:
        """How long somebody who came now would wait for a place, from those who wait and what a place has taken."""
        if sum(self._taken.values()) < self._number:
            return 0.0
        return (1 + sum(map(len, self._waiting.values()))) * self._cost / self._number

    @contextlib.asynccontextmanager
    async def place(self, tenant: str) -> AsyncIterator[None]:
        """Hold a place.

        Raises:
            Overloaded: there is none in time.
        """
        await self._take(tenant)
        began = time.monotonic()
        try:
            yield
        finally:
            self._cost = _MEMORY * self._cost + (1 - _MEMORY) * (time.monotonic() - began)
            self._release(tenant)

    async def _take(self, tenant: str) -> None:
        if sum(self._taken.values()) < self._number:
            self._give(tenant)
            return
        wait = self.predicted_wait()
        if wait > self._max_wait:
            raise Overloaded(f"the predicted wait is {wait:.0f} s; try again later", wait - self._max_wait)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(mine)
        try:
            async with asyncio.timeout(self._max_wait if self._max_wait < float("inf") else None):
                await mine
        except BaseException as error:
            if mine.done() and not mine.cancelled():
                self._release(tenant)
            else:
                self._forget(tenant, mine)
            if isinstance(error, TimeoutError):
                raise Overloaded("too many files wait to be decoded; try again later", self._max_wait) from None
            raise

    def _give(self, tenant: str) -> None:
        self._taken[tenant] = self._taken.get(tenant, 0) + 1
        self._served[tenant] = next(self._turns)

    def _release(self, tenant: str) -> None:
        self._taken[tenant] -= 1
        if not self._taken[tenant]:
            del self._taken[tenant]
        if self._waiting:
            first = min(self._waiting, key=lambda name: (self._taken.get(name, 0), self._served.get(name, -1)))
            mine = self._waiting[first][0]
            self._forget(first, mine)
            self._give(first)
            mine.set_result(None)
        if not self._waiting:
            self._served = {name: turn for name, turn in self._served.items() if name in self._taken}

    def _forget(self, tenant: str, mine: asyncio.Future[None]) -> None:
        self._waiting[tenant].remove(mine)
        if not self._waiting[tenant]:
            del self._waiting[tenant]
