"""An event loop in a thread of its own, for programs that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from lingting.errors import LingtingError

T = TypeVar("T")


class Loop:
    """Runs what is given to it from any thread, until it is closed.

    Attributes:
        closed: whether nothing more is taken.
    """

    def __init__(self) -> None:
        self.closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="transcriber", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it and wait; it is cancelled when waiting is interrupted. Errors: as `submit`."""
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin it.

        Raises:
            LingtingError: the transcriber is closed.
        """
        if self.closed:
            work.close()
            raise LingtingError("this transcriber is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def post(self, work: Callable[..., object], *arguments: Any) -> None:
        """Have it called, without waiting. Errors: as `submit`."""
        if self.closed:
            raise LingtingError("this transcriber is closed")
        self._loop.call_soon_threadsafe(work, *arguments)

    def end(self, last: Coroutine[Any, Any, None]) -> None:
        """Take nothing more, run `last`, and cancel what is not finished; the loop still turns until `close`."""
        self.closed = True
        asyncio.run_coroutine_threadsafe(_last(last), self._loop).result()

    def close(self) -> None:
        """Stop the loop and its thread, behind `end`."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _last(work: Coroutine[Any, Any, None]) -> None:
    await work
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
