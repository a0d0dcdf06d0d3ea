"""How late the event loop wakes up: the first sign of something that blocks it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lingting.domain import Seconds

EVERY: Seconds = 0.5


async def watch_lag(observe: Callable[[Seconds], None], every: Seconds = EVERY) -> None:
    """Tell again and again how much later than asked the running loop woke this task, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time() + every
        await asyncio.sleep(every)
        observe(max(0.0, loop.time() - asked))
