"""The WebSocket connections of the server: uvicorn's, without what it says, keeps or waits for too long."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

MAX_MESSAGE_BYTES = 24 << 20
"""OpenAI lets a client append 15 MiB in one message, which is 20 MiB in base64; some clients send a recording whole."""

PING_SECONDS = 20.0
CLOSING_SECONDS = 1.0
"""How long a peer may take to answer a close frame, and to read what was written before it."""

_quiet = logging.getLogger("lingting.sockets")
_quiet.setLevel(logging.CRITICAL)
"""uvicorn would log every address with its query, where keys may stand, and every fault of a client with a traceback;
the access log says what there is to say."""


class Inbox:
    """What has come and was not taken yet; does what the protocol needs of `asyncio.Queue` in a tenth of its memory."""

    __slots__ = ("_messages", "_waiter")

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._waiter: asyncio.Future[None] | None = None

    def put_nowait(self, message: Any) -> None:
        """Add a message."""
        self._messages.append(message)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def empty(self) -> bool:
        """Whether nothing is there."""
        return not self._messages

    async def get(self) -> Any:
        """The oldest message, once there is one; for one task at a time."""
        while not self._messages:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._messages.pop(0)


class Writable:
    """Whether the peer reads what is written; does what the protocol needs of `asyncio.Event` in little memory."""

    __slots__ = ("_set", "_waiters")

    def __init__(self) -> None:
        self._set = True
        self._waiters: list[asyncio.Future[None]] = []

    def set(self) -> None:
        """It does."""
        self._set = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def clear(self) -> None:
        """It does not."""
        self._set = False

    async def wait(self) -> None:
        """Return once it does."""
        if not self._set:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter


class SocketProtocol(WebSocketsSansIOProtocol):
    """One connection that was upgraded to WebSocket. Event loop only.

    What differs from uvicorn's: a connection is closed for good a second after its close frame, though the peer
    neither answers nor reads; a close frame is written though the peer has not read what came before; and nothing
    that only the handshake needs is kept while the connection is idle.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _quiet
        self.close_timeout = CLOSING_SECONDS
        self.queue = Inbox()  # type: ignore[assignment]
        self.writable = Writable()  # type: ignore[assignment]

    async def send(self, message: Any) -> None:
        """Send what the application sends; a close frame doesn't wait for a peer that doesn't read."""
        kind = message["type"]
        if kind == "websocket.close":
            self.writable.set()
        await super().send(message)
        if kind == "websocket.accept":
            self.request.headers.clear()
            self.scope["headers"].clear()  # type: ignore[attr-defined]
            self.request = self.response = None  # type: ignore[assignment]
        elif kind == "websocket.close":
            self._abort_later()

    def keepalive_timeout(self) -> None:
        """The peer has not answered a ping."""
        super().keepalive_timeout()
        self._abort_later()

    def handle_close(self, event: Any) -> None:
        """The peer closes."""
        super().handle_close(event)
        self._abort_later()

    def handle_parser_exception(self) -> None:
        """The peer sent what is no WebSocket frame, or too large a message."""
        super().handle_parser_exception()
        self._abort_later()

    def send_receive_event_to_app(self) -> None:
        """A message is whole."""
        try:
            super().send_receive_event_to_app()
        except InvalidState:  # text that is no UTF-8, behind which a close frame has come already
            self.frames = []

    def shutdown(self) -> None:
        """The server stops."""
        super().shutdown()
        self._abort_later()

    def _abort_later(self) -> None:
        self.loop.call_later(CLOSING_SECONDS, _abort, self.transport)


def _abort(transport: asyncio.Transport) -> None:
    """Ends a connection whose last bytes nobody reads; one that is gone already doesn't mind."""
    transport.abort()
