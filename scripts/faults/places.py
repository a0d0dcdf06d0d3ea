"""What the server stands on beside its data folder: Redis, PostgreSQL and the time of day, each to be taken away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from faults.server import free_port

_START_SECONDS = 60.0
_DEBIAN = "/usr/lib/postgresql/*/bin"


class Program:
    """A server program that is killed, frozen and started again; a frozen one accepts connections and is silent."""

    def __init__(self, command: list[str], folder: Path, user: str | None = None) -> None:
        self._command = command
        self._folder = folder
        self._user = user
        self._process = self._start()

    def kill(self, seconds: float) -> None:
        """End it and all its processes at once; start it again after so many seconds."""
        for process in self._all():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        time.sleep(seconds)
        self._process = self._start()

    def freeze(self, seconds: float) -> None:
        """Let it stand still for so long."""
        stopped = self._all()
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for process in stopped:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            if number == signal.SIGSTOP:
                time.sleep(seconds)

    def stop(self) -> None:
        """End it."""
        for process in self._all():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def _all(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(self._process.pid)
            return [server, *server.children(recursive=True)]
        return []

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            cwd=self._folder,
            user=self._user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


class Redis(Program):
    """A Redis that keeps what it was told, as one for the journal must."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        folder.mkdir()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
        super().__init__([_program("redis-server"), *options, "--maxmemory-policy", "noeviction"], folder)
        import redis

        client = redis.Redis.from_url(self.url)
        _until(client.ping, redis.ConnectionError)
        client.close()


class PostgreSQL(Program):
    """A PostgreSQL with an empty database."""

    def __init__(self) -> None:
        port = str(free_port())
        self.url = f"postgresql+psycopg://lingting@127.0.0.1:{port}/postgres"
        user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
        self.folder = Path(tempfile.mkdtemp(prefix="lingting-chaos-pg-"))
        if user:
            shutil.chown(self.folder, user)
        made = [_program("initdb"), "-D", "data", "-U", "lingting", "-A", "trust", "-N"]
        subprocess.run(made, check=True, user=user, cwd=self.folder, stdout=subprocess.DEVNULL)
        options = [
            "-p",
            port,
            "-k",
            str(self.folder),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "restart_after_crash=on",
        ]
        super().__init__([_program("postgres"), "-D", "data", *options], self.folder, user)
        import psycopg

        address = self.url.replace("+psycopg", "")
        _until(lambda: psycopg.connect(address).close(), psycopg.OperationalError)

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class TimeOfDay:
    """The clock of the server's processes, set by libfaketime; seconds that only go forward stay as they are."""

    def __init__(self, folder: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob("**/libfaketimeMT.so.1"))
        if not libraries:
            raise SystemExit("the fault `clock` needs libfaketime; on Debian: apt install libfaketime")
        self._file = folder / "time-of-day"
        self.set_by(0)
        self.environment = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }

    def set_by(self, seconds: int) -> None:
        """Let it show so many seconds more than is right."""
        self._file.with_suffix(".new").write_text(f"{seconds:+d}s\n", encoding="ascii")
        self._file.with_suffix(".new").replace(self._file)


def _program(name: str) -> str:
    found = shutil.which(name) or next(map(str, sorted(Path("/").glob(f"{_DEBIAN[1:]}/{name}"))), None)
    if found is None:
        raise SystemExit(f"this needs the program {name}")
    return found


def _until(work: object, error: type[Exception]) -> None:
    assert callable(work)
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            work()
            return
        except error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
