"""curl and requests, as the documents of the interfaces show them."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.clients.hearing import assert_heard, mandarin, new_id
from tests.conftest import LiveServer
from tests.requirements import require_program

pytestmark = pytest.mark.engine


def curl(*arguments: str) -> Any:
    done = subprocess.run(
        [require_program("curl"), "-sS", *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def test_the_token_and_the_file_of_the_document_work_with_curl(live_server: LiveServer, tmp_path: Path) -> None:
    token = curl(
        "-X", "POST", f"{live_server.url}/open-apis/auth/v3/tenant_access_token/internal",
        "-H", "Content-Type: application/json; charset=utf-8",
        "-d", json.dumps({"app_id": live_server.app_id, "app_secret": live_server.app_secret}),
    )  # fmt: skip
    assert (token["code"], token["msg"]) == (0, "ok")
    said = mandarin()
    body = {
        "speech": {"speech": base64.b64encode(said.pcm).decode()},
        "config": {"file_id": new_id(), "format": "pcm", "engine_type": "16k_auto"},
    }
    (tmp_path / "body.json").write_text(json.dumps(body))
    answer = curl(
        "-X", "POST", f"{live_server.url}/open-apis/speech_to_text/v1/speech/file_recognize",
        "-H", f"Authorization: Bearer {token['tenant_access_token']}",
        "-H", "Content-Type: application/json; charset=utf-8",
        "-d", f"@{tmp_path / 'body.json'}",
    )  # fmt: skip
    assert (answer["code"], answer["msg"], set(answer)) == (0, "success", {"code", "msg", "data"})
    assert_heard(answer["data"]["recognition_text"], said)


def test_the_example_of_the_document_is_recognised_as_silence(live_server: LiveServer) -> None:
    body = (
        '{"speech": {"speech": "PdmrfE267Cd/Z9KpmNFh71A2PSJZxSp7+8upCg=="},'
        '"config": {"file_id": "qwe12dd34567890w", "format": "pcm", "engine_type": "16k_auto"}}'
    )
    answer = curl(
        "-X", "POST", f"{live_server.url}/open-apis/speech_to_text/v1/speech/file_recognize",
        "-H", f"Authorization: Bearer {live_server.key}", "-d", body,
    )  # fmt: skip
    assert answer == {"code": 0, "msg": "success", "data": {"recognition_text": ""}}


def flash_with_curl(server: LiveServer, model: str) -> Any:
    return curl(
        "-X", "POST", f"{server.url}/v1/audio/asr/flash",
        "-H", f"Authorization: Bearer {server.key}",
        "-H", "format: wav",
        "-H", "sample_rate: 16000",
        "-H", "max_sentence_silence: 2000",
        "-H", f"model: {model}",
        "--data-binary", f"@{mandarin().path}",
    )  # fmt: skip


def check_flash(answer: dict[str, Any]) -> None:
    said = mandarin()
    assert set(answer) == {"task_id", "user", "flash_result"}
    result = answer["flash_result"]
    assert abs(result["duration"] - said.seconds * 1000) < 50
    assert_heard("".join(sentence["text"] for sentence in result["sentences"]), said)
    times = [time for sentence in result["sentences"] for time in (sentence["begin_time"], sentence["end_time"])]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= result["duration"]


def test_flash_works_with_the_curl_of_the_document(live_server: LiveServer) -> None:
    check_flash(flash_with_curl(live_server, "whisper-base"))


def test_the_model_of_the_document_is_not_installed_here(live_server: LiveServer) -> None:
    error = flash_with_curl(live_server, "asr-model-1")["error"]
    assert (error["code"], error["type"], error["param"]) == ("404", "Not Found", "model")


def test_flash_works_with_the_python_of_the_document(live_server: LiveServer) -> None:
    url = f"{live_server.url}/v1/audio/asr/flash"
    headers = {
        "Authorization": f"Bearer {live_server.key}",
        "format": "wav",
        "sample_rate": "16000",
        "max_sentence_silence": "2000",
        "model": "whisper-base",
    }
    with mandarin().path.open("rb") as audio_file:
        audio_data = audio_file.read()
    response = requests.post(url, headers=headers, data=audio_data, timeout=60)
    check_flash(response.json())
