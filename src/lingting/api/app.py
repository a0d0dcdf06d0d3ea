"""The HTTP application: which path is answered by what."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import Scope

from lingting.api import console, envelopes, health
from lingting.api.feishu import auth as feishu_auth
from lingting.api.feishu import speech as feishu_speech
from lingting.api.flash import recognition as flash
from lingting.api.http import admission
from lingting.api.http.access_log import access_line
from lingting.api.http.context import Backend, Context, attach
from lingting.api.http.exchange import Exchange
from lingting.api.http.headers import Gateway
from lingting.api.http.proxies import Proxies
from lingting.api.http.spool import Spool
from lingting.api.openai import transcriptions as openai
from lingting.api.openapi import document as openapi
from lingting.operations.recent import Recent


def create_app(service: Backend) -> Starlette:
    """The application over a service; the caller starts and stops the service.

    Its routes: the speech interfaces, the token endpoints, `/openapi.json`, what watches the server, and the page.
    """
    metrics = service.metrics
    metrics.gauge("lingting_live_streams", "Live streams.", lambda: service.streams.live)
    metrics.gauge("lingting_queued_jobs", "Jobs that wait for the engine.", lambda: service.queued)
    metrics.gauge("lingting_predicted_wait_seconds", "Wait of a file that came now.", lambda: service.predicted_wait)
    context = Context(service, metrics, Recent(), Spool(service.settings.data_dir / "spool"))

    def observe(scope: Scope, exchange: Exchange, seconds: float) -> None:
        metrics.observe(exchange.interface, exchange.code, seconds, exchange.audio_seconds)
        context.recent.observe(exchange.interface, seconds, failed=exchange.code != 0 or exchange.status >= 400)
        access_line(scope, exchange, seconds)
        admission.record(service, exchange)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        context.spool.close()

    app = Starlette(
        routes=_routes(),
        lifespan=lifespan,
        exception_handlers={HTTPException: envelopes.not_routed},
        middleware=[
            Middleware(
                Gateway,
                observe=observe,
                proxies=Proxies(service.settings),
                failed=envelopes.answer,
                stopping=lambda: context.lifecycle.stopping,
            )
        ],
    )
    app.router.redirect_slashes = False
    attach(app, context)
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
