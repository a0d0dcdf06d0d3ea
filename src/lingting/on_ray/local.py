"""Ray on machines that nobody else manages: started, given its applications, looked at, and stopped.

`ray start --block` is a process of its own session, whose number lies in the data folder. It alone is ended: `ray stop`
would end every Ray process of the machine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from lingting.errors import SettingsError
from lingting.extras import install_command
from lingting.settings import Settings

START_SECONDS = 60.0
"""Ray is given so long to start on a machine."""
LEAVE_MARGIN_SECONDS = 20.0
"""Beyond its drain, a role is waited for so long."""
_STOP_SECONDS = 20.0


class Machine(msgspec.Struct, frozen=True):
    """What was started here.

    Attributes:
        pid: of `ray start`.
        address: of Ray's control store.
        first: whether that runs on this machine.
    """

    pid: int
    address: str
    first: bool

    @classmethod
    def of(cls, settings: Settings) -> Machine | None:
        """What was started with these settings and still runs."""
        try:
            machine = msgspec.json.decode(state_path(settings).read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError):
            return None
        return machine if machine.runs else None

    @property
    def runs(self) -> bool:
        """Whether the process is there, and not another one that has its number by now."""
        try:
            words = Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return b"start" in words and b"--block" in words


def state_path(settings: Settings) -> Path:
    """Where it is kept what was started."""
    return settings.data_dir / "cluster.json"


def start(settings: Settings, *, join: str | None, address: str, port: int) -> Machine:
    """Start Ray here, as the first machine of a cluster or joining one.

    Raises:
        SettingsError: Ray is not installed, runs here already, or does not start.
    """
    program = Path(sys.executable).parent / "ray"
    if not program.exists():
        raise SettingsError(f"Ray is not installed: install it with `{install_command('cluster')}`")
    if Machine.of(settings):
        raise SettingsError("the cluster runs here already; `lingting cluster down` stops it")
    command = [str(program), "start", "--block", "--disable-usage-stats", f"--node-ip-address={address}"]
    if join is None:
        command += ["--head", f"--port={port}", "--include-dashboard=false"]
    else:
        command += [f"--address={join}"]
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    path = settings.data_dir / "ray.log"
    with path.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        )
    machine = Machine(process.pid, join or f"{address}:{port}", join is None)
    state_path(settings).write_bytes(msgspec.json.encode(machine))
    deadline = time.monotonic() + START_SECONDS
    while b"Ray runtime started" not in path.read_bytes():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        if process.returncode is not None or time.monotonic() > deadline:
            state_path(settings).unlink()
            process.terminate()
            raise SettingsError(f"Ray does not start; {path} says why")
    return machine


def deploy(machine: Machine, settings: Settings, *, homes: int) -> None:
    """Begin a door and so many homes on every machine that there is or will be, and wait for those of this one."""
    from ray import serve

    from lingting.on_ray import app

    with _connected(machine):
        serve.start(proxy_location="Disabled")
        serve.run(app.on_every_machine(app.Home, [0], settings, homes), name="homes", route_prefix=None)
        serve.run(app.on_every_machine(app.Door, [settings.port], settings, 1), name="doors", route_prefix=None)


def seen(machine: Machine) -> dict[str, Any]:
    """What Ray says of its machines and of the roles."""
    import ray
    from ray import serve

    with _connected(machine):
        applications = serve.status().applications
        return {
            "machines": [{"address": each["NodeManagerAddress"], "alive": each["Alive"]} for each in ray.nodes()],
            "roles": {
                name: {
                    "status": str(application.status.value).lower(),
                    "running": sum(each.replica_states.get("RUNNING", 0) for each in application.deployments.values()),
                    "wanted": sum(sum(each.replica_states.values()) for each in application.deployments.values()),
                }
                for name, application in applications.items()
            },
        }


def leave(settings: Settings, machine: Machine | None = None) -> None:
    """Tell Ray to give this machine nothing more and to move its roles, and wait until they have gone.

    Args:
        settings: how long a drain takes.
        machine: what was started here; None where somebody else started Ray and has the machine for it, as a pod is.
    """
    patience = settings.drain_lead_seconds + settings.drain_seconds + LEAVE_MARGIN_SECONDS
    subprocess.run(  # noqa: S603
        [
            str(Path(sys.executable).parent / "ray"),
            "drain-node",
            *([f"--address={machine.address}"] if machine else []),
            "--reason=DRAIN_NODE_REASON_PREEMPTION",
            "--reason-message=it is being stopped",
            f"--deadline-remaining-seconds={round(patience)}",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + patience
    while _roles_below(machine.pid if machine else 1) and time.monotonic() < deadline:
        _pause(0.5)


def stop(machine: Machine, settings: Settings) -> None:
    """Drain what runs here, or all where this is the first machine, and end Ray here."""
    if machine.first:
        from ray import serve

        with _connected(machine):
            serve.shutdown()
    else:
        leave(settings, machine)
    os.kill(machine.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while machine.runs and time.monotonic() < deadline:
        _pause(0.2)
    state_path(settings).unlink()


@contextlib.contextmanager
def _connected(machine: Machine) -> Iterator[None]:
    import ray

    ray.init(address=machine.address, log_to_driver=False, logging_level="error")
    try:
        yield
    finally:
        ray.shutdown()


def _roles_below(top: int) -> list[int]:
    """Processes of roles that this process began, or those that it began did."""
    parents: dict[int, int] = {}
    roles = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if (
                    (folder / "cmdline")
                    .read_bytes()
                    .startswith((b"ray::ServeReplica:doors", b"ray::ServeReplica:homes"))
                ):
                    roles.append(int(folder.name))

    def is_below(pid: int) -> bool:
        while pid > 1 and pid != top:
            pid = parents.get(pid, 0)
        return pid == top

    return [pid for pid in roles if is_below(pid)]


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)
