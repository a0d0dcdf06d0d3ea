"""A door or a home inside a process that somebody else began: its settings, its server, its health and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Mapping
from typing import Literal

from lingting.api.listening.sockets import listen
from lingting.api.listening.tls import tls_context
from lingting.api.server import serve
from lingting.api.stopping import Stop
from lingting.cluster import build
from lingting.cluster.home import Home
from lingting.cluster.service import Door
from lingting.core_dumps import forbid_core_dumps
from lingting.errors import LingtingError, SettingsError
from lingting.models import Store
from lingting.models.install import install
from lingting.operations import logs
from lingting.prepared import prepare
from lingting.settings import PREFIX, Settings, load

HEALTH_SECONDS = 5.0
"""An event loop that does not come round for so long is stuck."""

log = logging.getLogger(__name__)


class NotServing(LingtingError):
    """The server of a role has ended, or does not answer."""


def settings_of(
    role: Literal["door", "home"], *, name: str, address: str, link_port: int, given: Mapping[str, object]
) -> Settings:
    """The settings of a role: those of this process's environment and file, and what is given above them.

    Args:
        role: door or home.
        name: the node's name where nothing else says one.
        address: of this machine, as others reach it.
        link_port: where a home listens for doors; 0 takes a free port.
        given: settings by their names in lower case, from the Serve config file.

    Raises:
        SettingsError: one of them is unknown or invalid.
    """
    os.environ.setdefault(f"{PREFIX}CLUSTER_NODE", name)
    os.environ[f"{PREFIX}CLUSTER_ROLE"] = role
    os.environ[f"{PREFIX}CLUSTER_LISTEN"] = f"{address}:{link_port}"
    os.environ.update({PREFIX + key.upper(): str(value) for key, value in given.items()})
    return load()


def first_free(host: str, ports: list[int]) -> socket.socket:
    """A listener on the first port that nothing else has: several doors of one machine share a list.

    Raises:
        SettingsError: none is free.
    """
    for port in ports[:-1]:
        with contextlib.suppress(SettingsError):
            return listen(host, port)
    return listen(host, ports[-1])


class Node:
    """A role's server on the running event loop.

    Attributes:
        service: what it serves.
        url: where it answers.
    """

    def __init__(self, service: Door | Home) -> None:
        self.service = service
        self.url = ""
        self._stop = Stop()
        self._serving: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, settings: Settings, ports: list[int]) -> Node:
        """Prepare, listen, and wait until requests are answered.

        Raises:
            LingtingError: it does not start; the message says why.
        """
        forbid_core_dumps()
        logs.configure(settings.log_level, settings.log_format)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        if settings.cluster_role == "home":
            await asyncio.to_thread(prepare, settings, _install)
        node = cls(build(settings))
        tls = tls_context(settings) if settings.tls else None
        listener = first_free(settings.host, ports)
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        node._serving = asyncio.create_task(
            serve(node.service, [listener], tls, node._stop, ready.set_result), name="server of a role"
        )
        node._serving.add_done_callback(lambda _: listener.close())
        await asyncio.wait((node._serving, ready), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await node._serving
            raise NotServing("the server ended while it started; its log says why")
        node.url = ready.result()
        log.info("%s %s answers at %s", settings.cluster_role, settings.node, node.url)
        return node

    def check(self) -> None:
        """Whether it still serves.

        Raises:
            NotServing: its server has ended.
        """
        if self._serving is None or self._serving.done():
            raise NotServing("the server of this role has ended")

    async def stop(self) -> None:
        """Drain as on SIGTERM, and end; what goes wrong on the way is logged."""
        self._stop.ask(leisurely=True)
        if self._serving is not None:
            await asyncio.gather(self._serving, return_exceptions=True)


def _install(store: Store, name: str) -> None:
    install(store, name)
