"""What callers do to each other over HTTP, with the real model: nothing."""

from __future__ import annotations

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.clients.hearing import assert_heard, mandarin, new_id
from tests.conftest import LiveServer

pytestmark = pytest.mark.engine

BUSY = (429, 503)
FLASH = "/v1/audio/asr/flash"
STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
WORDS = [
    "Kubernetes",
    "Xqzvjkwpbf",
    "Book world",
    "C++",
    "PostgreSQL",
    "café",
    "A",
    "kubectl apply -f",
    "GPT-4o",
    "SAP",
]


def test_calls_at_once_with_a_latin_hot_word_each_are_all_answered(live_server: LiveServer) -> None:
    said = mandarin()

    def call(number: int) -> requests.Response:
        headers = {
            "Authorization": f"Bearer {live_server.key}",
            "format": "pcm",
            "hot_words": requests.utils.quote(WORDS[number % len(WORDS)]),
        }
        while True:
            answer = requests.post(live_server.url + FLASH, data=said.pcm[:96_000], headers=headers, timeout=120)
            if answer.status_code not in BUSY:
                return answer
            time.sleep(float(answer.headers["Retry-After"]))

    with ThreadPoolExecutor(24) as callers:
        answers = list(callers.map(call, range(24)))
    assert [answer.status_code for answer in answers] == [200] * 24
    assert all(answer.json()["flash_result"]["sentences"] for answer in answers)


def test_fifty_product_names_never_fail_a_short_recording(live_server: LiveServer) -> None:
    names = ",".join(f"Product Name {number} Deluxe Edition" for number in range(50))
    for seconds in (0.5, 1.0, 3.0):
        answer = requests.post(
            live_server.url + FLASH,
            data=mandarin().pcm[: int(32_000 * seconds)],
            headers={
                "Authorization": f"Bearer {live_server.key}",
                "format": "pcm",
                "hot_words": requests.utils.quote(names),
            },
            timeout=120,
        )
        assert answer.status_code == 200, answer.text


def _packet(stream: str, number: int, action: int, audio: bytes) -> dict[str, Any]:
    config = {"stream_id": stream, "sequence_id": number, "action": action, "format": "pcm", "engine_type": "16k_auto"}
    return {"speech": {"speech": base64.b64encode(audio).decode()}, "config": config}


def _stream(server: LiveServer, pcm: bytes, pace: float = 0.0) -> str:
    """Send a recording as a stream, a packet of 200 ms every `pace` seconds; wait where the server says so."""
    caller = requests.Session()
    caller.headers["Authorization"] = f"Bearer {server.key}"
    name = new_id()
    starts = range(0, len(pcm), 6_400)
    began = time.monotonic()
    for number, start in enumerate(starts):
        time.sleep(max(0.0, began + number * pace - time.monotonic()))
        action = 1 if number == 0 else 2 if start == starts[-1] else 0
        while True:
            body = _packet(name, number, action, pcm[start : start + 6_400])
            answer = caller.post(server.url + STREAM, json=body, timeout=280)
            if answer.status_code not in BUSY:
                break
            time.sleep(float(answer.headers["Retry-After"]))
        assert answer.json()["code"] == 0, answer.text
    return str(answer.json()["data"]["recognition_text"])


def test_streams_at_line_speed_are_complete_in_the_end_and_a_speaker_beside_them_is_not_refused(
    live_server: LiveServer,
) -> None:
    said = mandarin()
    pause = b"\0" * 48_000
    with ThreadPoolExecutor(6) as callers:
        bursts = [callers.submit(_stream, live_server, (said.pcm + pause) * 4) for _ in range(5)]
        speaker = callers.submit(_stream, live_server, said.pcm + pause, 0.2)
        assert_heard(speaker.result(280), said)
        for burst in bursts:
            text = burst.result(280)
            assert len(text) > 3 * len(speaker.result())


def test_a_stream_goes_on_while_silent_files_of_an_hour_are_read(live_server: LiveServer) -> None:
    said = mandarin()
    hour = b"\0" * (3600 * 32_000 // 4)
    headers = {"Authorization": f"Bearer {live_server.key}", "format": "pcm"}
    stop = threading.Event()
    answers: list[int] = []

    def send() -> None:
        while not stop.is_set():
            answers.append(requests.post(live_server.url + FLASH, data=hour, headers=headers, timeout=280).status_code)

    senders = [threading.Thread(target=send) for _ in range(3)]
    for sender in senders:
        sender.start()
    try:
        assert_heard(_stream(live_server, said.pcm + b"\0" * 48_000, 0.2), said)
    finally:
        stop.set()
        for sender in senders:
            sender.join()
    assert set(answers) <= {200, 503}
