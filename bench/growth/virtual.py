"""An event loop whose time jumps to what happens next, so that minutes of waiting cost none."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")
BEGIN = 1_000_000.0


class _Jumping(selectors.DefaultSelector):
    """Never waits: it moves the clock of its loop instead."""

    clock: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and timeout is not None:
            self.clock.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own. What runs on it must not wait for anything outside."""

    def __init__(self) -> None:
        selector = _Jumping()
        selector.clock = self
        super().__init__(selector)
        self.now = BEGIN

    def time(self) -> float:
        """Seconds of the virtual clock."""
        return self.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a virtual clock, which is `time.monotonic` too meanwhile."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner, mock.patch.object(time, "monotonic", loop.time):
        return runner.run(main)
