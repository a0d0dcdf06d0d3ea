"""Request bodies within bounds: size, pace and encoding."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request

from lingting.api.http import exchange as exchanges
from lingting.domain import Seconds
from lingting.errors import LingtingError
from lingting.settings import Settings

LEAST_BYTES_PER_SECOND = 1000


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Most bytes of a body, the longest pause in it, and the longest time for all of it."""

    max_bytes: int
    pause_seconds: Seconds
    whole_seconds: Seconds

    @classmethod
    def of(cls, settings: Settings, max_bytes: int) -> BodyLimits:
        """Those of the settings."""
        return cls(max_bytes, settings.request_timeout_seconds, settings.body_timeout_seconds)


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

    def __init__(self, limits: BodyLimits) -> None:
        super().__init__(
            f"the body stopped arriving or comes too slowly: it may pause for at most {limits.pause_seconds:g} s, must "
            f"come at {LEAST_BYTES_PER_SECOND} bytes per second or more, and be there within {limits.whole_seconds:g} s"
        )


class ClientLeft(Exception):
    """The client closed the connection before its request was complete, or while it was answered."""


async def read(request: Request, limits: BodyLimits) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge, BodyEncoded, BodyStalled: it is not taken.
        ClientLeft: the client left before its end.
    """
    pieces = [chunk async for chunk in chunks(request, limits)]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


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
            async with asyncio.timeout(min(limits.pause_seconds, started + limits.whole_seconds - time.monotonic())):
                message = await request.receive()
        except TimeoutError:
            raise BodyStalled(limits) from None
        if message["type"] == "http.disconnect":
            raise ClientLeft
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size > limits.max_bytes:
            raise BodyTooLarge(limits.max_bytes)
        elapsed = time.monotonic() - started
        if more and elapsed > limits.pause_seconds and size < elapsed * LEAST_BYTES_PER_SECOND:
            raise BodyStalled(limits)
        if chunk:
            yield chunk
    exchanges.of(request.scope).body_read = True
