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

    def predicted_wait(self, tenant: str = "") -> Seconds:
        """How long this tenant would wait if it came now, from those who go first and what a place has taken so far."""
        if sum(self._taken.values()) < self._number:
            return 0.0
        own = len(self._waiting.get(tenant, ()))
        others = sum(min(len(queue), own + 1) for name, queue in self._waiting.items() if name != tenant)
        return (1 + own + others) * self._cost / self._number

    def admit(self, tenant: str) -> None:
        """Pass while this tenant would get a place in time.

        Raises:
            Overloaded: it would not.
        """
        wait = self.predicted_wait(tenant)
        if wait > self._max_wait:
            raise Overloaded(f"the predicted wait is {wait:.0f} s; try again later", wait - self._max_wait)

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
        self.admit(tenant)
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
        while self._waiting:
            first = min(self._waiting, key=lambda name: (self._taken.get(name, 0), self._served.get(name, -1)))
            mine = self._waiting[first][0]
            self._forget(first, mine)
            if not mine.done():  # else its owner was cancelled and has not noticed yet
                self._give(first)
                mine.set_result(None)
                break
        if not self._waiting:
            self._served = {name: turn for name, turn in self._served.items() if name in self._taken}

    def _forget(self, tenant: str, mine: asyncio.Future[None]) -> None:
        queue = self._waiting.get(tenant, deque())
        if mine in queue:
            queue.remove(mine)
            if not queue:
                del self._waiting[tenant]
