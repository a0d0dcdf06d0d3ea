"""The same tests over every storage of the journal; a restart is a second storage over the same place."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from lingting.streams.journal import DiskStorage, Encrypted, JournalError, MemoryStorage, Storage
from lingting.streams.journal.disk import SEGMENT_BYTES
from lingting.streams.journal.redis import RedisStorage
from tests.conftest import free_port
from tests.requirements import require_program

KEY = ("tenant", "stream")
OTHER = ("tenant", "another/stream")
SECRET = "a secret that is hard to guess"

Open = Callable[[], Storage]


class Redis:
    """A Redis that keeps what it was told, to be killed and stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        options = ["--port", str(self._port), "--save", "", "--appendonly", "yes", "--dir", str(self._folder)]
        self.process = subprocess.Popen([require_program("redis-server"), *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                redis.Redis.from_url(self.url).ping()
                break
            except redis.RedisError:
                assert time.monotonic() < deadline, "Redis does not start"
                time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def redis_url(redis_server: Redis) -> str:
    return redis_server.url


@pytest.fixture(params=["memory", "disk", "redis", "encrypted"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens a storage over the same place every time it is called, as a restarted server does."""
    if request.param == "memory":
        memory = MemoryStorage()
        return lambda: memory
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        redis.Redis.from_url(url).flushall()
        return lambda: RedisStorage(url, 60.0)
    if request.param == "encrypted":
        return lambda: Encrypted(DiskStorage(tmp_path / "journal"), SECRET)
    return lambda: DiskStorage(tmp_path / "journal")


def files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def run(work: Awaitable[Any]) -> Any:
    async def whole() -> Any:
        return await work

    return asyncio.run(whole())


def test_what_was_appended_is_there_after_a_restart_in_order(storage: Open) -> None:
    async def work() -> None:
        first = storage()
        for number in range(5):
            assert await first.append(KEY, bytes([number]) * 3) == number
        await first.append(OTHER, b"other")
        again = storage()
        assert await again.recover(KEY) == [(number, bytes([number]) * 3) for number in range(5)]
        assert await again.recover(OTHER) == [(0, b"other")]
        assert await again.recover(("tenant", "unknown")) == []
        assert await again.append(KEY, b"next") == 5

    run(work())


def test_equal_entries_are_two_entries(storage: Open) -> None:
    async def work() -> None:
        first = storage()
        await first.append(KEY, b"same")
        await first.append(KEY, b"same")
        assert await storage().recover(KEY) == [(0, b"same"), (1, b"same")]

    run(work())


def test_a_checkpoint_drops_what_it_makes_needless_and_keeps_the_rest(storage: Open) -> None:
    async def work() -> None:
        first = storage()
        big = os.urandom(SEGMENT_BYTES // 4)
        for _ in range(20):
            await first.append(KEY, big)
        assert await first.checkpoint(KEY, b"here", 18) == 20
        kept = dict(await storage().recover(KEY))
        assert set(kept) >= {18, 19, 20} and kept[20] == b"here"
        assert len(kept) < 10, "needless entries go, a segment at a time"
        assert await storage().append(KEY, b"on") == 21

    run(work())


def test_a_stream_that_is_forgotten_leaves_nothing(storage: Open, tmp_path: Path) -> None:
    async def work() -> None:
        first = storage()
        await first.append(KEY, b"secret")
        await first.forget(KEY)
        assert await storage().recover(KEY) == []
        assert files(tmp_path) == []
        assert await first.append(KEY, b"anew") == 0

    run(work())


def test_what_a_crash_cut_short_is_left_out_and_what_follows_is_kept(tmp_path: Path) -> None:
    async def work() -> None:
        first = DiskStorage(tmp_path)
        await first.append(KEY, b"one")
        await first.append(KEY, b"two")
        (file,) = files(tmp_path)
        os.truncate(file, file.stat().st_size - 1)
        again = DiskStorage(tmp_path)
        assert await again.recover(KEY) == [(0, b"one")]
        assert await again.append(KEY, b"three") == 1
        assert await DiskStorage(tmp_path).recover(KEY) == [(0, b"one"), (1, b"three")]

    run(work())


@pytest.mark.parametrize("before", [0, 1])
def test_a_crash_within_the_first_entry_of_a_segment_costs_none_of_those_behind(tmp_path: Path, before: int) -> None:
    async def work() -> None:
        first = DiskStorage(tmp_path)
        kept = [(number, os.urandom(SEGMENT_BYTES)) for number in range(before)]
        for _, entry in kept:
            await first.append(KEY, entry)
        await first.append(KEY, b"cut short")
        os.truncate(max(files(tmp_path)), 5)
        again = DiskStorage(tmp_path)
        assert await again.recover(KEY) == kept
        assert await again.append(KEY, b"on") == before
        assert await DiskStorage(tmp_path).recover(KEY) == [*kept, (before, b"on")]

    run(work())


def test_files_are_private_and_hold_nothing_readable(tmp_path: Path) -> None:
    async def work() -> None:
        await Encrypted(DiskStorage(tmp_path / "journal"), SECRET).append(KEY, b"what was said")
        (file,) = files(tmp_path)
        assert b"said" not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0
        assert "tenant" not in str(file) and "stream" not in str(file.relative_to(tmp_path))

    run(work())


def test_another_key_reads_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        await Encrypted(DiskStorage(tmp_path), SECRET).append(KEY, b"what was said")
        assert await Encrypted(DiskStorage(tmp_path), "another secret").recover(KEY) == []

    run(work())


def test_an_entry_of_one_stream_is_none_of_another(tmp_path: Path) -> None:
    async def work() -> None:
        memory = MemoryStorage()
        await Encrypted(memory, SECRET).append(KEY, b"mine")
        ((_, sealed),) = await memory.recover(KEY)
        await memory.append(OTHER, sealed)
        assert await Encrypted(memory, SECRET).recover(OTHER) == []

    run(work())


@pytest.mark.parametrize("set_by", [-3600, 0, 3600])
def test_what_a_former_process_left_is_swept_when_nobody_went_on_with_it_whatever_the_time_of_day(
    tmp_path: Path, set_by: float
) -> None:
    async def work() -> None:
        left = DiskStorage(tmp_path)
        await left.append(OTHER, b"left")
        await left.append(KEY, b"gone on with")
        for file in files(tmp_path):
            os.utime(file, (time.time() - set_by, time.time() - set_by))
        now = [1000.0]
        storage = DiskStorage(tmp_path, lambda: now[0])
        await storage.sweep(60)
        assert await storage.recover(KEY) == [(0, b"gone on with")]
        now[0] += 59
        await storage.sweep(60)
        assert len(files(tmp_path)) == 2
        now[0] += 2
        await storage.sweep(60)
        assert await storage.recover(OTHER) == []
        assert await storage.recover(KEY) == [(0, b"gone on with")]

    run(work())


def test_a_full_disk_is_an_error_that_says_so_and_nothing_is_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        storage = DiskStorage(tmp_path)
        await storage.append(KEY, b"one")

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(JournalError, match="No space left"):
                await storage.append(KEY, b"two")
        assert await storage.append(KEY, b"three") == 1
        assert await DiskStorage(tmp_path).recover(KEY) == [(0, b"one"), (1, b"three")]

    run(work())


def test_a_redis_that_is_gone_is_an_error_within_its_timeout() -> None:
    async def work() -> None:
        storage = RedisStorage(f"redis://127.0.0.1:{free_port()}/0", 60.0, timeout=0.5)
        with pytest.raises(JournalError, match="Redis"):
            await storage.append(KEY, b"one")
        await storage.close()

    run(work())


@pytest.mark.parametrize("fault", ["silent", "killed"])
def test_a_redis_that_is_silent_or_killed_is_an_error_in_time_and_keeps_what_it_had(
    redis_server: Redis, fault: str
) -> None:
    async def work() -> None:
        storage = RedisStorage(redis_server.url, 60.0, timeout=0.3)
        await storage.forget(KEY)
        await storage.append(KEY, b"one")
        if fault == "silent":
            redis_server.process.send_signal(signal.SIGSTOP)
        else:
            await asyncio.to_thread(redis_server.kill)
        try:
            async with asyncio.timeout(20):
                with pytest.raises(JournalError, match="Redis"):
                    await storage.append(KEY, b"two")
        finally:
            if fault == "silent":
                redis_server.process.send_signal(signal.SIGCONT)
            else:
                await asyncio.to_thread(redis_server.start)
        number = await appended(storage, b"three")
        kept = await storage.recover(KEY)
        assert kept[0] == (0, b"one")
        assert kept[-1] == (number, b"three")
        assert len(kept) <= 4, "what was not answered may have been kept, and is told by what it holds"
        await storage.close()

    run(work())


async def appended(storage: Storage, entry: bytes) -> int:
    """Keep an entry as clients do: again and again until it is kept."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await storage.append(KEY, entry)
            except JournalError:
                await asyncio.sleep(0.05)
