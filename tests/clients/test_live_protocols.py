"""Recordings through every live protocol of a real server: the text is that of stream_recognize.

They are sent as fast as they can be, so that the machine is busy and takes the quicker of its decodes now and then;
sent as fast as someone speaks, one at a time, the texts are the same to the character.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Any

import pytest
import requests
from websockets.sync.client import ClientConnection, connect

from tests.clients.hearing import packets, plain
from tests.conftest import LiveServer
from tests.recordings import recording

pytestmark = pytest.mark.engine

STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
PATIENCE = 60.0


def opened(server: LiveServer, path: str) -> ClientConnection:
    headers = {"Authorization": f"Bearer {server.key}"}
    return connect(server.url.replace("http", "ws", 1) + path, additional_headers=headers)


def hear(connection: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(connection.recv(timeout=PATIENCE))
    return message


def by_stream(server: LiveServer, pcm: bytes) -> str:
    text = ""
    pieces = packets(pcm)
    for number, piece in enumerate(pieces):
        action = 2 if number == len(pieces) - 1 else int(number == 0)
        config = {"stream_id": f"live{hash(pcm) % 10**12:012d}", "format": "pcm", "engine_type": "16k_auto"}
        reply = requests.post(
            server.url + STREAM,
            json={
                "speech": {"speech": base64.b64encode(piece).decode()},
                "config": {**config, "sequence_id": number, "action": action},
            },
            headers={"Authorization": f"Bearer {server.key}"},
            timeout=PATIENCE,
        ).json()
        assert reply["code"] == 0, reply
        text = reply["data"]["recognition_text"]
    return text


def by_realtime(server: LiveServer, pcm: bytes) -> list[str]:
    with opened(server, "/v1/realtime?intent=transcription") as connection:
        assert hear(connection)["type"] == "session.created"
        sound = {"format": {"type": "audio/pcm", "rate": 16000}}
        connection.send(
            json.dumps({"type": "session.update", "session": {"type": "transcription", "audio": {"input": sound}}})
        )
        for piece in packets(pcm):
            audio = base64.b64encode(piece).decode()
            connection.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        connection.send(json.dumps({"type": "input_audio_buffer.commit"}))
        connection.send(json.dumps({"type": "input_audio_buffer.clear"}))
        texts, committed, cleared = [], 0, False
        while not cleared or len(texts) < committed:
            event = hear(connection)
            assert event["type"] != "error", event
            committed += event["type"] == "input_audio_buffer.committed"
            cleared = cleared or event["type"] == "input_audio_buffer.cleared"
            if event["type"].endswith(".completed"):
                texts.append(event["transcript"])
        return texts


def by_deepgram(server: LiveServer, pcm: bytes) -> list[str]:
    query = "model=nova-3&encoding=linear16&sample_rate=16000&punctuate=true&interim_results=true&language=multi"
    with opened(server, f"/v1/listen?{query}") as connection:
        for piece in packets(pcm)[:-1]:
            connection.send(piece)
        connection.send('{"type": "CloseStream"}')
        texts = []
        while (message := hear(connection))["type"] != "Metadata":
            if message["type"] == "Results" and message["is_final"]:
                texts.append(message["channel"]["alternatives"][0]["transcript"])
        return texts


def by_funasr(server: LiveServer, pcm: bytes) -> list[str]:
    with opened(server, "/") as connection:
        first = {"mode": "2pass", "wav_name": "x", "is_speaking": True, "itn": False, "chunk_size": [5, 10, 5]}
        connection.send(json.dumps(first))
        for piece in packets(pcm)[:-1]:
            connection.send(piece)
        connection.send('{"is_speaking": false}')
        texts, ended = [], False
        while not ended:
            message = hear(connection)
            ended = message["is_final"]
            if message["mode"] == "2pass-offline":
                texts.append(message["text"])
        return texts


PROTOCOLS: dict[str, Callable[[LiveServer, bytes], list[str]]] = {
    "realtime": by_realtime,
    "deepgram": by_deepgram,
    "funasr": by_funasr,
}


@pytest.mark.parametrize("name", ["asr_example", "beckett", "two_cities"])
def test_a_recording_gives_the_text_of_stream_recognize(live_server: LiveServer, name: str) -> None:
    pcm = recording(name).pcm
    expected = by_stream(live_server, pcm)
    assert expected
    for protocol, hear_by in PROTOCOLS.items():
        pieces = hear_by(live_server, pcm)
        alike = SequenceMatcher(None, plain("".join(pieces)), plain(expected), autojunk=False).ratio()
        assert alike > 0.9, (protocol, pieces, expected)
