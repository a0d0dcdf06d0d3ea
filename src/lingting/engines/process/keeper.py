"""Keeps an engine's process running: starts it, and starts it anew when it has ended."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from lingting import log_ids
from lingting.domain import Seconds
from lingting.engines.process import wire
from lingting.engines.process.child import Child
from lingting.errors import ModelError, RecognitionFailed

log = logging.getLogger(__name__)

_START_WAIT: Seconds = 20.0
"""A call waits this long for a process that is being started."""
_LONGEST_PAUSE: Seconds = 60.0
_FORGET_DEATHS: Seconds = 120.0
_SHORT_LIFE: Seconds = 5.0
"""A process that ends sooner is started the later again the more often that happens."""
_STARTS = 3
"""After so many starts in a row that fail calls do not wait for the next."""


class Keeper:
    """The process of an engine, by a thread of its own. Thread-safe.

    Args:
        name: of the engine.
        factory, arguments: what makes it, as in `wire.Start`.
        lanes: connections for calls.

    Attributes:
        restarts: how often the process was started anew.
        ready: what the engine says of itself.

    Raises:
        ModelError: the engine cannot be loaded, or its process ended over it; with what it printed last.
    """

    def __init__(self, name: str, factory: str, arguments: Mapping[str, Any], lanes: int) -> None:
        self.restarts = 0
        self.ready = wire.Ready()
        self._name = name
        self._factory = factory
        self._arguments = dict(arguments)
        self._lanes = lanes
        self._changed = threading.Condition()
        self._child: Child | None = None
        self._failure = ""
        self._closed = False
        self._deaths: deque[float] = deque(maxlen=16)
        self._failed_starts = 0
        self._thread = threading.Thread(target=self._keep, name=f"engine-{name}", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._child is not None or self._failure)
        if self._child is None:
            self.close()
            raise ModelError(f"the model {name} cannot be loaded: {self._failure}")

    @property
    def running(self) -> Child | None:
        """The process that runs; None while there is none."""
        return self._child if self._child is not None and not self._child.cause else None

    def child(self) -> Child:
        """The process that runs, waited for where it is being started.

        Raises:
            RecognitionFailed: there is none, and none soon.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.running or self._failure or self._closed, _START_WAIT)
            if (child := self.running) is None:
                reason = self._failure or "its process is being started"
                raise RecognitionFailed(f"the engine {self._name} is not running: {reason}")
            return child

    def close(self) -> None:
        """End the process."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._child is not None:
            self._child.kill("the server is stopping")
        self._thread.join()

    # -- in its thread ------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._closed:
            lived: Seconds = 0.0
            child = self._start()
            if child is not None:
                began = time.monotonic()
                with self._changed:
                    self._child, self._failure, self._failed_starts = child, "", 0
                    self._changed.notify_all()
                if self._closed:
                    child.kill("the server is stopping")
                child.watch(self._name)
                lived = time.monotonic() - began
                with self._changed:
                    self._child = None
                child.end()
                if not self._closed:
                    with log_ids.about(log_ids.joined(child.callers)):
                        log.error("the engine %s ended: %s; it is started anew", self._name, child.cause)
            elif not self.restarts and not self._deaths:
                return  # it never ran: the constructor raises
            now = time.monotonic()
            if lived < _SHORT_LIFE:
                self._deaths.append(now)
            self.restarts += 1
            lately = sum(now - death < _FORGET_DEATHS for death in self._deaths)
            if lately > 1:
                with self._changed:
                    pause = min(_LONGEST_PAUSE, 0.5 * 2 ** (lately - 2))
                    self._changed.wait_for(lambda: self._closed, pause)

    def _start(self) -> Child | None:
        try:
            child = Child(self._lanes)
        except OSError as error:
            self._fail(f"its process does not start: {error}")
            return None
        try:
            reply = child.load(wire.Start(self._factory, self._arguments, logging.getLogger().level), self._name)
        except (EOFError, OSError, msgspec.DecodeError):
            child.kill("it ended while loading")
            child.end()
            self._fail("; ".join(child.lines) or f"its process ended with exit code {child.process.returncode}")
            return None
        if isinstance(reply, wire.Ready):
            self.ready = reply
            return child
        child.kill("it could not load")
        child.end()
        self._fail(str(wire.error_in(reply)))
        return None

    def _fail(self, reason: str) -> None:
        if self.restarts:
            log.error("the engine %s cannot be started: %s", self._name, reason)
        self._failed_starts += 1
        if self.restarts and self._failed_starts < _STARTS:
            return
        with self._changed:
            self._failure = reason
            self._changed.notify_all()
