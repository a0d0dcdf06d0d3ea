"""Ends work on a database server that has gone silent.

A server that is frozen, or unplugged behind a firewall, answers nothing more: its own timeouts do not hold then, and
the driver waits for ever. So one thread watches the work of all others; when some is past its time, the sockets it uses
are shut down, and its driver raises.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_IDLE_SECONDS = 1.0


@dataclass(eq=False, slots=True)
class _Work:
    until: float
    sockets: list[socket.socket] = field(default_factory=list)
    late: bool = False

    def shut_down(self) -> None:
        self.late = True
        for each in self.sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Deadlines:
    """Time limits for the work of threads; safe to use from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._works: set[_Work] = set()
        self._wake_at = float("inf")
        self._watching = False
        self._mine = threading.local()

    @contextlib.contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Shut down what this thread `uses` in the block when it takes longer than this."""
        work = _Work(time.monotonic() + seconds)
        with self._changed:
            self._works.add(work)
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="lingting-deadlines", daemon=True).start()
            elif work.until < self._wake_at:
                self._changed.notify()
        outer, self._mine.work = getattr(self._mine, "work", None), work
        try:
            yield
        finally:
            self._mine.work = outer
            with self._changed:
                self._works.discard(work)
                for each in work.sockets:
                    each.close()

    def uses(self, connection: Any) -> None:
        """Note that this thread's work uses a driver's connection, if that has a socket."""
        work: _Work | None = getattr(self._mine, "work", None)
        if work is None or not hasattr(connection, "fileno"):
            return
        # A descriptor of our own: the driver's may be closed and its number taken by another before we shut it down.
        with self._changed:
            work.sockets.append(socket.socket(fileno=os.dup(connection.fileno())))
            if work.late:
                work.shut_down()

    def _watch(self) -> None:
        with self._changed:
            while self._works:
                now = time.monotonic()
                for work in self._works:
                    if work.until <= now and not work.late:
                        work.shut_down()
                self._wake_at = min((work.until for work in self._works if not work.late), default=now + _IDLE_SECONDS)
                self._changed.wait(self._wake_at - now)
            self._watching, self._wake_at = False, float("inf")
