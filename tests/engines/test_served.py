"""A whole server over HTTP with tiny models of sherpa-onnx: one for everything, and one live with another behind it."""

from __future__ import annotations

import io
import os
import signal
import threading
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from lingting import service
from lingting.domain import Samples
from lingting.engines.process.engine import ProcessEngine
from lingting.settings import Settings
from tests.api import serving as servers
from tests.api.serving import STREAM, TRANSCRIPTIONS, Running, packet_body, serving
from tests.engines.tiny import models as tiny
from tests.engines.tiny.tones import say

SAID = ["你", "好", "世", "界"]


class _ByEnergy:
    """In place of the voice detector's model, which does not take tones for speech."""

    def run(self, _: None, inputs: dict[str, Any]) -> list[Any]:
        loud = np.sqrt(np.square(inputs["input"]).mean(axis=1)) > 0.01
        return [loud.astype(np.float32), inputs["h"], inputs["c"]]


MODELS = [
    {"model": "offline"},
    {"model": "streaming"},
    {"model": "offline", "live_model": "streaming"},
    {"model": "streaming", "final_model": "tags"},
]


@pytest.fixture(params=MODELS, ids=lambda models: "-".join(models.values()))
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    for name, kind in (("offline", "transducer"), ("streaming", "transducer-streaming"), ("tags", "sense_voice")):
        tiny.build(kind, tmp_path / "models" / name)
    monkeypatch.setattr("lingting.audio.voice._model", _ByEnergy)
    monkeypatch.setattr(servers, "Service", service.Service)
    with serving(tmp_path, phonetics="off", compute_threads=2, **request.param) as running:
        yield running


def utterance() -> Samples:
    return np.concatenate([say(SAID, lead=0.5), np.zeros(16_000, np.float32)])


def pcm(samples: Samples) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


def transcribe(server: Running) -> str:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(pcm(utterance()))
    answer = server.post(
        TRANSCRIPTIONS, key=server.key, files={"file": ("a.wav", file.getvalue())}, data={"model": "whisper-1"}
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["text"])


def letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


def test_a_recording_is_written(server: Running) -> None:
    assert letters(transcribe(server)) == "你好世界"


def test_a_stream_grows_and_ends_in_the_same_text(server: Running) -> None:
    sound = np.concatenate([utterance(), utterance()])
    pieces = [sound[begin : begin + 3200] for begin in range(0, len(sound), 3200)]
    texts = []
    for number, piece in enumerate(pieces):
        action = 1 if number == 0 else 2 if number == len(pieces) - 1 else 0
        body = packet_body("tinytinytiny0000", number, action, pcm(piece))
        answer: requests.Response = server.post(STREAM, key=server.key, json=body)
        assert answer.json()["code"] == 0, answer.text
        texts.append(letters(answer.json()["data"]["recognition_text"]))
    assert texts[-1] == "你好世界" * 2
    assert [len(text) for text in texts] == sorted(len(text) for text in texts)


def speak(server: Running, stream: str, half_way: threading.Barrier) -> str:
    """Send a stream as fast as it is answered, and wait for the others in the middle; its final text."""
    sound = np.concatenate([utterance(), utterance()])
    pieces = [sound[begin : begin + 3200] for begin in range(0, len(sound), 3200)]
    for number, piece in enumerate(pieces):
        if number == len(pieces) // 2:
            half_way.wait(60)
        action = 1 if number == 0 else 2 if number == len(pieces) - 1 else 0
        answer = server.post(STREAM, key=server.key, json=packet_body(stream, number, action, pcm(piece)))
        assert answer.json()["code"] == 0, answer.text
    return letters(answer.json()["data"]["recognition_text"])


@pytest.mark.parametrize(
    ("server", "how"),
    [(MODELS[2], signal.SIGKILL), (MODELS[1], signal.SIGSTOP)],
    ids=["killed-two-passes", "stopped-streaming"],
    indirect=["server"],
)
def test_streams_and_recordings_lose_no_text_when_the_engines_are_killed_or_stopped_under_load(
    server: Running, how: signal.Signals
) -> None:
    streams, files = 6, 2
    half_way = threading.Barrier(streams + files + 1)

    def recording() -> str:
        half_way.wait(60)
        return letters(transcribe(server))

    with ThreadPoolExecutor(streams + files) as callers:
        spoken = [callers.submit(speak, server, f"underload{number:07}", half_way) for number in range(streams)]
        written = [callers.submit(recording) for _ in range(files)]
        half_way.wait(60)
        for process in processes_of(server):
            os.kill(process.pid, how)
        assert [each.result(120) for each in spoken] == ["你好世界" * 2] * streams
        assert [each.result(120) for each in written] == ["你好世界"] * files
    assert all(process.restarts >= 1 for process in processes_of(server))


def processes_of(server: Running) -> list[ProcessEngine]:
    real: Any = server.service
    processes: list[ProcessEngine] = real._recognition.engines._processes
    return processes


def test_a_recording_is_written_after_the_process_of_the_engine_was_killed(server: Running) -> None:
    assert letters(transcribe(server)) == "你好世界"
    processes = processes_of(server)
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    assert letters(transcribe(server)) == "你好世界"
    assert sum(process.restarts for process in processes) >= 1


def test_the_library_loads_the_same_models_in_its_own_process(tmp_path: Path) -> None:
    tiny.build("transducer-streaming", tmp_path / "models" / "streaming")
    recognition = service.Recognition(Settings(data_dir=tmp_path, model="streaming", phonetics="off"))
    try:
        assert not recognition.engines._processes
    finally:
        recognition.close()
