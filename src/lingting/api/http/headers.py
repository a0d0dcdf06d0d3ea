"""The outermost layer: log id, header names in title case, and a last answer when everything else failed.

Some clients look reply headers up case-sensitively in title case, while ASGI frameworks write them in lower case.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from email.utils import formatdate

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lingting.api.http import exchange as exchanges
from lingting.api.http.errors import Unforeseen
from lingting.api.http.exchange import CLIENT_LEFT, Exchange
from lingting.api.http.proxies import Proxies
from lingting.errors import LingtingError, Overloaded

SECURITY_HEADERS = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Content-Security-Policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"Cache-Control", b"no-store"),
)
UPGRADED = 101

_STOPPED = Overloaded("the server is stopping and this request was not finished; try again shortly", 5.0)

log = logging.getLogger(__name__)


class Gateway:
    """ASGI middleware that every request passes first.

    Adds `X-Tt-Logid`, `X-Request-Id`, `Date` and the security headers to every answer that does not bring its own;
    writes header names in title case; turns an unexpected error into the 500 of its interface.

    Args:
        app: what answers.
        observe: told about every finished request, with the seconds it took.
        proxies: whose word on a client's address counts.
        failed: makes the answer to a request that no endpoint has answered, in the words of its interface.
        stopping: whether the server stops: clients that keep connections open must find another one.
    """

    def __init__(
        self,
        app: ASGIApp,
        observe: Callable[[Scope, Exchange, float], None],
        proxies: Proxies,
        failed: Callable[[Scope, LingtingError], Response],
        stopping: Callable[[], bool],
    ) -> None:
        self._stopping = stopping
        self._app = app
        self._failed = failed
        self._proxies = proxies
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hold one WebSocket; anything else goes through untouched.

        What is observed of a WebSocket that was accepted are the seconds until then, at its end.
        """
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        exchange = exchanges.begin(scope)
        exchange.body_read = scope["type"] == "websocket"
        self._proxies.apply(scope)

        async def send_with_headers(message: Message) -> None:
            match message["type"]:
                case "http.response.start" | "websocket.http.response.start" as kind:
                    exchange.status = message["status"]
                    message["headers"] = _complete(message["headers"], exchange.log_id.encode())
                    named = any(name == b"Connection" for name, _ in message["headers"])
                    if kind == "http.response.start" and self._stopping() and not named:
                        message["headers"].append((b"Connection", b"close"))
                case "websocket.accept":
                    exchange.status = UPGRADED
                    exchange.opened_after = time.perf_counter() - started
                    message["headers"] = [*message.get("headers", ()), (b"X-Tt-Logid", exchange.log_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("unexpected error")
            if exchange.status:
                raise
            await self._failed(scope, Unforeseen())(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            # the server stops and waits no longer; the answer of the HTTP server below would have no log id
            if exchange.status:
                return
            exchange.body_read = True
            await self._failed(scope, _STOPPED)(scope, receive, send_with_headers)
        finally:
            exchange.status = exchange.status or CLIENT_LEFT
            if exchange.status == CLIENT_LEFT:
                exchange.code = CLIENT_LEFT
            self._observe(scope, exchange, time.perf_counter() - started)


def _complete(headers: list[tuple[bytes, bytes]], log_id: bytes) -> list[tuple[bytes, bytes]]:
    named = [(title_case(name), value) for name, value in headers]
    given = {name for name, _ in named}
    named += [
        (name, value)
        for name, value in (
            (b"X-Tt-Logid", log_id),
            (b"X-Request-Id", log_id),
            (b"Date", _date(int(time.time()))),
            *SECURITY_HEADERS,
        )
        if name not in given
    ]
    return named


@functools.lru_cache(maxsize=256)
def title_case(name: bytes) -> bytes:
    """`x-tt-logid` as `X-Tt-Logid`."""
    return b"-".join(part[:1].upper() + part[1:].lower() for part in name.split(b"-"))


@functools.lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode("ascii")
