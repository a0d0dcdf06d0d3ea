"""A real server whose process is killed, frozen, starved and stopped, and always started again."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from bench.recordings import CACHE
from lingting.models import Store, install

LINGTING = Path(sys.executable).with_name("lingting")
START_SECONDS = 180.0
STOP_SECONDS = 60.0


class Server:
    """`lingting serve` on one port and one data folder, however often its process is replaced.

    One thread makes faults; any may read `port` and `key`.

    Args:
        folder: the data folder.
        settings: by name, such as `journal="disk"`.
        environment: for the process.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self.port = free_port()
        model = install(Store.at(CACHE / "models"), "whisper-base")
        (folder / "models").mkdir(parents=True)
        (folder / "models" / model.name).symlink_to(model, target_is_directory=True)
        given = {"host": "127.0.0.1", "port": str(self.port), "data_dir": str(folder), **settings}
        self._environment = {
            **os.environ,
            **environment,
            **{f"LINGTING_{name.upper()}": value for name, value in given.items()},
        }
        self.log = folder / "server.log"
        self._process = self._start()
        self.wait()
        found = re.search(r"^  API key +(\S+)$", self.log.read_text(encoding="utf-8"), re.MULTILINE)
        assert found, "the first start prints an API key"
        self.key = found[1]

    def kill(self) -> None:
        """End the process at once and start another."""
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def drain(self) -> float:
        """Stop as an operator does and start again; returns the seconds that the stop took."""
        began = time.monotonic()
        code = self.stop()
        taken = time.monotonic() - began
        self._process = self._start()
        if code:
            raise SystemExit(f"a stop ended with exit code {code}; the end of the log:\n{self._last_lines()}")
        return taken

    def freeze(self, seconds: float) -> None:
        """Let the process stand still for so long."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def children(self, with_words: str = "") -> list[psutil.Process]:
        """Its child processes with these words in their command."""
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self._process.pid).children(recursive=True)
            return [child for child in found if with_words in " ".join(_command(child))]
        return []

    @contextlib.contextmanager
    def limited(self, what: int, most: int) -> Iterator[None]:
        """The process may have no more than `most` of a resource of the module `resource` in this block."""
        before = resource.prlimit(self._process.pid, what)
        resource.prlimit(self._process.pid, what, (most, before[1]))
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                resource.prlimit(self._process.pid, what, before)

    @property
    def address_space(self) -> int:
        """Bytes of memory that it has asked for."""
        return int(psutil.Process(self._process.pid).memory_info().vms)

    def revive(self) -> bool:
        """Start it again if it has ended, as systemd does; returns whether it had."""
        if self._process.poll() is None:
            return False
        self._process = self._start()
        return True

    def wait(self, path: str = "/healthz") -> None:
        """Return once this path is answered with 200."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5).close()
                return
            time.sleep(0.1)
        raise SystemExit(f"{path} is not answered with 200; the end of the server's log:\n{self._last_lines()}")

    def stop(self) -> int:
        """Stop as an operator does; returns the exit code."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [LINGTING, "serve"], env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    @property
    def warnings(self) -> str:
        """The latest lines of its log that warn."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([line for line in lines if re.match(r"\S+ +(warning|error|critical)", line)][-60:])

    def _last_lines(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
