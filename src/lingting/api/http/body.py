"""Request bodies within bounds: size, pace and encoding; into memory or into a file."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from lingting.api.http import exchange as exchanges
from lingting.errors import LingtingError

LEAST_BYTES_PER_SECOND = 1000
_WRITE_BYTES = 1 << 20


class BodyError(LingtingError):
    """A body that is not taken."""


class BodyTooLarge(BodyError):
    """More bytes than the limit.

    Attributes:
        limit: the limit in bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is over the limit of {limit} bytes")
        self.limit = limit


class BodyEncoded(BodyError):
    """A compressed body; nothing is ever decompressed here."""

    def __init__(self, encoding: str) -> None:
        super().__init__("compressed bodies are not taken; send the body as it is, without Content-Encoding")
        self.encoding = encoding


class BodyStalled(BodyError):
    """The sender paused for too long, or sends too slowly."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the body stopped arriving: it may pause for at most {seconds:g} s and must come at "
            f"{LEAST_BYTES_PER_SECOND} bytes per second or more"
        )


class ClientLeft(Exception):
    """The client closed the connection before its request was complete, or while it was answered."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Most bytes of a body and the longest pause in it, in seconds."""

    max_bytes: int
    pause_seconds: float


async def read(request: Request, limits: BodyLimits) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge, BodyEncoded, BodyStalled: it is not taken.
        ClientLeft: the client left before its end.
    """
    pieces = [chunk async for chunk in chunks(request, limits)]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@contextlib.asynccontextmanager
async def spooled(
    request: Request, limits: BodyLimits, folder: Path, disk: Executor
) -> AsyncIterator[tuple[Path, int]]:
    """The body in a file of its own, and its size in bytes; the file is gone afterwards.

    Writing happens on `disk`, never on the event loop.

    Raises:
        BodyTooLarge, BodyEncoded, BodyStalled: it is not taken.
        ClientLeft: the client left before its end.
    """
    loop = asyncio.get_running_loop()
    spool = await loop.run_in_executor(disk, Spool, folder)
    try:
        size, waiting = 0, bytearray()
        async for chunk in chunks(request, limits):
            size += len(chunk)
            waiting += chunk
            if len(waiting) >= _WRITE_BYTES:
                await loop.run_in_executor(disk, spool.write, bytes(waiting))
                waiting.clear()
        await loop.run_in_executor(disk, spool.complete, bytes(waiting))
        yield spool.path, size
    finally:
        disk.submit(spool.remove)


def clear_spool(folder: Path) -> None:
    """Make the spool folder, and remove what a crash left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("flash-*"):
        left.unlink(missing_ok=True)


async def chunks(request: Request, limits: BodyLimits) -> AsyncIterator[bytes]:
    """The body as it arrives, never empty pieces.

    Raises: as `read`.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise BodyEncoded(encoding[:40])
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limits.max_bytes:
        raise BodyTooLarge(limits.max_bytes)
    size, started = 0, time.monotonic()
    more = True
    while more:
        try:
            async with asyncio.timeout(limits.pause_seconds):
                message = await request.receive()
        except TimeoutError:
            raise BodyStalled(limits.pause_seconds) from None
        if message["type"] == "http.disconnect":
            raise ClientLeft
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size > limits.max_bytes:
            raise BodyTooLarge(limits.max_bytes)
        elapsed = time.monotonic() - started
        if more and elapsed > limits.pause_seconds and size < elapsed * LEAST_BYTES_PER_SECOND:
            raise BodyStalled(limits.pause_seconds)
        if chunk:
            yield chunk
    exchanges.of(request.scope).body_read = True


class Spool:
    """A temporary file; every method blocks and runs on the disk executor, in the order of the calls."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="flash-", dir=folder, delete=False)  # noqa: SIM115
        self.path = Path(self._file.name)

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def complete(self, data: bytes) -> None:
        self._file.write(data)
        self._file.close()

    def remove(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)
