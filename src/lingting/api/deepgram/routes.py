"""Deepgram's interface on the wire: the WebSocket and `POST`, both at `/v1/listen`."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from lingting.access.principal import SPEECH, Principal
from lingting.api.deepgram import parameters, render
from lingting.api.deepgram.conversation import Conversation
from lingting.api.deepgram.errors import QueryError, answer
from lingting.api.deepgram.parameters import Query
from lingting.api.deepgram.render import Names
from lingting.api.http import admission, body, models
from lingting.api.http import exchange as exchanges
from lingting.api.http.body import BodyLimits, ClientLeft
from lingting.api.http.connection import TimeLimit, while_connected
from lingting.api.http.context import context_of, service_of
from lingting.api.http.render import JSON
from lingting.api.sockets import handshake
from lingting.api.sockets.hold import hold
from lingting.domain import SAMPLE_RATE, Transcript
from lingting.errors import LingtingError

LISTEN_PATH = "/v1/listen"
INTERFACE = "deepgram"


async def live(websocket: WebSocket) -> None:
    """One connection; who may not open it is told so by an HTTP status."""
    exchanges.of(websocket.scope).interface = INTERFACE
    service = service_of(websocket)
    asked = service.models.find(websocket.query_params.get("model", "")) or ""
    names = Names(service.models.default)
    try:
        query = parameters.parse(websocket.query_params.multi_items(), live=True)
        carried = handshake.carried(websocket.scope)
        admitted = await handshake.admit(websocket, SPEECH, carried.bearer, carried.subprotocol, asked)
        names = names.of(admitted.caller.model)
    except LingtingError as error:
        await websocket.send_denial_response(answer(websocket.scope, error, names.request_id))
        return
    headers = [(b"dg-request-id", names.request_id.encode())]
    service = service_of(websocket)
    open_file = partial(service.decoder.piecewise, max_seconds=service.settings.stream_max_seconds)
    talk = partial(Conversation, caller=admitted.caller, query=query, names=names, open_file=open_file)
    await hold(websocket, admitted, talk, headers)


async def prerecorded(request: Request) -> Response:
    """One recording in the body; every known error becomes its answer."""
    exchange = exchanges.of(request.scope)
    exchange.interface = INTERFACE
    service = service_of(request)
    asked = service.models.find(request.query_params.get("model", "")) or ""
    names = Names(service.models.default)
    try:
        query = parameters.parse(request.query_params.multi_items(), live=False)
        principal = await admission.authenticate(request, handshake.bearer_of_header(request.scope) or _no_key())
        exchange.principal = principal
        principal.require(SPEECH)
        model = await models.chosen(service, principal, INTERFACE, asked)
        async with admission.admitted(request, principal, "flash"):
            with models.held(request, model):
                return await _recognized(request, principal, query, names.of(model))
    except ClientLeft:
        return admission.left()
    except LingtingError as error:
        return answer(request.scope, error, names.request_id)


def _no_key() -> str:
    raise admission.MissingBearer("API key")


async def _recognized(request: Request, principal: Principal, query: Query, names: Names) -> Response:
    service = service_of(request)
    exchange = exchanges.of(request.scope)
    admission.require_room(request, principal, decoded=False, most_bytes=service.settings.flash_max_bytes)
    if request.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
        raise QueryError("this server fetches no URLs: send the sound itself as the body")
    limits = BodyLimits.of(service.settings, service.settings.flash_max_bytes)
    async with context_of(request).spool.file(body.chunks(request, limits)) as (path, size):
        if not size:
            raise QueryError("the body is empty: send the sound as the body")
        limit = TimeLimit.of(service.settings.flash_timeout_seconds)
        digest = await asyncio.to_thread(_digest, path)
        transcript = await while_connected(request, _transcript(request, principal, path, query), limit)
    exchange.audio_seconds = transcript.duration
    return JSON(render.recording(names, transcript, query, digest), headers={"dg-request-id": names.request_id})


async def _transcript(request: Request, principal: Principal, path: Path, query: Query) -> Transcript:
    service = service_of(request)
    sound = request.query_params.get("encoding", "")
    rate = request.query_params.get("sample_rate", "")
    options = replace(query.recognition(service.settings, principal.hot_words), model=exchanges.of(request.scope).model)
    with await service.decoder.decode(
        path,
        format="pcm" if sound == "linear16" else "wav",
        sample_rate=int(rate) if rate.isdigit() and 4000 <= int(rate) <= 192_000 else SAMPLE_RATE,
        max_seconds=service.settings.flash_max_seconds,
        tenant=principal.tenant_id,
    ) as recording:
        async with admission.charged(request, principal, recording.duration):
            return await service.recognizer.recognize(recording, options, principal.account)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
