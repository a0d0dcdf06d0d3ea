"""A tenant that floods a server with every kind of work there is: `python -m bench.flood PORT KEY SECONDS KINDS`.

It gives way to the server on the machine, as the machines of other people would, and comes from an address of its own.
It prints a line when it begins, and at its end how often it did what, as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from bench.player import FLASH_PATH, STREAM_PATH, Connection, bodies, burst
from bench.slow import SLOW, Peer
from bench.traffic import Caller, Speech, broken_file, speeches, wrong_key

ADDRESS = "127.0.0.2"
NICENESS = 5
TOO_MUCH = b'{"speech": {"speech": "AAAA"}, "config": {"stream_id": "not sixteen", "sequence_id": -1}}'


@dataclass
class Flood:
    """What one tenant does, again and again. For one event loop.

    Attributes:
        until: when it ends, by `time.monotonic`.
        done: how often it did what.
    """

    caller: Caller
    said: Sequence[Speech]
    until: float
    done: Counter[str] = field(default_factory=Counter)

    async def again(self, what: str, act: Callable[[Speech], Coroutine[object, object, object]]) -> None:
        """Do one thing until it is time, whatever comes of it."""
        for number in itertools.count():
            if time.monotonic() > self.until:
                return
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + self.until - time.monotonic()):
                    await act(self.said[number % len(self.said)])
                self.done[what] += 1
            except TimeoutError:
                return
            except Exception:
                self.done[f"{what}, refused"] += 1
                await asyncio.sleep(0.05)

    async def files(self) -> None:
        """Files of ten minutes, eight at a time."""
        sound = self.said[0].pcm
        long: bytes = sound * (600 * 32_000 // len(sound) + 1)

        async def send(_: Speech) -> None:
            connection = Connection(self.caller.port, self.caller.key)
            try:
                status, answer = await connection.post(FLASH_PATH, long, "format: pcm\r\nsample_rate: 16000\r\n")
            finally:
                connection.close()
            if status != 200:
                raise ConnectionRefusedError(answer)

        await asyncio.gather(*(self.again("long files", send) for _ in range(8)))

    async def bursts(self) -> None:
        """Streams at line speed, eight at a time."""

        async def send(speech: Speech) -> None:
            sent = await burst(self.caller.port, self.caller.key, speech.pcm * 20)
            if sent.failure:
                raise ConnectionRefusedError(sent.failure)

        await asyncio.gather(*(self.again("bursts", send) for _ in range(8)))

    async def streams(self) -> None:
        """Streams that are begun and left, sixteen at a time."""

        async def send(speech: Speech) -> None:
            connection = Connection(self.caller.port, self.caller.key)
            packets = bodies(speech.pcm, os.urandom(8).hex())
            try:
                for packet in packets[:10]:
                    status, _ = await connection.post(STREAM_PATH, packet, "Content-Type: application/json\r\n")
                    if status != 200:
                        raise ConnectionRefusedError(status)
                    await asyncio.sleep(0.2)
            finally:
                connection.close()

        await asyncio.gather(*(self.again("streams that are left", send) for _ in range(16)))

    async def refusals(self) -> None:
        """Requests that are refused, as fast as they are answered, on eight connections."""

        async def send(connection: Connection) -> None:
            await connection.post(STREAM_PATH, TOO_MUCH, "Content-Type: application/json\r\n")

        connections = [Connection(self.caller.port, self.caller.key) for _ in range(8)]
        await asyncio.gather(
            *(self.again("refusals", lambda _, one=one: send(one)) for one in connections)  # type: ignore[misc]
        )

    async def keys(self) -> None:
        """Keys that there are not, and broken files, eight at a time."""
        wrong = (self.again("wrong keys", lambda speech: wrong_key(self.caller, speech)) for _ in range(4))
        broken = (self.again("broken files", lambda speech: broken_file(self.caller, speech)) for _ in range(4))
        await asyncio.gather(*wrong, *broken)

    async def sockets(self) -> None:
        """Slow and half-open connections, two hundred at a time."""
        peer = Peer(self.caller.port, self.caller.key, ADDRESS)
        kinds = itertools.islice(itertools.cycle(SLOW.items()), 200)
        await asyncio.gather(*(self.again("slow sockets", lambda _, act=act: act(peer)) for _, act in kinds))  # type: ignore[misc]


KINDS = {
    "files": Flood.files,
    "bursts": Flood.bursts,
    "streams": Flood.streams,
    "refusals": Flood.refusals,
    "keys": Flood.keys,
    "sockets": Flood.sockets,
}


async def _run(port: int, key: str, seconds: float, kinds: Sequence[str]) -> Counter[str]:
    said = speeches(most=8)
    sys.stdout.write("it begins\n")
    sys.stdout.flush()
    flood = Flood(Caller(port, key, address=ADDRESS), said, time.monotonic() + seconds)
    await asyncio.gather(*(KINDS[kind](flood) for kind in kinds))
    return flood.done


def main() -> None:
    with suppress(OSError):
        os.nice(NICENESS)
    port, key, seconds, kinds = sys.argv[1:]
    done = asyncio.run(_run(int(port), key, float(seconds), kinds.split(",")))
    sys.stdout.write(json.dumps(dict(sorted(done.items()))))


if __name__ == "__main__":
    main()
