"""Callers of every kind that a server has to live with, each a coroutine that comes to an end: those of all protocols,
in real time or at once, and those that leave, lie or send nonsense.
"""

from __future__ import annotations

import asyncio
import base64
import io
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av
import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from bench.clips import load, pcm
from bench.player import FLASH_PATH, PACKET_BYTES, PACKET_SECONDS, STREAM_PATH, Connection, bodies
from bench.speakers import HTTP, PROTOCOLS, Plan, speak
from lingting.domain import SAMPLE_RATE, Samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FILE_PATH = "/open-apis/speech_to_text/v1/speech/file_recognize"
OPENAI_PATH = "/v1/audio/transcriptions"
PATIENCE = 120.0


class Wrong(Exception):
    """An answer that is none of those that a caller of this kind may get; the message says which."""


@dataclass(frozen=True, slots=True)
class Speech:
    """Something to say.

    Attributes:
        pcm: 16-bit mono at 16 kHz.
        encoded: the same as a file of `format`, whose decoding takes a process.
        format: as flash calls it, such as "flac".
    """

    pcm: bytes
    encoded: bytes
    format: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls which server.

    Attributes:
        port: of the server, on this machine.
        key: the bearer.
        wyoming_port: of its Wyoming, 0 where it has none.
        address: where requests come from, if not from the usual address of this machine.
    """

    port: int
    key: str
    wyoming_port: int = 0
    address: str = ""

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def pieces(self, pcm: bytes) -> list[bytes]:
        return [pcm[start : start + PACKET_BYTES] for start in range(0, len(pcm), PACKET_BYTES)]

    async def pace(self) -> None:
        """Wait for as long as a packet is spoken."""
        await asyncio.sleep(PACKET_SECONDS)

    async def post(self, path: str, **named: Any) -> httpx.Response:
        """One request over a connection of its own."""
        way = httpx.AsyncHTTPTransport(local_address=self.address or None)
        url = f"http://127.0.0.1:{self.port}"
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, transport=way) as client:
            named.setdefault("headers", {})
            named["headers"] = self.bearer | named["headers"]
            return await client.post(path, **named)

    @asynccontextmanager
    async def socket(self, path: str) -> AsyncIterator[ClientConnection]:
        """A WebSocket of the server."""
        url = f"ws://127.0.0.1:{self.port}{path}"
        async with connect(url, additional_headers=self.bearer, close_timeout=5, proxy=None) as connection:
            yield connection


Kind = Callable[[Caller, Speech], Awaitable[str]]
"""A kind of caller: gives the text it got, empty where it wants none; raises Wrong, or what its library raises."""


def live(protocol: str) -> Kind:
    """Those who speak over one of the live protocols of `bench.speakers`."""

    async def call(caller: Caller, speech: Speech) -> str:
        plan = Plan(caller.port, caller.wyoming_port, caller.key, [], [], [])
        spoken = await speak(plan, protocol, 0, speech.pcm)
        if spoken.failure:
            raise Wrong(spoken.failure)
        return spoken.text

    return call


async def deserted_stream(caller: Caller, speech: Speech) -> str:
    """A live stream whose client is gone in the middle of it."""
    connection = Connection(caller.port, caller.key)
    packets = bodies(speech.pcm, f"{random.getrandbits(64):016x}")
    try:
        for packet in packets[: len(packets) // 2]:
            await caller.pace()
            await connection.post(STREAM_PATH, packet, "Content-Type: application/json\r\n")
    finally:
        connection.close()
    return ""


async def file_recognize(caller: Caller, speech: Speech) -> str:
    """Feishu's one-shot."""
    config = {"file_id": f"{random.getrandbits(64):016x}", "format": "pcm", "engine_type": "16k_auto"}
    answer = await caller.post(
        FILE_PATH, json={"speech": {"speech": base64.b64encode(speech.pcm).decode()}, "config": config}
    )
    return str(_good(answer)["data"]["recognition_text"])


async def flash(caller: Caller, speech: Speech) -> str:
    """A file that a process decodes."""
    answer = await caller.post(FLASH_PATH, content=speech.encoded, headers={"format": speech.format})
    return "".join(sentence["text"] for sentence in _good(answer)["flash_result"]["sentences"])


async def transcriptions(caller: Caller, speech: Speech) -> str:
    """OpenAI's one-shot."""
    files = {"file": (f"speech.{speech.format}", speech.encoded)}
    return str(_good(await caller.post(OPENAI_PATH, files=files, data={"model": "whisper-1"}))["text"])


async def recorded_deepgram(caller: Caller, speech: Speech) -> str:
    """Deepgram's one-shot."""
    headers = {"Content-Type": f"audio/{speech.format}"}
    answer = _good(await caller.post("/v1/listen?model=nova-3", content=speech.encoded, headers=headers))
    return str(answer["results"]["channels"][0]["alternatives"][0]["transcript"])


async def deserted_socket(caller: Caller, speech: Speech) -> str:
    """A WebSocket client that is gone in the middle of a word, without a close frame."""
    async with caller.socket("/v1/listen?encoding=linear16&sample_rate=16000") as connection:
        for piece in caller.pieces(speech.pcm[: len(speech.pcm) // 2]):
            await caller.pace()
            await connection.send(piece)
        connection.transport.abort()
    return ""


async def wrong_key(caller: Caller, speech: Speech) -> str:
    """Somebody with a key that there is not."""
    wrong = {"Authorization": f"Bearer lt-{random.getrandbits(128):032x}", "format": "wav"}
    answer = await caller.post(FLASH_PATH, content=speech.encoded, headers=wrong)
    if answer.status_code not in (401, 429):
        raise Wrong(f"a wrong key is answered with HTTP {answer.status_code}")
    return ""


async def broken_file(caller: Caller, speech: Speech) -> str:
    """A file whose middle is noise."""
    middle = len(speech.encoded) // 2
    content = speech.encoded[:200] + os.urandom(middle) + speech.encoded[middle:]
    answer = await caller.post(FLASH_PATH, content=content, headers={"format": speech.format})
    if answer.status_code not in (200, 400, 422):
        raise Wrong(f"a broken file is answered with HTTP {answer.status_code}")
    return ""


async def deserted_upload(caller: Caller, speech: Speech) -> str:
    """A client that is gone when half of its file is there."""
    _, writer = await asyncio.open_connection("127.0.0.1", caller.port)
    head = f"POST {FLASH_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {caller.key}\r\nformat: pcm\r\n"
    writer.write(f"{head}Content-Length: {2 * len(speech.pcm)}\r\n\r\n".encode() + speech.pcm)
    with suppress(OSError):
        await writer.drain()
        await caller.pace()
    writer.transport.abort()
    return ""


SPEAKING: dict[str, Kind] = {
    **{protocol: live(protocol) for protocol in (HTTP, *PROTOCOLS)},
    "file_recognize": file_recognize,
    "flash": flash,
    "transcriptions": transcriptions,
    "deepgram recorded": recorded_deepgram,
}
"""Callers who want a text, by the name of their interface."""

LEAVING: dict[str, Kind] = {
    "stream that is deserted": deserted_stream,
    "socket that is deserted": deserted_socket,
    "upload that is deserted": deserted_upload,
    "wrong key": wrong_key,
    "broken file": broken_file,
}
"""Callers who get none, by what they do."""


def speeches(longest: float = 12.0, most: int = 40) -> list[Speech]:
    """Some of the recordings of up to so many seconds, with half a second of silence behind each.

    Raises:
        NoRecordings: there are none.
    """
    found: list[Speech] = []
    for clip in load(("zh", "en")):
        if clip.seconds <= longest and len(found) < most:
            samples = np.concatenate([clip.samples, np.zeros(SAMPLE_RATE // 2, np.float32)])
            found.append(Speech(pcm(samples), _flac(samples), "flac"))
    return found


def _flac(samples: Samples) -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format="flac") as output:
        stream = output.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return content.getvalue()


def _good(answer: httpx.Response) -> dict[str, Any]:
    content: dict[str, Any] = answer.json()
    if answer.status_code != 200 or content.get("code", 0) != 0:
        raise Wrong(f"HTTP {answer.status_code}: {answer.text[:200]}")
    return content
