"""A journal in Redis: a sorted set for each stream, whose scores are the numbers of the entries.

Redis must be asked to keep it: `appendonly yes`, and `maxmemory-policy noeviction`.
"""

from __future__ import annotations

from typing import Any

from lingting.streams.journal.storage import JournalError, Key

_PREFIX = "lingting:journal:"
_NUMBER = 8

_APPEND = """
local number = redis.call('INCR', KEYS[2]) - 1
redis.call('ZADD', KEYS[1], number, struct.pack('>I8', number) .. ARGV[1])
if tonumber(ARGV[2]) > 0 then redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[2]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return number
"""


class RedisStorage:
    """Keeps entries in Redis.

    Args:
        url: of the server and its database.
        seconds: a stream to which nothing is appended for so long is dropped by Redis itself.
        timeout: seconds after which an answer is not waited for any more.
    """

    def __init__(self, url: str, seconds: float, timeout: float = 2.0) -> None:
        import redis.asyncio as client
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self._redis: Any = client.Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 1)
        )
        self._append: Any = self._redis.register_script(_APPEND)
        self._seconds = max(1, round(seconds))

    async def append(self, key: Key, entry: bytes) -> int:
        return await self.checkpoint(key, entry, 0)

    async def checkpoint(self, key: Key, entry: bytes, first: int) -> int:
        name = _name(key)
        return int(await self._do(self._append(keys=[name, name + ":next"], args=[entry, first, self._seconds])))

    async def recover(self, key: Key) -> list[tuple[int, bytes]]:
        members = await self._do(self._redis.zrange(_name(key), 0, -1))
        return [(int.from_bytes(member[:_NUMBER], "big"), member[_NUMBER:]) for member in members]

    async def forget(self, key: Key) -> None:
        await self._do(self._redis.delete(_name(key), _name(key) + ":next"))

    async def sweep(self, seconds: float) -> None:
        """Redis drops what has expired."""

    async def close(self) -> None:
        await self._redis.aclose()

    async def _do(self, work: Any) -> Any:
        import redis.exceptions

        try:
            return await work
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            raise JournalError(f"the journal of streams in Redis cannot be used: {error}; try again", 2.0) from error


def _name(key: Key) -> str:
    return _PREFIX + "{" + "/".join(key) + "}"
