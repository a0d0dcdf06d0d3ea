"""Plays very many live streams to doors with the timing of real ones, from a schedule that is drawn before.

    python -m bench.growth.load --ports 8301,8302 --key lt-... --streams 1000 --seconds 60

A stream comes at its time, whether or not the server keeps up, and sends a packet of 200 ms when its last sample would
have been spoken. What is told: how late answers came, how late the player itself was (it is then what is measured), and
every answer that was none.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import secrets
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.player import PACKET_BYTES, PACKET_SECONDS, STREAM_PATH, Connection

HEADERS = "Content-Type: application/json\r\n"
_AGAIN_SECONDS = 0.5
_TRIES = 40


@dataclass(frozen=True, slots=True)
class Coming:
    """One stream of a schedule: when it begins, in seconds, and how many packets it has."""

    at: float
    packets: int


def schedule(streams: int, seconds: float, mean_seconds: float, seed: int) -> list[Coming]:
    """Streams that begin at random within a time, and last exponentially long, at least two packets."""
    drawn = random.Random(seed)  # noqa: S311
    return sorted(
        (
            Coming(drawn.random() * seconds, max(2, round(drawn.expovariate(1 / mean_seconds) / PACKET_SECONDS)))
            for _ in range(streams)
        ),
        key=lambda coming: coming.at,
    )


@dataclass
class Heard:
    """What came of a schedule.

    Attributes:
        answers: seconds from sending each packet to its answer, tries again included.
        finals: seconds from the last packet of each stream to its final text.
        lags: how late each packet was sent, by the player's own fault or because the answer before was late.
        failures: answers that were none, by status and code.
    """

    answers: list[float] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    most: int = 0

    def summary(self) -> dict[str, Any]:
        """In figures."""

        def spread(values: list[float]) -> dict[str, float]:
            if not values:
                return {}
            return {f"p{p}_ms": round(float(np.percentile(values, p)) * 1000, 1) for p in (50, 95, 99)}

        return {
            "packets": len(self.answers),
            "streams_ended": len(self.finals),
            "most_live": self.most,
            "answer": spread(self.answers),
            "final": spread(self.finals),
            "sent_late": spread(self.lags),
            "failures": dict(self.failures),
        }


async def play(ports: list[int], key: str, pcm: bytes, coming: list[Coming], seed: int = 1) -> Heard:
    """Play a schedule to its end; each packet of a stream goes to any of the doors."""
    heard, live, drawn = Heard(), 0, random.Random(seed)  # noqa: S311
    sound = [
        base64.b64encode(pcm[start : start + PACKET_BYTES]).decode()
        for start in range(0, len(pcm) - PACKET_BYTES, PACKET_BYTES)
    ]
    begin = time.monotonic()

    async def stream(one: Coming) -> None:
        nonlocal live
        await asyncio.sleep(max(0.0, begin + one.at - time.monotonic()))
        live += 1
        heard.most = max(heard.most, live)
        name, offset = secrets.token_hex(8), drawn.randrange(len(sound))
        connections = {port: Connection(port, key) for port in ports}
        spoken = time.monotonic()
        try:
            for number in range(one.packets):
                spoken += PACKET_SECONDS
                await asyncio.sleep(max(0.0, spoken - time.monotonic()))
                heard.lags.append(max(0.0, time.monotonic() - spoken))
                last = number == one.packets - 1
                action = 1 if number == 0 else 2 if last else 0
                config = {
                    "stream_id": name,
                    "sequence_id": number,
                    "action": action,
                    "format": "pcm",
                    "engine_type": "16k_auto",
                }
                speech = {"speech": sound[(offset + number) % len(sound)]}
                body = json.dumps({"speech": speech, "config": config}).encode()
                sent = time.monotonic()
                if not await _sent(connections, body, drawn, heard):
                    return
                (heard.finals if last else heard.answers).append(time.monotonic() - sent)
        finally:
            live -= 1
            for connection in connections.values():
                connection.close()

    await asyncio.gather(*(stream(one) for one in coming))
    return heard


async def _sent(connections: dict[int, Connection], body: bytes, drawn: random.Random, heard: Heard) -> bool:
    """Send a packet until it is taken; whether it was."""
    for _ in range(_TRIES):
        connection = connections[drawn.choice(list(connections))]
        with suppress(OSError):
            status, content = await connection.post(STREAM_PATH, body, HEADERS)
            code = json.loads(content)["code"]
            if code == 0:
                return True
            heard.failures[f"{status} {code}"] += 1
            if status not in {429, 503}:
                return False
            await asyncio.sleep(_AGAIN_SECONDS)
            continue
        heard.failures["connection"] += 1
        connection.close()
        await asyncio.sleep(_AGAIN_SECONDS)
    return False


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ports", required=True, help="of the doors on this machine, separated by commas")
    parser.add_argument("--key", required=True)
    parser.add_argument("--pcm", type=Path, help="16 kHz 16-bit mono; noise when unset")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0, help="within which they come")
    parser.add_argument("--mean", type=float, default=20.0, help="seconds that a stream lasts on the average")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.pcm:
        pcm = options.pcm.read_bytes()
    else:
        pcm = np.random.default_rng(1).integers(-300, 300, 16000 * 30).astype("<i2").tobytes()
    coming = schedule(options.streams, options.seconds, options.mean, options.seed)
    heard = asyncio.run(play([int(port) for port in options.ports.split(",")], options.key, pcm, coming))
    print(json.dumps(heard.summary(), indent=2))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
