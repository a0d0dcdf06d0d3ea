"""JSON answers, and answers to requests that are not read to their end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lingting.api.http import exchange as exchanges

SMALL_BODY = 65_536
LINGER_SECONDS = 10.0
LINGER_IDLE_SECONDS = 1.0


class JSON(Response):
    """A JSON answer."""

    media_type = "application/json; charset=utf-8"

    def render(self, content: Any) -> bytes:
        """The content as compact JSON."""
        return msgspec.json.encode(content)


class Refusal(JSON):
    """A JSON answer to a request whose body has not been read.

    The answer goes out at once. What the client still sends is thrown away for a short while: closing the connection
    on unread data would make the client's system drop the answer too.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, then read and drop the rest of the request."""
        self.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while True:
                    async with asyncio.timeout(LINGER_IDLE_SECONDS):
                        message = await receive()
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        break
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def error_answer(scope: Scope, content: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An error as JSON; it ends the connection when more than a little of the request's body has not been read."""
    if exchanges.of(scope).body_read:
        return JSON(content, status, headers=headers)
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
    small = not chunked and declared.isdigit() and int(declared[:20]) <= SMALL_BODY
    return (JSON if small else Refusal)(content, status, headers=headers)
