"""Plays streams to a server in real time, from a process of its own: `python -m bench.player PLAN RESULT`.

A speaker has one kept-alive connection and plays streams one after another. A packet of 200 ms is sent when its last
sample would have been spoken, or as soon as the packet before it is answered, whichever is later.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PACKET_SECONDS = 0.2
PACKET_BYTES = 6_400
STREAM_PATH = "/open-apis/speech_to_text/v1/speech/stream_recognize"
FLASH_PATH = "/v1/audio/asr/flash"
SLOW_DOWN = 429
BUSY = 503


@dataclass(frozen=True, slots=True)
class Plan:
    """What to play.

    Attributes:
        port: of the server, on this machine.
        key: the bearer.
        items: files of 16 kHz 16-bit mono PCM, a stream each.
        speakers: for each speaker the items in the order in which they are played, over and over.
        starts: when each speaker begins, in seconds.
        pause: seconds between two streams of a speaker.
        seconds: from then on no stream is begun; those that play are played to their end.
        flash: audio files that are sent to flash meanwhile, each again and again over a connection of its own.
        bursts: files of PCM that are sent meanwhile, each as one stream as fast as the server takes it.
    """

    port: int
    key: str
    items: list[str]
    speakers: list[list[int]]
    starts: list[float]
    pause: float
    seconds: float
    flash: list[str] = field(default_factory=list)
    bursts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Played:
    """One stream that was played; times are seconds since its first sample was spoken.

    Attributes:
        item: which item.
        sent: when each packet was sent; the last one is the one that stops the stream.
        replied: when the answer to each had come.
        texts: a pair (packet, text) for each reply whose text differs from the one before.
        final: the text of the last reply.
        failure: what went wrong, or an empty string; the stream ended with it.
    """

    item: int
    sent: list[float] = field(default_factory=list)
    replied: list[float] = field(default_factory=list)
    texts: list[tuple[int, str]] = field(default_factory=list)
    final: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Burst:
    """A stream that was sent as fast as it was taken.

    Attributes:
        characters: length of its final text.
        slowed: how often the server said that it was too fast.
        failure: what went wrong, or an empty string.
    """

    characters: int
    slowed: int = 0
    failure: str = ""


class Connection:
    """One HTTP/1.1 connection that is kept alive."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: bytes, headers: str) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            OSError: the connection broke.
        """
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        reader = self._reader
        assert reader is not None
        head = f"POST {path} HTTP/1.1\r\n{self._head}{headers}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        try:
            await self._writer.drain()
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(answer.split("content-length:", 1)[1].split("\r\n", 1)[0])
            content = await reader.readexactly(length)
        except (asyncio.IncompleteReadError, IndexError) as error:
            raise ConnectionError(f"the connection broke: {error}") from error
        if "connection: close" in answer:
            self.close()
        return int(answer.split(" ", 2)[1]), content

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def bodies(pcm: bytes, stream_id: str) -> list[bytes]:
    """The packets of a stream as JSON: the first has action 1, the last action 2."""
    starts = range(0, len(pcm), PACKET_BYTES)
    last = len(starts) - 1
    return [
        json.dumps(
            {
                "speech": {"speech": base64.b64encode(pcm[start : start + PACKET_BYTES]).decode()},
                "config": {
                    "stream_id": stream_id,
                    "sequence_id": number,
                    "action": 1 if number == 0 else 2 if number == last else 0,
                    "format": "pcm",
                    "engine_type": "16k_auto",
                },
            }
        ).encode()
        for number, start in enumerate(starts)
    ]


async def play(connection: Connection, item: int, pcm: bytes, now: Callable[[], float]) -> Played:
    """Play one stream in real time."""
    played = Played(item)
    packets = bodies(pcm, f"{random.getrandbits(64):016x}")
    began = now()
    text = ""
    for number, packet in enumerate(packets):
        due = min((number + 1) * PACKET_SECONDS, len(pcm) / (PACKET_BYTES / PACKET_SECONDS))
        await asyncio.sleep(began + due - now())
        played.sent.append(now() - began)
        try:
            status, content = await connection.post(STREAM_PATH, packet, "Content-Type: application/json\r\n")
        except OSError as error:
            played.failure = str(error)
            connection.close()
            return played
        played.replied.append(now() - began)
        answer = json.loads(content)
        if status != 200 or answer["code"] != 0:
            played.failure = f"HTTP {status}, code {answer.get('code')}: {answer.get('msg')}"
            return played
        if (shown := answer["data"]["recognition_text"]) != text:
            text = shown
            played.texts.append((number, text))
    played.final = text
    return played


async def burst(port: int, key: str, pcm: bytes) -> Burst:
    """Send one stream as fast as the server takes it; a packet that it is too early for is sent again when it says."""
    connection = Connection(port, key)
    slowed = 0
    try:
        for packet in bodies(pcm, f"{random.getrandbits(64):016x}"):
            while True:
                status, content = await connection.post(STREAM_PATH, packet, "Content-Type: application/json\r\n")
                if status != SLOW_DOWN:
                    break
                slowed += 1
                await asyncio.sleep(1.0)
            answer = json.loads(content)
            if status != 200 or answer["code"] != 0:
                return Burst(0, slowed, f"HTTP {status}, code {answer.get('code')}: {answer.get('msg')}")
        return Burst(len(answer["data"]["recognition_text"]), slowed)
    except OSError as error:
        return Burst(0, slowed, str(error))
    finally:
        connection.close()


async def run(plan: Plan, pcm: list[bytes], flash: list[bytes], bursts: list[bytes]) -> dict[str, Any]:
    """Play the whole plan, whose files hold `pcm`, `flash` and `bursts`; the result is the RESULT file's content."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    result: list[Played] = []

    async def speak(order: list[int], start: float) -> None:
        connection = Connection(plan.port, plan.key)
        await asyncio.sleep(start)
        turn = 0
        while loop.time() - started < plan.seconds:
            item = order[turn % len(order)]
            result.append(await play(connection, item, pcm[item], loop.time))
            turn += 1
            await asyncio.sleep(plan.pause)
        connection.close()

    sending = [asyncio.create_task(_flash_forever(plan, content)) for content in flash]
    bursting = [asyncio.create_task(burst(plan.port, plan.key, content)) for content in bursts]
    cpu = time.process_time()
    began = time.monotonic()
    await asyncio.gather(*(speak(order, start) for order, start in zip(plan.speakers, plan.starts, strict=True)))
    ended = time.monotonic()
    used = time.process_time() - cpu
    for task in sending:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return {
        "began": began,
        "ended": ended,
        "client_cpu": used,
        "streams": [asdict(each) for each in result],
        "bursts": [asdict(await task) for task in bursting],
    }


async def _flash_forever(plan: Plan, content: bytes) -> None:
    connection = Connection(plan.port, plan.key)
    try:
        while True:
            status, answer = await connection.post(FLASH_PATH, content, "format: wav\r\n")
            if status == BUSY:
                await asyncio.sleep(1.0)
            elif status != 200:
                raise RuntimeError(f"flash answered HTTP {status}: {answer[:200]!r}")
    finally:
        connection.close()


def main() -> None:
    plan = Plan(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    pcm = [Path(item).read_bytes() for item in plan.items]
    flash = [Path(file).read_bytes() for file in plan.flash]
    bursts = [Path(file).read_bytes() for file in plan.bursts]
    result = asyncio.run(run(plan, pcm, flash, bursts))
    Path(sys.argv[2]).write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
