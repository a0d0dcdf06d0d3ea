"""Three times as many speakers as a server can hear: those it accepts must not notice, the others be told at once.

    python scripts/overload.py                   5 minutes of flood
    python scripts/overload.py --minutes 2 --times 5
    python scripts/overload.py --quick           half a minute

The capacity is ten speakers for each core, which is what whisper-base carries on a core with AVX-512; `--capacity` says
another. So many times as many want to speak, and as many files as there are cores are sent again and again. Whoever is
refused tries again after one to three seconds. When the flood ends, streams one by one show when the server is itself
again.

Fails when the final text of accepted streams takes over 2 s (p95, from the last packet on), a refusal takes over 50 ms
(p95), a stream that was accepted fails, nothing is refused, or a stream alone has no text within a second after 10 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.place import Place
from bench.player import FLASH_PATH, PACKET_SECONDS, STREAM_PATH, Connection, bodies
from bench.promises import Result, command
from bench.server import Server
from bench.stats import Summary
from bench.targets import at_least, at_most
from bench.traffic import Speech, speeches
from lingting.processors import physical_cores

SPEAKERS_OF_A_CORE = 10
SPREAD = 5.0
WELL = 1.0
RECOVERED_WITHIN = 10.0
SETTINGS = {"streams_per_tenant": "1000", "requests_per_tenant": "1000", "log_level": "warning"}


@dataclass
class Seen:
    """What callers saw; times in seconds.

    Attributes:
        finals: from the last packet to the final text.
        replies: of the other packets of accepted streams.
        refusals: from a first packet, or a whole file, to its refusal.
        files: of files that were accepted.
        failures: of streams that were accepted.
    """

    finals: list[float] = field(default_factory=list)
    replies: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def speak(self, server: Server, speech: Speech) -> bool:
        """Play one stream in real time; whether it was accepted."""
        connection = Connection(server.port, server.key)
        packets = bodies(speech.pcm, f"{random.getrandbits(64):016x}")
        began = time.monotonic()
        try:
            for number, packet in enumerate(packets):
                await asyncio.sleep(began + (number + 1) * PACKET_SECONDS - time.monotonic())
                sent = time.monotonic()
                status, content = await connection.post(STREAM_PATH, packet, "Content-Type: application/json\r\n")
                took = time.monotonic() - sent
                if status != 200 and number == 0:
                    self.refusals.append(took)
                    return False
                if status != 200:
                    self.failures.append(f"packet {number} of {len(packets)}: HTTP {status}, {content[:200]!r}")
                    return True
                (self.finals if packet is packets[-1] else self.replies).append(took)
            if not json.loads(content)["data"]["recognition_text"]:
                self.failures.append("no text")
        except OSError as error:
            self.failures.append(repr(error))
        finally:
            connection.close()
        return True

    async def speak_until(self, server: Server, said: Sequence[Speech], until: float, start: float) -> None:
        """Play one stream after another."""
        await asyncio.sleep(start)
        while time.monotonic() < until:
            if not await self.speak(server, random.choice(said)):
                await asyncio.sleep(random.uniform(1, 3))

    async def send_until(self, server: Server, said: Sequence[Speech], until: float) -> None:
        """Send one file after another."""
        connection = Connection(server.port, server.key)
        while time.monotonic() < until:
            sent = time.monotonic()
            status, _ = await connection.post(FLASH_PATH, random.choice(said).encoded, "format: flac\r\n")
            took = time.monotonic() - sent
            (self.files if status == 200 else self.refusals).append(took)
            if status != 200:
                await asyncio.sleep(random.uniform(1, 3))
        connection.close()


async def speakers(server: Server, said: Sequence[Speech], count: int, seconds: float, files: int = 0) -> Seen:
    """So many who want to speak at the same time."""
    seen, until = Seen(), time.monotonic() + seconds
    spread = min(SPREAD, seconds / 4)
    speaking = (seen.speak_until(server, said, until, spread * n / count) for n in range(count))
    await asyncio.gather(*speaking, *(seen.send_until(server, said, until) for _ in range(files)))
    return seen


async def recovery(server: Server, speech: Speech) -> float:
    """Seconds until a stream alone has its text in time."""
    ended = time.monotonic()
    while time.monotonic() - ended < 60:
        began, seen = time.monotonic(), Seen()
        if await seen.speak(server, speech) and seen.finals and seen.finals[0] < WELL:
            return began - ended
        await asyncio.sleep(0.5)
    return 60.0


def run(given: argparse.Namespace, place: Place, say: Callable[[str], None]) -> Result:
    if given.quick:
        given.minutes = 0.5
    said = speeches()
    with Server(place, **SETTINGS) as server:
        capacity = given.capacity or SPEAKERS_OF_A_CORE * physical_cores()
        count = round(given.times * capacity)
        say(f"{capacity} streams are the capacity; {count} want to speak")
        seen = asyncio.run(speakers(server, said, count, 60 * given.minutes, files=physical_cores()))
        say(f"{len(seen.finals)} streams came to their end, {len(seen.refusals)} refusals; now it may recover")
        recovered = asyncio.run(recovery(server, min(said, key=lambda one: len(one.pcm))))
    finals, refusals = Summary.of(seen.finals), Summary.of(seen.refusals)
    figures = {
        "minutes": given.minutes,
        "capacity_streams": capacity,
        "speakers": count,
        "streams_accepted": len(seen.finals) + len(seen.failures),
        "files_accepted": len(seen.files),
        "refused": len(seen.refusals),
        "final_text_s": _ranks(finals),
        "reply_s": _ranks(Summary.of(seen.replies)),
        "refusal_s": _ranks(refusals),
        "file_s": _ranks(Summary.of(seen.files)),
        "recovered_after_s": recovered,
    }
    promises = [
        at_least("refusals", len(seen.refusals), 1, ""),
        at_least("streams that were accepted and came to their end", len(seen.finals), 1, ""),
        at_most("final text of accepted streams, p95", finals.p95 or 0.0, 2, "s"),
        at_most("refusal, p95", 1000 * (refusals.p95 or 0.0), 50, "ms"),
        at_most("recovery", recovered, RECOVERED_WITHIN, "s"),
        at_most("accepted streams that failed", len(seen.failures), 0, ""),
    ]
    return Result(figures, promises, seen.failures)


def _ranks(summary: Summary) -> dict[str, float]:
    return {name: value for name, value in asdict(summary).items() if value is not None and name != "count"}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--times", type=float, default=3.0, help="of the capacity")
    parser.add_argument("--capacity", type=int, default=0, help="speakers that the machine carries")


if __name__ == "__main__":
    sys.exit(command(__doc__ or "", run, options))
