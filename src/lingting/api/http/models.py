"""Which model answers a request: the one it names, else the tenant's, else the interface's, else the server's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from starlette.requests import HTTPConnection

from lingting.access.principal import Principal
from lingting.api.http import exchange as exchanges
from lingting.api.http.context import Backend, service_of
from lingting.errors import ModelError, UnknownModel
from lingting.models import Store
from lingting.settings import Settings

log = logging.getLogger(__name__)


def default_model(service: Backend, principal: Principal, interface: str) -> str:
    """The model of a caller who names none. A tenant's that is not served here gives way, which the log tells."""
    served = service.models
    if principal.model:
        if (found := served.find(principal.model)) is not None:
            return found
        log.warning("the model %s of tenant %s is not served here", principal.model, principal.tenant_name)
    return served.by_interface.get(interface, served.default)


async def chosen(service: Backend, principal: Principal, interface: str, asked: str = "") -> str:
    """The model that answers a caller, by the name they send; empty where they send none.

    Raises:
        UnknownModel: it is not served; the message says what is.
        ModelForbidden: the credential may not use it.
    """
    name = service.models.find(asked) if asked else default_model(service, principal, interface)
    if name is None:
        known = ", ".join(map(repr, usable(service, principal)))
        raise UnknownModel(f"{await _unserved(asked, service.settings)}; use {known}, or none for the default")
    principal.may_use(name)
    return name


@contextlib.contextmanager
def held(connection: HTTPConnection, name: str) -> Iterator[None]:
    """A model that is loaded, stays so inside the block, and is counted for the request.

    Raises:
        ModelLoading: it is not loaded yet; it will be.
    """
    exchanges.of(connection.scope).model = name
    with service_of(connection).hold_model(name):
        yield


def usable(service: Backend, principal: Principal) -> list[str]:
    """Names of the models that a caller may use, the default one first."""
    return [name for name in service.models.names if principal.models is None or name in principal.models]


async def _unserved(name: str, settings: Settings) -> str:
    """Why a model does not answer: it is installed and not served, or it is not installed."""

    def installed() -> bool:
        try:
            return Store.at(settings.models_dir).folder(name).is_dir()
        except ModelError:
            return False

    there = await asyncio.to_thread(installed)
    return f"the model {name[:60]!r} is {'installed but not served' if there else 'not installed'}"
