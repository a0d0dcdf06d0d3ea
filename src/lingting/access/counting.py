"""Where rates and leases are counted: in this process, or in Redis for all nodes together.

The strategies are those of the `limits` library (moving window). Its own memory storages work from a thread or a
timer, so the one here keeps its state on the event loop alone.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, cast

import limits
from limits.aio.storage import MovingWindowSupport, RedisStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter

from lingting.access.budgets import Budget
from lingting.errors import SettingsError
from lingting.extras import install_command

_SWEEP_KEYS = 1024
_SOCKET_SECONDS = 1.0
_PREFIX = "lingting"
_LONGEST_PERIOD_SECONDS = 33 * 86400
_ROUNDING = 1e-6


class Counter(Protocol):
    """Counts hits in moving windows and leases in force. All methods belong to the event loop."""

    async def hit(self, item: limits.RateLimitItem, *key: str) -> bool:
        """Count one hit unless the window is full."""

    async def reset_seconds(self, item: limits.RateLimitItem, *key: str) -> float:
        """Seconds until the oldest hit leaves the window."""

    async def acquire(self, key: str, lease: str, limit: int, seconds: float) -> bool:
        """Take one of `limit` places for so many seconds, unless all are taken."""

    async def renew(self, leases: Iterable[tuple[str, str]], seconds: float) -> None:
        """Hold these (key, lease) places for so many seconds from now."""

    def release(self, key: str, lease: str) -> None:
        """Free a place, now or soon; freeing it again does nothing."""

    async def reserve(
        self, key: str, lease: str, audio: float, budgets: Sequence[Budget], seconds: float
    ) -> Budget | None:
        """Set seconds of audio aside for so many seconds of time, where every budget has room for them beside all that
        is spent and set aside under this key; else the budget that has not.

        They are a lease like another, to be renewed and released, by a name that ends in `:` and the audio.
        """

    def spend(self, key: str, lease: str, audio: float, budgets: Sequence[Budget]) -> None:
        """Count seconds of audio as spent in the periods of these budgets, now or soon, and free the lease."""

    async def close(self) -> None:
        """Finish what is under way and let connections go."""


class MemoryCounter:
    """Counts in this process, by a clock that only goes forward, whatever happens to the time of day."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._storage = _LoopStorage(clock=clock)
        self._window = MovingWindowRateLimiter(self._storage)
        self._leases: dict[str, dict[str, float]] = {}

    async def hit(self, item: limits.RateLimitItem, *key: str) -> bool:
        return await self._window.hit(item, *key)

    async def reset_seconds(self, item: limits.RateLimitItem, *key: str) -> float:
        return (await self._window.get_window_stats(item, *key)).reset_time - self._clock()

    async def acquire(self, key: str, lease: str, limit: int, seconds: float) -> bool:
        taken = self._leases.setdefault(key, {})
        now = self._clock()
        if len(taken) >= limit:
            for expired in [other for other, until in taken.items() if until <= now]:
                del taken[expired]
        if len(taken) >= limit:
            return False
        taken[lease] = now + seconds
        return True

    async def renew(self, leases: Iterable[tuple[str, str]], seconds: float) -> None:
        until = self._clock() + seconds
        for key, lease in leases:
            self._leases.setdefault(key, {})[lease] = until

    def release(self, key: str, lease: str) -> None:
        taken = self._leases.get(key)
        if taken is not None:
            taken.pop(lease, None)
            if not taken:
                del self._leases[key]

    async def reserve(
        self, key: str, lease: str, audio: float, budgets: Sequence[Budget], seconds: float
    ) -> Budget | None:
        now = self._clock()
        taken = {other: until for other, until in self._leases.get(key, {}).items() if until > now}
        held = sum(float(other.rpartition(":")[2]) for other in taken)
        for budget in budgets:
            if not budget.holds(held, audio):
                return budget
        self._leases[key] = {**taken, lease: now + seconds}
        return None

    def spend(self, key: str, lease: str, audio: float, budgets: Sequence[Budget]) -> None:
        self.release(key, lease)  # what this process spends it knows from its usage

    async def close(self) -> None:
        return None


class RedisCounter:
    """Counts in Redis, on its clock, with every call bounded in time by the caller."""

    _ACQUIRE = """
        local time = redis.call('TIME')
        local now = time[1] + time[2] / 1000000
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
        if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
        redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
        redis.call('EXPIRE', KEYS[1], math.ceil(ARGV[3]) + 1)
        return 1
    """
    _RESERVE = """
        local time = redis.call('TIME')
        local now = time[1] + time[2] / 1000000
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
        local audio, held = tonumber(ARGV[2]), 0
        for _, lease in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
            held = held + tonumber(string.match(lease, '[^:]*$'))
        end
        for i = 2, #KEYS do
            local limit, known = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
            local spent = tonumber(redis.call('GET', KEYS[i]) or '0')
            if known > spent then
                redis.call('SET', KEYS[i], known, 'EX', ARGV[#ARGV])
                spent = known
            end
            if spent + held >= limit or spent + held + audio > limit + 0.000001 then return i - 1 end
        end
        redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
        redis.call('EXPIRE', KEYS[1], math.ceil(ARGV[3]) + 1)
        return 0
    """
    _SPEND = """
        redis.call('ZREM', KEYS[1], ARGV[1])
        for i = 2, #KEYS do
            redis.call('INCRBYFLOAT', KEYS[i], ARGV[2])
            redis.call('EXPIRE', KEYS[i], ARGV[3])
        end
    """
    _RENEW = """
        local time = redis.call('TIME')
        redis.call('ZADD', KEYS[1], time[1] + time[2] / 1000000 + ARGV[2], ARGV[1])
        redis.call('EXPIRE', KEYS[1], math.ceil(ARGV[2]) + 1)
    """

    def __init__(self, url: str) -> None:
        options: dict[str, Any] = {"implementation": "redispy", "key_prefix": _PREFIX}
        timeouts: dict[str, Any] = {
            "socket_timeout": _SOCKET_SECONDS,
            "socket_connect_timeout": _SOCKET_SECONDS,
        }
        try:
            self._storage = _RedisStorage(f"async+{url}", **options, **timeouts)
        except limits.errors.ConfigurationError:
            raise SettingsError(
                f"LINGTING_LIMITS_URL names Redis: install its client with `{install_command('redis')}`"
            ) from None
        except ValueError as error:
            raise SettingsError(f"LINGTING_LIMITS_URL is not a Redis URL: {error}") from None
        self._window = MovingWindowRateLimiter(self._storage)
        self._redis = cast(Any, self._storage.bridge).get_connection()
        self._acquire_script = self._redis.register_script(self._ACQUIRE)
        self._renew_script = self._redis.register_script(self._RENEW)
        self._reserve_script = self._redis.register_script(self._RESERVE)
        self._spend_script = self._redis.register_script(self._SPEND)
        self._soon: set[asyncio.Task[None]] = set()
        self._untold: dict[str, float] = {}

    async def hit(self, item: limits.RateLimitItem, *key: str) -> bool:
        return await self._window.hit(item, *key)

    async def reset_seconds(self, item: limits.RateLimitItem, *key: str) -> float:
        return (await self._window.get_window_stats(item, *key)).reset_time

    async def acquire(self, key: str, lease: str, limit: int, seconds: float) -> bool:
        taken = await self._acquire_script(keys=[f"{_PREFIX}/leases/{key}"], args=[lease, limit, seconds])
        return bool(taken)

    async def renew(self, leases: Iterable[tuple[str, str]], seconds: float) -> None:
        for key, lease in leases:
            await self._renew_script(keys=[f"{_PREFIX}/leases/{key}"], args=[lease, seconds])

    def release(self, key: str, lease: str) -> None:
        self._do_soon(self._redis.zrem(f"{_PREFIX}/leases/{key}", lease))

    async def reserve(
        self, key: str, lease: str, audio: float, budgets: Sequence[Budget], seconds: float
    ) -> Budget | None:
        # What this node spent and has not told Redis yet must not be counted twice there.
        untold = self._untold.get(key, 0.0)
        known = [number for budget in budgets for number in (budget.limit, budget.spent - untold)]
        full = await self._reserve_script(
            keys=self._budget_keys(key, budgets), args=[lease, audio, seconds, *known, _LONGEST_PERIOD_SECONDS]
        )
        return budgets[full - 1] if full else None

    def spend(self, key: str, lease: str, audio: float, budgets: Sequence[Budget]) -> None:
        self._untold[key] = self._untold.get(key, 0.0) + audio
        command = self._spend_script(keys=self._budget_keys(key, budgets), args=[lease, audio, _LONGEST_PERIOD_SECONDS])
        self._do_soon(command).add_done_callback(lambda _: self._told(key, audio))

    async def close(self) -> None:
        if self._soon:
            await asyncio.wait(self._soon, timeout=2.0)
        await self._redis.aclose()

    @staticmethod
    def _budget_keys(key: str, budgets: Sequence[Budget]) -> list[str]:
        return [f"{_PREFIX}/leases/{key}", *(f"{_PREFIX}/spent/{key}/{budget.period}" for budget in budgets)]

    def _told(self, key: str, audio: float) -> None:
        untold = self._untold.pop(key, 0.0) - audio
        if abs(untold) > _ROUNDING:
            self._untold[key] = untold

    def _do_soon(self, command: Awaitable[Any]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._done(command))
        self._soon.add(task)
        task.add_done_callback(self._soon.discard)
        return task

    @staticmethod
    async def _done(command: Awaitable[Any]) -> None:
        try:
            async with asyncio.timeout(1.0):
                await command
        except Exception:  # noqa: S110 - a lease ends when it is not renewed, and what was spent is in the database too
            pass


class _RedisStorage(RedisStorage):
    """The Redis storage of `limits` with moving windows on Redis' own clock: those of nodes may differ, and may be set.

    Times that it gives are in seconds from now.
    """

    STORAGE_SCHEME = []  # noqa: RUF012 - no scheme leads here
    _HIT = """
        local time = redis.call('TIME')
        local now = time[1] + time[2] / 1000000
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
        if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
        redis.call('ZADD', KEYS[1], now, ARGV[3])
        redis.call('EXPIRE', KEYS[1], ARGV[2] + 1)
        return 1
    """
    _WINDOW = """
        local time = redis.call('TIME')
        local now = time[1] + time[2] / 1000000
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
        local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
        return {tostring((oldest or now) - now), redis.call('ZCARD', KEYS[1])}
    """

    def __init__(self, uri: str, **options: Any) -> None:
        super().__init__(uri, **options)
        redis = cast(Any, self.bridge).get_connection()
        self._hit = redis.register_script(self._HIT)
        self._window = redis.register_script(self._WINDOW)

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        if amount != 1:
            raise NotImplementedError("hits are counted singly")
        return bool(await self._hit(keys=[self._name(key)], args=[limit, expiry, uuid.uuid4().hex]))

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        oldest, count = await self._window(keys=[self._name(key)], args=[expiry])
        return float(oldest), int(count)

    @staticmethod
    def _name(key: str) -> str:
        return f"{_PREFIX}/window/{key}"


class _LoopStorage(Storage, MovingWindowSupport):
    """A storage of `limits` for moving windows: a deque of times a key, on the event loop alone."""

    STORAGE_SCHEME = None

    def __init__(self, uri: str | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(uri)
        self._clock = clock
        self._hits: dict[str, tuple[int, deque[float]]] = {}
        self._sweep_at = _SWEEP_KEYS

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = self._clock()
        times = self._window(key, expiry, now)
        if len(times) + amount > limit:
            return False
        times.extend([now] * amount)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        now = self._clock()
        times = self._window(key, expiry, now)
        return (times[0], len(times)) if times else (now, 0)

    def _window(self, key: str, expiry: int, now: float) -> deque[float]:
        held = self._hits.get(key)
        if held is None:
            if len(self._hits) >= self._sweep_at:
                self._sweep(now)
            held = self._hits[key] = (expiry, deque())
        times = held[1]
        while times and times[0] <= now - expiry:
            times.popleft()
        return times

    def _sweep(self, now: float) -> None:
        self._hits = {key: held for key, held in self._hits.items() if held[1] and held[1][-1] > now - held[0]}
        self._sweep_at = max(_SWEEP_KEYS, 2 * len(self._hits))

    async def clear(self, key: str) -> None:
        self._hits.pop(key, None)

    async def reset(self) -> int | None:
        count = len(self._hits)
        self._hits.clear()
        return count

    async def check(self) -> bool:
        return True

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError("only moving windows are kept here")

    async def get(self, key: str) -> int:
        raise NotImplementedError("only moving windows are kept here")

    async def get_expiry(self, key: str) -> float:
        raise NotImplementedError("only moving windows are kept here")
