"""What all tests share: the installed model, and a real server that was started with the command."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from lingting.models import Store, install
from lingting.settings import NOT_SETTINGS, PREFIX
from tests.recordings import CACHE

for _name in [name for name in os.environ if name.startswith(PREFIX) and name not in NOT_SETTINGS]:
    del os.environ[_name]
os.environ.pop("LINGTING_CONFIG", None)

hypothesis.settings.register_profile("lingting", deadline=None)  # how long an example takes is the machine's affair
hypothesis.settings.load_profile("lingting")

LINGTING = Path(sys.executable).with_name("lingting")
START_SECONDS = 180.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, lest one begins when all others are done and a core has nothing to do."""
    seconds: Counter[Path] = Counter()
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        seconds[item.path] += 150 if "slow" in marks else 20 if "engine" in marks else 1  # tenths, as such tests take
    items.sort(key=lambda item: -seconds[item.path])


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The folder of Whisper base, assembled once and kept between runs."""
    return install(Store.at(CACHE / "models"), "whisper-base")


@dataclass(frozen=True)
class LiveServer:
    """A running `lingting serve`.

    Attributes:
        url: its address, without a slash at the end.
        app_id, app_secret, key: the demo credentials that it printed.
        data_dir: its data folder.
        process: the process.
        log: the file that takes all it prints.
    """

    url: str
    app_id: str
    app_secret: str
    key: str
    data_dir: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        """All it has printed so far."""
        return self.log.read_text(encoding="utf-8")

    def stop(self, within_seconds: float = 40.0) -> int:
        """Ask it to stop, as an operator does, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def start_server(data_dir: Path, model_dir: Path | None, *, under: Sequence[str] = (), **settings: str) -> LiveServer:
    """Start `lingting serve` on a free port with its own data folder and wait until it answers.

    Args:
        data_dir: the data folder; where credentials were made before, those of the result are empty.
        model_dir: the installed model, which is linked into the data folder; None leaves it to the server.
        under: a command that runs the server, such as strace.
        settings: settings by name, for example `stream_idle_seconds="2"`.
    """
    (data_dir / "models").mkdir(parents=True, exist_ok=True)
    if model_dir is not None and not (link := data_dir / "models" / model_dir.name).exists():
        link.symlink_to(model_dir)
    given = {"port": str(free_port()), "data_dir": str(data_dir), **settings}
    environment = {**os.environ, **{PREFIX + name.upper(): value for name, value in given.items()}}
    log = data_dir / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*under, str(LINGTING), "serve"], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    url = f"{'https' if 'tls_key' in given else 'http'}://127.0.0.1:{given['port']}"
    try:
        _wait_until_ready(url, process, log)
    except BaseException:
        process.kill()
        process.wait()
        raise
    printed = log.read_text(encoding="utf-8")
    found = [re.search(rf"^  {label} +(\S+)$", printed, re.MULTILINE) for label in ("app_id", "app_secret", "API key")]
    return LiveServer(url, *(match[1] if match else "" for match in found), data_dir, process, log)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import ssl

    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the server stopped with exit code {process.returncode}:\n{log.read_text()}", pytrace=False)
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5, context=trusting):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"the server was not ready after {START_SECONDS:.0f} s:\n{log.read_text()}", pytrace=False)


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[LiveServer]:
    """A real server, started once for all tests of this process; tests must not depend on what others sent it."""
    server = start_server(tmp_path_factory.mktemp("server"), model_dir, drain_seconds="1")
    yield server
    server.stop()
