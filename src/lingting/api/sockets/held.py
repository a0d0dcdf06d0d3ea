"""One accepted WebSocket: what comes is read at once, what goes waits within bounds, and it ends with a reason."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from lingting.api.http import exchange as exchanges

MAX_WAITING_BYTES = 1 << 20
MAX_SEND_SECONDS = 10.0
MAX_REASON_BYTES = 120
NOT_ALLOWED = 1008
RESTART = 1012
OVERLOADED = 1013
BROKEN = 1011

log = logging.getLogger(__name__)


class HeldSocket:
    """A connection that is open. Event loop only.

    Messages are sent in the order in which they were given to `send`, by a task that lives only while there are some,
    so an idle connection costs little. A peer that lets them pile up, or takes none for a while, is dropped.

    Attributes:
        log_id: names the connection in the log, and in answers.
    """

    __slots__ = ("_closing", "_outgoing", "_sender", "_tasks", "_waiting", "_websocket", "log_id")

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._outgoing: list[str] = []
        self._waiting = 0
        self._closing: tuple[int, str] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.log_id = exchanges.of(websocket.scope).log_id

    @property
    def closing(self) -> bool:
        """Whether the connection is ended from this side; nothing more is sent then."""
        return self._closing is not None

    async def messages(self) -> AsyncIterator[str | bytes]:
        """What the peer sends, text or bytes, until either side ends the connection."""
        while True:
            try:
                message = await self._websocket.receive()
            except (WebSocketDisconnect, WebSocketDisconnected):
                return
            if message["type"] == "websocket.disconnect":
                return
            if self.closing:
                continue
            text = message.get("text")
            yield text if text is not None else message.get("bytes") or b""

    def send(self, content: Any) -> None:
        """Send an object as JSON text; never waits."""
        if self.closing:
            return
        text = msgspec.json.encode(content).decode()
        self._outgoing.append(text)
        self._waiting += len(text)
        if self._waiting > MAX_WAITING_BYTES:
            self.drop("the client reads too slowly")
        elif self._sender is None:
            self._sender = self.spawn(self._send_all())

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection behind what is still to be sent; the first reason counts."""
        if self.closing:
            return
        self._closing = code, reason.encode()[:MAX_REASON_BYTES].decode("utf-8", "ignore")
        if code not in (1000, 1001, RESTART):
            exchanges.of(self._websocket.scope).code = code
        if self._sender is None:
            self._sender = self.spawn(self._send_all())

    def drop(self, reason: str) -> None:
        """End the connection now; what has not been sent is lost."""
        self._outgoing.clear()
        self._waiting = 0
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None
        self.close(NOT_ALLOWED, reason)

    def fail(self) -> None:
        """End the connection for a fault of this server; call it where the error was caught."""
        log.exception("unexpected error on a connection")
        self.close(BROKEN, "the server failed on this connection")

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the reading; it ends with the connection, and the connection with its failure."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def closed(self) -> None:
        """Return when the close frame is on its way."""
        if self._sender is not None:
            await asyncio.wait((self._sender,))

    async def end(self) -> None:
        """Stop what still runs for the connection, once the peer is gone."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("unexpected error on a connection", exc_info=error)
            self.close(BROKEN, "the server failed on this connection")

    async def _send_all(self) -> None:
        try:
            with contextlib.suppress(WebSocketDisconnect, WebSocketDisconnected):
                while self._outgoing:
                    text = self._outgoing.pop(0)
                    self._waiting -= len(text)
                    try:
                        async with asyncio.timeout(MAX_SEND_SECONDS):
                            await self._websocket.send({"type": "websocket.send", "text": text})
                    except TimeoutError:
                        self._outgoing.clear()
                        self._closing = NOT_ALLOWED, "the client does not read"
                if self._closing is not None:
                    await self._websocket.close(*self._closing)
        finally:
            if self._sender is asyncio.current_task():
                self._sender = None
