"""The HTTP server: sockets, TLS, slow and oversized senders, and an orderly stop."""

from __future__ import annotations

import asyncio
import errno
import functools
import http
import ipaddress
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from lingting.api.app import create_app
from lingting.api.http.context import Backend
from lingting.api.http.exchange import new_log_id
from lingting.api.http.render import LINGER_IDLE_SECONDS
from lingting.errors import LingtingError, SettingsError
from lingting.settings import Settings

MAX_HEADER_BYTES = 32_768
KEEP_ALIVE_SECONDS = 75
MAX_CONNECTIONS = 4096
BACKLOG = 2048
TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

log = logging.getLogger(__name__)


class StartableBackend(Backend, Protocol):
    """A service that can be started and stopped."""

    async def start(self) -> None:
        """Load what recognition needs; raises LingtingError, with everything let go, when that fails."""

    async def stop(self) -> None:
        """Finish what is in flight and let everything go."""


def run(service: StartableBackend, on_ready: Callable[[str], None] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit status of the process.

    What prevents the start is one line on standard error and status 1. SIGHUP reads the TLS certificate again.

    Args:
        service: not started yet; it is started once the port is taken, and stopped at the end.
        on_ready: told the URL once requests are answered.
    """
    settings = service.settings
    try:
        tls = tls_context(settings) if settings.tls else None
        listener = listen(settings.host, settings.port)
    except SettingsError as error:
        return _refused(error)
    if tls is None and not is_loopback(settings.host):
        log.warning(
            "listening on %s without TLS: the official SDKs refuse plain http:// except for localhost, and tokens and "
            "audio can be read on the way; set LINGTING_TLS_CERTIFICATE and LINGTING_TLS_KEY, or put a TLS proxy in "
            "front",
            settings.host,
        )
    with listener:
        try:
            asyncio.run(_serve(service, listener, tls, on_ready))
        except LingtingError as error:
            return _refused(error)
        except KeyboardInterrupt:
            return 0
    return 0


def _refused(error: LingtingError) -> int:
    print(f"lingting: {error}", file=sys.stderr, flush=True)  # noqa: T201
    return 1


async def _serve(
    service: StartableBackend,
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    on_ready: Callable[[str], None] | None,
) -> None:
    settings = service.settings
    await service.start()
    try:
        server = Server(service, create_app(service), tls, on_ready=on_ready)
        loop = asyncio.get_running_loop()
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, functools.partial(_reload, settings, tls))
        await server.serve(sockets=[listener])
    finally:
        await service.stop()


class Server(uvicorn.Server):
    """uvicorn with our protocol; a stop first lets the live streams end, which takes further requests.

    Args:
        service: whose streams are drained.
        app: the application.
        tls: context of the TLS listener; None speaks plain HTTP.
        on_ready: told the URL once requests are answered.
    """

    def __init__(
        self,
        service: Backend,
        app: ASGIApp,
        tls: ssl.SSLContext | None = None,
        on_ready: Callable[[str], None] | None = None,
    ) -> None:
        settings = service.settings
        protocol = functools.partial(Connection, patience=settings.request_timeout_seconds)
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, int(settings.drain_seconds)),
            limit_concurrency=None,
            backlog=BACKLOG,
        )
        config.load()
        config.http_protocol_class = protocol  # type: ignore[assignment]
        config.ssl = tls
        super().__init__(config)
        self._service = service
        self._on_ready = on_ready
        self._signals = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets=sockets)
        if self.started and self._on_ready is not None:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            self._on_ready(f"{'https' if self.config.ssl else 'http'}://{shown}:{port}")

    async def main_loop(self) -> None:
        """Serve, then keep answering while live streams end."""
        await super().main_loop()
        log.info("stopping: no new streams; waiting up to %g s for the live ones", self._service.settings.drain_seconds)
        drain = asyncio.create_task(self._service.streams.drain(self._service.settings.drain_seconds))
        while not drain.done() and not self.force_exit:
            await asyncio.wait((drain,), timeout=0.1)
        drain.cancel()
        await self._service.streams.stop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins an orderly stop, the second ends it."""
        self._signals += 1
        self.should_exit = True
        self.force_exit = self._signals > 1


class Connection(H11Protocol):
    """One client connection.

    Whoever takes longer than `patience` seconds for the head of a request is cut; what is not HTTP is answered in JSON.
    """

    def __init__(self, *arguments: Any, patience: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._patience = patience
        self._impatient: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self.connections.discard(self)
            transport.abort()
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """A client left."""
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        if not self._refused:
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        """An answer is out; another request may follow."""
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, or has too large a head."""
        status = 431 if getattr(sys.exc_info()[1], "error_status_hint", 400) == 431 else 400
        log_id = new_log_id().encode("ascii")
        text = (
            f"the head of the request is over {MAX_HEADER_BYTES} bytes" if status == 431 else "this is not valid HTTP"
        )
        body = b'{"error":{"message":"%s","type":"Illegal Argument","param":null,"code":"%d","httpCode":%d}}' % (
            text.encode("ascii"),
            status,
            status,
        )
        headers = [
            (b"Content-Type", b"application/json; charset=utf-8"),
            (b"Content-Length", b"%d" % len(body)),
            (b"X-Tt-Logid", log_id),
            (b"X-Request-Id", log_id),
            (b"Connection", b"close"),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            reason = http.HTTPStatus(status).phrase.encode("ascii")
            head = h11.Response(status_code=status, headers=headers, reason=reason)
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        # Closing on data that was not read would make the client's system drop the answer.
        self._refused = True
        self._unwatch()
        self.loop.call_later(LINGER_IDLE_SECONDS, self.transport.close)

    def _watch(self) -> None:
        """Keeps the timer running exactly while the head of a request is awaited and no keep-alive timer runs."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if self._refused or answering or self.timeout_keep_alive_task is not None or self.transport.is_closing():
            self._unwatch()
        elif self._impatient is None:
            self._impatient = self.loop.call_later(self._patience, self._cut)

    def _unwatch(self) -> None:
        if self._impatient is not None:
            self._impatient.cancel()
            self._impatient = None

    def _cut(self) -> None:
        self._impatient = None
        self.transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        SettingsError: the address or the port cannot be had; the message says what to do.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        where = f"port {port} on {host}"
        match error.errno:
            case errno.EADDRINUSE:
                problem = f"{where} is already in use; stop the other program or set LINGTING_PORT to another port"
            case errno.EACCES | errno.EPERM:
                problem = f"{where} is reserved to the administrator; set LINGTING_PORT to 1024 or more"
            case _:
                problem = f"cannot listen on {host}: {error.strerror or error}; set LINGTING_HOST to an own address"
        raise SettingsError(problem) from None


def tls_context(settings: Settings) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with forward secrecy and authenticated encryption only.

    Raises:
        SettingsError: the certificate or the key cannot be used; the message names the file.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS12_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, settings)
    return context


def load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    """Put the certificate and key of the settings into a context; connections made from now on use them.

    Raises:
        SettingsError: they cannot be used; the context is unchanged.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    assert certificate is not None
    assert key is not None
    for name, path in (("LINGTING_TLS_CERTIFICATE", certificate), ("LINGTING_TLS_KEY", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise SettingsError(f"{name}: {path} cannot be read: {error.strerror}") from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise SettingsError(
            f"the TLS certificate {certificate} and key {key} cannot be used ({reason}); they must be PEM files that "
            "belong together, the key without a password"
        ) from None


def _reload(settings: Settings, tls: ssl.SSLContext | None) -> None:
    if tls is None:
        log.info("SIGHUP: no TLS certificate to reload")
        return
    try:
        load_certificate(tls, settings)
    except SettingsError as error:
        log.error("SIGHUP: the old certificate stays: %s", error)
    else:
        log.info("SIGHUP: the TLS certificate was reloaded")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
