"""The directory and the journal in it: what a claim gives, and that whoever was replaced writes nothing any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import redis

from lingting.cluster.directory import Directory, HomeState, Place
from lingting.cluster.journal import ClusterStorage
from lingting.streams.errors import StreamMoved
from lingting.streams.journal import JournalError

KEY = ("tenant", "stream")


def run(url: str, work: Callable[[Directory], Awaitable[None]]) -> None:
    """Over an empty Redis."""
    redis.Redis.from_url(url).flushall()

    async def whole() -> None:
        directory = Directory(url, 60.0)
        await directory.look()
        try:
            await work(directory)
        finally:
            await directory.close()

    asyncio.run(whole())


async def claimed(directory: Directory, expected: int = 0, owner: str = "a") -> Place:
    won, place = await directory.claim(KEY, expected, owner, f"{owner}:1")
    assert won
    return place


def test_of_two_claims_one_wins_and_the_other_is_told_who(redis_url: str) -> None:
    async def work(directory: Directory) -> None:
        results = await asyncio.gather(*(directory.claim(KEY, 0, owner, f"{owner}:1") for owner in "abcdef"))
        winners = [place for won, place in results if won]
        assert len(winners) == 1
        assert {(place.owner, place.address, place.epoch) for _, place in results} == {
            (winners[0].owner, winners[0].address, winners[0].epoch)
        }
        found = await directory.find(KEY)
        assert found is not None
        assert (found.owner, found.epoch) == (winners[0].owner, winners[0].epoch)

    run(redis_url, work)


def test_every_claim_has_a_higher_epoch_also_of_a_name_that_was_used_before(redis_url: str) -> None:
    async def work(directory: Directory) -> None:
        first = await claimed(directory)
        second = await claimed(directory, first.epoch, "b")
        await directory.end(KEY, second.epoch)
        assert await directory.find(KEY) is None
        third = await claimed(directory)
        assert first.epoch < second.epoch < third.epoch

    run(redis_url, work)


def test_a_home_that_was_replaced_writes_reads_releases_and_ends_nothing(redis_url: str) -> None:
    async def work(directory: Directory) -> None:
        old = await claimed(directory)
        assert await directory.put(KEY, old.epoch, 0, b"zero")
        new = await claimed(directory, old.epoch, "b")
        assert not new.fresh
        for refused in (
            directory.put(KEY, old.epoch, 1, b"one"),
            directory.load(KEY, old.epoch),
            directory.check(KEY, old.epoch),
            directory.restore(KEY, old, {0: b"other"}, directory.life),
        ):
            with pytest.raises(StreamMoved):
                await refused
        await directory.end(KEY, old.epoch)
        await directory.release(KEY, old.epoch)
        assert await directory.load(KEY, new.epoch) == [(0, b"zero")]
        found = await directory.find(KEY)
        assert found is not None
        assert found.owner == "b"

    run(redis_url, work)


def test_what_is_written_twice_is_there_once_and_what_is_confirmed_is_gone(redis_url: str) -> None:
    async def work(directory: Directory) -> None:
        place = await claimed(directory)
        for _ in range(2):
            for number in range(12):
                await directory.put(KEY, place.epoch, number, b"%d" % number)
        for _ in range(2):
            await directory.put(KEY, place.epoch, 12, b"checkpoint", range(10))
        assert await directory.load(KEY, place.epoch) == [(10, b"10"), (11, b"11"), (12, b"checkpoint")]

    run(redis_url, work)


def test_a_stream_that_ended_elsewhere_is_not_brought_back_by_whoever_had_it(redis_url: str) -> None:
    async def work(directory: Directory) -> None:
        storage = ClusterStorage(directory)
        old = await claimed(directory)
        storage.hold(KEY, old)
        await storage.append(KEY, b"entry")
        await directory.end(KEY, old.epoch)  # as the next owner does in the end
        with pytest.raises(StreamMoved):
            await storage.append(KEY, b"late")
        with pytest.raises(StreamMoved):
            await storage.settle(KEY, asked=True)
        assert await directory.find(KEY) is None

    run(redis_url, work)


def test_what_redis_has_lost_its_owner_writes_again_whole(redis_url: str) -> None:
    async def work(directory: Directory) -> None:
        storage = ClusterStorage(directory)
        place = await claimed(directory)
        storage.hold(KEY, place)
        await storage.append(KEY, b"zero")
        assert await storage.settle(KEY, asked=False)
        redis.Redis.from_url(redis_url).flushall()
        await storage.append(KEY, b"one")
        assert await storage.settle(KEY, asked=False)
        assert await directory.load(KEY, place.epoch) == [(0, b"zero"), (1, b"one")]

    run(redis_url, work)


def test_while_redis_is_away_a_stream_that_runs_goes_on_and_a_new_one_does_not(redis_url: str) -> None:
    async def work(directory: Directory) -> None:
        storage = ClusterStorage(directory)
        place = await claimed(directory)
        storage.hold(KEY, place)
        await storage.append(KEY, b"zero")
        assert await storage.settle(KEY, asked=False)
        directory.down = True  # as after a call that was not answered
        await storage.append(KEY, b"one")
        assert not await storage.settle(KEY, asked=False)
        storage.hold(("tenant", "new"), Place("a", "a:1", 7, fresh=True))
        with pytest.raises(JournalError):
            await storage.append(("tenant", "new"), b"zero")
        await directory.look()
        assert await storage.catch_up() == []
        assert await directory.load(KEY, place.epoch) == [(0, b"zero"), (1, b"one")]

    run(redis_url, work)


def test_what_was_claimed_while_its_owner_did_not_reach_redis_is_let_go(redis_url: str) -> None:
    async def work(directory: Directory) -> None:
        storage = ClusterStorage(directory)
        place = await claimed(directory)
        storage.hold(KEY, place)
        await storage.append(KEY, b"zero")
        assert await storage.settle(KEY, asked=False)
        directory.down = True
        await storage.append(KEY, b"one")
        await directory.look()
        await claimed(directory, place.epoch, "b")
        assert await storage.catch_up() == [KEY]

    run(redis_url, work)


def test_a_home_that_tells_nothing_of_itself_is_forgotten(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(directory: Directory) -> None:
        states = [HomeState(name, f"{name}:1", 1, 2, 0.0, 0.0, "0") for name in "ab"]
        await directory.look(states[0])
        assert await directory.look(states[1]) == states
        await directory.leave("a")
        assert await directory.look() == states[1:]
        monkeypatch.setattr("lingting.cluster.directory.SEEN_SECONDS", -1.0)
        assert await directory.look() == []

    run(redis_url, work)
