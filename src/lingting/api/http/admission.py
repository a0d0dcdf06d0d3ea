"""What every interface does before and after its own work: let the caller in, count what was used."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.requests import HTTPConnection
from starlette.responses import Response

from lingting.access.limits import Interface
from lingting.access.principal import Principal
from lingting.api.http import exchange as exchanges
from lingting.api.http.context import Backend, service_of
from lingting.api.http.exchange import CLIENT_LEFT, Exchange
from lingting.domain import Language
from lingting.errors import LingtingError, Overloaded
from lingting.settings import Settings

_LOADING_SECONDS = 5.0


class MissingBearer(LingtingError):
    """The request has no header `Authorization: Bearer …`."""

    def __init__(self, what: str) -> None:
        super().__init__(f"send the header `Authorization: Bearer <{what}>`")


def bearer(connection: HTTPConnection, what: str = "API key", *, exact: bool = False) -> str:
    """The token or key that a request carries.

    Args:
        what: what the protocol calls it, for the error.
        exact: the scheme must be written `Bearer`; else its case does not matter, as RFC 9110 has it.

    Raises:
        MissingBearer: it carries none.
    """
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if (scheme if exact else scheme.capitalize()) != "Bearer" or not token.strip():
        raise MissingBearer(what)
    return token.strip()


async def authenticate(connection: HTTPConnection, bearer: str) -> Principal:
    """Who sends this token or key; raises what `Access.authenticate` raises."""
    return await service_of(connection).access.authenticate(bearer)


@contextlib.asynccontextmanager
async def admitted(connection: HTTPConnection, principal: Principal, interface: Interface) -> AsyncIterator[None]:
    """One request of a tenant, counted against its rate, with a place among its requests in progress.

    Raises:
        LimitExceeded: a limit of the tenant is reached.
    """
    limits = service_of(connection).access.limits
    await limits.hit(principal, interface)
    with await limits.acquire_request(principal):
        yield


@contextlib.asynccontextmanager
async def charged(connection: HTTPConnection, principal: Principal, seconds: float) -> AsyncIterator[None]:
    """The recognition of so many seconds of audio: charged to the tenant where it begins, whoever leaves meanwhile.

    Only what the recogniser refuses as too busy, before it begins, is not charged.

    Raises:
        LimitExceeded: the tenant's budget has no room for them.
    """
    exchange = exchanges.of(connection.scope)
    limits = service_of(connection).access.limits
    with await limits.reserve_audio(
        principal, seconds, interface=exchange.interface, model=exchange.model
    ) as reservation:
        reservation.charge(seconds)
        try:
            yield
        except Overloaded:
            reservation.refund()
            raise


def require_ready(service: Backend) -> None:
    """Pass while the service takes new work.

    Raises:
        Overloaded: the model is loading, or the server is stopping.
    """
    if service.streams.draining:
        raise Overloaded("the server is stopping; try again shortly", _LOADING_SECONDS)
    if not service.ready:
        raise Overloaded("the model is loading; try again shortly", _LOADING_SECONDS)


def require_room(connection: HTTPConnection, principal: Principal, *, decoded: bool, most_bytes: int) -> None:
    """Pass while there is room for a recording of this tenant; to be asked before the body that holds it is read.

    Args:
        decoded: whether the body holds samples in base64, rather than a file that a process must decode.
        most_bytes: the largest body.

    Raises:
        Overloaded: the model is loading, the server is stopping, the text would come too late, or the memory for
            audio is spent.
    """
    service = service_of(connection)
    require_ready(service)
    service.recognizer.admit(principal.account)
    if decoded:
        service.decoder.admit_pcm16(min(_declared_bytes(connection), most_bytes) * 3 // 4)
    else:
        service.decoder.admit(principal.tenant_id)


def require_room_live(service: Backend, principal: Principal, model: str) -> None:
    """Pass while there is room for another live stream of this tenant and model.

    Raises:
        Overloaded: the model is loading, the server is stopping, or live text would come too late.
    """
    require_ready(service)
    service.recognizer.admit_live(principal.account, model)


def _declared_bytes(connection: HTTPConnection) -> int:
    """The length of the body, where the request says it; else 0."""
    declared = connection.headers.get("content-length", "")
    return int(declared[:20]) if declared.isdigit() else 0


def record(service: Backend, exchange: Exchange) -> None:
    """Count a finished request for its tenant; its audio is charged when recognition begins."""
    if exchange.principal is not None:
        failed = exchange.code != 0 or exchange.status >= 400
        service.access.usage.record(exchange.principal, exchange.interface, exchange.model, error=failed)


def language(settings: Settings) -> Language | None:
    """The language the settings force, if any."""
    return None if settings.language == "auto" else settings.language


def address_of(connection: HTTPConnection) -> str:
    """The address a request came from."""
    return connection.client.host if connection.client is not None else ""


def left() -> Response:
    """Stands for the answer that nobody waits for any more."""
    return Response(status_code=CLIENT_LEFT)
