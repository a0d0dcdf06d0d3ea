"""Real doors and homes, each a process, over a real Redis; recognition is the stand-in whose text is a checksum."""

from __future__ import annotations

import base64
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import redis
import requests

from lingting.settings import PREFIX
from tests.conftest import free_port
from tests.requirements import require_program

STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
SECRET = "a long random text for the tests"
PACKET_BYTES = 6_400
BUSY = (1040102, 99991400)
_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 120.0


@contextmanager
def running_redis(folder: Path, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server of Redis on a port, a free one where that is 0, with its URL."""
    port = port or free_port()
    command = [require_program("redis-server"), "--port", str(port), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        wait_until(lambda: _pings(url), "Redis does not start")
        yield url, process
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.kill()
        process.wait()


def wait_until(true: Any, otherwise: str, seconds: float = _PATIENCE) -> None:
    """Return once `true()` is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def _pings(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


class Nursery:
    """Starts nodes quickly; see `tests/cluster/nursery.py`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.cluster.nursery"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
        self._ended: set[int] = set()

    def start(self, environment: dict[str, str], log: Path) -> int:
        """A node; returns its process id."""
        return int(self._ask({"environment": environment, "log": str(log)}))

    def ended(self, pid: int) -> bool:
        """Whether a node's process has ended."""
        if pid not in self._ended and self._ask({"pid": pid}) == "dead":
            self._ended.add(pid)
        return pid in self._ended

    def close(self) -> None:
        """End it and its nodes."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, question: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@dataclass
class Node:
    """A process of a cluster.

    Attributes:
        name: its name in the cluster.
        url: where it answers HTTP.
        pid: of its process.
        ended: whether that has ended.
    """

    name: str
    url: str
    pid: int
    ended: Callable[[], bool]
    log: Path

    def ready(self) -> bool:
        """Whether `/readyz` says so."""
        assert not self.ended(), self.log.read_text()
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).ok
        except requests.RequestException:
            return False

    def metric(self, name: str) -> float:
        """A metric without labels."""
        lines = requests.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, frozen or not."""
        if self.ended():
            return
        self.signal(signal.SIGKILL)
        wait_until(self.ended, f"{self.name} does not die")


@dataclass
class Cluster:
    """Nodes that share a Redis, a secret and a database.

    Attributes:
        command: what starts a node; None takes the stand-in.
        settings: of every node.
        key: an API key that every door knows.
        job_seconds: what a second of sound costs the stand-in.
    """

    folder: Path
    redis_url: str
    command: tuple[str, ...] | None = None
    settings: dict[str, str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    key: str = ""
    nursery: Nursery | None = None
    job_seconds: str = "0"

    def start(self, role: str, name: str, **settings: str) -> Node:
        """Start a node, without waiting for it."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        given = {
            "port": str(free_port()),
            "data_dir": str(folder),
            "cluster_role": role,
            "cluster_redis_url": self.redis_url,
            "cluster_secret": SECRET,
            "cluster_node": name,
            "database_url": f"sqlite:///{self.folder / 'lingting.db'}",
            "drain_seconds": "5",
            **self.settings,
            **settings,
        }
        environment = {PREFIX + name.upper(): value for name, value in given.items()}
        environment["STAND_IN_SECONDS"] = self.job_seconds
        url, log = f"http://127.0.0.1:{given['port']}", folder / "node.log"
        log.touch()
        if self.command is None:
            nursery = self.nursery = self.nursery or Nursery()
            pid = nursery.start(environment, log)
            node = Node(name, url, pid, lambda: nursery.ended(pid), log)
        else:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [*self.command, "serve"], env={**os.environ, **environment}, stdout=output, stderr=output, cwd=_ROOT
                )
            node = Node(name, url, process.pid, lambda: process.poll() is not None, log)
        self.nodes.append(node)
        return node

    def wait(self) -> None:
        """Return once every node that runs is ready, and doors know all homes."""
        running = [node for node in self.nodes if not node.ended()]
        for node in running:
            wait_until(node.ready, f"{node.name} is not ready:\n{node.log.read_text()}")
        homes = sum(node.name.startswith("home") for node in running)
        for door in (node for node in running if node.name.startswith("door")):
            wait_until(lambda door=door: door.metric("lingting_cluster_homes") == homes, f"{door.name} lacks homes")

    def stop(self) -> None:
        """End every process."""
        for node in self.nodes:
            if not node.ended():
                node.kill()
        if self.nursery is not None:
            self.nursery.close()

    def owner(self, stream: str) -> Node:
        """The home that has a stream, as the directory says: that may know it a moment later when it was away."""
        with redis.Redis.from_url(self.redis_url) as client:
            pattern = f"lingting:cluster:*{stream}*:m"
            wait_until(lambda: client.keys(pattern), "the directory does not know the stream")
            (name,) = client.keys(pattern)
            owner = client.hget(name, "owner").decode()  # type: ignore[union-attr]
        return next(node for node in self.nodes if owner.rpartition("-")[0] == node.name)


@dataclass
class Sent:
    """The answer to a packet, and how often it was sent."""

    text: str
    tries: int


def send(url: str, key: str, stream: str, number: int, action: int, audio: bytes) -> Sent:
    """Send a packet until it is taken, as the documents tell clients to."""
    began = time.monotonic()
    for tries in itertools.count(1):
        answer = send_once(url, key, stream, number, action, audio)
        if answer is not None and answer["code"] == 0:
            return Sent(answer["data"]["recognition_text"], tries)
        assert answer is None or answer["code"] in BUSY, answer
        assert time.monotonic() - began < _PATIENCE, f"no answer: {answer}"
        time.sleep(0.1)
    raise AssertionError


def send_once(url: str, key: str, stream: str, number: int, action: int, audio: bytes) -> dict[str, Any] | None:
    """The answer to a packet that is sent once; None where the server is not there."""
    config = {
        "stream_id": stream,
        "sequence_id": number,
        "action": action,
        "format": "pcm",
        "engine_type": "16k_auto",
    }
    body = {"speech": {"speech": base64.b64encode(audio).decode()}, "config": config}
    try:
        answer = requests.post(url + STREAM, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60)
    except requests.ConnectionError:
        return None
    found: dict[str, Any] = answer.json()
    return found


def noise(seconds: float, seed: int = 0) -> bytes:
    """Sound that is never the same."""
    samples = np.random.default_rng(seed).integers(-3000, 3000, int(seconds * 16_000))
    return samples.astype("<i2").tobytes()


def packets(pcm: bytes) -> list[bytes]:
    """Audio in packets of 200 ms."""
    return [pcm[start : start + PACKET_BYTES] for start in range(0, len(pcm), PACKET_BYTES)]


def action(number: int, count: int) -> int:
    """What a packet of so many does."""
    return 1 if number == 0 else 2 if number == count - 1 else 0


def new_id() -> str:
    """A name for a stream."""
    return uuid.uuid4().hex[:16]
