"""One client connection: its pace, and requests that are no HTTP."""

from __future__ import annotations

import asyncio
import http
import sys
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from lingting.api.http.exchange import new_log_id
from lingting.api.http.render import LINGER_IDLE_SECONDS

MAX_HEADER_BYTES = 32_768
_LINE_BYTES = 256


class Connection(H11Protocol):
    """One client connection.

    Whoever takes longer than `timeout` seconds for the head of a request, or to read what was written, is cut; what is
    not HTTP is answered in JSON, in the words of the interface that was asked for.

    Args:
        timeout: seconds.
        arrived: told when the head of the first request is there.
        refuse: makes the body of an answer to a request without a valid head, from its path, its status (400 or 431),
            what is wrong, and the log id.
    """

    def __init__(
        self,
        *arguments: Any,
        timeout: float,
        arrived: Callable[[], None],
        refuse: Callable[[str, int, str, str], bytes],
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self._timeout = timeout
        self._arrived = arrived
        self._refuse = refuse
        self._line = b""  # the beginning of the request that is awaited or answered
        self._impatient: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """A client left."""
        self._unwatch()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        if self._refused:
            return
        if self.cycle is None or self.cycle.response_complete:
            self._line = (self._line + data[:_LINE_BYTES])[:_LINE_BYTES]
        super().data_received(data)
        if self.cycle is not None:
            self._arrived()
        self._watch()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self._timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The connection is a WebSocket from now on, and no more of this class."""
        self._refused = True
        self._unwatch()
        self.resume_writing()
        self._arrived()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """An answer is out; another request may follow."""
        self._line = b""
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, or has too large a head."""
        status = 431 if getattr(sys.exc_info()[1], "error_status_hint", 400) == 431 else 400
        log_id = new_log_id()
        text = (
            f"the head of the request is over {MAX_HEADER_BYTES} bytes" if status == 431 else "this is not valid HTTP"
        )
        body = self._refuse(_path(self._line), status, text, log_id)
        headers = [
            (b"Content-Type", b"application/json; charset=utf-8"),
            (b"Content-Length", b"%d" % len(body)),
            (b"X-Tt-Logid", log_id.encode("ascii")),
            (b"X-Request-Id", log_id.encode("ascii")),
            (b"Connection", b"close"),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            reason = http.HTTPStatus(status).phrase.encode("ascii")
            head = h11.Response(status_code=status, headers=headers, reason=reason)
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        # Closing on data that was not read would make the client's system drop the answer.
        self._refused = True
        self._unwatch()
        self.loop.call_later(LINGER_IDLE_SECONDS, self.transport.close)

    def _watch(self) -> None:
        """Keeps the timer running exactly while the head of a request is awaited and no keep-alive timer runs."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if self._refused or answering or self.timeout_keep_alive_task is not None or self.transport.is_closing():
            self._unwatch()
        elif self._impatient is None:
            self._impatient = self.loop.call_later(self._timeout, self._cut)

    def _unwatch(self) -> None:
        if self._impatient is not None:
            self._impatient.cancel()
            self._impatient = None

    def _cut(self) -> None:
        self._impatient = None
        self.transport.abort()


def _path(beginning: bytes) -> str:
    """The path of a request from its first bytes; empty where they are no request."""
    words = beginning.split(b"\r\n", 1)[0].split(b" ")
    return words[1].partition(b"?")[0].decode("latin-1") if len(words) > 1 else ""
