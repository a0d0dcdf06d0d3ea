"""What every interface does before and after its own work: find the service, let the caller in, count what was used."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol, runtime_checkable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from lingting.access.access import Access
from lingting.access.limits import Interface
from lingting.access.principal import Principal
from lingting.api.http.exchange import Exchange
from lingting.domain import Language, RecognitionOptions, Samples, Sentence, Transcript
from lingting.errors import Overloaded
from lingting.operations.metrics import Metrics
from lingting.settings import Settings
from lingting.streams import Streams

CLIENT_LEFT = 499
_LOADING_SECONDS = 5.0


class Recognizer(Protocol):
    """Recognises whole recordings."""

    def recognize(self, samples: Samples, options: RecognitionOptions) -> Awaitable[Transcript]:
        """The transcript; raises Overloaded or RecognitionFailed."""

    def sentences(self, samples: Samples, options: RecognitionOptions) -> AsyncIterator[Sentence]:
        """The sentences in order, each as soon as it is known; raises as `recognize`."""


class Decoder(Protocol):
    """Makes samples of audio files."""

    async def decode(self, path: Path, *, format: str, sample_rate: int, max_seconds: float) -> Samples:
        """The samples of a file; raises EmptyAudio, UndecodableAudio or AudioTooLong."""


class Backend(Protocol):
    """The service, as far as the interfaces need it."""

    @property
    def settings(self) -> Settings: ...
    @property
    def access(self) -> Access: ...
    @property
    def recognizer(self) -> Recognizer: ...
    @property
    def decoder(self) -> Decoder: ...
    @property
    def streams(self) -> Streams[Principal]: ...
    @property
    def ready(self) -> bool: ...


@runtime_checkable
class Queued(Protocol):
    """A service that tells what waits for the engine."""

    @property
    def queued(self) -> int:
        """Jobs that wait."""

    @property
    def predicted_wait(self) -> float:
        """Seconds until a file that came now would start."""


def attach(app: Starlette, service: Backend, metrics: Metrics, spool: Path, disk: Executor) -> None:
    """Give an application what its endpoints ask for below."""
    app.state.service = service
    app.state.metrics = metrics
    app.state.spool = spool
    app.state.disk = disk


def service_of(request: Request) -> Backend:
    """The service behind the application."""
    service: Backend = request.app.state.service
    return service


def metrics_of(request: Request) -> Metrics:
    """The metrics of the application."""
    metrics: Metrics = request.app.state.metrics
    return metrics


def spool_of(request: Request) -> Path:
    """The folder for bodies that are kept on disk."""
    spool: Path = request.app.state.spool
    return spool


def disk_of(request: Request) -> Executor:
    """The threads that write to disk."""
    disk: Executor = request.app.state.disk
    return disk


async def authenticate(request: Request, bearer: str) -> Principal:
    """Who sends this token or key; raises what `Access.authenticate` raises."""
    return await service_of(request).access.authenticate(bearer)


@contextlib.asynccontextmanager
async def admitted(request: Request, principal: Principal, interface: Interface) -> AsyncIterator[None]:
    """One request of a tenant, counted against its rate, with a place among its requests in progress.

    Raises:
        LimitExceeded: a limit of the tenant is reached.
    """
    limits = service_of(request).access.limits
    await limits.hit(principal, interface)
    with await limits.acquire_request(principal):
        yield


def require_ready(service: Backend) -> None:
    """Pass while the service takes new work.

    Raises:
        Overloaded: the model is loading, or the server is stopping.
    """
    if service.streams.draining:
        raise Overloaded("the server is stopping; try again shortly", _LOADING_SECONDS)
    if not service.ready:
        raise Overloaded("the model is loading; try again shortly", _LOADING_SECONDS)


def record(service: Backend, exchange: Exchange) -> None:
    """Count a finished request for its tenant."""
    if exchange.principal is not None:
        failed = exchange.code != 0 or exchange.status >= 400
        service.access.usage.record(
            exchange.principal, exchange.interface, exchange.model, exchange.audio_seconds, failed
        )


def language(settings: Settings) -> Language | None:
    """The language the settings force, if any."""
    return None if settings.language == "auto" else settings.language


def address_of(request: Request) -> str:
    """The address a request came from."""
    return request.client.host if request.client is not None else ""


def left() -> Response:
    """Stands for the answer that nobody waits for any more."""
    return Response(status_code=CLIENT_LEFT)
