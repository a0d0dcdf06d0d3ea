"""Speaks recordings through the live protocols in real time: `python -m bench.speakers PLAN RESULT`, in a process of
its own, as plain clients of each that show text as soon as it is there."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from websockets.asyncio.client import connect

from bench.player import PACKET_BYTES, PACKET_SECONDS, Connection, play
from lingting.api.wyoming import events
from lingting.recognition.utterance import join_texts

HTTP = "http"
_RATE = 16_000
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Who speaks what.

    Attributes:
        port, wyoming_port: of the server, on this machine.
        key: the bearer.
        items: files of 16 kHz 16-bit mono PCM.
        turns: for each speaker the pairs (protocol, item) that are spoken, one after another.
        starts: when each speaker begins, in seconds.
        pause: seconds between two turns of a speaker.
        seconds: with 0 each speaker ends with the last of its turns; else they begin again until so much time is over.
    """

    port: int
    wyoming_port: int
    key: str
    items: list[str]
    turns: list[list[tuple[str, int]]]
    starts: list[float]
    pause: float = 0.8
    seconds: float = 0.0


@dataclass(slots=True)
class Spoken:
    """One recording that was spoken.

    Attributes:
        protocol, item: what, and how.
        began, ended: `time.monotonic()` of its first sample and of its final text.
        first: seconds from its first sample to the first text; None where none came.
        final: seconds from its end to the final text.
        text: the final text.
        late: how much later than it should the latest packet was sent, in seconds.
        failure: what went wrong, or an empty string.
    """

    protocol: str
    item: int
    began: float = 0.0
    ended: float = 0.0
    first: float | None = None
    final: float = 0.0
    text: str = ""
    late: float = 0.0
    failure: str = ""


class Line(Protocol):
    """A client of one protocol over one connection."""

    shown: str
    """Text that has come so far, guesses too."""

    async def start(self) -> None:
        """Say what is wanted."""

    async def send(self, pcm: bytes) -> None:
        """Send sound."""

    async def end(self) -> None:
        """Say that there is no more."""

    async def hear(self) -> bool:
        """Take one message; whether it was the last."""


class _Socket:
    """What the clients over WebSockets share."""

    def __init__(self, socket: Any) -> None:
        self.shown = ""
        self._socket = socket
        self._final = ""

    async def start(self) -> None:
        """Nothing is to be said."""

    async def say(self, message: Mapping[str, Any]) -> None:
        """Send an object."""
        await self._socket.send(json.dumps(message))

    async def hear(self) -> bool:
        """Take one message."""
        return self.take(json.loads(await self._socket.recv()))

    def take(self, message: dict[str, Any]) -> bool:
        """What a message says; whether it was the last."""
        raise NotImplementedError

    def show(self, guess: str = "", final: str = "") -> None:
        """Text has come: a guess behind what is final, or more that is final."""
        self._final = join_texts(self._final, final)
        self.shown = join_texts(self._final, guess)


class Realtime(_Socket):
    """OpenAI's Realtime interface, with the server's own turns."""

    def __init__(self, socket: Any) -> None:
        super().__init__(socket)
        self._guess = ""
        self._committed = self._completed = 0
        self._cleared = False

    async def start(self) -> None:
        """Raw samples of 16 kHz."""
        asked = {"type": "transcription", "audio": {"input": {"format": {"type": "audio/pcm", "rate": _RATE}}}}
        await self.say({"type": "session.update", "session": asked})

    async def send(self, pcm: bytes) -> None:
        """Append sound."""
        await self.say({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()})

    async def end(self) -> None:
        """Commit what is open; the answer to `clear` says that no other commit was underway."""
        await self.say({"type": "input_audio_buffer.commit"})
        await self.say({"type": "input_audio_buffer.clear"})

    def take(self, message: dict[str, Any]) -> bool:
        """Deltas grow the text of a turn, `completed` replaces it."""
        kind = message["type"]
        if kind.endswith("transcription.delta"):
            self._guess += message["delta"]
            self.show(self._guess)
        elif kind.endswith("transcription.completed"):
            self._completed += 1
            self._guess = ""
            self.show(final=message["transcript"])
        elif kind == "error" and message["error"]["code"] != "input_audio_buffer_commit_empty":
            raise ConnectionError(message["error"]["message"])
        self._committed += kind == "input_audio_buffer.committed"
        self._cleared = self._cleared or kind == "input_audio_buffer.cleared"
        return self._cleared and self._completed == self._committed


class Deepgram(_Socket):
    """Deepgram's live interface."""

    async def send(self, pcm: bytes) -> None:
        """Send sound."""
        await self._socket.send(pcm)

    async def end(self) -> None:
        """Close the stream."""
        await self.say({"type": "CloseStream"})

    def take(self, message: dict[str, Any]) -> bool:
        """An interim result is a guess."""
        if message["type"] == "Error":
            raise ConnectionError(message["description"])
        if message["type"] == "Results":
            text = message["channel"]["alternatives"][0]["transcript"]
            if message["is_final"]:
                self.show(final=text)
            else:
                self.show(text)
        return bool(message["type"] == "Metadata")


class FunASR(_Socket):
    """FunASR's runtime, in two passes."""

    async def start(self) -> None:
        """Both passes, numbers as they are spoken."""
        await self.say({"mode": "2pass", "wav_name": "x", "is_speaking": True, "itn": False, "chunk_size": [5, 10, 5]})

    async def send(self, pcm: bytes) -> None:
        """Send sound."""
        await self._socket.send(pcm)

    async def end(self) -> None:
        """Nobody speaks any more."""
        await self.say({"is_speaking": False})

    def take(self, message: dict[str, Any]) -> bool:
        """The first pass grows the text of a sentence, the second replaces it."""
        if message.get("error"):
            raise ConnectionError(message["error"])
        if message["mode"] == "2pass-offline":
            self._final += message["text"]
            self.shown = self._final
        else:
            self.shown += message["text"]
        return bool(message["is_final"])


class Wyoming:
    """Wyoming, with text while someone speaks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.shown = ""
        self._reader = reader
        self._writer = writer
        self._sound = {"rate": _RATE, "width": 2, "channels": 1}

    async def start(self) -> None:
        """Begin the request."""
        self._writer.write(events.written(events.Event("audio-start", self._sound)))

    async def send(self, pcm: bytes) -> None:
        """Send sound."""
        self._writer.write(events.written(events.Event("audio-chunk", self._sound, pcm)))
        await self._writer.drain()

    async def end(self) -> None:
        """No more sound comes."""
        self._writer.write(events.written(events.Event("audio-stop")))

    async def hear(self) -> bool:
        """Chunks grow the text, the transcript replaces it."""
        event = await events.read(self._reader)
        if event is None or event.type == "error":
            raise ConnectionError("the connection ended" if event is None else event.data["text"])
        if event.type == "transcript-chunk":
            self.shown += event.data["text"]
        elif event.type == "transcript":
            self.shown = event.data["text"]
        return event.type == "transcript"


_LISTEN = "/v1/listen?encoding=linear16&sample_rate=16000&punctuate=true&interim_results=true&language=multi"
_SOCKETS: dict[str, tuple[str, Callable[[Any], Line]]] = {
    "realtime": ("/v1/realtime?intent=transcription", Realtime),
    "deepgram": (_LISTEN, Deepgram),
    "funasr": ("/", FunASR),
}
PROTOCOLS = (*_SOCKETS, "wyoming")
"""Those beside HTTP packets."""


async def speak(plan: Plan, protocol: str, item: int, pcm: bytes, *, pace: float = 1.0) -> Spoken:
    """Speak one recording; `pace` 0 sends it as fast as it is taken. What goes wrong stands in the result."""
    spoken = Spoken(protocol, item, time.monotonic())
    try:
        async with asyncio.timeout(_PATIENCE + len(pcm) / (PACKET_BYTES / PACKET_SECONDS)):
            if protocol == HTTP:
                await _by_packets(plan, spoken, pcm)
            elif protocol == "wyoming":
                reader, writer = await asyncio.open_connection("127.0.0.1", plan.wyoming_port)
                try:
                    await _over(Wyoming(reader, writer), spoken, pcm, pace)
                finally:
                    writer.close()
            else:
                path, line = _SOCKETS[protocol]
                headers = {"Authorization": f"Bearer {plan.key}"}
                address = f"ws://127.0.0.1:{plan.port}{path}"
                async with connect(address, additional_headers=headers, compression=None) as socket:
                    await _over(line(socket), spoken, pcm, pace)
    except Exception as error:
        spoken.failure = f"{type(error).__name__}: {error}"
    spoken.ended = time.monotonic()
    return spoken


async def _by_packets(plan: Plan, spoken: Spoken, pcm: bytes) -> None:
    connection = Connection(plan.port, plan.key)
    try:
        played = await play(connection, spoken.item, pcm, time.monotonic)
    finally:
        connection.close()
    spoken.failure, spoken.text = played.failure, played.final
    if not played.failure:
        spoken.first = played.replied[played.texts[0][0]] if played.texts else None
        spoken.final = played.replied[-1] - played.sent[-1]
        spoken.late = _lateness(played.sent, len(pcm))


def _lateness(sent: list[float], size: int) -> float:
    whole = size * PACKET_SECONDS / PACKET_BYTES
    return max(at - min((number + 1) * PACKET_SECONDS, whole) for number, at in enumerate(sent))


async def _over(line: Line, spoken: Spoken, pcm: bytes, pace: float) -> None:
    await line.start()
    spoken.began = began = time.monotonic()

    async def listen() -> float:
        while not await line.hear():
            if spoken.first is None and line.shown:
                spoken.first = time.monotonic() - began
        return time.monotonic()

    listening = asyncio.create_task(listen())
    try:
        sent: list[float] = []
        for start in range(0, len(pcm), PACKET_BYTES):
            piece = pcm[start : start + PACKET_BYTES]
            due = (start + len(piece)) * PACKET_SECONDS / PACKET_BYTES
            await asyncio.sleep(max(0.0, pace * due - (time.monotonic() - began)))
            if listening.done():  # the server has said why it hears no more
                break
            sent.append(time.monotonic() - began)
            await line.send(piece)
        else:
            await line.end()
        spoken.late = _lateness(sent, len(pcm))
        spoken.final = await listening - began - sent[-1]
        spoken.text = line.shown
        if spoken.first is None and line.shown:
            spoken.first = sent[-1] + spoken.final
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await listening


async def run(plan: Plan, pcm: list[bytes]) -> list[dict[str, Any]]:
    """Speak the whole plan; the result is the RESULT file's content."""
    result: list[dict[str, Any]] = []
    started = time.monotonic()

    async def each(turns: list[tuple[str, int]], start: float) -> None:
        await asyncio.sleep(start)
        number = 0
        while time.monotonic() - started < plan.seconds if plan.seconds else number < len(turns):
            protocol, item = turns[number % len(turns)]
            result.append(asdict(await speak(plan, protocol, item, pcm[item])))
            number += 1
            await asyncio.sleep(plan.pause)

    await asyncio.gather(*(each(turns, start) for turns, start in zip(plan.turns, plan.starts, strict=True)))
    return result


def main() -> None:
    plan = Plan(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    pcm = [Path(item).read_bytes() for item in plan.items]
    result = asyncio.run(run(plan, pcm))
    Path(sys.argv[2]).write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
