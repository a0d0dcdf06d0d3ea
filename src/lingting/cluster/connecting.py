"""How a door and a home come to have a link: the door dials, the home listens, and both greet (`handshake.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

from lingting.cluster import handshake, messages
from lingting.cluster.handshake import HomeSilent, LinkError, Peer
from lingting.cluster.link import Call, Link
from lingting.cluster.messages import Leaving, Message
from lingting.errors import LingtingError

CONNECT_SECONDS = 1.0
HANDSHAKE_SECONDS = 2.0
_BUFFER = 256 * 1024
_GREETING = 256
_ANY = ("0.0.0.0", "::", "[::]")  # noqa: S104

log = logging.getLogger(__name__)


async def dial(address: str, secret: bytes, node: str) -> Link:
    """Connect to the home at `host:port`; `Link.run` runs as a task of its own until the link is closed.

    Raises:
        LinkRefused: what listens there is no node of this cluster.
        LinkError: nothing answers there; HomeSilent where that took `CONNECT_SECONDS`.
    """
    host, _, port = address.rpartition(":")
    writer = None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), limit=_BUFFER)
            _prepare(writer)
            peer = await handshake.connect(reader, writer, secret, node)
    except BaseException as error:
        if writer is not None:
            writer.transport.abort()
        if isinstance(error, TimeoutError):
            raise HomeSilent(f"{address} does not answer within {CONNECT_SECONDS:g} s") from None
        if isinstance(error, OSError):
            raise LinkError(f"{address} does not answer: {error}") from None
        raise
    link = Link(reader, writer, peer, messages.to_door)
    link.start()
    return link


class Listener:
    """Where a home waits for doors. Event loop only.

    Args:
        secret: of the cluster.
        node: name of this home.
        opened: see `Link`.

    Attributes:
        links: to the doors that are connected.
        refused: how many connections were not let in.
        on_lost: told that a link was lost.
    """

    def __init__(self, secret: bytes, node: str, opened: Callable[[Message, Call], None]) -> None:
        self.links: set[Link] = set()
        self.refused = 0
        self._secret = secret
        self._node = node
        self._opened = opened
        self.on_lost: Callable[[], None] | None = None
        self._greeting = 0
        self._server: asyncio.Server | None = None

    async def start(self, address: str) -> str:
        """Listen at `host:port`; returns the address at which others reach it, with the port that was taken.

        Raises:
            OSError: the address cannot be had.
        """
        host, _, port = address.rpartition(":")
        self._server = await asyncio.start_server(self._connected, host.strip("[]"), int(port), limit=_BUFFER)
        reached = socket.gethostname() if host in _ANY else host
        return f"{reached}:{self._server.sockets[0].getsockname()[1]}"

    def leave(self) -> None:
        """Tell the doors that nothing new is for this home."""
        for link in self.links:
            with contextlib.suppress(LingtingError):
                link.send(Leaving(0))

    async def stop(self) -> None:
        """Let no door in any more, and cut those that are there."""
        if self._server is not None:
            self._server.close()
        for link in list(self.links):
            link.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = await self._greet(reader, writer)
        if peer is None:
            self.refused += 1
            writer.transport.abort()
            return
        link = Link(reader, writer, peer, messages.to_home, self._opened)
        self.links.add(link)
        try:
            await link.run()
        finally:
            self.links.discard(link)
            if self.on_lost is not None:
                self.on_lost()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Peer | None:
        if self._greeting >= _GREETING:
            return None
        self._greeting += 1
        try:
            _prepare(writer)
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                return await handshake.answer(reader, writer, self._secret, self._node)
        except (LinkError, OSError) as error:
            log.warning("a connection is not let in: %s", error or "it takes too long")
            return None
        finally:
            self._greeting -= 1


def _prepare(writer: asyncio.StreamWriter) -> None:
    writer.transport.set_write_buffer_limits(high=_BUFFER)
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
