"""One process of an engine, as the server sees it: connections, log, signs of life, and how it ends."""

from __future__ import annotations

import logging
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait

import msgspec

from lingting import log_ids
from lingting.child_processes import bare_environment
from lingting.domain import Seconds
from lingting.engines.process import wire
from lingting.processes import is_stopped

log = logging.getLogger(__name__)

_LOAD_SECONDS: Seconds = 300.0
_BEAT: Seconds = 1.0
_MISSED_BEATS = 6
_KEPT_LINES = 20


class Child:
    """One process with its connections. The keeper's thread reads its log; lanes take connections in turn.

    Attributes:
        cause: why it ended; empty while it runs.
        excused: whether it was killed from outside, so that no call is guilty; None before that was asked.
        callers: log ids of the calls in progress, and of those over which it ended.
        lines: what it printed last.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, lanes: int) -> None:
        pairs = [wire.pair() for _ in range(lanes + 1)]
        ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        self.cause = ""
        self.excused: bool | None = None
        self.callers: list[str] = []
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._lock = threading.Lock()
        self._forgotten: deque[int] = deque()
        self._control, *lane_sockets = ours
        self._sockets = ours
        self._free: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        for lane in lane_sockets:
            self._free.put(lane)
        try:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "lingting.engines.process.far_side", *(str(end.fileno()) for end in theirs)],
                pass_fds=[end.fileno() for end in theirs],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=bare_environment(),
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            for end in ours:
                end.close()
            raise
        finally:
            for end in theirs:
                end.close()
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)
        self._partial = b""
        self._blame = False

    def load(self, start: wire.Start, name: str) -> wire.Message:
        """Have it load its engine; passes on what it prints meanwhile."""
        wire.send(self._control, start)
        deadline = time.monotonic() + _LOAD_SECONDS
        while time.monotonic() < deadline:
            answered = self._wait(_BEAT)
            self._read_log(name)
            if answered:
                self._control.settimeout(_BEAT)
                return wire.receive(self._control)
        raise TimeoutError(f"it did not load within {_LOAD_SECONDS:.0f} s")

    def watch(self, name: str) -> None:
        """Pass on its log and ask whether it is there, until it is not."""
        missed = sent = answered = 0
        while not self.cause:
            try:
                if sent == answered:
                    sent += 1
                    missed = 0
                    wire.send(self._control, wire.Ping(sent))
                until = time.monotonic() + _BEAT
                while (left := until - time.monotonic()) > 0 and not self.cause:
                    there = self._wait(left)
                    self._read_log(name)
                    if there:
                        wire.receive(self._control)
                        answered = sent
            except (EOFError, OSError, msgspec.DecodeError):
                self.kill("it ended")
            if sent != answered:
                missed += 1
            if missed > 0 and is_stopped(self.process.pid):
                self.kill("it was stopped", blame=False)
            elif missed >= _MISSED_BEATS:
                self.kill(f"it did not answer for {_MISSED_BEATS * _BEAT:.0f} s")
        self._read_log(name)

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A connection that nobody else uses; it is not used again after a failure."""
        connection = self._free.get()
        caller = log_ids.current()
        with self._lock:
            self.callers.append(caller)
        failed = True
        try:
            yield connection
            failed = False
        finally:
            if not failed:
                with self._lock:
                    self.callers.remove(caller)
            self._free.put(connection)

    def kill(self, cause: str, *, blame: bool = True) -> bool:
        """End it; whether the calls that were in progress may be the cause, which those of a hang elsewhere are not."""
        with self._lock:
            if not self.cause:
                self.cause = cause
                self._blame = blame
                self.process.kill()
            for end in self._sockets:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            return self._blame

    def end(self) -> None:
        """Collect what is left of it; the sockets close when the last call has let go of them."""
        code = self.process.wait()
        if code and code != -9:
            self.cause += f" (exit code {code})"
        if self.lines:
            self.cause += f"; its last line: {self.lines[-1]}"
        if self.process.stderr is not None:
            self.process.stderr.close()
        self._control.close()

    def forget(self, number: int) -> None:
        """A work or an ear is not needed any more; told with the next message. From any thread."""
        self._forgotten.append(number)

    def forgotten(self) -> list[int]:
        """What is to be told as not needed any more."""
        numbers: list[int] = []
        with suppress(IndexError):
            while True:
                numbers.append(self._forgotten.popleft())
        return numbers

    def _wait(self, seconds: Seconds) -> bool:
        """Wait for an answer or a line of its log; whether an answer is there."""
        assert self.process.stderr is not None
        control = self._control.fileno()
        return control in wait([control, self.process.stderr.fileno()], seconds)

    def _read_log(self, name: str) -> None:
        assert self.process.stderr is not None
        content = self.process.stderr.read() or b""
        *lines, self._partial = (self._partial + content).split(b"\n")
        for raw in lines:
            line = raw.decode("utf-8", "replace").strip()
            if line:
                self.lines.append(line)
                with self._lock:
                    callers = log_ids.joined(self.callers)
                with log_ids.about(callers):  # who of them it is about, it does not say
                    log.warning("engine %s: %s", name, line)
