"""Wyoming's framing: a line of JSON, then JSON that is merged over its data, then a payload of bytes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec

VERSION = "1.10.2"
MAX_HEADER_BYTES = 65_536
"""A reader for `asyncio.start_server` needs this as its limit."""

MAX_DATA_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 16 << 20


class FrameError(Exception):
    """What came is no event; nothing can be read behind it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event."""

    type: str
    data: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""


async def read(reader: asyncio.StreamReader) -> Event | None:
    """The next event; None when the peer has left, also in the middle of one.

    Raises:
        FrameError: it is no event, or too large a one.
    """
    try:
        line = await reader.readline()
        if not line.endswith(b"\n"):
            return None
        header = _object(line, "the header")
        kind = header.get("type")
        if not isinstance(kind, str):
            raise FrameError("the header has no type")
        data = header.get("data") or {}
        if not isinstance(data, dict):
            raise FrameError("data must be an object")
        if length := _length(header, "data_length", MAX_DATA_BYTES):
            data = data | _object(await reader.readexactly(length), "the data")
        length = _length(header, "payload_length", MAX_PAYLOAD_BYTES)
        return Event(kind, data, await reader.readexactly(length) if length else b"")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except ValueError:  # a line beyond the reader's limit
        raise FrameError(f"a header may have {MAX_HEADER_BYTES} bytes") from None


def written(event: Event) -> bytes:
    """An event as bytes."""
    data = msgspec.json.encode(event.data) if event.data else b""
    header: dict[str, Any] = {"type": event.type, "version": VERSION}
    if data:
        header["data_length"] = len(data)
    if event.payload:
        header["payload_length"] = len(event.payload)
    return msgspec.json.encode(header) + b"\n" + data + event.payload


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FrameError(f"{what} must be a JSON object")
    return found


def _length(header: dict[str, Any], name: str, most: int) -> int:
    length = header.get(name) or 0
    if isinstance(length, bool) or not isinstance(length, int) or not 0 <= length <= most:
        raise FrameError(f"{name} must be a whole number from 0 to {most}")
    return length
