"""For those who watch the server: `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import ipaddress

from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from lingting.api.flash.errors import flash_error
from lingting.api.http import exchange as exchanges
from lingting.api.http.context import context_of, service_of
from lingting.api.http.render import JSON

HEALTH_PATH = "/healthz"
READY_PATH = "/readyz"
METRICS_PATH = "/metrics"


async def healthz(request: Request) -> Response:
    """200 while the process answers."""
    exchanges.of(request.scope).interface = "health"
    return JSON({"status": "ok"})


async def readyz(request: Request) -> Response:
    """200 when requests are served; else 503 and why, such as a database that does not answer."""
    exchanges.of(request.scope).interface = "health"
    context = context_of(request)
    service = context.service
    if context.lifecycle.stopping or service.streams.draining:
        return JSON({"status": "draining"}, 503)
    if not service.ready:
        return JSON({"status": "loading"}, 503)
    if why := await service.unready():
        return JSON({"status": "unready", "why": why}, 503)
    return JSON({"status": "ready"})


async def metrics(request: Request) -> Response:
    """The metrics in the text format of Prometheus; to other machines only when the settings say so."""
    exchanges.of(request.scope).interface = "health"
    if not service_of(request).settings.metrics_public and not _is_local(request):
        return flash_error(
            request.scope, 403, "metrics are shown to this machine only; LINGTING_METRICS_PUBLIC=true shows them to all"
        )
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(context_of(request).metrics.registry), headers={"content-type": content_type})


def _is_local(request: Request) -> bool:
    """Whether the request comes from this machine and was not passed on by a proxy."""
    if request.client is None or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
