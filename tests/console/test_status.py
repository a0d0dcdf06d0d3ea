"""What the page asks the server: its files, whose key this is, and the state of the server."""

from __future__ import annotations

import pytest
import requests

from lingting.access.principal import OPERATOR, SPEECH
from tests.api.serving import FLASH, STREAM, Running, packet_body, pcm

FILES = ("/", "/console/app.js", "/console/style.css", "/console/icon.svg")


def get(served: Running, path: str, key: str | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return requests.get(served.url + path, headers=headers, timeout=10)


@pytest.mark.parametrize("path", FILES)
def test_files_forbid_foreign_and_inline_scripts_and_frames(served: Running, path: str) -> None:
    answer = get(served, path)
    assert answer.status_code == 200
    policy = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Permissions-Policy"].startswith("microphone=(self)")


def test_a_file_that_the_browser_has_is_not_sent_again(served: Running) -> None:
    first = get(served, "/console/app.js")
    headers = {"If-None-Match": first.headers["ETag"]}
    again = requests.get(served.url + "/console/app.js", headers=headers, timeout=10)
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["x.js", "__init__.py", "..%2f__init__.py", "%2e%2e/settings.py", ""])
def test_nothing_but_the_page_is_served(served: Running, name: str) -> None:
    assert get(served, f"/console/{name}").status_code == 404


@pytest.mark.parametrize("path", ["/console/session", "/console/status"])
@pytest.mark.parametrize("key", [None, "lt-wrong", "u-someone"])
def test_without_a_key_nothing_is_told(served: Running, path: str, key: str | None) -> None:
    answer = get(served, path, key)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error"}


def test_a_key_learns_whose_it_is_and_the_limits(served: Running) -> None:
    answer = get(served, "/console/session", served.key).json()
    assert (answer["tenant"], answer["owner"]) == ("acme", "Ada")
    assert answer["limits"]["flash_max_bytes"] == 200_000
    assert OPERATOR not in answer["scopes"]
    assert answer["speakers"] is False


def test_the_state_is_for_operators_only(served: Running) -> None:
    answer = get(served, "/console/status", served.key)
    assert answer.status_code == 403
    assert "operator" in answer.json()["error"]["message"]


def test_an_operator_sees_streams_answer_times_and_usage_of_every_tenant(served: Running) -> None:
    operator = served.new_key((OPERATOR,))
    speaker = served.new_key((SPEECH, "audio:flash"))
    tenant = get(served, "/console/session", speaker).json()["tenant"]
    served.post(STREAM, key=speaker, json=packet_body("seenbyoperator00", 0, 1, pcm(0.5)))
    served.post(FLASH, key=speaker, data=b"RIFF" + pcm(1.0))
    served.post(FLASH, key=speaker, data=b"rubbish")
    try:
        status = get(served, "/console/status", operator).json()
    finally:
        served.post(STREAM, key=speaker, json=packet_body("seenbyoperator00", 1, 3))
    (stream,) = (each for each in status["streams"] if each["tenant"] == tenant)
    assert (stream["stream_id"], stream["audio_seconds"], stream["ending"]) == ("seenbyoperator00", 0.5, False)
    flash = next(each for each in status["latency"] if each["interface"] == "flash")
    assert flash["requests"] >= 2
    assert (flash["caller_errors"] >= 1, flash["server_errors"]) == (True, 0)
    assert 0 < flash["median"] <= flash["p95"] <= flash["longest"]
    (usage,) = (each for each in status["usage"]["today"] if each["tenant"] == tenant)
    assert (usage["requests"], usage["errors"], usage["audio_seconds"]) == (3, 1, 2)
    assert status["state"] == "ready"
    assert status["models"] == [{"name": "whisper-base", "memory_bytes": 200_000_000}]
    assert status["better_model"]["name"] == "x-asr-480ms"
    assert "models pull x-asr-480ms" in status["better_model"]["commands"]
    quarter = status["day"][-1]
    assert quarter["start"] % 900 == 0
    assert quarter["streams"] >= 1
    assert quarter["caller_errors"] >= 1


def test_an_operator_sees_why_requests_should_go_elsewhere(served: Running) -> None:
    served.service.why = ["the database does not answer"]
    try:
        status = get(served, "/console/status", served.new_key((OPERATOR,))).json()
    finally:
        served.service.why = []
    assert (status["state"], status["why"]) == ("unready", ["the database does not answer"])


def test_looking_at_the_server_is_not_usage(served: Running) -> None:
    operator = served.new_key((OPERATOR,))
    tenant = get(served, "/console/session", operator).json()["tenant"]
    for _ in range(2):
        status = get(served, "/console/status", operator).json()
    assert tenant not in {each["tenant"] for each in status["usage"]["today"]}
    assert "console" not in {each["interface"] for each in status["latency"]}
