"""Recordings through every live protocol of a real server: the text is that of stream_recognize.

They are sent as fast as they can be, so that the machine is busy and takes the quicker of its decodes now and then;
sent as fast as someone speaks, one at a time, the texts are the same to the character: `make bench ARGS='--only
protocols'` counts them.
"""

from __future__ import annotations

import asyncio
import base64
from difflib import SequenceMatcher

import pytest
import requests

from bench.speakers import Plan, speak
from tests.clients.hearing import packets, plain
from tests.conftest import LiveServer
from tests.recordings import recording

pytestmark = pytest.mark.engine

STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
PATIENCE = 60.0


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


@pytest.mark.parametrize("name", ["asr_example", "beckett", "two_cities"])
def test_a_recording_gives_the_text_of_stream_recognize(live_server: LiveServer, name: str) -> None:
    pcm = recording(name).pcm
    expected = by_stream(live_server, pcm)
    assert expected
    plan = Plan(int(live_server.url.rsplit(":", 1)[1]), 0, live_server.key, [], [], [])
    for protocol in ("realtime", "deepgram", "funasr"):
        spoken = asyncio.run(speak(plan, protocol, 0, pcm, pace=0))
        assert not spoken.failure
        alike = SequenceMatcher(None, plain(spoken.text), plain(expected), autojunk=False).ratio()
        assert alike > 0.9, (protocol, spoken.text, expected)
