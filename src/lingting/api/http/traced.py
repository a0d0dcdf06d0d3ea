"""Requests as spans of OpenTelemetry, where they are traced."""

from __future__ import annotations

from collections.abc import Container

from starlette.types import ASGIApp, Receive, Scope, Send

from lingting.api.http import exchange as exchanges
from lingting.operations.traces import Traces

_CARRIED = (b"traceparent", b"tracestate")


class Traced:
    """ASGI middleware outside the `Gateway`: a span for each request and each WebSocket.

    Args:
        app: what answers.
        traces: where spans go.
        untraced: paths that are asked all the time.
    """

    def __init__(self, app: ASGIApp, traces: Traces, untraced: Container[str]) -> None:
        self._app = app
        self._traces = traces
        self._untraced = untraced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have one request answered, or one WebSocket held."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._untraced:
            await self._app(scope, receive, send)
            return
        carried = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CARRIED}
        with self._traces.request(carried) as span:
            try:
                await self._app(scope, receive, send)
            finally:
                exchange = exchanges.of(scope)
                span.name(exchange.interface)
                span.note(
                    log_id=exchange.log_id,
                    status=exchange.status,
                    code=exchange.code,
                    audio_seconds=exchange.audio_seconds,
                )
