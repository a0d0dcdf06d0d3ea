"""How a connection of any live protocol is held, from its acceptance to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from lingting.api.http import exchange as exchanges
from lingting.api.http.context import context_of
from lingting.api.sockets.caller import Caller
from lingting.api.sockets.handshake import Admitted
from lingting.api.sockets.held import RESTART, HeldSocket


class Talk(Protocol):
    """What a protocol does on one connection."""

    @property
    def duration(self) -> float:
        """Seconds of sound that were taken."""

    async def run(self) -> None:
        """Answer the peer until the connection ends; then let everything go."""

    def leave(self) -> None:
        """See `lingting.api.sockets.registry`."""


async def hold(
    websocket: WebSocket,
    admitted: Admitted,
    talk_on: Callable[[HeldSocket], Talk],
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Accept a connection, with these headers, and keep it until it ends; its place is free the moment it does."""
    connections = context_of(websocket).connections
    exchange = exchanges.of(websocket.scope)
    exchange.model = admitted.caller.model
    with admitted.lease, _Settled(admitted.caller):
        await websocket.accept(admitted.subprotocol, headers)
        socket = HeldSocket(websocket)
        talk = talk_on(socket)
        connections.add(talk)
        try:
            await talk.run()
        except asyncio.CancelledError:  # the server waits no longer
            with contextlib.suppress(WebSocketDisconnect, WebSocketDisconnected):
                await websocket.close(RESTART, "the server is restarting")
            raise
        except Exception:
            socket.fail()
            await socket.closed()
        finally:
            connections.discard(talk)
            exchange.audio_seconds, exchange.model = talk.duration, admitted.caller.model
            await socket.end()


class _Settled:
    """Settles with a caller at the end; an exit stack would cost every idle connection a kilobyte."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._caller.settle()
