"""The proof of a cluster placed by Ray: see scripts/cluster_proof.sh."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import psutil
import ray
import redis
import yaml
from ray import serve
from ray.cluster_utils import Cluster
from ray.serve.schema import ServeDeploySchema

from bench.growth.throughput import free_port
from bench.growth.throughput import redis as running_redis
from lingting.samples import TEXT, contents
from scripts.cluster import speakers
from scripts.cluster.postgresql import running_postgresql

ROOT = Path(__file__).resolve().parents[2]
STREAMS = 20
PAUSE = b"\0" * 48_000
LIKENESS = 0.75
"""So much of a final text is what was said."""
READY_SECONDS = 120.0


def main() -> int:
    """The command; status 1 where a text was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    short = parser.parse_args().short
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="lingting-proof-")))
        redis_url = held.enter_context(running_redis())
        ports = [free_port(), free_port()]
        configure(folder, redis_url, held.enter_context(running_postgresql()))
        check_config()
        nodes = held.enter_context(running_ray(folder))
        began = time.monotonic()
        deploy(ports)
        wait_for_homes(redis_url, 2)
        print(f"ready after {time.monotonic() - began:.0f} s", flush=True)
        key, app = speakers.credentials()
        proof = Proof(nodes, redis_url, [f"http://127.0.0.1:{port}" for port in ports], key, app)
        rounds = [(proof.kill_home, 2), (proof.kill_node, 2)]
        if not short:
            rounds[1:1] = [(proof.freeze_home, 2), (proof.freeze_node, 2), (proof.update_homes, 6)]
        wrong = [fault for disturb, times in rounds for fault in proof.round(disturb, times)]
    for fault in wrong:
        print(fault, file=sys.stderr)
    print("every final text is right" if not wrong else f"{len(wrong)} texts are wrong")
    return 1 if wrong else 0


def configure(folder: Path, redis_url: str, database_url: str) -> None:
    """What doors and homes read of their environment, which they have from Ray's processes."""
    settings = {
        "DATA_DIR": folder / "data",
        "DATABASE_URL": database_url,
        "LIMITS_URL": redis_url,
        "CLUSTER_REDIS_URL": redis_url,
        "CLUSTER_SECRET": "only for this proof, and no secret",
        "MAX_LAG_SECONDS": "inf",
        "MAX_WAIT_SECONDS": "600",
        "STREAMS_PER_TENANT": "100",
        "DRAIN_SECONDS": "5",
        "LOG_LEVEL": "warning",
    }
    os.environ.update({f"LINGTING_{name}": str(value) for name, value in settings.items()})
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0", RAY_TMPDIR=str(folder), PYTHONPATH=f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    )
    (folder / "ray").mkdir()


def check_config() -> None:
    """The Serve config that the chart writes is one that Ray takes, and its names exist."""
    from lingting.on_ray import app, scaling

    manifests = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "rayservice.yaml").read_text(encoding="utf-8"))
    service = next(each for each in manifests if each["kind"] == "RayService")
    config = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    for application in config.applications:
        built = getattr(app, application.import_path.rpartition(":")[2])(application.args)
        (deployment,) = application.deployments
        assert built._bound_deployment.name == deployment.name
    assert scaling.HomesWanted


def is_right(text: str, times: int) -> bool:
    """Whether a text is what was said, so many times: none of them lost, none doubled."""
    alike = SequenceMatcher(None, text, times * TEXT).ratio() >= LIKENESS
    return alike and abs(len(text) - times * len(TEXT)) < len(TEXT) / 2


@contextlib.contextmanager
def running_ray(folder: Path) -> Iterator[list[Any]]:
    """Two nodes on this machine, the head first."""
    each = {"num_cpus": 2, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**each, "include_dashboard": False})
    try:
        worker = cluster.add_node(**each)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        yield [cluster.head_node, worker]
    finally:
        below = [each for each in psutil.Process().children(recursive=True) if "redis" not in each.name()]
        below = [each for each in below if "postgres" not in each.name()]
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
        with contextlib.suppress(Exception):
            ray.shutdown()
        with contextlib.suppress(Exception):
            cluster.shutdown()
        for process in below:  # by their numbers: `ray stop` would end every Ray of this machine
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(below, 10)


def deploy(ports: list[int]) -> None:
    """A door and a home on each node."""
    from lingting.on_ray.app import Door, Home

    serve.start(proxy_location="Disabled")
    run_role(Home, "homes", [0], {})
    run_role(Door, "doors", ports, {})


def run_role(role: type, name: str, ports: list[int], settings: dict[str, str | int | float | bool]) -> None:
    """Have Serve run a role on each node, in place of those of other settings: one after another."""
    from lingting.on_ray.app import Options

    deployment = serve.deployment(
        role,
        num_replicas=2,
        max_replicas_per_node=1,
        ray_actor_options={"num_cpus": 0},
        graceful_shutdown_timeout_s=20,
        health_check_period_s=1,
        health_check_timeout_s=10,
    )
    serve.run(deployment.bind(Options(ports=ports, settings=settings)), name=name, route_prefix=None)


def wait_for_homes(redis_url: str, count: int) -> None:
    """Return once so many homes have told of themselves within the last second."""
    until = time.monotonic() + READY_SECONDS
    with redis.Redis.from_url(redis_url) as client:
        while time.monotonic() < until:
            seconds, microseconds = client.time()
            now = 1000 * seconds + microseconds / 1000
            if client.zcount("lingting:cluster:{homes}:seen", now - 1000, now + 1000) >= count:
                return
            time.sleep(0.1)
    raise RuntimeError(f"there are no {count} homes after {READY_SECONDS:g} s")


class Proof:
    """Rounds of streams, each with something that happens meanwhile."""

    def __init__(self, nodes: list[Any], redis_url: str, doors: list[str], key: str, app: tuple[str, str]) -> None:
        self._nodes = nodes
        self._redis_url = redis_url
        self._doors = doors
        self._key = key
        self._app = app

    def round(self, disturb: Callable[[], None], times: int) -> list[str]:
        """Play all streams, each the sentence so many times, while something happens; what was wrong."""
        wait_for_homes(self._redis_url, 2)
        staying = self._staying_door()
        sentence = contents()["sample.pcm"]
        began = time.monotonic()
        with ThreadPoolExecutor(STREAMS) as pool:
            playing = []
            for number in range(STREAMS):
                pcm = PAUSE[: 320 * number] + times * (sentence + PAUSE)
                if number % 5 < 3:
                    playing.append(pool.submit(speakers.by_feishu, self._doors, self._app, pcm))
                elif number % 5 == 3:
                    playing.append(pool.submit(speakers.by_realtime, staying, self._key, pcm))
                else:
                    playing.append(pool.submit(speakers.by_deepgram, staying, self._key, pcm))
            time.sleep(5.0)
            disturb()
            wrong, slowest = [], 0.0
            for number, future in enumerate(playing):
                try:
                    text, longest = future.result(300)
                except Exception as error:
                    wrong.append(f"{disturb.__name__}, stream {number}: {type(error).__name__}: {error}")
                    continue
                slowest = max(slowest, longest)
                if not is_right(speakers.plain(text), times):
                    wrong.append(f"{disturb.__name__}, stream {number}: {text!r}")
        print(
            f"{disturb.__name__}: {STREAMS - len(wrong)} of {STREAMS} right, slowest answer to a packet "
            f"{slowest:.1f} s, {time.monotonic() - began:.0f} s",
            flush=True,
        )
        return wrong

    def kill_home(self) -> None:
        """A home's process is gone; Serve begins another."""
        self._roles(self._nodes[1], "homes")[0].kill()

    def freeze_home(self) -> None:
        """A home's process stands still for four seconds, and wakes with what it had in hand."""
        self._frozen(self._roles(self._nodes[1], "homes"))

    def freeze_node(self) -> None:
        """All processes of a node stand still for four seconds."""
        self._frozen(self._processes(self._nodes[1]))

    def update_homes(self) -> None:
        """Serve stops one home after another and begins one of other settings in its place."""
        from lingting.on_ray.app import Home

        run_role(Home, "homes", [0], {"log_level": "error"})

    def kill_node(self) -> None:
        """All processes of a node are gone; Ray has no other to put its roles on."""
        for process in self._processes(self._nodes[1]):
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _frozen(self, processes: list[psutil.Process]) -> None:
        for process in processes:
            process.suspend()
        time.sleep(4.0)
        for process in processes:
            process.resume()

    def _processes(self, node: Any) -> list[psutil.Process]:
        top = [psutil.Process(info.process.pid) for infos in node.all_processes.values() for info in infos]
        return [*top, *(child for process in top for child in process.children(recursive=True))]

    def _roles(self, node: Any, application: str) -> list[psutil.Process]:
        return [
            each for each in self._processes(node) if each.cmdline()[0].startswith(f"ray::ServeReplica:{application}:")
        ]

    def _staying_door(self) -> str:
        """The door on the head: a WebSocket ends with its door, whatever homes do."""
        (door,) = self._roles(self._nodes[0], "doors")
        listening = {each.laddr.port for each in door.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
        return next(url for url in self._doors if int(url.rpartition(":")[2]) in listening)


if __name__ == "__main__":
    sys.exit(main())
