"""One Wyoming connection: requests one after another, each answered in its turn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from lingting import log_ids
from lingting.access.errors import LimitExceeded
from lingting.access.leases import Lease
from lingting.access.principal import SPEECH
from lingting.api.http.context import Context
from lingting.api.http.exchange import new_log_id
from lingting.api.http.render import LINGER_IDLE_SECONDS
from lingting.api.sockets import handshake
from lingting.api.sockets.caller import Caller
from lingting.api.sockets.held import MAX_WAITING_BYTES
from lingting.api.sockets.idle import Idle
from lingting.api.sockets.sound import SoundError
from lingting.api.sockets.turns import Turn, Turns
from lingting.api.wyoming.events import Event, FrameError, read, written
from lingting.api.wyoming.info import info
from lingting.api.wyoming.request import Request
from lingting.errors import LingtingError, Overloaded

INTERFACE = "wyoming"

log = logging.getLogger(__name__)


class NotAllowed(LingtingError):
    """A peer may not use the server: the protocol carries no credentials."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address} may not use this server: the operator sets LINGTING_KEYLESS_KEY, and the networks that may use "
            "it in LINGTING_KEYLESS_NETWORKS"
        )


class Conversation:
    """One connection. Event loop only.

    Args:
        context: of the application.
        reader, writer: of the connection.
    """

    def __init__(self, context: Context, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._context = context
        self._settings = context.service.settings
        self._reader = reader
        self._writer = writer
        self._asked: dict[str, Any] = {}
        self._caller: Caller | None = None
        self._lease: Lease | None = None
        self._turns: Turns[Event] = Turns(self._send, self._answered)
        self._current: tuple[Request, Turn[Event]] | None = None
        self._requests: set[Request] = set()
        self._answered_early = False
        self._leaving = self._refused = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = Idle(self._settings.stream_idle_seconds, self._close, self._owes)

    async def run(self) -> None:
        """Answer the peer until it leaves."""
        log_ids.begin(new_log_id())
        try:
            while (event := await read(self._reader)) is not None:
                self._idle.seen()
                if not self._refused:
                    await self._take(event)
        except FrameError as error:
            self._send(Event("error", {"text": str(error), "code": "bad-event"}))
        except Exception:
            log.exception("unexpected error on a Wyoming connection")
            self._send(Event("error", {"text": "the server failed on this connection", "code": "server-error"}))
        finally:
            self._end()

    def leave(self) -> None:
        """End the connection because the server stops: what was said is recognised first."""
        self._leaving = True
        self._finish_current()
        self._turns.deliver()

    async def _take(self, event: Event) -> None:
        match event.type:
            case "describe":
                self._send(info(self._settings, self._context.service.models.names))
            case "ping":
                self._send(Event("pong", {"text": event.data.get("text")}))
            case "transcribe":
                self._asked = event.data
            case "audio-start":
                self._finish_current()
                self._answered_early = False
                await self._begin()
            case "audio-chunk" if not self._answered_early:
                await self._sound(event)
            case "audio-stop" if self._answered_early:
                self._answered_early = False
            case "audio-stop":
                if self._current is None:
                    await self._begin()
                self._finish_current()

    async def _begin(self) -> bool:
        """Begin a request; False when the caller may not."""
        try:
            caller = await self._admitted()
            asked = self._asked.get("name")
            await caller.choose(caller.served.find(asked) or "" if isinstance(asked, str) else "")
        except LingtingError as error:
            self._refuse(error)
            return False
        turn = self._turns.new()
        request = Request(caller, self._asked, turn.say, self._over)
        self._asked = {}
        self._requests.add(request)
        self._current = request, turn
        return True

    async def _admitted(self) -> Caller:
        if self._caller is None:
            service = self._context.service
            address = self._writer.get_extra_info("peername")[0]
            key = handshake.key_of_network(self._settings, address)
            if not key:
                raise NotAllowed(address)
            principal = await service.access.authenticate(key)
            caller = Caller(service, principal, INTERFACE)
            self._lease = await handshake.place(service, caller, SPEECH)
            self._caller = caller
        return self._caller

    async def _sound(self, event: Event) -> None:
        if self._current is None and not await self._begin():
            return
        assert self._current is not None
        request, _ = self._current
        try:
            await request.take(event.data, event.payload)
        except (SoundError, Overloaded, LimitExceeded) as error:
            self._refuse(error)
            return
        if request.speech.duration > self._settings.stream_max_seconds:
            self._over()

    def _over(self) -> None:
        """Speech is over before the peer says so; what it still sends of this request is dropped."""
        if self._settings.wyoming_ends_turns and self._current is not None:
            self._answered_early = True
            self._finish_current()

    def _finish_current(self) -> None:
        if self._current is None:
            return
        (request, turn), self._current = self._current, None
        request.ending = True
        task = asyncio.create_task(self._finish(request, turn))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def _finish(self, request: Request, turn: Turn[Event]) -> None:
        worked = False
        try:
            worked = await request.finish()
        except LingtingError as error:
            turn.say(Event("error", {"text": str(error), "code": "failed"}))
        self._requests.discard(request)
        self._count(request, failed=not worked)
        turn.end()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("unexpected error on a Wyoming connection", exc_info=error)
            self._close()

    def _owes(self) -> bool:
        """Whether the peer waits for the text of a request."""
        return any(request.ending for request in self._requests)

    def _answered(self) -> None:
        if self._leaving:
            self._close()

    def _refuse(self, error: Exception) -> None:
        """Say why the sound is not taken, and end the connection: the protocol has no other way to stop a sender.

        Closing on data that was not read would make the peer's system drop the answer, so it is read for a moment.
        """
        self._send(Event("error", {"text": str(error), "code": "refused"}))
        self._refused = True
        asyncio.get_running_loop().call_later(LINGER_IDLE_SECONDS, self._close)

    def _send(self, event: Event) -> None:
        if self._writer.is_closing():
            return
        self._writer.write(written(event))
        if self._writer.transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            log.info("a Wyoming connection is dropped: the client reads too slowly")
            self._writer.transport.abort()

    def _close(self) -> None:
        self._writer.close()

    def _count(self, request: Request, *, failed: bool) -> None:
        model = ""
        if self._caller is not None:
            model = self._caller.model
            self._context.service.access.usage.record(self._caller.principal, INTERFACE, model, error=failed)
        self._context.metrics.observe(INTERFACE, int(failed), 0.0, request.speech.duration, model)

    def _end(self) -> None:
        self._idle.stop()
        for request in self._requests:
            request.speech.abort()
        for task in self._tasks:
            task.cancel()
        if self._caller is not None:
            self._caller.settle()
        if self._lease is not None:
            self._lease.release()
        with contextlib.suppress(OSError):
            self._writer.close()
