"""The HTTP application: which path is answered by what."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from lingting.api import console, health
from lingting.api.feishu import auth as feishu_auth
from lingting.api.feishu import errors as feishu_errors
from lingting.api.feishu import speech as feishu_speech
from lingting.api.flash import recognition as flash
from lingting.api.http import admission
from lingting.api.http import exchange as exchanges
from lingting.api.http.access_log import access_line
from lingting.api.http.admission import Backend, Queued
from lingting.api.http.body import clear_spool
from lingting.api.http.exchange import Exchange
from lingting.api.http.headers import Gateway
from lingting.api.http.proxies import Proxies
from lingting.api.http.render import flash_error, gateway_error, is_open_api, is_openai, openai_error
from lingting.api.openai import transcriptions as openai
from lingting.api.openapi import document as openapi
from lingting.operations.metrics import Metrics
from lingting.operations.recent import Recent

log = logging.getLogger(__name__)


def create_app(service: Backend) -> Starlette:
    """The application over a service; the caller starts and stops the service.

    Its routes: the speech interfaces, the token endpoints, `/openapi.json`, what watches the server, and the page.
    """
    spool = service.settings.data_dir / "spool"
    clear_spool(spool)
    metrics = Metrics(live_streams=lambda: service.streams.live)
    recent = Recent()
    if isinstance(service, Queued):
        queue: Queued = service
        metrics.gauge("lingting_queued_jobs", "Jobs that wait for the engine.", lambda: queue.queued)
        metrics.gauge("lingting_predicted_wait_seconds", "Wait of a file that came now.", lambda: queue.predicted_wait)

    def observe(scope: Scope, exchange: Exchange, seconds: float) -> None:
        metrics.observe(exchange.interface, exchange.code, seconds, exchange.audio_seconds)
        recent.observe(exchange.interface, seconds, failed=exchange.code != 0 or exchange.status >= 400)
        access_line(scope, exchange, seconds)
        admission.record(service, exchange)

    disk = ThreadPoolExecutor(4, thread_name_prefix="spool")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        disk.shutdown()

    app = Starlette(
        routes=_routes(),
        lifespan=lifespan,
        exception_handlers={HTTPException: _not_routed},
        middleware=[Middleware(Gateway, observe=observe, proxies=Proxies(service.settings))],
    )
    app.router.redirect_slashes = False
    admission.attach(app, service, metrics, spool, disk)
    app.state.recent = recent
    return app


def _routes() -> list[Route]:
    posts = {
        feishu_speech.FILE_PATH: feishu_speech.file_recognize,
        feishu_speech.STREAM_PATH: feishu_speech.stream_recognize,
        feishu_auth.TENANT_TOKEN_PATH: feishu_auth.tenant_access_token,
        feishu_auth.TENANT_TOKEN_PATH + "/": feishu_auth.tenant_access_token,
        feishu_auth.APP_TOKEN_PATH: feishu_auth.app_access_token,
        feishu_auth.APP_TOKEN_PATH + "/": feishu_auth.app_access_token,
        flash.FLASH_PATH: flash.flash,
        openai.TRANSCRIPTIONS_PATH: openai.transcriptions,
    }
    gets = {
        health.HEALTH_PATH: health.healthz,
        health.READY_PATH: health.readyz,
        health.METRICS_PATH: health.metrics,
        openai.MODELS_PATH: openai.models,
        openai.MODEL_PATH: openai.model,
        openapi.OPENAPI_PATH: openapi.openapi_json,
        console.PAGE_PATH: console.page,
        console.SESSION_PATH: console.session,
        console.STATUS_PATH: console.status,
        console.FILE_PATH: console.file,
    }
    return [Route(path, endpoint, methods=["POST"]) for path, endpoint in posts.items()] + [
        Route(path, endpoint, methods=["GET"]) for path, endpoint in gets.items()
    ]


async def _not_routed(request: Request, error: Exception) -> Response:
    """Unknown paths and wrong methods, in the words of the interface they are nearest to."""
    assert isinstance(error, HTTPException)
    path, method = request.url.path[:100], request.method[:20]
    exchanges.of(request.scope).interface = "other"
    if is_open_api(request.scope):
        if error.status_code == 405:
            return gateway_error(
                request.scope,
                404,
                feishu_errors.WRONG_METHOD,
                "request method doesn't match",
                message=f"{path} takes {(error.headers or {}).get('Allow', 'POST')}, not {method}",
            )
        return gateway_error(
            request.scope, 404, feishu_errors.UNKNOWN_PATH, "resource not find", message=f"there is nothing at {path}"
        )
    if is_openai(request.scope):
        if error.status_code == 405:
            return openai_error(
                request.scope, 405, f"{path} does not take {method}", code="method_not_allowed", headers=error.headers
            )
        return openai_error(request.scope, 404, f"there is nothing at {path}", code="unknown_url")
    if error.status_code == 405:
        return flash_error(request.scope, 405, f"{path} does not take {method}", headers=error.headers)
    return flash_error(request.scope, 404, f"there is nothing at {path}")
