"""Callers who speak in real time through one protocol each, and do what its clients are told to on an error.

Each gives the final text, and the longest that the answer to a packet took, in seconds: 0 where packets have none.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
import unicodedata
import uuid
from collections.abc import Iterator

import lark_oapi as lark
from lark_oapi.api.speech_to_text.v1 import (
    Speech,
    StreamConfig,
    StreamRecognizeSpeechRequest,
    StreamRecognizeSpeechRequestBody,
)
from websockets.sync.client import ClientConnection, connect

from lingting.access import Access
from lingting.settings import load

PACKET_BYTES = 6_400
PACKET_SECONDS = 0.2
PATIENCE = 120.0
BUSY = {1040102, 99991400}


def credentials() -> tuple[str, tuple[str, str]]:
    """An API key, and an app with its secret."""

    async def create() -> tuple[str, tuple[str, str]]:
        access = Access(load())
        await access.start()
        try:
            made = await access.create_demo()
            assert made is not None
            app, key = made
            return key.key, (app.app.id, app.app_secret)
        finally:
            await access.close()

    return asyncio.run(create())


def plain(text: str) -> str:
    """Only what was spoken."""
    return "".join(each for each in text if unicodedata.category(each)[0] in "LN")


def _spoken(pcm: bytes) -> Iterator[bytes]:
    """Packets, each when its last sample would have been spoken."""
    began = time.monotonic()
    for number, start in enumerate(range(0, len(pcm), PACKET_BYTES), 1):
        time.sleep(max(0.0, began + number * PACKET_SECONDS - time.monotonic()))
        yield pcm[start : start + PACKET_BYTES]


def by_feishu(doors: list[str], app: tuple[str, str], pcm: bytes) -> tuple[str, float]:
    """Feishu's official SDK; each packet goes to the next door, and again to another where that one is gone or busy."""
    clients = itertools.cycle(
        lark.Client.builder()
        .app_id(app[0])
        .app_secret(app[1])
        .domain(door)
        .timeout(30)
        .log_level(lark.LogLevel.CRITICAL)
        .build()
        for door in doors
    )
    stream, text, longest = uuid.uuid4().hex[:16], "", 0.0
    last = -(-len(pcm) // PACKET_BYTES) - 1
    for number, audio in enumerate(_spoken(pcm)):
        config = StreamConfig.builder().stream_id(stream).sequence_id(number).format("pcm").engine_type("16k_auto")
        config = config.action(1 if number == 0 else 2 if number == last else 0).build()
        speech = Speech.builder().speech(base64.b64encode(audio).decode()).build()
        body = StreamRecognizeSpeechRequestBody.builder().speech(speech).config(config).build()
        request = StreamRecognizeSpeechRequest.builder().request_body(body).build()
        began = time.monotonic()
        while True:
            problem: object
            try:
                response = next(clients).speech_to_text.v1.speech.stream_recognize(request)
                if response.success():
                    text = response.data.recognition_text
                    break
                if response.code not in BUSY:
                    raise AssertionError(f"packet {number}: {response.code} {response.msg}")
                problem = response.msg
            except (OSError, lark.core.exception.ObtainAccessTokenException) as error:
                problem = error
            assert time.monotonic() - began < PATIENCE, f"packet {number}: {problem}"
            time.sleep(0.2)
        if number != last:
            longest = max(longest, time.monotonic() - began)
    return text, longest


def by_realtime(door: str, key: str, pcm: bytes) -> tuple[str, float]:
    """OpenAI's Realtime transcription: one commit at the end."""
    with _opened(door, key, "/v1/realtime?intent=transcription") as connection:
        assert _heard(connection)["type"] == "session.created"
        sound = {"format": {"type": "audio/pcm", "rate": 16000}}
        session = {"type": "transcription", "audio": {"input": sound}}
        connection.send(json.dumps({"type": "session.update", "session": session}))
        for piece in _spoken(pcm):
            audio = base64.b64encode(piece).decode()
            connection.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        connection.send(json.dumps({"type": "input_audio_buffer.commit"}))
        connection.send(json.dumps({"type": "input_audio_buffer.clear"}))
        texts: list[str] = []
        committed, cleared = 0, False
        while not cleared or len(texts) < committed:
            event = _heard(connection)
            assert event["type"] != "error", event
            committed += event["type"] == "input_audio_buffer.committed"
            cleared = cleared or event["type"] == "input_audio_buffer.cleared"
            if event["type"].endswith(".completed"):
                texts.append(str(event["transcript"]))
        return "".join(texts), 0.0


def by_deepgram(door: str, key: str, pcm: bytes) -> tuple[str, float]:
    """Deepgram's live protocol."""
    query = "encoding=linear16&sample_rate=16000&interim_results=true&language=zh"
    with _opened(door, key, f"/v1/listen?{query}") as connection:
        for piece in _spoken(pcm):
            connection.send(piece)
        connection.send(json.dumps({"type": "CloseStream"}))
        texts = []
        while (event := _heard(connection))["type"] != "Metadata":
            if event["type"] == "Results" and event["is_final"]:
                texts.append(event["channel"]["alternatives"][0]["transcript"])
        return "".join(texts), 0.0


def _opened(door: str, key: str, path: str) -> ClientConnection:
    headers = {"Authorization": f"Bearer {key}"}
    # what comes is read while we speak, however much: the library reads no pongs behind messages that nobody takes
    url = door.replace("http", "ws", 1) + path
    return connect(url, additional_headers=headers, open_timeout=30, max_queue=None)


def _heard(connection: ClientConnection) -> dict[str, str]:
    message: dict[str, str] = json.loads(connection.recv(timeout=PATIENCE))
    return message
