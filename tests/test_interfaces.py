"""Every recording through every interface of a running server, in every format; and what nobody said, too."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import requests

from tests.audio.sounds import encode
from tests.clients.hearing import PACKET_BYTES, assert_heard, new_id
from tests.conftest import LiveServer
from tests.recordings import Recording, recording

pytestmark = pytest.mark.engine

SPEECH = "/open-apis/speech_to_text/v1/speech"
SECONDS = 50
"""file_recognize takes a minute; the longest recording is cut to this."""

FORMATS = {
    "wav": ("pcm_s16le", 44_100, "stereo", None),
    "mp3": ("libmp3lame", 22_050, "stereo", None),
    "flac": ("flac", 48_000, "mono", None),
    "ogg": ("libopus", 48_000, "mono", None),
    "opus": ("libopus", 16_000, "mono", "ogg"),
    "aac": ("aac", 32_000, "mono", "adts"),
    "m4a": ("aac", 44_100, "stereo", "ipod"),
    "mp4": ("aac", 44_100, "mono", None),
    "amr": ("libopencore_amrnb", 8_000, "mono", None),
    "webm": ("libopus", 48_000, "stereo", None),
}


def post(server: LiveServer, path: str, **body: object) -> dict[str, object]:
    reply = requests.post(
        server.url + path, json=body, headers={"Authorization": f"Bearer {server.key}"}, timeout=120
    ).json()
    assert reply["code"] == 0, reply
    data: dict[str, object] = reply["data"]
    return data


def by_file(server: LiveServer, pcm: bytes) -> str:
    config = {"file_id": new_id(), "format": "pcm", "engine_type": "16k_auto"}
    speech = {"speech": base64.b64encode(pcm).decode()}
    return str(post(server, f"{SPEECH}/file_recognize", speech=speech, config=config)["recognition_text"])


def by_stream(server: LiveServer, pcm: bytes) -> str:
    pieces = [pcm[start : start + PACKET_BYTES] for start in range(0, len(pcm), PACKET_BYTES)]
    config = {"stream_id": new_id(), "format": "pcm", "engine_type": "16k_auto"}
    text = ""
    for number, piece in enumerate([*pieces, b""]):
        action = 2 if number == len(pieces) else int(number == 0)
        speech = {"speech": base64.b64encode(piece).decode()}
        numbered = {**config, "sequence_id": number, "action": action}
        text = str(post(server, f"{SPEECH}/stream_recognize", speech=speech, config=numbered)["recognition_text"])
    return text


def by_flash(server: LiveServer, content: bytes, format: str = "pcm") -> tuple[str, int]:
    headers = {"Authorization": f"Bearer {server.key}", "format": format, "sample_rate": "16000"}
    reply = requests.post(f"{server.url}/v1/audio/asr/flash", data=content, headers=headers, timeout=120)
    assert reply.status_code == 200, reply.text
    result = reply.json()["flash_result"]
    clock = 0
    for sentence in result["sentences"]:
        assert clock <= sentence["begin_time"] < sentence["end_time"] <= result["duration"]
        clock = sentence["end_time"]
    return "".join(sentence["text"] for sentence in result["sentences"]), result["duration"]


INTERFACES: dict[str, Callable[[LiveServer, bytes], str]] = {
    "file_recognize": by_file,
    "stream_recognize": by_stream,
    "flash": lambda server, pcm: by_flash(server, pcm)[0],
}


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("name", ["asr_example", "vad_example", "two_cities", "beckett"])
def test_a_recording_is_heard_through_every_interface(live_server: LiveServer, interface: str, name: str) -> None:
    said = recording(name)
    pcm = said.pcm[: SECONDS * 32_000]
    text = INTERFACES[interface](live_server, pcm)
    assert_heard(text, said)


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("sound", ["silence", "white noise"])
def test_where_nobody_speaks_every_interface_says_nothing(live_server: LiveServer, interface: str, sound: str) -> None:
    samples = np.zeros(160_000)
    if sound == "white noise":
        samples = np.random.default_rng(3).normal(0, 3000, 160_000)
    assert INTERFACES[interface](live_server, samples.clip(-32768, 32767).astype("<i2").tobytes()) == ""


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["asr_example", "beckett"])
def test_flash_hears_every_format(live_server: LiveServer, tmp_path: Path, name: str, format: str) -> None:
    said: Recording = recording(name)
    codec, rate, layout, container = FORMATS[format]
    file = encode(tmp_path / f"recording.{format}", said.samples, codec, rate, layout, container)
    text, duration = by_flash(live_server, file.read_bytes(), format)
    assert_heard(text, said)
    assert duration == pytest.approx(said.seconds * 1000, abs=150)
