"""A real `lingting serve` in a process of its own, and what it uses while it runs."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from bench.place import Place

_LINGTING = Path(sys.executable).with_name("lingting")
_START_SECONDS = 60.0
_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class Use:
    """What the server's processes used together at one moment.

    Attributes:
        at: `time.monotonic()`.
        memory: resident bytes.
        cpu: CPU seconds since they started.
    """

    at: float
    memory: int
    cpu: float


class Server:
    """A running server with an API key; a context manager that stops it.

    Raises:
        RuntimeError: it does not start.
    """

    def __init__(self, place: Place, **settings: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        self._folder = tempfile.TemporaryDirectory(prefix="lingting-bench-server-")
        data_dir = Path(self._folder.name)
        (data_dir / "models").mkdir()
        (data_dir / "models" / place.model_dir.name).symlink_to(place.model_dir, target_is_directory=True)
        given = {"host": "127.0.0.1", "port": str(self.port), "data_dir": str(data_dir), **settings}
        environment = {**os.environ, **{f"LINGTING_{name.upper()}": value for name, value in given.items()}}
        log = data_dir / "server.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(_LINGTING), "serve"], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            self._wait(log)
        except BaseException:
            self._process.kill()
            self._process.wait()
            self._folder.cleanup()
            raise
        found = re.search(r"^  API key +(\S+)$", log.read_text(encoding="utf-8"), re.MULTILINE)
        self.key = found[1] if found else ""
        self._uses: list[Use] = []
        self._stopping = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._watching.join()
        self._process.terminate()
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    @property
    def uses(self) -> list[Use]:
        """What was used so far, five times a second."""
        return list(self._uses)

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"the server did not start:\n{log.read_text(encoding='utf-8')}")

    def _watch(self) -> None:
        process = psutil.Process(self._process.pid)
        while not self._stopping.wait(_EVERY):
            try:
                self._uses.append(_use(process))
            except psutil.Error:
                if not process.is_running():
                    return


def _use(process: psutil.Process) -> Use:
    memory, cpu = 0, 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            with each.oneshot():
                times = each.cpu_times()
                memory += each.memory_info().rss
                cpu += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return Use(time.monotonic(), memory, cpu)
