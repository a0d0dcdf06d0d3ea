"""The HTTP application: which path is answered by what."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from lingting.api import console, envelopes, health
from lingting.api.deepgram import routes as deepgram
from lingting.api.feishu import auth as feishu_auth
from lingting.api.feishu import speech as feishu_speech
from lingting.api.flash import recognition as flash
from lingting.api.flash.errors import flash_error
from lingting.api.funasr import routes as funasr
from lingting.api.http import admission
from lingting.api.http.access_log import access_line
from lingting.api.http.context import Backend, Context, attach
from lingting.api.http.exchange import Exchange
from lingting.api.http.headers import Gateway
from lingting.api.http.proxies import Proxies
from lingting.api.http.spool import Spool
from lingting.api.http.traced import Traced
from lingting.api.openai import transcriptions as openai
from lingting.api.openapi import document as openapi
from lingting.api.realtime import routes as realtime
from lingting.api.realtime.secrets import ClientSecrets
from lingting.api.sockets.registry import Connections
from lingting.operations.day import Day
from lingting.operations.recent import Recent


class Application(Starlette):
    """Starlette for HTTP; WebSockets go past its layers, each of which would keep a frame for every idle connection.

    Attributes:
        sockets: what answers WebSockets.
    """

    sockets: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hold one WebSocket."""
        if scope["type"] == "websocket":
            scope["app"] = self
            await self.sockets(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(service: Backend) -> Starlette:
    """The application over a service; the caller starts and stops the service.

    Its routes: the speech interfaces, the token endpoints, `/openapi.json`, what watches the server, and the page.
    """
    connections = Connections()
    metrics = service.metrics
    metrics.gauge("lingting_live_streams", "Live streams.", lambda: service.streams.live + len(connections))
    metrics.gauges("lingting_queued_jobs", "Tasks that wait for an engine, by kind.", "kind", lambda: service.queued)
    metrics.total("lingting_engine_restarts", "Restarts of engine processes.", lambda: service.engine_restarts)
    metrics.gauge("lingting_predicted_wait_seconds", "Wait of a file that came now.", lambda: service.predicted_wait)
    day = Day(lambda: metrics.totals_without(console.UNWATCHED), lambda: service.streams.live + len(connections))
    context = Context(service, metrics, Recent(), day, Spool(service.settings.data_dir / "spool"), connections)

    def observe(scope: Scope, exchange: Exchange, seconds: float) -> None:
        answered = seconds if exchange.opened_after is None else exchange.opened_after
        ours = exchange.ours
        metrics.observe(exchange.interface, exchange.code, answered, exchange.audio_seconds, exchange.model)
        context.recent.observe(exchange.interface, answered, ours=ours)
        if ours is not None:
            metrics.error(exchange.interface, ours=ours)
        if exchange.refusal:
            metrics.refusal(exchange.interface, exchange.refusal)
        access_line(scope, exchange, seconds)
        admission.record(service, exchange)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(day.watch(), name="day")
        yield
        watching.cancel()
        context.spool.close()

    def outermost(app: ASGIApp) -> ASGIApp:
        gateway = Gateway(
            app,
            observe=observe,
            proxies=Proxies(service.settings),
            failed=envelopes.answer,
            stopping=lambda: context.lifecycle.stopping,
        )
        return gateway if metrics.traces is None else Traced(gateway, metrics.traces, _UNTRACED)

    app = Application(
        routes=_routes() if service.settings.cluster_role != "home" else _watching(),
        lifespan=lifespan,
        exception_handlers={HTTPException: envelopes.not_routed},
        middleware=[Middleware(outermost)],
    )
    app.sockets = outermost(_sockets)
    app.router.redirect_slashes = False
    attach(app, context)
    app.state.client_secrets = ClientSecrets()
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
        deepgram.LISTEN_PATH: deepgram.prerecorded,
        realtime.CLIENT_SECRETS_PATH: realtime.client_secrets,
        realtime.BETA_SESSIONS_PATH: realtime.transcription_sessions,
    }
    posts |= {console.SIGN_IN_PATH: console.sign_in}
    gets = {
        openai.MODELS_PATH: openai.models,
        openai.MODEL_PATH: openai.model,
        openapi.OPENAPI_PATH: openapi.openapi_json,
        console.PAGE_PATH: console.page,
        console.SESSION_PATH: console.session,
        console.STATUS_PATH: console.status,
        console.FILE_PATH: console.file,
    }
    return [
        *_watching(),
        *(Route(path, endpoint, methods=["POST"]) for path, endpoint in posts.items()),
        *(Route(path, endpoint, methods=["GET"]) for path, endpoint in gets.items()),
    ]


def _watching() -> list[Route]:
    """Routes for those who watch the server: all that a home of a cluster answers, whose callers come through doors."""
    gets = {
        health.HEALTH_PATH: health.healthz,
        health.READY_PATH: health.readyz,
        health.METRICS_PATH: health.metrics,
    }
    return [Route(path, endpoint, methods=["GET"]) for path, endpoint in gets.items()]


_UNTRACED = {health.HEALTH_PATH, health.READY_PATH, health.METRICS_PATH, console.STATUS_PATH}
_SOCKETS = {
    realtime.REALTIME_PATH: realtime.realtime,
    deepgram.LISTEN_PATH: deepgram.live,
    funasr.FUNASR_PATH: funasr.live,
}


def _sockets(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return _SOCKETS.get(scope["path"], _no_socket)(WebSocket(scope, receive, send))


async def _no_socket(websocket: WebSocket) -> None:
    """No WebSocket is at this path."""
    path = websocket.url.path[:100]
    await websocket.send_denial_response(flash_error(websocket.scope, 404, f"there is no WebSocket at {path}"))
