"""The limits of a tenant: requests per second, requests and streams at once, audio per day and month, failed logins.

Rates and places are counted in memory or in Redis (`LINGTING_LIMITS_URL`). When Redis does not answer within
`REDIS_SECONDS` every node counts for itself for `OUTAGE_SECONDS` and then tries again: requests go on, limits hold
per node, and nothing hangs. Audio is charged by `Usage`, in the database, so a restart does not renew a budget; what is
set aside of it, and what other nodes charged in the last seconds, is known where rates are counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
import uuid
import weakref
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Literal, TypeAlias, TypeVar

from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond

from lingting.access.budgets import Budget, budgets, limits_of
from lingting.access.counting import Counter, MemoryCounter, RedisCounter
from lingting.access.errors import LimitExceeded, TooManyFailures
from lingting.access.leases import Lease, Reservation
from lingting.access.principal import Principal
from lingting.access.usage import Usage
from lingting.errors import SettingsError
from lingting.settings import Settings

Interface: TypeAlias = Literal["file", "flash", "transcriptions"]

LEASE_SECONDS = 60.0
RENEW_SECONDS = 20.0
REDIS_SECONDS = 0.5
OUTAGE_SECONDS = 5.0
_BUSY_RESET_SECONDS = 1.0
_PACKETS_OF_A_STREAM = 4
"""Packets of one stream in progress at once: its final one waits for text, others may overtake one another."""

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


class Limits:
    """Counts for every tenant. All methods belong to the event loop; each raises LimitExceeded where a limit is
    reached.

    Attributes:
        outages: how often Redis did not answer, and this node counted for itself.

    Raises:
        SettingsError: `limits_url` names neither memory nor a usable Redis.
    """

    def __init__(
        self,
        settings: Settings,
        usage: Usage,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._usage = usage
        self._clock = clock
        self._local = MemoryCounter(monotonic)
        self._shared: Counter = self._local
        if settings.limits_url != "memory://":
            if not settings.limits_url.startswith(("redis://", "rediss://", "redis+unix://")):
                raise SettingsError("LINGTING_LIMITS_URL must be memory:// or redis://host:port/db")
            self._shared = RedisCounter(settings.limits_url)
        self._local_until = 0.0
        self.outages = 0
        self._leases: weakref.WeakSet[Lease] = weakref.WeakSet()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to renew leases in the background."""
        self._task = asyncio.create_task(self._renew_forever(), name="leases")

    async def close(self) -> None:
        """Free every place that this process holds."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for lease in list(self._leases):
            lease.release()
        await self._shared.close()

    async def hit(self, principal: Principal, interface: Interface) -> None:
        """Count one request of an interface against the tenant's requests per second."""
        own = principal.limits
        match interface:
            case "file":
                limit = own.file_requests_per_second or self._settings.file_requests_per_second
            case "flash":
                limit = own.flash_requests_per_second or self._settings.flash_requests_per_second
            case "transcriptions":
                limit = own.transcription_requests_per_second or self._settings.transcription_requests_per_second
        item, key = _per_second(limit), ("rate", principal.tenant_id, interface)
        if not await self._count(_hit(item, key)):
            reset = await self._count(_reset(item, key))
            raise LimitExceeded(limit, min(1.0, max(0.0, reset)), f"{interface} requests per second for the tenant")

    async def acquire_request(self, principal: Principal) -> Lease:
        """A place among the tenant's requests in progress."""
        limit = principal.limits.concurrent_requests or self._settings.requests_per_tenant
        return await self._acquire("requests", principal, limit, "requests at once for the tenant")

    async def acquire_packet(self, principal: Principal) -> Lease:
        """A place among the tenant's packets of live streams in progress, counted against their rate.

        Both limits guard this node against a flood and are far above what streams need, so each node counts for itself,
        and a packet costs no question to Redis.
        """
        rate = self._settings.stream_packets_per_second
        item, key = _per_second(rate), ("rate", principal.tenant_id, "packet")
        if not await self._local.hit(item, *key):
            reset = await self._local.reset_seconds(item, *key)
            raise LimitExceeded(rate, min(1.0, max(0.0, reset)), "stream packets per second for the tenant")
        places = max(
            principal.limits.concurrent_requests or self._settings.requests_per_tenant,
            _PACKETS_OF_A_STREAM * (principal.limits.streams or self._settings.streams_per_tenant),
        )
        place, name = f"packets/{principal.tenant_id}", uuid.uuid4().hex
        if not await self._local.acquire(place, name, places, LEASE_SECONDS):
            raise LimitExceeded(places, _BUSY_RESET_SECONDS, "stream packets at once for the tenant")
        lease = Lease(self._local, place, name)
        self._leases.add(lease)
        return lease

    async def acquire_stream(self, principal: Principal, again: bool = False) -> Lease:
        """A place among the tenant's live streams; release it when the stream ends, is aborted or expires.

        A stream that had a place before a restart gets one `again`, whoever took it meanwhile.
        """
        limit = sys.maxsize if again else principal.limits.streams or self._settings.streams_per_tenant
        return await self._acquire("streams", principal, limit, "live streams at once for the tenant")

    async def reserve_audio(
        self, principal: Principal, seconds: float, *, interface: str, model: str, always: bool = False
    ) -> Reservation:
        """Set seconds of audio aside in the tenant's budgets of the day and of the month.

        Requests at the same time cannot pass a budget together, on this node or, with Redis, on several. A charge is
        counted under `interface` and `model`. With `always` nothing is set aside and nothing refused, only charged:
        for audio that ends what was let in before.

        Raises:
            LimitExceeded: a budget has no room for them.
        """
        spend = partial(self._spend, principal, interface, model)
        if always or not self._limited(principal):
            return Reservation(spend, None)
        await self._usage.load(principal.tenant_id)
        key, name = _audio_key(principal), f"{uuid.uuid4().hex}:{seconds:.6f}"

        async def reserve(counter: Counter) -> Lease | Budget:
            full = await counter.reserve(key, name, seconds, self._budgets(principal), LEASE_SECONDS)
            return full or Lease(counter, key, name)

        lease = await self._count(reserve)
        if isinstance(lease, Budget):
            what = f"audio seconds per {lease.unit} for the tenant"
            raise LimitExceeded(lease.limit, lease.seconds_left(self._clock()), what)
        self._leases.add(lease)
        return Reservation(spend, lease)

    def _limited(self, principal: Principal) -> bool:
        return any(limits_of(principal, self._settings))

    def _budgets(self, principal: Principal) -> list[Budget]:
        spent = self._usage.audio_used(principal.tenant_id)
        return budgets(limits_of(principal, self._settings), spent, self._usage.today())

    def _spend(self, principal: Principal, interface: str, model: str, seconds: float, lease: Lease | None) -> None:
        if self._limited(principal):
            counter = (lease.detach() if lease else None) or self._counter
            counter.spend(_audio_key(principal), lease.name if lease else "", seconds, self._budgets(principal))
        if seconds:
            self._usage.charge(principal, interface, model, seconds)

    async def login_failed(self, app_id: str, address: str) -> None:
        """Count one failed login of an app from an address.

        Raises:
            TooManyFailures: they failed too often in the last minute.
        """
        item, key = self._login_window(app_id, address)
        if not await self._count(_hit(item, key)):
            raise TooManyFailures(max(1.0, await self._count(_reset(item, key))))

    def _login_window(self, app_id: str, address: str) -> tuple[RateLimitItem, tuple[str, ...]]:
        return _per_minute(self._settings.login_failures_per_minute), ("login", app_id, address)

    async def _acquire(self, kind: str, principal: Principal, limit: int, what: str) -> Lease:
        key, identifier = f"{kind}/{principal.tenant_id}", uuid.uuid4().hex

        async def acquire(counter: Counter) -> Lease | None:
            if await counter.acquire(key, identifier, limit, LEASE_SECONDS):
                return Lease(counter, key, identifier)
            return None

        lease = await self._count(acquire)
        if lease is None:
            raise LimitExceeded(limit, _BUSY_RESET_SECONDS, what)
        self._leases.add(lease)
        return lease

    @property
    def _counter(self) -> Counter:
        """The shared counter, or the local one while that does not answer."""
        return self._local if time.monotonic() < self._local_until else self._shared

    async def _count(self, work: Callable[[Counter], Awaitable[_T]]) -> _T:
        """Do `work` where counting is shared, or here while that does not answer."""
        counter = self._counter
        if counter is self._local:
            return await work(counter)
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                return await work(counter)
        except Exception as error:
            self.outages += 1
            self._local_until = time.monotonic() + OUTAGE_SECONDS
            _logger.warning(
                "Redis does not answer (%s): this node counts limits for itself and tries again in %d s",
                type(error).__name__,
                OUTAGE_SECONDS,
            )
            return await work(self._local)

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self.renew()

    async def renew(self) -> None:
        """Hold every place that is still wanted for another `LEASE_SECONDS`."""
        for counter in {self._local, self._shared}:
            held = [lease for lease in self._leases if lease.counter is counter]
            if not held:
                continue
            # Looked at one by one, so that none is taken again that was released meanwhile.
            wanted = ((lease.key, lease.name) for lease in held if lease.counter is counter)
            try:
                async with asyncio.timeout(REDIS_SECONDS + 0.01 * len(held)):
                    await counter.renew(wanted, LEASE_SECONDS)
            except Exception as error:
                _logger.warning("leases could not be renewed in Redis (%s)", type(error).__name__)


def _hit(item: RateLimitItem, key: tuple[str, ...]) -> Callable[[Counter], Awaitable[bool]]:
    return lambda counter: counter.hit(item, *key)


def _reset(item: RateLimitItem, key: tuple[str, ...]) -> Callable[[Counter], Awaitable[float]]:
    return lambda counter: counter.reset_seconds(item, *key)


@lru_cache(maxsize=256)
def _per_second(limit: int) -> RateLimitItemPerSecond:
    return RateLimitItemPerSecond(limit)


@lru_cache(maxsize=16)
def _per_minute(limit: int) -> RateLimitItemPerMinute:
    return RateLimitItemPerMinute(limit)


def _audio_key(principal: Principal) -> str:
    return f"audio/{principal.tenant_id}"
