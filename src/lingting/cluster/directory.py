"""Redis as the directory of a cluster: which homes there are, which of them has which stream, and what was kept of it.

Redis does not answer within a second: every call fails at once until a look that is taken twice a second finds it back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec

from lingting.cluster import scripts
from lingting.errors import SettingsError
from lingting.extras import install_command
from lingting.streams.errors import StreamMoved
from lingting.streams.journal import JournalError
from lingting.streams.journal.storage import Key

LOOK_SECONDS = 0.5
"""Nodes tell of themselves and look at the others so often."""
SEEN_SECONDS = 2.0
"""A home that has not told of itself for so long is not there."""
_SOCKET_SECONDS = 0.5
_CALL_SECONDS = 1.0
_CONNECTIONS = 64
_PREFIX = "lingting:cluster:"
_HOMES = (_PREFIX + "{homes}:seen", _PREFIX + "{homes}:states")
_DOORS = (_PREFIX + "{homes}:doors:seen", _PREFIX + "{homes}:doors:states")
_LIFE = _PREFIX + "{homes}:life"

T = TypeVar("T")
log = logging.getLogger(__name__)


class DirectoryDown(JournalError):
    """Redis does not answer, so nobody can say whose a stream is, and nothing of it can be kept."""


class HomeState(msgspec.Struct, frozen=True, array_like=True):
    """A home as it tells of itself.

    Attributes:
        id: its node's name and what is random of this process.
        address: where doors reach it.
        live: live streams and sessions.
        lanes: how much it computes at once.
        lag: how late live text comes there, in seconds.
        wait: how long a recording would wait there, in seconds.
        version: of Lingting.
    """

    id: str
    address: str
    live: int
    lanes: int
    lag: float
    wait: float
    version: str


class DoorState(msgspec.Struct, frozen=True, array_like=True):
    """A door as it tells of itself, for those who watch the cluster; nothing is decided by it.

    Attributes:
        id: its node's name and what is random of this process.
        live: live streams of packets that came through it lately, and WebSockets that it holds.
        homes: those that it sees.
        links: those of them that it has a connection to.
        version: of Lingting.
    """

    id: str
    live: int
    homes: int
    links: int
    version: str


class Place(msgspec.Struct, frozen=True):
    """Where a stream is: at the home `owner`, nobody's when empty, since the claim `epoch`.

    Attributes:
        fresh: nothing was kept of the stream when it was claimed.
    """

    owner: str
    address: str
    epoch: int
    fresh: bool = False


class Directory:
    """The directory as one node sees it. Event loop only; every method may raise DirectoryDown.

    Args:
        url: of Redis.
        seconds: what nobody has written to for so long is dropped by Redis itself.

    Attributes:
        down: whether Redis does not answer.
        back_at: when it answered again for the last time, on the loop's clock.
        outages: how often it did not answer.
        life: changes when Redis has lost everything; empty before the first look.

    Raises:
        SettingsError: there is no client for Redis, or the URL is none.
    """

    def __init__(self, url: str, seconds: float) -> None:
        try:
            import redis.asyncio as client
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise SettingsError(
                f"LINGTING_CLUSTER_ROLE needs a client of Redis: install it with `{install_command('redis')}`"
            ) from None
        try:
            pool: Any = client.BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=_SOCKET_SECONDS,
                socket_timeout=_SOCKET_SECONDS,
                socket_connect_timeout=_SOCKET_SECONDS,
                retry=Retry(NoBackoff(), 1),
            )
            self._redis: Any = client.Redis(connection_pool=pool)
        except ValueError as error:
            raise SettingsError(f"LINGTING_CLUSTER_REDIS_URL is not a Redis URL: {error}") from None
        self._seconds = max(1, round(seconds))
        self._scripts: dict[str, Any] = {
            name: self._redis.register_script(getattr(scripts, name))
            for name in ("CLAIM", "PUT", "LOAD", "CHECK", "END", "RELEASE", "RESTORE", "REGISTER", "HOMES")
        }
        self.down = False
        self.back_at = float("-inf")
        self.outages = 0
        self.life = ""

    # -- homes --------------------------------------------------------------------------------------------------------

    async def look(self, state: HomeState | None = None) -> list[HomeState]:
        """Tell of a home, and see all; this finds out when Redis is back."""

        async def work() -> list[bytes]:
            if state is not None:
                await self._register(_HOMES, state)
            return await self._registered(_HOMES)

        life, *states = await self._do(work, probing=True)
        self.life = life.decode()
        return [msgspec.json.decode(each, type=HomeState) for each in states]

    async def tell(self, state: DoorState) -> None:
        """Tell of a door."""
        await self._do(lambda: self._register(_DOORS, state))

    async def doors(self) -> list[DoorState]:
        """All doors that have told of themselves lately."""
        _, *states = await self._do(lambda: self._registered(_DOORS), probing=True)
        return [msgspec.json.decode(each, type=DoorState) for each in states]

    async def _register(self, keys: tuple[str, str], state: HomeState | DoorState) -> None:
        told = [state.id, msgspec.json.encode(state), round(1000 * SEEN_SECONDS)]
        await self._scripts["REGISTER"](keys=keys, args=told)

    async def _registered(self, keys: tuple[str, str]) -> list[bytes]:
        asked = [round(1000 * SEEN_SECONDS), os.urandom(16).hex()]
        found: list[bytes] = await self._scripts["HOMES"](keys=[*keys, _LIFE], args=asked)
        return found

    async def leave(self, home: str) -> None:
        """A home is not to be found any more."""

        async def work() -> None:
            await self._redis.zrem(_HOMES[0], home)

        await self._do(work)

    # -- streams ------------------------------------------------------------------------------------------------------

    async def find(self, key: Key) -> Place | None:
        """Where a stream is; None where nothing is known of it."""

        async def work() -> list[bytes | None]:
            found: list[bytes | None] = await self._redis.hmget(_names(key)[0], "epoch", "owner", "address")
            return found

        epoch, owner, address = await self._do(work)
        if epoch is None:
            return None
        return Place((owner or b"").decode(), (address or b"").decode(), int(epoch))

    async def claim(self, key: Key, expected: int, owner: str, address: str) -> tuple[bool, Place]:
        """Give a home a stream that is still at epoch `expected`, 0 for nobody's; whether it was, and its place.

        A claim that is repeated because its answer was lost is not won, and its place is the one that was claimed.
        """
        args = [expected, owner, address, self._seconds]
        won, epoch, whose, where, kept = await self._run("CLAIM", key, args)
        place = Place(whose.decode(), where.decode(), int(epoch), fresh=bool(won) and not kept)
        return bool(won), place

    async def put(self, key: Key, epoch: int, number: int, entry: bytes, needless: Sequence[int] = ()) -> bool:
        """Keep an entry and drop needless ones; False where Redis knows nothing of the claim.

        Raises:
            StreamMoved: another home has claimed the stream since.
        """
        return self._fenced(key, await self._run("PUT", key, [epoch, self._seconds, number, entry, *needless]))

    async def load(self, key: Key, epoch: int) -> list[tuple[int, bytes]]:
        """The entries that are kept, by number; raises as `put`."""
        found = await self._run("LOAD", key, [epoch])
        if isinstance(found, int):
            if not self._fenced(key, found):
                raise _moved(key)
            return []
        return sorted((int(number), entry) for number, entry in zip(found[::2], found[1::2], strict=True))

    async def check(self, key: Key, epoch: int) -> bool:
        """Whether the claim stands; raises and returns as `put`."""
        return self._fenced(key, await self._run("CHECK", key, [epoch]))

    async def end(self, key: Key, epoch: int) -> None:
        """Drop everything of a stream, if the claim stands."""
        await self._run("END", key, [epoch])

    async def release(self, key: Key, epoch: int) -> None:
        """Make a stream nobody's, if the claim stands; what is kept of it stays."""
        await self._run("RELEASE", key, [epoch])

    async def restore(self, key: Key, place: Place, entries: dict[int, bytes], life: str) -> None:
        """Write everything that an owner holds of a stream, which it claimed in this life of Redis.

        Raises:
            StreamMoved: another home has claimed the stream since, or it has ended there.
        """
        flat = [part for entry in entries.items() for part in entry]
        args = [place.epoch, place.owner, place.address, self._seconds, int(life != self.life), *flat]
        self._fenced(key, await self._run("RESTORE", key, args))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose(close_connection_pool=True)

    # -- Redis --------------------------------------------------------------------------------------------------------

    async def _run(self, script: str, key: Key, args: Sequence[object]) -> Any:
        return await self._do(lambda: self._scripts[script](keys=_names(key), args=args))

    async def _do(self, work: Callable[[], Awaitable[T]], *, probing: bool = False) -> T:
        import redis.exceptions

        if self.down and not probing:
            raise DirectoryDown("Redis of the cluster does not answer; try again shortly", 1.0)
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                result = await work()
        except redis.exceptions.ResponseError as error:
            raise JournalError(f"Redis of the cluster refuses ({error}); try again shortly", 2.0) from error
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            if not self.down:
                self.down = True
                self.outages += 1
                log.warning("Redis of the cluster does not answer: %s", error or type(error).__name__)
            raise DirectoryDown("Redis of the cluster does not answer; try again shortly", 1.0) from error
        if self.down:
            self.down, self.back_at = False, time.monotonic()
            log.warning("Redis of the cluster answers again")
        return result

    @staticmethod
    def _fenced(key: Key, result: int) -> bool:
        if result == 0:
            raise _moved(key)
        return result == 1


def _moved(key: Key) -> StreamMoved:
    return StreamMoved(f"the stream {key[1]} is another home's by now")


def _names(key: Key) -> tuple[str, str]:
    name = f"{_PREFIX}{{{'/'.join(key)}}}"
    return f"{name}:m", f"{name}:p"
