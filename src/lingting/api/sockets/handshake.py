"""Who opens a WebSocket, found out before it is accepted, so that a refusal is an HTTP status."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from starlette.types import Scope
from starlette.websockets import WebSocket

from lingting.access.leases import Lease
from lingting.api.http import exchange as exchanges
from lingting.api.http.admission import MissingBearer, require_ready, require_room_live
from lingting.api.http.context import Backend, service_of
from lingting.api.sockets.caller import Caller
from lingting.api.sockets.networks import in_networks
from lingting.settings import Settings

_OPENAI_KEY = "openai-insecure-api-key."
_ANNOUNCE_KEY = ("token", "bearer")
_ANSWERED = ("realtime", "binary", *_ANNOUNCE_KEY)


@dataclass(frozen=True, slots=True)
class Carried:
    """What a handshake brings.

    Attributes:
        bearer: the key or token; empty where there is none.
        subprotocol: the subprotocol to answer with: one that was offered, never the one that is the key; None where
            none was offered that is known.
    """

    bearer: str = ""
    subprotocol: str | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A caller who may open a connection.

    Attributes:
        caller: who it is.
        lease: the place among the tenant's live streams; whoever holds it releases it.
        subprotocol: what to answer.
    """

    caller: Caller
    lease: Lease
    subprotocol: str | None = None


def carried(scope: Scope) -> Carried:
    """The credential of a handshake, wherever known clients put it.

    `Authorization: Bearer K` or `Token K` (one client writes `Bearer; K`), the subprotocols
    `openai-insecure-api-key.K`, `token, K` and `bearer, K`, or the query `api_key=K`, in this order.
    """
    offered: list[str] = scope["subprotocols"]
    lowered = [name.lower() for name in offered]
    answer = next((name for name, low in zip(offered, lowered, strict=True) if low in _ANSWERED), None)
    bearer = bearer_of_header(scope) or _of_subprotocols(offered, lowered)
    if not bearer:
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        bearer = next((value for name, value in query if name == "api_key"), "")
    return Carried(bearer, answer)


def bearer_of_header(scope: Scope) -> str:
    """The credential of the header `Authorization`, empty where there is none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, key = value.decode("latin-1").strip().partition(" ")
            return key.strip() if kind.lower().rstrip(";") in _ANNOUNCE_KEY else ""
    return ""


def keyless(websocket: WebSocket) -> str:
    """The key under which a client is served that brings none: the operator's, for the networks that may.

    Empty where the operator has set none, where the client is of another network, and for pages from elsewhere, which
    would borrow the place of their reader in the network.
    """
    client = websocket.client.host if websocket.client is not None else ""
    return "" if _foreign(websocket) else key_of_network(service_of(websocket).settings, client)


def key_of_network(settings: Settings, address: str) -> str:
    """The key under which a client without one is served that has this address; empty where none is."""
    return settings.keyless_key if in_networks(address, settings.keyless_networks) else ""


async def admit(
    websocket: WebSocket, needed: str, bearer: str, subprotocol: str | None = None, model: str = ""
) -> Admitted:
    """Let a caller in who has the scope `needed`, with a place among the live streams of the tenant.

    Args:
        model: the name that the caller sends; empty for none.

    Raises:
        Overloaded: the server is stopping, the model is loading, or live text would come too late.
        MissingBearer, InvalidCredential, UserToken, MissingScope: nobody, or not for this.
        UnknownModel, ModelForbidden: the model is not served, or not for them.
        LimitExceeded: the tenant has no place or no audio left.
    """
    if not bearer:
        raise MissingBearer("API key")
    exchange = exchanges.of(websocket.scope)
    exchange.principal = principal = await service_of(websocket).access.authenticate(bearer)
    caller = Caller(service_of(websocket), principal, exchange.interface)
    return Admitted(caller, await place(service_of(websocket), caller, needed, model), subprotocol)


async def place(service: Backend, caller: Caller, needed: str, model: str = "") -> Lease:
    """A place among the live streams of a tenant, for a caller who is known.

    Raises: as `admit`.
    """
    caller.principal.require(needed)
    require_ready(service)
    await caller.choose(model)
    lease: Lease | None = None
    try:
        require_room_live(service, caller.principal, caller.model)
        lease = await service.access.limits.acquire_stream(caller.principal)
        await caller.pay(0.0)
    except BaseException:
        caller.settle()
        if lease is not None:
            lease.release()
        raise
    return lease


def _foreign(websocket: WebSocket) -> bool:
    """Whether a browser opens the connection for a page that is not this server's own."""
    origin = websocket.headers.get("origin")
    return origin is not None and urlsplit(origin.lower()).netloc != websocket.headers.get("host", "").lower()


def _of_subprotocols(offered: list[str], lowered: list[str]) -> str:
    for name, low in zip(offered, lowered, strict=True):
        if low.startswith(_OPENAI_KEY):
            return name[len(_OPENAI_KEY) :]
    for index, low in enumerate(lowered[:-1]):
        if low in _ANNOUNCE_KEY:
            return offered[index + 1]
    return ""
