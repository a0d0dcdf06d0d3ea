"""Who may connect: bounded connections for each address and in all, and bounded time until the first request."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import resource
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable

MAX_CONNECTIONS = 4096
MAX_WAITING = 512
"""Connections that have not sent the head of a request yet, their TLS handshake included."""

HANDSHAKE_SECONDS = 10.0
SHUTDOWN_SECONDS = 5.0
_SPARE_DESCRIPTORS = 256
_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
_PAUSE_SECONDS = 0.1
_SAY_AGAIN_SECONDS = 60.0
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)

MakeProtocol = Callable[[Callable[[], None]], asyncio.Protocol]
"""Makes the protocol of a connection, which calls what it is given when the head of its first request is there."""


class Gate:
    """Accepts connections and gives each its protocol, until `close`. Event loop only.

    An address has a bounded number of connections. When too many wait for their handshake or their first request,
    whoever has waited longest is cut: an honest client is through in a moment, a slow one makes room. A system that
    has no descriptors left is treated alike.

    Args:
        listener: the listening socket, which stays the caller's.
        make: makes the protocol of a connection.
        tls: context of the handshake; None speaks plain TCP.
        per_address: most connections of one address, or of one /64 network of IPv6.
        exempt: whether an address is a trusted proxy, behind which many clients are.
        refused: told why a connection is refused or cut: "address", "slow", "full" or "descriptors".
    """

    def __init__(
        self,
        listener: socket.socket,
        make: MakeProtocol,
        *,
        tls: ssl.SSLContext | None,
        per_address: int,
        exempt: Callable[[str], bool],
        refused: Callable[[str], None],
    ) -> None:
        self._listener = listener
        self._make = make
        self._tls = tls
        self._per_address = per_address
        self._exempt = exempt
        self._refused = refused
        self._most = most_connections()
        self._by_network: Counter[str] = Counter()
        self._open: set[_Client] = set()
        self._waiting: dict[_Client, None] = {}  # the oldest first
        self._admitting: set[asyncio.Task[None]] = set()
        self._said: dict[str, float] = {}
        listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(), name="accept")

    def close(self) -> None:
        """Accept nothing more; what is open stays open."""
        self._accepting.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing is accepted any more and no handshake is under way."""
        await asyncio.gather(self._accepting, *self._admitting, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._listener)
                self._take(accepted, str(address[0]))
            except ConnectionAbortedError:
                pass  # that client left before it was accepted
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._refused("descriptors")
                    self._cut_oldest()
                self._say("error", "no connection can be accepted: %s", error.strerror)
                await asyncio.sleep(_PAUSE_SECONDS)

    def _take(self, accepted: socket.socket, host: str) -> None:
        """Let a connection in, or close it."""
        network = _network(host)
        if self._by_network[network] >= self._per_address and not self._exempt(host):
            accepted.close()
            self._refused("address")
            self._say(
                network,
                "%s has %d connections and gets no more: LINGTING_CONNECTIONS_PER_ADDRESS; if it is a proxy of yours, "
                "name it in LINGTING_TRUSTED_PROXIES",
                network,
                self._per_address,
            )
            return
        if len(self._open) >= self._most and not self._cut_oldest():
            accepted.close()
            self._refused("full")
            self._say("full", "there are %d connections and no more are accepted", len(self._open))
            return
        client = _Client(accepted, network, self._left)
        self._by_network[network] += 1
        self._open.add(client)
        self._waiting[client] = None
        if len(self._waiting) > MAX_WAITING:
            self._cut_oldest()
        task = asyncio.create_task(self._admit(client))
        self._admitting.add(task)
        task.add_done_callback(self._admitting.discard)

    async def _admit(self, client: _Client) -> None:
        client.setblocking(False)
        _keep_alive(client)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._make(lambda: self._arrived(client)),
                client,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._tls else None,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS if self._tls else None,
            )
        except (OSError, ssl.SSLError):
            client.close()  # no TLS, or too slow for it

    def _arrived(self, client: _Client) -> None:
        """The head of the client's first request is there."""
        self._waiting.pop(client, None)

    def _left(self, client: _Client) -> None:
        self._waiting.pop(client, None)
        if client in self._open:
            self._open.discard(client)
            self._by_network[client.network] -= 1
            if not self._by_network[client.network]:
                del self._by_network[client.network]

    def _cut_oldest(self) -> bool:
        """Ends the connection that has waited longest; False when none waits."""
        for client in self._waiting:
            del self._waiting[client]
            self._refused("slow")
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)  # its transport sees the end, and closes it
            return True
        return False

    def _say(self, what: str, message: str, *arguments: object) -> None:
        """Warns once a minute about each thing."""
        now = time.monotonic()
        if now - self._said.get(what, -_SAY_AGAIN_SECONDS) >= _SAY_AGAIN_SECONDS:
            self._said = {each: when for each, when in self._said.items() if now - when < _SAY_AGAIN_SECONDS}
            self._said[what] = now
            log.warning(message, *arguments)


class _Client(socket.socket):
    """An accepted socket that says when it is closed, whichever protocol it ended with."""

    def __init__(self, accepted: socket.socket, network: str, closed: Callable[[_Client], None]) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.network = network
        self._when_closed = closed

    def close(self) -> None:
        super().close()
        self._when_closed(self)

    def detach(self) -> int:
        """How uvloop, on which Ray runs a door, ends a connection: it closes the descriptor itself, just after this."""
        descriptor = super().detach()
        self._when_closed(self)
        return descriptor


def most_connections() -> int:
    """How many connections there may be; lets this process open as many files as that takes, where it is allowed to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _SPARE_DESCRIPTORS
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(MAX_CONNECTIONS, max(soft // 2, soft - _SPARE_DESCRIPTORS))


def _keep_alive(client: socket.socket) -> None:
    """Have the system find out that a peer is gone, where it ends without a word."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            client.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _network(host: str) -> str:
    """The address that connections are counted by; of IPv6 the network that one customer has."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
