"""A recognition that never ends: every interface answers in its own words when the time is over, and the work stops."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.api.serving import FILE, FLASH, TRANSCRIPTIONS, Running, file_body, pcm, serving

WAV = b"RIFF" + pcm(1.0)
SLOW = "the recognition took longer than the limit of 0.2 s; try again later, or send shorter recordings"


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Running]:
    """A server whose recogniser does not come to an end."""
    with serving(tmp_path, file_timeout_seconds=0.2, flash_timeout_seconds=0.2) as server:
        server.service.recognizer.released = server.call(asyncio.Event)
        yield server


def test_every_interface_answers_when_the_time_is_over_and_the_work_stops(stuck: Running) -> None:
    file = stuck.post(FILE, key=stuck.key, json=file_body())
    assert (file.status_code, file.json()["code"], file.json()["msg"]) == (500, 1040102, "network anomaly")
    assert file.json()["error"]["message"] == SLOW
    flash = stuck.post(FLASH, key=stuck.key, data=WAV)
    error: dict[str, Any] = {"message": SLOW, "type": "Internal Exception", "param": None}
    assert (flash.status_code, flash.json()) == (500, {"error": error | {"code": "500", "httpCode": 500}})
    for stream in ("false", "true"):
        parts = {"file": ("a.wav", WAV), "stream": (None, stream)}
        answer = stuck.post(TRANSCRIPTIONS, key=stuck.key, files=parts)
        error = {"message": SLOW, "type": "server_error", "param": None, "code": "timeout"}
        assert (answer.status_code, answer.json()) == (500, {"error": error})
    listen = stuck.post("/v1/listen", key=stuck.key, data=WAV)
    assert (listen.status_code, listen.json()["err_code"], listen.json()["err_msg"]) == (500, "TIMEOUT", SLOW)
    assert stuck.service.recognizer.cancelled == 5
    assert stuck.service.recognizer.running == 0


def test_a_client_that_leaves_is_no_success_in_the_metrics(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.service.recognizer.released = server.call(asyncio.Event)
        parts = {"file": ("a.wav", WAV)}
        headers = {"Authorization": f"Bearer {server.key}"}
        for path, content in (
            (FILE, {"data": json.dumps(file_body())}),
            (FLASH, {"data": WAV}),
            (TRANSCRIPTIONS, {"files": parts}),
        ):
            with pytest.raises(requests.exceptions.ReadTimeout):
                requests.post(server.url + path, headers=headers, timeout=(5, 0.3), **content)  # type: ignore[arg-type]
        wanted = {
            f'lingting_requests_total{{interface="{interface}",outcome="499"}} 1.0'
            for interface in ("file_recognize", "flash", "transcriptions")
        }
        deadline = time.monotonic() + 10
        while not wanted <= set(lines := requests.get(server.url + "/metrics", timeout=5).text.splitlines()):
            assert time.monotonic() < deadline, lines
            time.sleep(0.01)
        assert not [
            line for line in lines if "requests_total" in line and 'outcome="ok"' in line and "health" not in line
        ]
