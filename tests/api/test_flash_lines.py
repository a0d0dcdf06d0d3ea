"""Flash as JSON lines: sentences while the rest is recognised."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from lingting.errors import RecognitionFailed
from tests.api.serving import FLASH, Running, pcm, serving

LINES = {"Accept": "application/x-ndjson"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("lines"), flash_max_seconds=3.0) as running:
        yield running


def lines(answer: requests.Response) -> list[dict[str, object]]:
    return [json.loads(line) for line in answer.text.splitlines()]


def test_each_sentence_is_a_line_and_the_usual_answer_is_the_last(server: Running) -> None:
    audio = b"RIFF" + pcm(1.0)
    answer = server.post(FLASH, key=server.key, data=audio, headers=LINES)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    recording, sentence, result = lines(answer)
    assert recording == {"type": "recording", "duration": 1000}
    assert sentence["text"] == "heard 16000 samples"
    assert (sentence["begin_time"], sentence["end_time"], sentence["words"]) == (250, 1004, [])
    usual = server.post(FLASH, key=server.key, data=audio).json()
    assert result["flash_result"] == usual["flash_result"]


def test_what_is_wrong_before_the_first_sentence_has_its_own_status(server: Running) -> None:
    assert server.post(FLASH, key=server.key, data=b"rubbish", headers=LINES).status_code == 415
    assert server.post(FLASH, key=server.key, data=b"RIFF" + pcm(4.0), headers=LINES).status_code == 413


def test_a_failure_later_on_is_the_last_line(server: Running) -> None:
    server.service.recognizer.broken = RecognitionFailed("inner details")
    try:
        answer = server.post(FLASH, key=server.key, data=b"RIFF" + pcm(1.0), headers=LINES)
    finally:
        server.service.recognizer.broken = None
    *_, last = lines(answer)
    assert (last["type"], last["error"]["code"]) == ("error", "500")  # type: ignore[index]
    assert "inner" not in answer.text


def test_files_of_the_spool_are_gone_afterwards(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.post(FLASH, key=served.key, data=b"RIFF" + pcm(1.0), headers=LINES)
        spooled = [tmp_path]
        for _ in range(200):
            spooled = [
                path for path in (tmp_path / "spool").rglob("*") if path.is_file() and path.name.strip(".") != "lock"
            ]
            if not spooled:
                break
            requests.get(f"{served.url}/healthz", timeout=10)  # a moment for the server
        assert spooled == []
