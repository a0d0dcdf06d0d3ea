"""The limits of a tenant: requests per second, requests and streams at once, audio per day and month, failed logins.

Rates and places are counted in memory or in Redis (`LINGTING_LIMITS_URL`). When Redis does not answer within
`REDIS_SECONDS` every node counts for itself for `OUTAGE_SECONDS` and then tries again: requests go on, limits hold
per node, and nothing hangs. Audio budgets are counted by `Usage`, in the database, so a restart does not renew them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import uuid
import weakref
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Literal, TypeAlias, TypeVar

from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond

from lingting.access.counting import Counter, MemoryCounter, RedisCounter
from lingting.access.errors import LimitExceeded, TooManyFailures
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
_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


class Lease:
    """A place among the streams or requests of a tenant, held until `release`, which may be called any number of
    times.

    Also a context manager. The place of a lease that was dropped without `release`, or whose process died, is free
    again after `LEASE_SECONDS`. Event loop only.
    """

    __slots__ = ("__weakref__", "_counter", "_id", "_key")

    def __init__(self, counter: Counter, key: str, identifier: str) -> None:
        self._counter: Counter | None = counter
        self._key = key
        self._id = identifier

    @property
    def held(self) -> bool:
        """Whether the place is still taken."""
        return self._counter is not None

    def release(self) -> None:
        """Free the place."""
        counter, self._counter = self._counter, None
        if counter is not None:
            counter.release(self._key, self._id)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Limits:
    """Counts for every tenant. All methods belong to the event loop; each raises LimitExceeded where a limit is
    reached.

    Raises:
        SettingsError: `limits_url` names neither memory nor a usable Redis.
    """

    def __init__(self, settings: Settings, usage: Usage, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._usage = usage
        self._clock = clock
        self._local = MemoryCounter(clock)
        self._shared: Counter = self._local
        if settings.limits_url != "memory://":
            if not settings.limits_url.startswith(("redis://", "rediss://", "redis+unix://")):
                raise SettingsError("LINGTING_LIMITS_URL must be memory:// or redis://host:port/db")
            self._shared = RedisCounter(settings.limits_url)
        self._local_until = 0.0
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

    async def acquire_stream(self, principal: Principal) -> Lease:
        """A place among the tenant's live streams; release it when the stream ends, is aborted or expires."""
        limit = principal.limits.streams or self._settings.streams_per_tenant
        return await self._acquire("streams", principal, limit, "live streams at once for the tenant")

    async def check_audio(self, principal: Principal, seconds: float = 0.0) -> None:
        """Pass while the tenant's audio of the day and of the month, with `seconds` more, is inside its budgets.

        Charging is `Usage.record`'s. What is in progress is not counted yet, so a budget can be passed by that much.
        """
        own, settings = principal.limits, self._settings
        daily = settings.audio_seconds_per_day if own.audio_seconds_per_day is None else own.audio_seconds_per_day
        monthly = (
            settings.audio_seconds_per_month if own.audio_seconds_per_month is None else own.audio_seconds_per_month
        )
        if not daily and not monthly:
            return
        day, month = await self._usage.audio_used(principal.tenant_id)
        now = self._clock()
        if daily and (day >= daily or day + seconds > daily):
            raise LimitExceeded(daily, 86400 - now % 86400, "audio seconds per day for the tenant")
        if monthly and (month >= monthly or month + seconds > monthly):
            raise LimitExceeded(monthly, _seconds_to_next_month(now), "audio seconds per month for the tenant")

    async def check_login(self, app_id: str, address: str) -> None:
        """Pass while the logins of this app from this address failed seldom enough.

        Raises:
            TooManyFailures: they did not; the true secret is refused too, so that guessing learns nothing.
        """
        item, key = self._login_window(app_id, address)
        if not await self._count(_test(item, key)):
            raise TooManyFailures(max(1.0, await self._count(_reset(item, key))))

    async def login_failed(self, app_id: str, address: str) -> None:
        """Count one failed login."""
        await self._count(_hit(*self._login_window(app_id, address)))

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

    async def _count(self, work: Callable[[Counter], Awaitable[_T]]) -> _T:
        """Do `work` where counting is shared, or here while that does not answer."""
        if self._shared is self._local or time.monotonic() < self._local_until:
            return await work(self._local)
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                return await work(self._shared)
        except Exception as error:
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
            held = [(lease._key, lease._id) for lease in self._leases if lease._counter is counter]
            if not held:
                continue
            try:
                async with asyncio.timeout(REDIS_SECONDS + 0.01 * len(held)):
                    await counter.renew(held, LEASE_SECONDS)
            except Exception as error:
                _logger.warning("leases could not be renewed in Redis (%s)", type(error).__name__)


def _hit(item: RateLimitItem, key: tuple[str, ...]) -> Callable[[Counter], Awaitable[bool]]:
    return lambda counter: counter.hit(item, *key)


def _test(item: RateLimitItem, key: tuple[str, ...]) -> Callable[[Counter], Awaitable[bool]]:
    return lambda counter: counter.test(item, *key)


def _reset(item: RateLimitItem, key: tuple[str, ...]) -> Callable[[Counter], Awaitable[float]]:
    return lambda counter: counter.reset_seconds(item, *key)


@lru_cache(maxsize=256)
def _per_second(limit: int) -> RateLimitItemPerSecond:
    return RateLimitItemPerSecond(limit)


@lru_cache(maxsize=16)
def _per_minute(limit: int) -> RateLimitItemPerMinute:
    return RateLimitItemPerMinute(limit)


def _seconds_to_next_month(now: float) -> float:
    today = datetime.fromtimestamp(now, UTC)
    year, month = (today.year + 1, 1) if today.month == 12 else (today.year, today.month + 1)
    return math.ceil(datetime(year, month, 1, tzinfo=UTC).timestamp() - now)
