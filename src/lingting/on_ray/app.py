"""Doors and homes as applications of Ray Serve, for a Serve config file: `lingting.on_ray.app:doors` and `:homes`.

Serve's proxy must not run (`proxy_location: Disabled`): it writes reply headers in lower case, which Feishu's SDK does
not find. A door listens on a port of its own, with the same server as `lingting serve`.
"""

from __future__ import annotations

import socket
from typing import Any

import msgspec
import ray
from ray import serve
from ray.util import get_node_ip_address

from lingting.api.stopping import CLOSING_SECONDS
from lingting.cluster.home import Home as HomeService
from lingting.on_ray.node import Node, settings_of
from lingting.on_ray.scaling import AGE, STREAMS
from lingting.settings import Settings

MOST_REPLICAS = 10_000
"""More machines than this no cluster has."""


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """The `args` of an application in a Serve config file.

    Attributes:
        ports: where HTTP is answered: the first that is free on the machine, 0 for any.
        link_port: where a home listens for doors; 0 takes a free port.
        settings: any setting of Lingting by its name in lower case, above the environment of Ray's processes.
    """

    ports: list[int] = msgspec.field(default_factory=lambda: [8300])
    link_port: int = 0
    settings: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)


class Door:
    """A door as a replica. Serve begins it, asks for its health, and ends it by `__del__`, for which it waits."""

    async def __init__(self, options: Options) -> None:  # type: ignore[misc]
        self._node = await _started("door", options)

    async def check_health(self) -> None:
        """Raises where the server has ended; a stuck event loop never answers this."""
        self._node.check()

    async def __del__(self) -> None:
        await self._node.stop()


class Home:
    """A home as a replica, which tells Serve how much it has to do."""

    async def __init__(self, options: Options) -> None:  # type: ignore[misc]
        self._node = await _started("home", options)

    async def check_health(self) -> None:
        """Raises where the server has ended; a stuck event loop never answers this."""
        self._node.check()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What `HomesWanted` goes by."""
        assert isinstance(self._node.service, HomeService)
        state = self._node.service.hosted.state()
        return {STREAMS: float(state.live), AGE: state.lag}

    async def __del__(self) -> None:
        await self._node.stop()


async def _started(role: Any, options: Options) -> Node:
    replica = serve.get_replica_context().replica_id.unique_id
    settings = settings_of(
        role,
        name=f"{socket.gethostname()}-{role}-{replica}",
        address=get_node_ip_address(),
        link_port=options.link_port,
        given=options.settings,
    )
    return await Node.start(settings, options.ports)


def on_every_machine(role: type, ports: list[int], settings: Settings, replicas: int) -> serve.Application:
    """An application with so many replicas of a role, Door or Home, on each machine that there is or will be."""
    count = len([node for node in ray.nodes() if node["Alive"]]) * replicas
    return serve.deployment(
        role,
        max_replicas_per_node=replicas,
        ray_actor_options={"num_cpus": 0},
        graceful_shutdown_timeout_s=settings.drain_lead_seconds + settings.drain_seconds + CLOSING_SECONDS,
        autoscaling_config={
            "min_replicas": 1,
            "initial_replicas": count,
            "max_replicas": MOST_REPLICAS,
            "upscale_delay_s": 0,
            "downscale_delay_s": 5,
            "policy": {
                "policy_function": "lingting.on_ray.scaling:OnEveryMachine",
                "policy_kwargs": {"replicas": replicas},
            },
        },
    ).bind(Options(ports=ports))


def doors(args: dict[str, Any]) -> serve.Application:
    """The application of the doors."""
    return serve.deployment(Door).bind(msgspec.convert(args, Options))


def homes(args: dict[str, Any]) -> serve.Application:
    """The application of the homes; theirs is any free port unless `ports` says one."""
    return serve.deployment(Home).bind(msgspec.convert({"ports": [0], **args}, Options))
