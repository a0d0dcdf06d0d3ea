"""Places for decoding are shared by tenants, and nobody waits for one without end."""

from __future__ import annotations

import asyncio
import sys

import psutil
import pytest

from lingting.audio import process
from lingting.audio.decode import Decoder
from lingting.audio.places import Places
from lingting.errors import Overloaded, UndecodableAudio
from tests.audio.sounds import buzz, encode


class Crowd:
    """Holders of places, each of whom stays until it is let go."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.order: list[str] = []
        self._leaving: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        """Let somebody ask for a place; the tenant is the first letter of the name."""
        for name in names:
            self._leaving[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._stay(name))
        await self.settle()

    async def go(self, name: str) -> None:
        self._leaving[name].set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def _stay(self, name: str) -> None:
        async with self.places.place(name[0]):
            self.order.append(name)
            await self._leaving[name].wait()


def test_ten_files_of_one_tenant_do_not_keep_anothers_only_file_from_the_next_place():
    async def main():
        crowd = Crowd(Places(2, 100.0))
        await crowd.come(*(f"a{number}" for number in range(10)))
        await crowd.come("b0")
        assert crowd.order == ["a0", "a1"]
        await crowd.go("a0")
        assert crowd.order[2:] == ["b0"]
        await crowd.go("b0")
        await crowd.go("a1")
        assert crowd.order[3:] == ["a2", "a3"]

    asyncio.run(main())


def test_tenants_that_all_wait_take_turns():
    async def main():
        crowd = Crowd(Places(1, 100.0))
        await crowd.come("a0", "a1", "a2", "b0", "b1", "c0")
        for _ in range(6):
            await crowd.go(crowd.order[-1])
        assert crowd.order == ["a0", "b0", "c0", "a1", "b1", "a2"]

    asyncio.run(main())


def test_who_stops_waiting_loses_no_place_and_keeps_nobody_from_one():
    async def main():
        crowd = Crowd(Places(1, 100.0))
        await crowd.come("a0", "b0", "c0", "d0")
        crowd.tasks["b0"].cancel()
        await crowd.settle()
        crowd._leaving["a0"].set()
        crowd.tasks["c0"].cancel()  # at the moment at which it may get the place
        await crowd.settle()
        assert crowd.order == ["a0", "d0"]
        await crowd.go("d0")
        await crowd.come("e0")
        assert crowd.order[-1] == "e0"
        assert crowd.places.predicted_wait() > 0
        await crowd.go("e0")
        assert crowd.places.predicted_wait() == 0

    asyncio.run(main())


def test_a_wait_that_would_be_too_long_is_refused_for_the_tenant_whose_files_wait_and_not_for_another():
    async def main():
        crowd = Crowd(Places(1, 3.5))
        await crowd.come("a0", "a1", "a2", "a3")
        with pytest.raises(Overloaded) as refused:
            crowd.places.admit("a")
        assert refused.value.retry_after > 0
        with pytest.raises(Overloaded):
            async with crowd.places.place("a"):
                pass
        crowd.places.admit("b")

    asyncio.run(main())


def test_a_wait_that_lasts_longer_than_predicted_is_given_up():
    async def main():
        crowd = Crowd(Places(1, 1.0))
        await crowd.come("a0")
        with pytest.raises(Overloaded, match="wait to be decoded"):
            async with crowd.places.place("b"):
                pass
        await crowd.go("a0")
        await crowd.come("c0")
        assert crowd.order == ["a0", "c0"]

    asyncio.run(main())


def test_a_file_of_one_tenant_is_decoded_before_the_many_of_another_that_came_first(tmp_path):
    path = encode(tmp_path / "a.flac", buzz(1.0), "flac", 16_000)
    order = []

    async def one(decoder, tenant):
        with await decoder.decode(path, format="flac", sample_rate=16_000, max_seconds=10.0, tenant=tenant):
            order.append(tenant)

    async def main():
        decoder = Decoder(1)
        try:
            many = [asyncio.create_task(one(decoder, "a")) for _ in range(6)]
            await asyncio.sleep(0)
            await asyncio.gather(one(decoder, "b"), *many)
        finally:
            await decoder.close()

    asyncio.run(main())
    assert order.index("b") < 3


def test_a_process_that_closes_its_socket_and_goes_on_is_killed(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.flac", buzz(1.0), "flac", 16_000)
    program = """
import socket, sys, time
connection = socket.socket(fileno=int(sys.argv[1]))
connection.sendall(b"ready\\n")
connection.recv(1)
connection.close()
time.sleep(600)
"""
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", program))
    monkeypatch.setattr(process, "_END_SECONDS", 0.2)

    async def main():
        decoder = Decoder(1)
        try:
            with pytest.raises(UndecodableAudio, match="crashed"):
                async with asyncio.timeout(60):
                    await decoder.decode(path, format="flac", sample_rate=16_000, max_seconds=10.0)
        finally:
            await decoder.close()

    asyncio.run(main())
    assert not [child for child in psutil.Process().children() if program in child.cmdline()]
