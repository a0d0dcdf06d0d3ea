"""Measures what the journal adds to a packet: from its arrival until it is kept, encrypted, and may be acknowledged.

    python scripts/journal.py                              20 streams in real time for 20 s, in the temporary folder
    python scripts/journal.py --folder /var/lib/lingting   on another disk
    python scripts/journal.py --redis redis://…            in Redis

Each stream sends a packet of 200 ms of noise every 200 ms; every five seconds what came so far is final and
dropped.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from lingting.domain import RecognitionOptions
from lingting.streams import StreamPacket
from lingting.streams.journal import DiskStorage, Encrypted, Ended, Storage, StreamJournal
from lingting.streams.packets import Action

PACKET_BYTES = 6_400
PACKET_SECONDS = 0.2
FINAL_AFTER = 25


async def speak(storage: Storage, name: str, packets: int, took: list[float]) -> None:
    """One stream; adds the seconds that each packet took to be kept."""
    key = ("tenant", name)
    first = StreamPacket.of(name, 0, Action.START, b"")
    journal = StreamJournal(storage, key, RecognitionOptions(), first)
    began = time.monotonic() + random.random() * PACKET_SECONDS
    for number in range(packets):
        await asyncio.sleep(began + number * PACKET_SECONDS - time.monotonic())
        packet = StreamPacket.of(
            name, number, Action.START if not number else Action.CONTINUE, os.urandom(PACKET_BYTES)
        )
        before = time.perf_counter()
        await journal.keep(packet)
        took.append(time.perf_counter() - before)
        if number % FINAL_AFTER == FINAL_AFTER - 1:
            await journal.end(Ended(number, b"", "what was said so far", 0.0))
            journal = StreamJournal(storage, key, RecognitionOptions(), first)
    await storage.forget(key)


async def measure(storage: Storage, streams: int, seconds: float) -> list[float]:
    """The seconds of every packet of so many streams, ascending."""
    took: list[float] = []
    packets = round(seconds / PACKET_SECONDS)
    await asyncio.gather(*(speak(storage, f"stream{n}", packets, took) for n in range(streams)))
    await storage.close()
    return sorted(took)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--streams", type=int, default=20)
    arguments.add_argument("--seconds", type=float, default=20.0)
    arguments.add_argument("--folder", type=Path)
    arguments.add_argument("--redis", metavar="URL")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="lingting-journal-", dir=given.folder) as folder:
        storage: Storage = DiskStorage(Path(folder) / "journal")
        if given.redis:
            from lingting.streams.journal.redis import RedisStorage

            storage = RedisStorage(given.redis, 60.0)
        cpu = time.process_time()
        took = asyncio.run(measure(Encrypted(storage, "a secret for the measurement"), given.streams, given.seconds))
        cpu = time.process_time() - cpu
    median, late, latest = (1000 * took[min(len(took) - 1, int(share * len(took)))] for share in (0.5, 0.95, 1.0))
    print(f"{len(took)} packets of {given.streams} streams")
    print(f"{median:.2f} ms at the median, {late:.2f} ms p95, {latest:.2f} ms at most")
    print(f"processor time of a packet, the rest of this script included: {1000 * cpu / len(took):.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
