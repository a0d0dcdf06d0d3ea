"""The HTTP server: from the settings to a listening socket, and to an orderly stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

import uvicorn
from starlette.applications import Starlette

from lingting.api import envelopes
from lingting.api.app import create_app
from lingting.api.http.context import Backend, context_of
from lingting.api.http.proxies import Proxies
from lingting.api.listening.connection import MAX_HEADER_BYTES, Connection
from lingting.api.listening.gate import Gate
from lingting.api.listening.sockets import is_loopback, listen
from lingting.api.listening.tls import own_tls_context, reload_certificate, tls_context
from lingting.api.sockets.protocol import MAX_MESSAGE_BYTES, PING_SECONDS, SocketProtocol
from lingting.api.stopping import CLOSING_SECONDS, Stop, StopSignals, unless_asked
from lingting.api.wyoming import server as wyoming
from lingting.command_name import as_typed
from lingting.errors import LingtingError, SettingsError
from lingting.operations.lag import watch_lag
from lingting.operations.systemd import Notifier

KEEP_ALIVE_SECONDS = 75
_LAST_ANSWERS_SECONDS = 1
_USAGE_SECONDS = 1

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
        listeners = [listen(settings.host, settings.port)]
        if settings.funasr_port:
            listeners.append(listen(settings.host, settings.funasr_port, "LINGTING_FUNASR_PORT"))
    except SettingsError as error:
        return _refused(error)
    if tls is None and not is_loopback(settings.host):
        log.warning(
            "listening on %s without TLS: the official SDKs refuse plain http:// except for localhost, and tokens and "
            "audio can be read on the way; set LINGTING_TLS_CERTIFICATE and LINGTING_TLS_KEY, or put a TLS proxy in "
            "front",
            settings.host,
        )
    with contextlib.ExitStack() as held:
        for listener in listeners:
            held.enter_context(listener)
        try:
            asyncio.run(_serve_until_signalled(service, listeners, tls, on_ready))
        except LingtingError as error:
            return _refused(error)
        except KeyboardInterrupt:
            return 0
    return 0


def _refused(error: LingtingError) -> int:
    print(f"lingting: {as_typed(str(error))}", file=sys.stderr, flush=True)  # noqa: T201
    return 1


async def _serve_until_signalled(
    service: StartableBackend,
    listeners: list[socket.socket],
    tls: ssl.SSLContext | None,
    on_ready: Callable[[str], None] | None,
) -> None:
    signals = StopSignals()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload_certificate, tls, service.settings)
    await serve(service, listeners, tls, signals, on_ready)


async def serve(
    service: StartableBackend,
    listeners: list[socket.socket],
    tls: ssl.SSLContext | None,
    stop: Stop,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Start the service, answer requests until the stop is asked for, drain, and stop the service.

    Raises:
        LingtingError: the service does not start.
    """
    if not await unless_asked(asyncio.create_task(service.start()), stop):
        return
    try:
        app = create_app(service)
        server = Server(service, app, tls, on_ready=on_ready)
        async with wyoming.serving(context_of(app)), _stopped_by(stop, server):
            await server.serve(sockets=listeners)
    finally:
        await _stopped(service)


@contextlib.asynccontextmanager
async def _stopped_by(stop: Stop, server: Server) -> AsyncIterator[None]:
    async def wait() -> None:
        await stop.asked.wait()
        server.stop(leisurely=stop.leisurely)

    waiting = asyncio.create_task(wait())
    try:
        yield
    finally:
        waiting.cancel()


async def _stopped(service: StartableBackend) -> None:
    """Stop the service; a process whose service does not come to an end writes usage and is ended."""
    try:
        async with asyncio.timeout(CLOSING_SECONDS - 2 * _LAST_ANSWERS_SECONDS - _USAGE_SECONDS):
            await service.stop()
    except TimeoutError:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_USAGE_SECONDS):
                await service.access.close()
        log.error("the service did not stop within %g s; the process ends without it", CLOSING_SECONDS)
        logging.shutdown()
        os._exit(1)


class Server(uvicorn.Server):
    """uvicorn with our sockets and our stop.

    A stop first says "not ready", for as long as `drain_lead_seconds` asks; then new work is refused, in the words of
    its interface, while requests and live streams that are there may end within `drain_seconds`; the socket is open
    all that time, because the packets of a stream come on new connections.

    Args:
        service: whose streams are drained.
        app: the application.
        tls: context of the TLS listener; None speaks plain HTTP.
        on_ready: told the URL once requests are answered.
    """

    def __init__(
        self,
        service: Backend,
        app: Starlette,
        tls: ssl.SSLContext | None = None,
        on_ready: Callable[[str], None] | None = None,
    ) -> None:
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PING_SECONDS,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
            limit_concurrency=None,
        )
        config.load()
        config.ws_protocol_class = SocketProtocol
        super().__init__(config)
        self._service = service
        self._tls = tls
        self._lifecycle = context_of(app).lifecycle
        self._connections = context_of(app).connections
        self._on_ready = on_ready
        self._notifier = Notifier()
        self._watching: list[asyncio.Task[None]] = []
        self._lead_seconds = 0.0

    def stop(self, *, leisurely: bool) -> None:
        """Begin an orderly stop; a leisurely one keeps to `drain_lead_seconds`."""
        self._lead_seconds = self._service.settings.drain_lead_seconds if leisurely else 0.0
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise LingtingError("the application does not start; the log says why")
        assert sockets is not None
        settings = self._service.settings
        self.servers = [
            Gate(
                listener,
                self._connection,
                tls=self._tls_of(listener),
                per_address=settings.connections_per_address,
                exempt=Proxies(settings).trusts,
                refused=self._service.metrics.refused,
            )  # type: ignore[misc]
            for listener in sockets
        ]
        self.started = True
        host, port = sockets[0].getsockname()[:2]
        if self._on_ready is not None:
            shown = f"[{host}]" if ":" in host else host
            self._on_ready(f"{'https' if self._tls else 'http'}://{shown}:{port}")
        self._notifier.tell("READY=1")
        self._watching = [
            asyncio.create_task(self._notifier.watch(), name="watchdog"),
            asyncio.create_task(watch_lag(self._service.metrics.lagged), name="loop-lag"),
        ]

    def _tls_of(self, listener: socket.socket) -> ssl.SSLContext | None:
        settings = self._service.settings
        alone = settings.funasr_tls and self._tls is None and listener.getsockname()[1] == settings.funasr_port
        return own_tls_context(settings.data_dir) if alone else self._tls

    async def main_loop(self) -> None:
        """Serve until a stop, then keep answering while what is in flight ends."""
        await super().main_loop()
        self._notifier.tell("STOPPING=1")
        self._lifecycle.stopping = True
        if self._lead_seconds:
            log.info("stopping: not ready any more; new work is refused in %g s", self._lead_seconds)
            await asyncio.sleep(self._lead_seconds)
        seconds = self._service.settings.drain_seconds
        log.info("stopping: no new work; waiting up to %g s for what is in flight", seconds)
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        draining = asyncio.create_task(self._service.streams.drain(seconds))
        leaving = asyncio.create_task(self._connections.leave())
        in_flight: set[asyncio.Task[None]] = {draining, leaving}
        while in_flight and loop.time() < end:
            await asyncio.wait(in_flight, timeout=end - loop.time())
            in_flight = {task for task in (draining, leaving, *self.server_state.tasks) if not task.done()}
        draining.cancel()
        leaving.cancel()
        await self._service.streams.stop()
        if cut := list(self.server_state.tasks):
            log.warning("stopping: %d requests are not finished and are told so", len(cut))
            for task in cut:
                task.cancel()
            await asyncio.wait(cut, timeout=_LAST_ANSWERS_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close every connection."""
        await super().shutdown(sockets)
        for task in self._watching:
            task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the caller's."""
        yield

    def _connection(self, arrived: Callable[[], None]) -> asyncio.Protocol:
        return Connection(
            self.config,
            self.server_state,
            self.lifespan.state,
            timeout=self._service.settings.request_timeout_seconds,
            arrived=arrived,
            refuse=envelopes.headless,
        )
