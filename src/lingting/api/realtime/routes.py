"""OpenAI's Realtime interface on the wire: the WebSocket, and the short-lived keys for it."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from lingting.access.principal import TRANSCRIPTIONS
from lingting.api.http import admission, body
from lingting.api.http import exchange as exchanges
from lingting.api.http.body import BodyLimits, ClientLeft
from lingting.api.http.context import service_of
from lingting.api.http.models import chosen
from lingting.api.http.render import JSON
from lingting.api.openai import errors as openai
from lingting.api.openai.errors import ParameterError
from lingting.api.realtime.conversation import Conversation
from lingting.api.realtime.parameters import (
    asked_model,
    beta_session,
    default_config,
    ga_session,
    named,
    updated,
)
from lingting.api.realtime.secrets import (
    DEFAULT_SECONDS,
    LONGEST_SECONDS,
    PREFIX,
    SHORTEST_SECONDS,
    ClientSecret,
    ClientSecrets,
)
from lingting.api.sockets import handshake
from lingting.api.sockets.hold import hold
from lingting.errors import LingtingError

REALTIME_PATH = "/v1/realtime"
CLIENT_SECRETS_PATH = "/v1/realtime/client_secrets"
BETA_SESSIONS_PATH = "/v1/realtime/transcription_sessions"
INTERFACE = "realtime"
_MAX_BODY = 65_536


async def realtime(websocket: WebSocket) -> None:
    """One session; who may not open it is told so by an HTTP status."""
    exchanges.of(websocket.scope).interface = INTERFACE
    try:
        carried = handshake.carried(websocket.scope)
        bearer = carried.bearer
        config = default_config(service_of(websocket).settings, websocket.query_params.get("model", "")[:200])
        if bearer.startswith(PREFIX):
            secret = _made(websocket).find(bearer)
            bearer, config = secret.bearer, secret.config
        asked = asked_model(config, service_of(websocket).models)
        admitted = await handshake.admit(websocket, TRANSCRIPTIONS, bearer, carried.subprotocol, asked)
        config = named(config, admitted.caller.model)
    except LingtingError as error:
        await websocket.send_denial_response(openai.answer(websocket.scope, error))
        return
    beta = "realtime=v1" in websocket.headers.get("openai-beta", "")

    await hold(websocket, admitted, lambda socket: Conversation(socket, admitted.caller, config, beta=beta))


async def client_secrets(request: Request) -> Response:
    """A short-lived key, with what its sessions do until they are told otherwise."""
    return await _make(request, beta=False)


async def transcription_sessions(request: Request) -> Response:
    """The same in the words of the beta."""
    return await _make(request, beta=True)


async def _make(request: Request, *, beta: bool) -> Response:
    exchanges.of(request.scope).interface = INTERFACE
    settings = service_of(request).settings
    try:
        bearer = admission.bearer(request)
        principal = await admission.authenticate(request, bearer)
        exchanges.of(request.scope).principal = principal
        principal.require(TRANSCRIPTIONS)
        limits = BodyLimits.of(settings, _MAX_BODY)
        asked = _object(await body.read(request, limits))
        wanted = asked if beta else asked.get("session", {})
        config = updated(default_config(settings), wanted or {}, settings)
        served = service_of(request).models
        config = named(config, await chosen(service_of(request), principal, INTERFACE, asked_model(config, served)))
        secret = _made(request).make(bearer, config, _seconds(asked))
    except ClientLeft:
        return admission.left()
    except LingtingError as error:
        return openai.answer(request.scope, error)
    return JSON(_beta_answer(secret) if beta else _answer(secret))


def _answer(secret: ClientSecret) -> dict[str, Any]:
    return {
        "value": secret.value,
        "expires_at": int(secret.expires_at),
        "session": {**_names(), "object": "realtime.transcription_session", **ga_session(secret.config)},
    }


def _beta_answer(secret: ClientSecret) -> dict[str, Any]:
    return {
        **_names(),
        "object": "realtime.transcription_session",
        **beta_session(secret.config),
        "client_secret": {"value": secret.value, "expires_at": int(secret.expires_at)},
    }


def _names() -> dict[str, Any]:
    return {"id": f"sess_{secrets.token_hex(12)}"}


def _object(content: bytes) -> dict[str, Any]:
    try:
        asked = msgspec.json.decode(content or b"{}")
    except (msgspec.DecodeError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise ParameterError("the body must be a JSON object", None, code="invalid_body")
    return asked


def _seconds(asked: dict[str, Any]) -> float:
    expires = asked.get("expires_after")
    seconds = expires.get("seconds", DEFAULT_SECONDS) if isinstance(expires, dict) else DEFAULT_SECONDS
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        seconds = 0
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ParameterError(
            f"expires_after.seconds must be from {SHORTEST_SECONDS} to {LONGEST_SECONDS}", "expires_after.seconds"
        )
    return seconds


def _made(connection: Request | WebSocket) -> ClientSecrets:
    made: ClientSecrets = connection.app.state.client_secrets
    return made
