"""FunASR's runtime on the wire: the WebSocket at `/`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.websockets import WebSocket

from lingting.access.principal import SPEECH
from lingting.api.flash import errors as flash
from lingting.api.funasr.conversation import Conversation, Decode
from lingting.api.http import exchange as exchanges
from lingting.api.http.context import context_of
from lingting.api.sockets import handshake
from lingting.api.sockets.hold import hold
from lingting.audio.formats import DECLARED
from lingting.audio.recording import Recording
from lingting.domain import SAMPLE_RATE
from lingting.errors import LingtingError

FUNASR_PATH = "/"
INTERFACE = "funasr"


async def live(websocket: WebSocket) -> None:
    """One connection; who may not open it is told so by an HTTP status."""
    exchanges.of(websocket.scope).interface = INTERFACE
    try:
        carried = handshake.carried(websocket.scope)
        bearer = carried.bearer or handshake.keyless(websocket)
        admitted = await handshake.admit(websocket, SPEECH, bearer, carried.subprotocol)
    except LingtingError as error:
        await websocket.send_denial_response(flash.answer(websocket.scope, error))
        return
    decode = _decoder(websocket, admitted.caller.principal.tenant_id)
    await hold(websocket, admitted, lambda socket: Conversation(socket, admitted.caller, decode))


def _decoder(websocket: WebSocket, tenant: str) -> Decode:
    context = context_of(websocket)

    async def decode(data: bytes, form: str) -> Recording:
        async def pieces() -> AsyncIterator[bytes]:
            yield data

        async with context.spool.file(pieces()) as (path, _):
            return await context.service.decoder.decode(
                path,
                format=form if form in DECLARED else "wav",
                sample_rate=SAMPLE_RATE,
                max_seconds=context.service.settings.stream_max_seconds,
                tenant=tenant,
            )

    return decode
