"""Redis as the directory of a cluster uses it, in memory: the Lua scripts again in Python, by their names.

A test holds it against a real Redis: the same calls, the same answers. It stands in where a real one would be what is
measured, in the simulation of very many streams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from lingting.cluster import scripts
from lingting.cluster.directory import Directory

Call = Callable[[Sequence[str], Sequence[Any]], Any]


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


class RedisModel:
    """The data, and what the scripts do with it. Keys never expire here.

    Args:
        clock: seconds since 1970, as Redis has them.

    Attributes:
        operations: calls so far, by the script's name.
        received: bytes of arguments so far.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._hashes: dict[str, dict[bytes, bytes]] = {}
        self._seen: dict[str, dict[bytes, int]] = {}
        self._texts: dict[str, bytes] = {}
        self._by_text: dict[str, tuple[str, Call]] = {
            getattr(scripts, name): (name, getattr(self, f"_{name.lower()}"))
            for name in ("CLAIM", "PUT", "LOAD", "CHECK", "END", "RELEASE", "RESTORE", "REGISTER", "HOMES")
        }
        self.operations: Counter[str] = Counter()
        self.received = 0

    @property
    def held(self) -> int:
        """What keys and values weigh, without what Redis needs for itself."""
        return sum(
            len(key) + sum(len(field) + len(value) for field, value in hashed.items())
            for key, hashed in self._hashes.items()
        )

    def script(self, text: str) -> Call:
        """What a script does."""
        name, work = self._by_text[text]

        def call(keys: Sequence[str], args: Sequence[Any]) -> Any:
            self.operations[name] += 1
            self.received += sum(len(each) if isinstance(each, bytes) else 8 for each in args)
            return work(keys, args)

        return call

    def hmget(self, key: str, *fields: str) -> list[bytes | None]:
        """Values of a hash."""
        self.operations["HMGET"] += 1
        found = self._hashes.get(key, {})
        return [found.get(field.encode()) for field in fields]

    def zrem(self, key: str, member: str) -> int:
        """Take a member out of a sorted set."""
        self.operations["ZREM"] += 1
        return int(self._seen.get(key, {}).pop(member.encode(), None) is not None)

    # -- the scripts --------------------------------------------------------------------------------------------------

    def _claim(self, keys: Sequence[str], args: Sequence[Any]) -> list[Any]:
        expected, owner, address, _ = args
        found = self._hashes.get(keys[0], {})
        epoch = found.get(b"epoch", b"0")
        if epoch != _bytes(expected):
            return [0, epoch, found.get(b"owner", b""), found.get(b"address", b""), 0]
        epoch = _bytes(max(int(self._clock() * 1_000_000), int(epoch) + 1))
        self._hashes[keys[0]] = {b"epoch": epoch, b"owner": _bytes(owner), b"address": _bytes(address)}
        return [1, epoch, _bytes(owner), _bytes(address), len(self._hashes.get(keys[1], {}))]

    def _fenced(self, keys: Sequence[str], epoch: object) -> int | None:
        now = self._hashes.get(keys[0], {}).get(b"epoch")
        if now is None:
            return 2
        if int(now) > int(_bytes(epoch)):
            return 0
        return None if now == _bytes(epoch) else 2

    def _put(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        if (fence := self._fenced(keys, args[0])) is not None:
            return fence
        entries = self._hashes.setdefault(keys[1], {})
        entries[_bytes(args[2])] = _bytes(args[3])
        for needless in args[4:]:
            entries.pop(_bytes(needless), None)
        return 1

    def _load(self, keys: Sequence[str], args: Sequence[Any]) -> int | list[bytes]:
        if (fence := self._fenced(keys, args[0])) is not None:
            return fence
        return [part for entry in self._hashes.get(keys[1], {}).items() for part in entry]

    def _check(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        fence = self._fenced(keys, args[0])
        return 1 if fence is None else fence

    def _end(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        if (fence := self._fenced(keys, args[0])) is not None:
            return fence
        for key in keys:
            self._hashes.pop(key, None)
        return 1

    def _release(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        if (fence := self._fenced(keys, args[0])) is not None:
            return fence
        self._hashes[keys[0]].update({b"owner": b"", b"address": b""})
        return 1

    def _restore(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        epoch, owner, address, _, lost, *entries = args
        now = self._hashes.get(keys[0], {}).get(b"epoch")
        if now is None and _bytes(lost) == b"0":
            return 0
        if now is not None and int(now) > int(_bytes(epoch)):
            return 0
        self._hashes[keys[0]] = {b"epoch": _bytes(epoch), b"owner": _bytes(owner), b"address": _bytes(address)}
        self._hashes.pop(keys[1], None)
        if entries:
            self._hashes[keys[1]] = {
                _bytes(number): _bytes(entry) for number, entry in zip(entries[::2], entries[1::2], strict=True)
            }
        return 1

    def _register(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        home, state, lasting = args
        now = int(self._clock() * 1000)
        seen, states = self._seen.setdefault(keys[0], {}), self._hashes.setdefault(keys[1], {})
        seen[_bytes(home)] = now
        states[_bytes(home)] = _bytes(state)
        for gone in [each for each, at in seen.items() if at < now - int(lasting)]:
            del seen[gone]
            states.pop(gone, None)
        return 1

    def _homes(self, keys: Sequence[str], args: Sequence[Any]) -> list[bytes]:
        since = int(self._clock() * 1000) - int(args[0])
        life = self._texts.setdefault(keys[2], _bytes(args[1]))
        states = self._hashes.get(keys[1], {})
        found = sorted((at, each) for each, at in self._seen.get(keys[0], {}).items() if at >= since)
        return [life, *(states[each] for _, each in found)]


class ModelClient:
    """A client of the model with the methods that the directory calls of redis-py's.

    Args:
        model: what it asks.
        passes: awaited before and behind each call: the network, which may hold it for ever.
    """

    def __init__(self, model: RedisModel, passes: Callable[[], Awaitable[None]]) -> None:
        self._model = model
        self._passes = passes

    def register_script(self, text: str) -> Callable[..., Awaitable[Any]]:
        """As redis-py's."""
        work = self._model.script(text)

        async def call(keys: Sequence[str], args: Sequence[Any]) -> Any:
            await self._passes()
            result = work(keys, args)
            await self._passes()
            return result

        return call

    async def hmget(self, key: str, *fields: str) -> list[bytes | None]:
        """As redis-py's."""
        await self._passes()
        return self._model.hmget(key, *fields)

    async def zrem(self, key: str, member: str) -> int:
        """As redis-py's."""
        await self._passes()
        return self._model.zrem(key, member)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """As redis-py's."""


def over_model(model: RedisModel, passes: Callable[[], Awaitable[None]]) -> Directory:
    """A directory that asks a model in place of Redis; `passes` as of `ModelClient`."""
    directory = Directory("redis://model", 120.0)
    client = ModelClient(model, passes)
    hidden = cast(Any, directory)
    hidden._redis = client
    hidden._scripts = {name: client.register_script(getattr(scripts, name)) for name in hidden._scripts}
    return directory
