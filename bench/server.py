"""A real `lingting serve` in a process of its own, and what it uses while it runs."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
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
        threads, files: threads, and descriptors that are open.
        sockets: those of the descriptors that are sockets.
    """

    at: float
    memory: int
    cpu: float
    threads: int = 0
    files: int = 0
    sockets: int = 0


class Server:
    """A running server with an API key; a context manager that stops it.

    Args:
        place: where the model is.
        settings: by name. With a `wyoming_port` its clients are served under the server's key.

    Attributes:
        port: where it listens.
        key: an API key of the tenant `default`.
        folder: its data folder.
        pid: its process.

    Raises:
        RuntimeError: it does not start.
    """

    def __init__(self, place: Place, **settings: str) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="lingting-bench-server-")
        self.folder = data_dir = Path(self._folder.name)
        (data_dir / "models").mkdir()
        (data_dir / "models" / place.model_dir.name).symlink_to(place.model_dir, target_is_directory=True)
        given = {"host": "127.0.0.1", "port": str(self.port), "data_dir": str(data_dir), **settings}
        self._environment = {**os.environ, **{f"LINGTING_{name.upper()}": value for name, value in given.items()}}
        self._scheme = "https" if "tls_key" in settings else "http"
        log = data_dir / "server.log"
        self.key = ""
        if "wyoming_port" in settings:
            self.key = self._environment["LINGTING_KEYLESS_KEY"] = self.new_key("keyless")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(_LINGTING), "serve"], env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            self._wait(log)
        except BaseException:
            self._process.kill()
            self._process.wait()
            self._folder.cleanup()
            raise
        found = re.search(r"^  API key +(\S+)$", log.read_text(encoding="utf-8"), re.MULTILINE)
        self.key = found[1] if found else self.key
        self.pid = self._process.pid
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

    @property
    def use(self) -> Use:
        """What is used now, with threads and descriptors."""
        return _use(psutil.Process(self.pid), counted=True)

    def new_key(self, name: str, tenant: str = "default") -> str:
        """Make an API key, and the tenant first where it is not the usual one."""
        if tenant != "default":
            self._command("tenants", "create", tenant)
        key: str = json.loads(self._command("keys", "create", name, "--tenant", tenant, "--json"))["key"]
        return key

    def _command(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(_LINGTING), *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"lingting {' '.join(arguments)} failed:\n{done.stderr}")
        return done.stdout

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + _START_SECONDS
        own = ssl.create_default_context()
        own.check_hostname, own.verify_mode = False, ssl.CERT_NONE
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                url = f"{self._scheme}://127.0.0.1:{self.port}/readyz"
                with urllib.request.urlopen(url, timeout=5, context=own):  # noqa: S310
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


def _use(process: psutil.Process, *, counted: bool = False) -> Use:
    memory, cpu, threads, files, sockets = 0, 0.0, 0, 0, 0
    for each in (process, *process.children(recursive=True)):
        try:
            with each.oneshot():
                times = each.cpu_times()
                memory += each.memory_info().rss
                cpu += times.user + times.system
                if counted:
                    threads += each.num_threads()
                    links = _links(each.pid)
                    files += len(links)
                    sockets += sum(link.startswith("socket:") for link in links)
        except psutil.NoSuchProcess:
            continue
    return Use(time.monotonic(), memory, cpu, threads, files, sockets)


def _links(pid: int) -> list[str]:
    """What the descriptors of a process point to."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(str(descriptor.readlink()))
    return links


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
