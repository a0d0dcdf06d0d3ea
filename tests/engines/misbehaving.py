"""An engine for the tests of processes: it hears what its first sample says, and can die, abort, hang or raise."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lingting.recognition.engine import Heard, Outcome, Request, Work

TEXT, ABORT, FAULT, HANG, RAISE, LOG, SLOW, REACH = range(8)


@dataclass(frozen=True)
class _Work:
    request: Request
    steps: int = 0
    most: int = 4

    @property
    def group(self) -> tuple[str, int]:
        return ("step", self.steps)


class Misbehaving:
    """Two steps for each utterance; the first sample says what the second does."""

    name = "misbehaving"
    longest = 28.0

    def begin(self, request: Request) -> Work:
        return _Work(request)

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        return [self._one(work) for work in works]  # type: ignore[arg-type]

    def _one(self, work: _Work) -> Outcome:
        if not work.steps:
            return Outcome(more=_Work(work.request, 1))
        match round(float(work.request.samples[0])):
            case 1:
                os._exit(255)
            case 2:
                ctypes.string_at(0)
            case 3:
                threading.Event().wait()
            case 4:
                raise RuntimeError("a bad work")
            case 5:
                logging.getLogger("lingting.engines.test").warning("heard a log line")
            case 6:
                time.sleep(0.6)
            case 7:
                return Outcome(heard=Heard(" ".join(_reached()), "en"))
        return Outcome(heard=Heard(f"{len(work.request.samples)} {os.getpid()}", "en"))


def _reached() -> list[str]:
    """What this process could do that an engine has no business with."""

    def fork() -> None:
        if os.fork() == 0:
            os._exit(0)

    attempts: dict[str, Callable[[], object]] = {
        "network": lambda: socket.create_connection(("127.0.0.1", 9), timeout=5),
        "socket": socket.socket,
        "fork": fork,
        "program": lambda: subprocess.run(["/bin/true"], check=True),
        "signal": lambda: os.kill(os.getppid(), 0),
    }
    reached = ["core"] if resource.getrlimit(resource.RLIMIT_CORE)[1] > 1 else []
    for name, attempt in attempts.items():
        try:
            attempt()
        except PermissionError:
            continue
        reached.append(name)
    return reached


def build(broken: str = "") -> Misbehaving:
    """The engine; `broken` is a file whose presence makes loading end the process."""
    if broken and Path(broken).exists():
        os.write(2, b"the library says why\n")
        os._exit(255)
    return Misbehaving()
