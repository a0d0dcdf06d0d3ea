"""Kills and freezes homes of a real cluster again and again while streams play, and checks every final text.

    python scripts/cluster_chaos.py                              50 kills, 20 freezes, 20 streams at a time
    python scripts/cluster_chaos.py --kills 5 --freezes 2        a short run
    python scripts/cluster_chaos.py --cost 2000                  only what a packet costs a door beside a single server
    python scripts/cluster_chaos.py --json result.json           the figures as JSON too

Two doors and three homes, each a process, share a real Redis. Clients send packets of 200 ms in real time, each through
the other door than the one before, and repeat what was not answered. Recognition is the stand-in of
`bench/stand_in.py`: its text is a checksum of every second of sound, so a packet lost, doubled or out of order shows. A
frozen home is woken after 4 s; a killed one is started anew.

Fails when a final text is not that of all the sound that was acknowledged.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import redis

from bench.stand_in import UNIT_BYTES, expected
from lingting.access.database import COMMAND_SECONDS, Database
from lingting.access.directory import Directory
from lingting.access.principal import DEFAULT_SCOPES
from lingting.access.records import NewCredential

ROOT = Path(__file__).resolve().parents[1]
STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
PACKET_BYTES = 6_400
PACKET_SECONDS = 0.2
FROZEN_SECONDS = 4.0
WINDOW_SECONDS = 4.0
"""Packets so long behind a fault are counted to it."""
BUSY = (1040102, 99991400)
PATIENCE_SECONDS = 60.0


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Node:
    """A server of the cluster, or a single one; `cpu` is what it has computed so far, in seconds."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait(self) -> None:
        """Return once it is ready."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit(f"{self.name} is not ready")


class Cluster:
    """Processes in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.redis_port = free_port()
        self.redis = subprocess.Popen(
            ["redis-server", "--port", str(self.redis_port), "--save", "", "--appendonly", "yes", "--dir", str(folder)],
            stdout=subprocess.DEVNULL,
        )
        self.client = redis.Redis(port=self.redis_port)
        self.nodes: list[Node] = []
        database = Database(f"sqlite:///{folder / 'lingting.db'}", COMMAND_SECONDS)
        database.open()
        directory = Directory(database)
        tenant = directory.create_tenant("chaos").name
        self.key = directory.create_key(NewCredential("chaos", tenant, DEFAULT_SCOPES, owner="chaos")).key
        database.close()

    def start(self, role: str, name: str) -> Node:
        """Start a node."""
        port = free_port()
        (self.folder / name).mkdir(exist_ok=True)
        settings = {
            "PORT": str(port),
            "DATA_DIR": str(self.folder / name),
            "DATABASE_URL": f"sqlite:///{self.folder / 'lingting.db'}",
            "STREAMS_PER_TENANT": "1000",
            "REQUESTS_PER_TENANT": "1000",
            "STREAM_PACKETS_PER_SECOND": "100000",
            "LOG_LEVEL": "warning",
            "DRAIN_SECONDS": "5",
        }
        if role != "none":
            settings |= {
                "CLUSTER_ROLE": role,
                "CLUSTER_NODE": name,
                "CLUSTER_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
                "CLUSTER_SECRET": "a long random text for the chaos run",
            }
        environment = {**os.environ, **{f"LINGTING_{key}": value for key, value in settings.items()}}
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.stand_in", "serve"], env=environment, cwd=ROOT, stdout=log, stderr=log
            )
        node = Node(name, port, process)
        self.nodes.append(node)
        return node

    def owner(self, stream: str) -> str:
        """The name of the home that has a stream; empty for none."""
        for name in self.client.scan_iter(f"lingting:cluster:*{stream}*:m"):
            return (self.client.hget(name, "owner") or b"").decode().rpartition("-")[0]
        return ""

    def stop(self) -> None:
        """End everything."""
        for node in self.nodes:
            if node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        self.redis.kill()
        self.redis.wait()


@dataclass
class Packet:
    """One packet: when it was due, when it was answered, and how often it was sent."""

    stream: str
    sent: float
    answered: float
    tries: int


@dataclass
class Played:
    """What came of the streams."""

    packets: list[Packet] = field(default_factory=list)
    streams: int = 0
    wrong: list[str] = field(default_factory=list)
    lost_seconds: int = 0
    live: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Client:
    """Sends the packets of a stream, each over the next of these ports."""

    def __init__(self, ports: list[int], key: str) -> None:
        self._ports = ports
        self._key = key
        self._open: dict[int, http.client.HTTPConnection] = {}

    def send(self, stream: str, number: int, action: int, audio: bytes) -> tuple[str, int]:
        """The text, and how often it was sent."""
        config = {
            "stream_id": stream,
            "sequence_id": number,
            "action": action,
            "format": "pcm",
            "engine_type": "16k_auto",
        }
        body = json.dumps({"speech": {"speech": base64.b64encode(audio).decode()}, "config": config})
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        until, tries = time.monotonic() + PATIENCE_SECONDS, 0
        while time.monotonic() < until:
            port = self._ports[(number + tries) % len(self._ports)]
            tries += 1
            connection = self._open.get(port) or http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
            self._open[port] = connection
            try:
                connection.request("POST", STREAM, body, headers)
                answer = json.loads(connection.getresponse().read())
            except (OSError, http.client.HTTPException):
                self._open.pop(port).close()
                time.sleep(0.05)
                continue
            if answer["code"] == 0:
                return answer["data"]["recognition_text"], tries
            if answer["code"] not in BUSY:
                raise RuntimeError(str(answer))
            time.sleep(0.1)
        raise RuntimeError("no answer")


def play(ports: list[int], key: str, stop: threading.Event, played: Played, seed: int) -> None:
    """Play one stream after another until told to stop."""
    rng = np.random.default_rng(seed)
    client = Client(ports, key)
    while not stop.is_set():
        samples = int(rng.integers(10 * 16_000, 25 * 16_000))
        pcm = rng.integers(-3000, 3000, samples).astype("<i2").tobytes()
        stream = uuid.uuid4().hex[:16]
        with played.lock:
            played.live.add(stream)
        begin = time.monotonic()
        text, late = "", 0.0
        starts = range(0, len(pcm), PACKET_BYTES)
        try:
            for number, start in enumerate(starts):
                due = begin + number * PACKET_SECONDS + late
                time.sleep(max(0.0, due - time.monotonic()))
                sent = time.monotonic()
                action = 1 if number == 0 else 2 if number == len(starts) - 1 else 0
                text, tries = client.send(stream, number, action, pcm[start : start + PACKET_BYTES])
                answered = time.monotonic()
                late += max(0.0, answered - sent - PACKET_SECONDS)
                with played.lock:
                    played.packets.append(Packet(stream, sent, answered, tries))
            lost = sum(one != other for one, other in zip(expected(pcm).split(), text.split(), strict=False))
            lost += abs(len(text.split()) - -(-len(pcm) // UNIT_BYTES))
            wrong = "" if text == expected(pcm) else f"{stream}: {lost} s of sound are not in its text"
        except RuntimeError as error:
            lost, wrong = 0, f"{stream}: {error}"
        with played.lock:
            played.live.discard(stream)
            played.streams += 1
            played.lost_seconds += lost
            if wrong:
                played.wrong.append(wrong)


@dataclass(frozen=True)
class Fault:
    """A kill or a freeze: when, and the streams that it hit."""

    kind: str
    at: float
    streams: frozenset[str]


def disturb(cluster: Cluster, homes: list[Node], kinds: list[str], played: Played, rng: random.Random) -> list[Fault]:
    """Make faults one after another, each when all homes are there; Ctrl-C makes no more of them."""
    faults: list[Fault] = []
    with contextlib.suppress(KeyboardInterrupt):
        for kind in kinds:
            time.sleep(rng.uniform(1.0, 2.5))
            index = rng.randrange(len(homes))
            with played.lock:
                live = set(played.live)
            hit = frozenset(stream for stream in live if cluster.owner(stream) == homes[index].name)
            faults.append(Fault(kind, time.monotonic(), hit))
            make(cluster, homes, index, faults[-1])
            print(
                f"\r{len(faults)} of {len(kinds)} faults, {played.streams} streams, {len(played.wrong)} wrong", end=""
            )
    print()
    return faults


def make(cluster: Cluster, homes: list[Node], index: int, fault: Fault) -> None:
    """Make a fault of one of the homes, and return when all are there again."""
    victim = homes[index]
    if fault.kind == "kill":
        victim.process.kill()
        victim.process.wait()
        homes[index] = cluster.start("home", f"home-{len(cluster.nodes)}")
        homes[index].wait()
    else:
        victim.process.send_signal(signal.SIGSTOP)
        time.sleep(FROZEN_SECONDS)
        victim.process.send_signal(signal.SIGCONT)


def share(values: list[float], part: float) -> float:
    """The value that so many are not above; 0 of none."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0.0


def figures(faults: list[Fault], played: Played) -> dict[str, dict[str, float]]:
    """For each kind of fault, and for none: how late packets were answered, in milliseconds."""
    quiet = [each.answered - each.sent for each in played.packets if not any(near(each, fault) for fault in faults)]
    result = {"undisturbed": latencies(quiet)}
    for kind in ("kill", "freeze"):
        affected: list[float] = []
        others: list[float] = []
        last: list[float] = []
        for fault in (each for each in faults if each.kind == kind):
            behind = [each for each in played.packets if near(each, fault)]
            hit = [each for each in behind if each.stream in fault.streams]
            affected += [each.answered - each.sent for each in hit]
            others += [each.answered - each.sent for each in behind if each.stream not in fault.streams]
            first: dict[str, float] = {}
            for each in sorted(hit, key=lambda packet: packet.answered):
                first.setdefault(each.stream, each.answered - max(fault.at, each.sent))
            last += [max(first.values())] if first else []
        if last:
            result[f"{kind}: affected"] = latencies(affected)
            result[f"{kind}: others"] = latencies(others)
            result[f"{kind}: last affected stream answered"] = latencies(last)
    return result


def near(packet: Packet, fault: Fault) -> bool:
    """Whether a packet was on its way at a fault, or sent soon behind it."""
    return packet.answered >= fault.at and packet.sent < fault.at + WINDOW_SECONDS


def latencies(seconds: list[float]) -> dict[str, float]:
    """Quantiles in milliseconds."""
    return {
        "packets": len(seconds),
        **{f"p{round(100 * part)}": round(1000 * share(seconds, part), 1) for part in (0.5, 0.95, 0.99)},
        "max": round(1000 * max(seconds, default=0.0), 1),
    }


def cost(cluster: Cluster, door: Node, home: Node, single: Node, packets: int) -> dict[str, float]:
    """Milliseconds of CPU a packet, of a door, its home, and a single server, in turns of 100 packets."""
    spent = {"door": 0.0, "home": 0.0, "single server": 0.0}
    clients = {node.name: Client([node.port], cluster.key) for node in (door, single)}
    audio = bytes(PACKET_BYTES)
    for turn in range(2 * (packets // 100)):
        node = (door, single)[turn % 2]
        names = {"door": door, "home": home} if node is door else {"single server": single}
        before = {name: each.cpu for name, each in names.items()}
        stream = uuid.uuid4().hex[:16]
        for number in range(100):
            action = 1 if number == 0 else 3 if number == 99 else 0
            clients[node.name].send(stream, number, action, b"" if action == 3 else audio)
        for name, each in names.items():
            spent[name] += each.cpu - before[name]
    return {name: round(1000 * seconds / (packets // 100 * 100), 3) for name, seconds in spent.items()}


def main() -> int:
    """Run it; 0 where nothing was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--freezes", type=int, default=20)
    parser.add_argument("--streams", type=int, default=20, help="streams at a time")
    parser.add_argument("--cost", type=int, default=0, metavar="PACKETS", help="measure what a packet costs instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lingting-cluster-") as folder:
        cluster = Cluster(Path(folder))
        try:
            result = measured(cluster, options) if options.cost else disturbed(cluster, options)
        finally:
            cluster.stop()
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if result.get("wrong") else 0


def measured(cluster: Cluster, options: argparse.Namespace) -> dict[str, object]:
    """What a packet costs."""
    home, door, single = cluster.start("home", "home"), cluster.start("door", "door"), cluster.start("none", "single")
    for node in (home, door, single):
        node.wait()
    spent = cost(cluster, door, home, single, options.cost)
    for name, milliseconds in spent.items():
        print(f"{name:<15} {milliseconds:6.3f} ms of CPU a packet")
    print(f"a door above a single server: {spent['door'] - spent['single server']:.3f} ms")
    return {"cpu_ms_a_packet": spent}


def disturbed(cluster: Cluster, options: argparse.Namespace) -> dict[str, object]:
    """What is lost, and how late."""
    rng = random.Random(options.seed)
    homes = [cluster.start("home", f"home-{number}") for number in range(3)]
    doors = [cluster.start("door", f"door-{number}") for number in range(2)]
    for node in [*homes, *doors]:
        node.wait()
    played, stop = Played(), threading.Event()
    speakers = [
        threading.Thread(target=play, args=([door.port for door in doors], cluster.key, stop, played, seed))
        for seed in range(options.streams)
    ]
    for speaker in speakers:
        speaker.start()
    kinds = ["kill"] * options.kills + ["freeze"] * options.freezes
    rng.shuffle(kinds)
    try:
        faults = disturb(cluster, homes, kinds, played, rng)
    finally:
        stop.set()
        for speaker in speakers:
            speaker.join()
    table = figures(faults, played)
    made = [sum(fault.kind == kind for fault in faults) for kind in ("kill", "freeze")]
    print(f"{made[0]} kills and {made[1]} freezes; {played.streams} streams, {len(played.packets)} packets")
    print(f"streams with a wrong text: {len(played.wrong)}; seconds of sound lost: {played.lost_seconds}")
    for line in played.wrong:
        print(f"  {line}")
    print(f"{'milliseconds':<40}{'n':>8}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}")
    for name, row in table.items():
        print(
            f"{name:<40}"
            + f"{row['packets']:>8.0f}"
            + "".join(f"{row[one]:>9.1f}" for one in ("p50", "p95", "p99", "max"))
        )
    return {
        "kills": made[0],
        "freezes": made[1],
        "wrong": played.wrong,
        "lost_seconds": played.lost_seconds,
        "streams": played.streams,
        "latency_ms": table,
    }


if __name__ == "__main__":
    sys.exit(main())
