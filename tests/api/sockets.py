"""WebSocket clients of the tests: plain ones, which say and see exactly what is on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.api.serving import Running

PATIENCE = 10.0


class Peer:
    """One side of a connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, content: dict[str, Any] | str | bytes) -> None:
        """Send an object as JSON, or a frame as it is."""
        self.connection.send(json.dumps(content) if isinstance(content, dict) else content)

    def hear(self) -> dict[str, Any]:
        """The next message."""
        message: dict[str, Any] = json.loads(self.connection.recv(timeout=PATIENCE))
        return message

    def until(self, kind: str) -> list[dict[str, Any]]:
        """All messages up to the first of a type."""
        heard = [self.hear()]
        while heard[-1].get("type") != kind:
            heard.append(self.hear())
        return heard

    def rest(self) -> list[dict[str, Any]]:
        """All messages until the connection ends."""
        heard = []
        try:
            while True:
                heard.append(self.hear())
        except ConnectionClosed:
            return heard

    @property
    def closed(self) -> tuple[int | None, str]:
        """Code and reason with which the server closed, once `rest` has returned."""
        close = self.connection.protocol.close_rcvd
        return (close.code, close.reason) if close else (None, "")


@contextmanager
def peer(server: Running, path: str, *, key: str | None = None, **named: Any) -> Iterator[Peer]:
    """A connection that is open; `key` goes into `Authorization: Bearer`."""
    headers = dict(named.pop("headers", {}))
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    url = server.url.replace("http", "ws", 1) + path
    with connect(url, additional_headers=headers, open_timeout=PATIENCE, close_timeout=2, **named) as connection:
        yield Peer(connection)


def voice(seconds: float, rate: int = 16_000) -> bytes:
    """Sound that the fake hears as speech: 16-bit samples of a tone."""
    return (8000 * np.sin(np.arange(round(seconds * rate)) * 2 * np.pi * 440 / rate)).astype("<i2").tobytes()


def hush(seconds: float, rate: int = 16_000) -> bytes:
    """Silence."""
    return bytes(2 * round(seconds * rate))
