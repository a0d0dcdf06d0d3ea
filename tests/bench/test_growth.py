"""The simulation of very many streams: its model of Redis answers like Redis, and it loses no acknowledged sound."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bench.growth.redis_model import RedisModel, over_model
from bench.growth.simulation import simulate
from lingting.cluster.directory import Directory, HomeState, Place
from lingting.streams.errors import StreamMoved
from tests.requirements import require_program

KEY = ("acme", "stream")
HOMES = ("north", "south", "west")


@pytest.fixture(scope="module")
def redis_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Redis."""
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "redis.sock"
    program = require_program("redis-server")
    process = subprocess.Popen(
        [program, "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder], stdout=subprocess.DEVNULL
    )
    try:
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.02)
        yield f"unix://{path}"
    finally:
        process.terminate()
        process.wait()


class Ranks:
    """Epochs are clocks, which differ; which of them were the same, and their order, does not."""

    def __init__(self) -> None:
        self.seen: list[int] = [0]

    def of(self, epoch: int) -> int:
        if epoch not in self.seen:
            assert epoch > max(self.seen), "an epoch is above all before it"
            self.seen.append(epoch)
        return self.seen.index(epoch)


async def told(directory: Directory, orders: list[tuple[str, int, int]]) -> list[Any]:
    """What a directory answers to a course of calls on one stream, with its epochs as ranks."""
    ranks, answers = Ranks(), []
    for name, which, number in orders:
        epoch = ranks.seen[which % len(ranks.seen)]
        home = HOMES[number % len(HOMES)]
        answer: Any
        try:
            match name:
                case "claim":
                    won, place = await directory.claim(KEY, epoch, home, f"{home}:1")
                    answer = won, ranks.of(place.epoch), place.owner, place.address, place.fresh
                case "find":
                    found = await directory.find(KEY)
                    answer = found and (found.owner, found.address, ranks.of(found.epoch))
                case "put":
                    answer = await directory.put(KEY, epoch, number, b"entry %d" % number, [number - 1, number - 2])
                case "load":
                    answer = await directory.load(KEY, epoch)
                case "restore":
                    entries = {number: b"whole", number + 1: b"again"}
                    answer = await directory.restore(
                        KEY, Place(home, f"{home}:1", epoch), entries, "another life"[which:]
                    )
                case _:
                    answer = await getattr(directory, name)(KEY, epoch)
        except StreamMoved:
            answer = "moved"
        answers.append((name, answer))
    for home in HOMES:
        await directory.look(HomeState(home, f"{home}:1", 0, 1, 0.0, 0.0, "1"))
    await directory.leave(HOMES[0])
    answers.append(sorted(state.id for state in await directory.look()))
    return answers


async def passes() -> None:
    """Nothing is in the way."""


@pytest.mark.parametrize("seed", range(8))
def test_the_model_of_redis_answers_like_redis(seed: int, redis_socket: str) -> None:
    drawn = random.Random(seed)
    names = ["claim", "claim", "find", "put", "put", "load", "check", "release", "restore", "end"]
    orders = [
        (drawn.choice(names), -1 if drawn.random() < 0.7 else drawn.randrange(9), drawn.randrange(6))
        for _ in range(120)
    ]

    async def both() -> None:
        real = Directory(f"{redis_socket}?db={seed}", 60.0)
        try:
            assert await told(over_model(RedisModel(time.time), passes), orders) == await told(real, orders)
        finally:
            await real.close()

    asyncio.run(both())


def test_no_acknowledged_sound_is_lost_while_homes_die_freeze_come_and_go_and_redis_is_silent() -> None:
    result = simulate(300, 20)
    assert not result.wrong
    assert result.finals + result.refused == 300
    assert result.moved > 0, "nothing happened to any home"
