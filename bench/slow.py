"""Clients that are slow, or say or read nothing: each holds one connection for as long as the server lets it.

`python -m bench.slow PORT KEY COUNT [tls]` is a crowd of them that come again when they are cut, until it is killed. It
gives way to the server on the machine, as the machines of other people would.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bench.player import FLASH_PATH

BYTE_SECONDS = 0.5
"""Between two bytes of a slow sender."""
AGAIN_SECONDS = 1.0
PER_ADDRESS = 60
"""Connections from each address: the server has a limit of them."""
NICENESS = 5


@functools.cache
def believing() -> ssl.SSLContext:
    """What takes every certificate; one for all, as making it takes longer than a handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who connects to which server.

    Attributes:
        port: of the server, on this machine.
        key: a bearer that is good.
        address: where the connections come from, such as 127.0.0.2.
        tls: whether the server speaks TLS.
    """

    port: int
    key: str
    address: str
    tls: bool = False

    async def connect(self, *, handshake: bool = True) -> Streams:
        """A connection, with its TLS handshake where there is one."""
        context = believing() if self.tls and handshake else None
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, local_addr=(self.address, 0))

    @property
    def head(self) -> bytes:
        """Of a file of a megabyte."""
        head = f"POST {FLASH_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\nformat: pcm\r\n"
        return f"{head}Content-Length: 1000000\r\n\r\n".encode()


async def silent(peer: Peer) -> None:
    """Connects and says nothing, not even a TLS hello."""
    reader, writer = await peer.connect(handshake=False)
    await _until_cut(reader, writer)


async def slow_head(peer: Peer) -> None:
    """Sends the head of a request byte by byte."""
    reader, writer = await peer.connect()
    await _byte_by_byte(reader, writer, peer.head)


async def slow_body(peer: Peer) -> None:
    """Sends the body byte by byte."""
    reader, writer = await peer.connect()
    writer.write(peer.head)
    await _byte_by_byte(reader, writer, bytes(1_000_000))


async def half_body(peer: Peer) -> None:
    """Sends half of a body and then nothing."""
    reader, writer = await peer.connect()
    writer.write(peer.head + bytes(500_000))
    await _until_cut(reader, writer)


async def deaf(peer: Peer) -> None:
    """Asks for a page again and again on one connection, and reads no answer."""
    reader, writer = await peer.connect()
    with suppress(OSError):
        while not reader.at_eof():
            writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(BYTE_SECONDS)
    writer.transport.abort()


async def slow_socket(peer: Peer) -> None:
    """Opens a WebSocket and sends the head of a frame that never comes."""
    reader, writer = await peer.connect()
    head = "GET /v1/listen?encoding=linear16&sample_rate=16000 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    head += f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {peer.key}\r\n"
    writer.write(f"{head}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    writer.write(b"\x82\xfe\xff")
    await _until_cut(reader, writer)


SLOW: dict[str, Callable[[Peer], Awaitable[None]]] = {
    "silent": silent,
    "head byte by byte": slow_head,
    "body byte by byte": slow_body,
    "half a body": half_body,
    "deaf": deaf,
    "WebSocket that stalls": slow_socket,
}


async def crowd(peers: Sequence[Peer], count: int) -> None:
    """So many at any time, who come from these addresses in turn."""
    kinds = itertools.islice(itertools.cycle(SLOW.values()), count)
    await asyncio.gather(*(_again(act, peers[n % len(peers)]) for n, act in enumerate(kinds)))


async def _again(act: Callable[[Peer], Awaitable[None]], peer: Peer) -> None:
    while True:
        with suppress(OSError, ssl.SSLError):
            await act(peer)
        await asyncio.sleep(AGAIN_SECONDS)


async def _byte_by_byte(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, content: bytes) -> None:
    with suppress(OSError):
        for start in range(len(content)):
            if reader.at_eof() or writer.is_closing():
                break
            writer.write(content[start : start + 1])
            await writer.drain()
            await asyncio.sleep(BYTE_SECONDS)
    writer.transport.abort()


async def _until_cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while await reader.read(65_536):
                pass
    finally:
        writer.transport.abort()


def main() -> None:
    with suppress(OSError):
        os.nice(NICENESS)
    port, key, count, *tls = sys.argv[1:]
    addresses = [f"127.0.1.{n + 1}" for n in range(int(count) // PER_ADDRESS + 1)]
    asyncio.run(crowd([Peer(int(port), key, address, bool(tls)) for address in addresses], int(count)))


if __name__ == "__main__":
    main()
