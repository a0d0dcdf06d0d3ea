"""A whole server over HTTP with tiny models of sherpa-onnx: one for everything, and one live with another behind it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from lingting import service
from lingting.engines.process.engine import ProcessEngine
from lingting.settings import Settings
from tests.api.serving import STREAM, TRANSCRIPTIONS, Running, packet_body
from tests.engines.tiny import models as tiny
from tests.engines.tiny.served import letters, pcm, serving_tiny, utterance, wav

MODELS = [
    {"model": "offline"},
    {"model": "streaming"},
    {"model": "offline", "live_model": "streaming"},
    {"model": "streaming", "final_model": "tags"},
]


@pytest.fixture(params=MODELS, ids=lambda models: "-".join(models.values()))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    for name, kind in (("offline", "transducer"), ("streaming", "transducer-streaming"), ("tags", "sense_voice")):
        tiny.build(kind, tmp_path / "models" / name)
    with serving_tiny(tmp_path, **request.param) as running:
        yield running


def transcribe(server: Running) -> str:
    answer = server.post(TRANSCRIPTIONS, key=server.key, files={"file": ("a.wav", wav())}, data={"model": "whisper-1"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["text"])


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
