"""Recordings a second through a door and 1, 2, 4 and 8 homes whose engine sleeps 100 ms for a job.

    python -m bench.growth.throughput
    python -m bench.growth.throughput --real    a single server, then a door and a home, with Whisper base

Needs redis-server. A home has one lane, so ten jobs a second are the most that it can do; what is short of that is the
cluster's own cost, or the machine's: sleeping costs no CPU, but a recording's voice activity and its request do.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from bench.player import Connection
from lingting.access import Access
from lingting.samples import contents
from lingting.settings import load

FILE_PATH = "/open-apis/speech_to_text/v1/speech/file_recognize"
AT_ONCE = 4
"""Recordings that wait at each home: one is being heard, the others are on their way."""
START_SECONDS = 60.0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--homes", default="1,2,4,8")
    parser.add_argument("--cost", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--real", action="store_true", help="the model in place of a sleeping engine, on all cores")
    options = parser.parse_args()
    rows = compare(options.seconds) if options.real else grow(options)
    for row in rows:
        row["times"] = round(row["a_second"] / rows[0]["a_second"], 2)
    print(json.dumps(rows, indent=2))  # noqa: T201
    return 0


def compare(seconds: float) -> list[dict[str, Any]]:
    """A single server, then a door and one home on the same machine, with the model; by itself, nothing else runs."""
    body = request(contents()["sample.pcm"])
    rows = []
    with tempfile.TemporaryDirectory(prefix="lingting-growth-") as name, contextlib.ExitStack() as held:
        folder = Path(name)
        environment = _environment(folder, held.enter_context(redis()))
        del environment["LINGTING_COMPUTE_THREADS"]
        key = asyncio.run(_key(folder, environment))
        with node(environment, "", None) as single:
            rows.append(asyncio.run(measure(single, [single[0]], key, seconds, body)))
            print(json.dumps(rows[-1]), flush=True)  # noqa: T201
        with node(environment, "door", None) as door, node(environment, "home", None) as home:
            time.sleep(1.0)  # the door looks for homes twice a second
            rows.append(asyncio.run(measure(door, [home[0]], key, seconds, body)))
            print(json.dumps(rows[-1]), flush=True)  # noqa: T201
    return rows


def grow(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A door with more and more homes, whose engine sleeps."""
    rows: list[dict[str, Any]] = []
    body = request(contents()["sample.pcm"][:32_000])
    with tempfile.TemporaryDirectory(prefix="lingting-growth-") as name, contextlib.ExitStack() as held:
        folder = Path(name)
        environment = _environment(folder, held.enter_context(redis()))
        key = asyncio.run(_key(folder, environment))
        door = held.enter_context(node(environment, "door", options.cost))
        homes: list[psutil.Process] = []
        for count in map(int, options.homes.split(",")):
            while len(homes) < count:
                homes.append(held.enter_context(node(environment, "home", options.cost))[0])
            time.sleep(1.0)  # the door looks for homes twice a second
            rows.append(asyncio.run(measure(door, homes, key, options.seconds, body)))
            print(json.dumps(rows[-1]), flush=True)  # noqa: T201
    return rows


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """A Redis of its own, by its URL."""
    port = free_port()
    program = shutil.which("redis-server") or "redis-server"
    with tempfile.TemporaryDirectory(prefix="lingting-redis-") as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            until = time.monotonic() + START_SECONDS
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("Redis does not start")
                time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _environment(folder: Path, redis_url: str) -> dict[str, str]:
    settings = {
        "DATA_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder / 'lingting.db'}",
        "CLUSTER_REDIS_URL": redis_url,
        "CLUSTER_SECRET": "only for a measurement",
        "COMPUTE_THREADS": "1",
        "PHONETICS": "off",
        "FILE_REQUESTS_PER_SECOND": "100000",
        "REQUESTS_PER_TENANT": "10000",
        "STREAMS_PER_TENANT": "100000",
        "STREAM_PACKETS_PER_SECOND": "1000000",
        "CONNECTIONS_PER_ADDRESS": "100000",
        "MAX_WAIT_SECONDS": "600",
        "LOG_LEVEL": "warning",
    }
    return {**os.environ, **{f"LINGTING_{name}": value for name, value in settings.items()}}


async def _key(folder: Path, environment: dict[str, str]) -> str:
    access = Access(load(data_dir=folder, database_url=environment["LINGTING_DATABASE_URL"]))
    await access.start()
    try:
        made = await access.create_demo()
        assert made is not None
        return made[1].key
    finally:
        await access.close()


@contextlib.contextmanager
def node(environment: dict[str, str], role: str, cost: float | None) -> Iterator[tuple[psutil.Process, int]]:
    """A running door or home, or a single server where `role` is empty: its process, and the port of its HTTP server.

    Args:
        cost: of a job, in seconds that are slept; None takes the model.
    """
    port = free_port()
    given = {**environment, "LINGTING_PORT": str(port), **({"LINGTING_CLUSTER_ROLE": role} if role else {})}
    given["STAND_IN_SECONDS"] = str(cost)
    own = str(Path(sys.executable).with_name("lingting"))
    command = [own] if cost is None else [sys.executable, "-m", "bench.stand_in"]
    process = subprocess.Popen([*command, "serve"], env=given)
    try:
        until = time.monotonic() + START_SECONDS
        while not _healthy(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"a {role} does not start")
            time.sleep(0.1)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def request(pcm: bytes) -> bytes:
    """The body of a request for the text of a recording."""
    config = {"file_id": "growthgrowth0000", "format": "pcm", "engine_type": "16k_auto"}
    return json.dumps({"speech": {"speech": base64.b64encode(pcm).decode()}, "config": config}).encode()


async def measure(
    door: tuple[psutil.Process, int], homes: list[psutil.Process], key: str, seconds: float, body: bytes
) -> dict[str, Any]:
    """Keep all homes busy for some seconds; recordings a second, and what they cost."""
    done, failed = 0, 0
    begin = time.monotonic()
    counting_from, until = begin + 2.0, begin + 2.0 + seconds

    async def caller() -> None:
        nonlocal done, failed
        connection = Connection(door[1], key)
        while time.monotonic() < until:
            status, _ = await connection.post(FILE_PATH, body, "Content-Type: application/json\r\n")
            if time.monotonic() >= counting_from:
                done, failed = done + (status == 200), failed + (status != 200)
        connection.close()

    callers = [asyncio.create_task(caller()) for _ in range(AT_ONCE * len(homes))]
    await asyncio.sleep(2.0)
    before, door_before, machine = _cpu(homes), _cpu([door[0]]), psutil.cpu_times_percent(None)
    await asyncio.sleep(seconds)
    home_cpu, door_cpu = _cpu(homes) - before, _cpu([door[0]]) - door_before
    machine = psutil.cpu_times_percent(None)
    counted, refused = done, failed
    await asyncio.gather(*callers)
    return {
        "homes": len(homes),
        "a_second": round(counted / seconds, 1),
        "failed": refused,
        "door_cpu_ms": round(1000 * door_cpu / max(1, counted), 2),
        "home_cpu_ms": round(1000 * home_cpu / max(1, counted), 2),
        "machine_idle_percent": round(machine.idle),
    }


def _cpu(processes: list[psutil.Process]) -> float:
    """CPU seconds of processes and those that they began."""
    total = 0.0
    for process in processes:
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = each.cpu_times()
                total += times.user + times.system
    return total


if __name__ == "__main__":
    sys.exit(main())
