"""Every row of the error tables of tokens, gateway, file and stream: sent, and the whole answer read."""

from __future__ import annotations

import base64
import json
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from lingting.access.records import NewCredential
from lingting.api.feishu.speech import file_max_bytes
from lingting.errors import Overloaded, RecognitionFailed
from tests.api.serving import APP_TOKEN, FILE, STREAM, TENANT_TOKEN, Running, file_body, packet_body, pcm, serving

MISSING = "Missing access token for authorization. Please make a request with token attached."
INVALID = "Invalid access token for authorization. Please make a request with token attached."
LOG_ID = re.compile(r"[0-9]{14}[0-9a-f]{20}")
STREAM_ID = "asd1234567890ddd"


def gateway(
    code: int,
    msg: str,
    message: str,
    fields: list[tuple[str, str, str]] | None = None,
    permissions: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    """The whole error body, but for the log id."""
    return {
        "code": code,
        "msg": msg,
        "error": {
            "message": message,
            "field_violations": [
                {"field": field, "value": value, "description": description}
                for field, value, description in fields or []
            ],
            "permission_violations": permissions or [],
        },
    }


def invalid(*fields: tuple[str, str, str]) -> dict[str, Any]:
    """1040101 about these fields."""
    return gateway(1040101, "invalid param", "; ".join(f"{f}: {d}" for f, _, d in fields), list(fields))


def check(answer: requests.Response, status: int, body: dict[str, Any]) -> None:
    """The status, the whole body, and the headers that every answer carries."""
    got = answer.json()
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    log_id = answer.headers["X-Tt-Logid"]
    assert LOG_ID.fullmatch(log_id)
    assert answer.headers["X-Request-Id"] == log_id
    if "error" in got:
        assert got["error"].pop("log_id") == log_id
    assert (answer.status_code, got) == (status, body)


# -- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [TENANT_TOKEN, TENANT_TOKEN + "/", APP_TOKEN, APP_TOKEN + "/"])
def test_a_token_comes_without_a_content_type_and_again_the_same(server: Running, path: str) -> None:
    login = json.dumps({"app_id": server.app.app.id, "app_secret": server.app.app_secret}).encode()
    first, second = (server.post(path, data=login) for _ in range(2))
    body = first.json()
    token, expire = body["tenant_access_token"], body["expire"]
    assert token.startswith("t-")
    assert 7100 < expire <= 7200
    expected = {"code": 0, "msg": "ok", "tenant_access_token": token, "expire": expire}
    if "app_access" in path:
        expected["app_access_token"] = token
    check(first, 200, expected)
    assert second.json()["tenant_access_token"] == token
    assert server.post(FILE, key=token, json=file_body()).status_code == 200


@pytest.mark.parametrize("path", [TENANT_TOKEN, APP_TOKEN])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 20_000,
        b'{"app_id":"cli_0123456789abcdef"}',
        b'{"app_secret":"x"}',
        b'{"app_id":1,"app_secret":"x"}',
        b'{"app_id":"cli_0123456789abcdef","app_secret":null}',
        b'{"app_id":"cli_0123456789abcdef","app_secret":"x"}',
        b'{"app_id":"' + b"x" * 20_000 + b'","app_secret":"x"}',
        b'{"app_id":"' + b"x" * 200_000 + b'","app_secret":"x"}',
    ],
    ids=range(13),
)
def test_a_login_without_a_known_app_is_an_invalid_param(server: Running, path: str, body: bytes) -> None:
    check(server.post(path, data=body), 200, {"code": 10003, "msg": "invalid param"})


def test_a_wrong_secret_is_said_and_too_many_of_them_are_slowed(server: Running) -> None:
    directory = server.service.access.directory
    name = directory.create_tenant("guessed").name
    app = directory.create_app(NewCredential("guessed", name, ("speech_to_text:speech",)))
    login = {"app_id": app.app.id, "app_secret": "wrong"}
    check(server.post(TENANT_TOKEN, json=login), 200, {"code": 10014, "msg": "app secret invalid"})
    while (answer := server.post(TENANT_TOKEN, json=login)).json()["code"] == 10014:
        pass
    check(answer, 200, {"code": 99991400, "msg": "request trigger frequency limit"})
    assert int(answer.headers["Retry-After"]) >= 1


# -- the gateway ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [FILE, STREAM])
@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "t-abc"])
def test_a_request_without_a_token_is_told_so(server: Running, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    expected = gateway(99991661, MISSING, "send the header `Authorization: Bearer <tenant_access_token>`")
    check(server.post(path, headers=headers, json={}), 400, expected)


@pytest.mark.parametrize("path", [FILE, STREAM])
@pytest.mark.parametrize("token", ["t-abc", "nonsense", "t-" + "A" * 44, "x" * 5000])
def test_an_unknown_token_is_invalid_whatever_the_body_says(server: Running, path: str, token: str) -> None:
    message = "the tenant access token is unknown, malformed, expired or revoked; get a new one"
    check(server.post(path, key=token, data=b"garbage"), 400, gateway(99991663, INVALID, message))


def test_a_token_is_invalid_once_its_app_is_disabled(server: Running) -> None:
    directory = server.service.access.directory
    name = directory.create_tenant("short-lived").name
    app = directory.create_app(NewCredential("short-lived", name, ("speech_to_text:speech",)))
    token = server.post(TENANT_TOKEN, json={"app_id": app.app.id, "app_secret": app.app_secret}).json()[
        "tenant_access_token"
    ]
    assert server.post(FILE, key=token, json=file_body()).status_code == 200
    directory.set_app_disabled(app.app.id, True)
    assert server.post(FILE, key=token, json=file_body()).json()["code"] == 99991663


@pytest.mark.parametrize("path", [FILE, STREAM])
@pytest.mark.parametrize("token", ["u-abcdef", "eyJhbGciOiJIUzI1NiJ9.e30.x"])
def test_a_user_token_is_refused(server: Running, path: str, token: str) -> None:
    message = "user tokens are not accepted here; use a tenant access token or an API key"
    check(server.post(path, key=token, json={}), 400, gateway(99991668, INVALID, message))


@pytest.mark.parametrize("path", [FILE, STREAM])
def test_a_credential_without_the_scope_is_denied(server: Running, path: str) -> None:
    key = server.new_key(("audio:flash",))
    expected = gateway(
        99991672,
        "Access denied. One of the following scopes is required: [speech_to_text:speech]",
        "the scope speech_to_text:speech is required; an operator can give it to the app or key",
        permissions=[{"type": "action_scope_required", "subject": "speech_to_text:speech"}],
    )
    check(server.post(path, key=key, json={}), 400, expected)


def test_a_credential_for_other_models_is_denied(server: Running) -> None:
    answer = server.post(FILE, key=server.new_key(models=("another",)), json=file_body())
    assert (answer.status_code, answer.json()["code"]) == (400, 99991672)
    assert answer.json()["error"]["permission_violations"] == [{"type": "model_required", "subject": "whisper-base"}]


def test_requests_over_the_rate_are_told_when_to_come_again(server: Running) -> None:
    key = server.new_key(limits={"file_requests_per_second": 1})
    answers = [server.post(FILE, key=key, json=file_body()) for _ in range(6)]
    refused = [answer for answer in answers if answer.status_code != 200]
    message = "the limit of 1 file requests per second for the tenant is reached"
    check(refused[0], 429, gateway(99991400, "request trigger frequency limit", message))
    assert refused[0].headers["x-ogw-ratelimit-limit"] == "1"
    assert refused[0].headers["x-ogw-ratelimit-reset"] == "1"
    assert refused[0].headers["Retry-After"] == "1"


def test_the_stream_over_the_limit_is_refused_and_the_others_go_on(server: Running) -> None:
    key = server.new_key(limits={"streams": 2})
    ids = [uuid.uuid4().hex[:16] for _ in range(3)]
    for stream_id in ids[:2]:
        assert server.post(STREAM, key=key, json=packet_body(stream_id, 0, 1)).json()["code"] == 0
    answer = server.post(STREAM, key=key, json=packet_body(ids[2], 0, 1))
    message = "the limit of 2 live streams at once for the tenant is reached"
    check(answer, 429, gateway(99991400, "request trigger frequency limit", message))
    assert answer.headers["x-ogw-ratelimit-limit"] == "2"
    assert int(answer.headers["x-ogw-ratelimit-reset"]) >= 1
    assert answer.headers["Retry-After"] == answer.headers["x-ogw-ratelimit-reset"]
    for stream_id in ids[:2]:
        assert server.post(STREAM, key=key, json=packet_body(stream_id, 1, 2)).json()["code"] == 0
    assert server.post(STREAM, key=key, json=packet_body(ids[2], 0, 1)).json()["code"] == 0
    assert server.post(STREAM, key=key, json=packet_body(ids[2], 1, 3)).json()["code"] == 0


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/open-apis", "/open-apis/", "/open-apis/nothing", FILE + "/", "/open-apis/%00"])
def test_an_unknown_path_is_json(server: Running, method: str, path: str) -> None:
    answer = requests.request(method, server.url + path, timeout=10)
    got = answer.json()
    assert (answer.status_code, got["code"], got["msg"]) == (404, 99991201, "resource not find")
    assert got["error"]["log_id"] == answer.headers["X-Tt-Logid"]
    assert got["error"]["message"].startswith("there is nothing at /open-apis")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", [FILE, STREAM, TENANT_TOKEN, APP_TOKEN + "/"])
def test_a_wrong_method_is_said(server: Running, method: str, path: str) -> None:
    answer = requests.request(method, server.url + path, timeout=10)
    expected = gateway(99991301, "request method doesn't match", f"{path} takes POST, not {method}")
    check(answer, 404, expected)


# -- file_recognize ---------------------------------------------------------------------------------------------------

ID_RULE = "must be 16 characters, letters, digits and underscores only; got {}"
REQUIRED = "is required"
SPEECH_REQUIRED = 'is required; an object like {"speech": "<base64>"}'
NO_AUDIO = "there is no audio; send base64 of 16 kHz 16-bit mono PCM"


def with_speech(body: dict[str, Any], speech: Any) -> dict[str, Any]:
    return body | {"speech": speech}


FILE_ERRORS: list[tuple[Any, dict[str, Any]]] = [
    (b"", invalid(("body", "", "the body is empty; send a JSON object with speech and config"))),
    (b"[1]", invalid(("body", "", "the body must be a JSON object with speech and config"))),
    (b'"x"', invalid(("body", "", "the body must be a JSON object with speech and config"))),
    (b'{"speech":', invalid(("body", "", "the body is not valid JSON in UTF-8: Input data was truncated"))),
    (b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", invalid(("body", "", "the JSON is nested too deeply"))),
    ({}, invalid(("speech", "", SPEECH_REQUIRED), ("config", "", "is required; an object"))),
    (file_body() | {"config": None}, invalid(("config", "", "is required; an object"))),
    (file_body() | {"config": [1]}, invalid(("config", "[1]", "must be an object, got a list"))),
    (file_body() | {"config": "x"}, invalid(("config", '"x"', "must be an object, got a string"))),
    (file_body(file_id=None), invalid(("config.file_id", "", REQUIRED))),
    (file_body(file_id=5), invalid(("config.file_id", "5", "must be a string, got a number"))),
    (file_body(file_id="short"), invalid(("config.file_id", "short", ID_RULE.format(5)))),
    (file_body(file_id="qwe12dd34567890-"), invalid(("config.file_id", "qwe12dd34567890-", ID_RULE.format(16)))),
    (file_body(file_id="qwe12dd34567890w\n"), invalid(("config.file_id", "qwe12dd34567890w\n", ID_RULE.format(17)))),
    (
        file_body(file_id="１２３４５６７８１２３４５６７８"),
        invalid(("config.file_id", "１２３４５６７８１２３４５６７８", ID_RULE.format(16))),
    ),
    (file_body(file_id="a" * 100), invalid(("config.file_id", "a" * 63 + "…", ID_RULE.format(100)))),
    (file_body(format=None), invalid(("config.format", "", REQUIRED))),
    (file_body(format="wav"), invalid(("config.format", "wav", "must be pcm, the only value supported"))),
    (file_body(format=True), invalid(("config.format", "true", "must be a string, got a boolean"))),
    (file_body(engine_type=None), invalid(("config.engine_type", "", REQUIRED))),
    (
        file_body(engine_type="8k_auto"),
        invalid(("config.engine_type", "8k_auto", "must be 16k_auto, the only value supported")),
    ),
    (
        file_body(file_id=None, format="mp3", engine_type={}),
        invalid(
            ("config.file_id", "", REQUIRED),
            ("config.format", "mp3", "must be pcm, the only value supported"),
            ("config.engine_type", "{}", "must be a string, got an object"),
        ),
    ),
    (with_speech(file_body(), None), invalid(("speech", "", SPEECH_REQUIRED))),
    (
        with_speech(file_body(), "x"),
        invalid(("speech", "", 'must be an object like {"speech": "<base64>"}, got a string')),
    ),
    (with_speech(file_body(), {}), invalid(("speech.speech", "", NO_AUDIO))),
    (with_speech(file_body(), {"speech": None}), invalid(("speech.speech", "", NO_AUDIO))),
    (with_speech(file_body(), {"speech": ""}), invalid(("speech.speech", "", NO_AUDIO))),
    (
        with_speech(file_body(), {"speech": 5}),
        invalid(("speech.speech", "", "must be a string of base64, got a number")),
    ),
    (
        with_speech(file_body(), {"speech": base64.b64encode(b"abc").decode()}),
        invalid(("speech.speech", "", "3 bytes are not whole 16-bit samples; send an even number")),
    ),
    (
        with_speech(file_body(), {"speech": base64.b64encode(pcm(2.1)).decode()}),
        invalid(("speech.speech", "", "the audio is longer than the limit of 2 s")),
    ),
    (
        with_speech(file_body(), {"speech": base64.b64encode(pcm(2) + b"12").decode()}),
        invalid(("speech.speech", "", "the audio is longer than the limit of 2 s")),
    ),
    (
        with_speech(file_body(), {"speech": "é" * 8}),
        invalid(
            (
                "speech.speech",
                "",
                "is not base64 (it has characters outside ASCII); use the standard alphabet with padding, in one line",
            )
        ),
    ),
]


@pytest.mark.parametrize(("body", "expected"), FILE_ERRORS, ids=range(len(FILE_ERRORS)))
def test_a_bad_field_of_a_file_is_named(server: Running, body: Any, expected: dict[str, Any]) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    check(server.post(FILE, key=server.key, data=data), 400, expected)


@pytest.mark.parametrize("speech", ["a", "abc", "ab=c", "YWI", "YWI=\n", "-_-_", "YW I=", "YWI=YWI="])
def test_what_is_not_base64_is_refused(server: Running, speech: str) -> None:
    answer = server.post(FILE, key=server.key, json=with_speech(file_body(), {"speech": speech}))
    (found,) = answer.json()["error"]["field_violations"]
    assert (answer.status_code, answer.json()["code"], found["field"]) == (400, 1040101, "speech.speech")
    assert found["description"].startswith("is not base64 (")
    assert found["value"] == ""


@pytest.mark.parametrize("path", [FILE, STREAM])
def test_a_body_over_the_limit_is_413(server: Running, path: str) -> None:
    limit = file_max_bytes(2.0) if path == FILE else 100_000
    expected = invalid(("body", "", f"the body is over the limit of {limit} bytes"))
    check(server.post(path, key=server.key, data=b" " * (limit + 1)), 413, expected)
    check(server.post(path, key=server.key, data=iter([b" " * 10_000] * 40)), 413, expected)


@pytest.mark.parametrize("path", [FILE, STREAM])
def test_a_compressed_body_is_refused(server: Running, path: str) -> None:
    answer = server.post(path, key=server.key, data=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    description = "compressed bodies are not taken; send the body as it is, without Content-Encoding"
    check(answer, 400, invalid(("Content-Encoding", "gzip", description)))


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_a_body_is_json_whatever_its_content_type_says(server: Running, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = server.post(FILE, key=server.key, data=json.dumps(file_body()).encode(), headers=headers)
    check(answer, 200, {"code": 0, "msg": "success", "data": {"recognition_text": "heard 1600 samples"}})


def test_silence_is_success_with_an_empty_text(server: Running) -> None:
    answer = server.post(FILE, key=server.key, json=file_body(pcm(1, 0)))
    check(answer, 200, {"code": 0, "msg": "success", "data": {"recognition_text": ""}})


@pytest.mark.parametrize(
    ("error", "message", "wait"),
    [
        (RecognitionFailed("inner details"), "the recognition failed; try again", None),
        (Overloaded("the queue is full; try again", 2.2), "the queue is full; try again", "3"),
        (RuntimeError("inner details"), "the server failed on this request; try again", None),
    ],
)
def test_a_failed_recognition_is_a_network_anomaly(
    server: Running, error: Exception, message: str, wait: str | None
) -> None:
    server.service.recognizer.error = error
    answer = server.post(FILE, key=server.key, json=file_body())
    check(answer, 500, gateway(1040102, "network anomaly", message))
    assert answer.headers.get("Retry-After") == wait


def test_a_model_that_still_loads_is_a_network_anomaly(server: Running) -> None:
    server.service.ready = False
    answer = server.post(FILE, key=server.key, json=file_body())
    check(answer, 500, gateway(1040102, "network anomaly", "the model is loading; try again shortly"))
    assert answer.headers["Retry-After"] == "5"


def test_a_tenant_without_audio_left_for_today_is_told_so(server: Running) -> None:
    key = server.new_key(limits={"audio_seconds_per_day": 1})
    answer = server.post(FILE, key=key, json=file_body(pcm(1.5)))
    assert (answer.status_code, answer.json()["code"]) == (429, 99991400)
    assert int(answer.headers["x-ogw-ratelimit-reset"]) >= 1


# -- stream_recognize -------------------------------------------------------------------------------------------------

NUMBER_RULE = "must be a whole number, got {}"
ACTION_RULE = "must be 1 for the first packet, 0 for those between, 2 for the last, or 3 to abort"

PACKET_ERRORS: list[tuple[Any, dict[str, Any]]] = [
    (b"", invalid(("body", "", "the body is empty; send a JSON object with speech and config"))),
    ({}, invalid(("config", "", "is required; an object"), ("speech", "", SPEECH_REQUIRED))),
    (packet_body(None, 0, 1), invalid(("config.stream_id", "", REQUIRED))),
    (packet_body("short", 0, 1), invalid(("config.stream_id", "short", ID_RULE.format(5)))),
    (packet_body(STREAM_ID, None, 1), invalid(("config.sequence_id", "", REQUIRED))),
    (packet_body(STREAM_ID, "0", 1), invalid(("config.sequence_id", '"0"', NUMBER_RULE.format("a string")))),
    (
        packet_body(STREAM_ID, 1.0, 1),
        invalid(("config.sequence_id", "1.0", NUMBER_RULE.format("another or a larger number"))),
    ),
    (
        packet_body(STREAM_ID, 10**30, 1),
        invalid(("config.sequence_id", "1" + "0" * 30, NUMBER_RULE.format("another or a larger number"))),
    ),
    (packet_body(STREAM_ID, True, 1), invalid(("config.sequence_id", "true", NUMBER_RULE.format("a boolean")))),
    (packet_body(STREAM_ID, -1, 1), invalid(("config.sequence_id", "-1", "must be 0 or more"))),
    (packet_body(STREAM_ID, 0, None), invalid(("config.action", "", REQUIRED))),
    (packet_body(STREAM_ID, 0, 4), invalid(("config.action", "4", ACTION_RULE))),
    (packet_body(STREAM_ID, 0, -1), invalid(("config.action", "-1", ACTION_RULE))),
    (packet_body(STREAM_ID, 0, [1]), invalid(("config.action", "[1]", NUMBER_RULE.format("a list")))),
    (packet_body(STREAM_ID, 0, 1, format=None), invalid(("config.format", "", REQUIRED))),
    (
        packet_body(STREAM_ID, 0, 1, format="opus"),
        invalid(("config.format", "opus", "must be pcm, the only value supported")),
    ),
    (packet_body(STREAM_ID, 0, 1, engine_type=None), invalid(("config.engine_type", "", REQUIRED))),
    (packet_body(STREAM_ID, 0, 1, None), invalid(("speech", "", SPEECH_REQUIRED))),
    (
        with_speech(packet_body(STREAM_ID, 0, 1), [1]),
        invalid(("speech", "", 'must be an object like {"speech": "<base64>"}, got a list')),
    ),
    (
        with_speech(packet_body(STREAM_ID, 0, 1), {"speech": {}}),
        invalid(("speech.speech", "", "must be a string of base64, got an object")),
    ),
    (
        packet_body(STREAM_ID, 2, 1),
        invalid(("config.sequence_id", "2", "the first packet of a stream (action 1) is number 0 or 1")),
    ),
    *(
        (
            packet_body("nobody_knows_me_", 1, action),
            invalid(
                (
                    "config.stream_id",
                    "nobody_knows_me_",
                    "the stream is unknown or has expired (60 s without a packet end a stream); open one with action 1",
                )
            ),
        )
        for action in (0, 2)
    ),
]


@pytest.mark.parametrize(("body", "expected"), PACKET_ERRORS, ids=range(len(PACKET_ERRORS)))
def test_a_bad_field_of_a_packet_is_named(server: Running, body: Any, expected: dict[str, Any]) -> None:
    before = server.service.streams.live  # the server is shared
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    check(server.post(STREAM, key=server.key, data=data), 400, expected)
    assert server.service.streams.live <= before


def ok(stream_id: str, sequence_id: int, text: str) -> dict[str, Any]:
    """The whole answer to a packet."""
    data = {"stream_id": stream_id, "sequence_id": sequence_id, "recognition_text": text}
    return {"code": 0, "msg": "success", "data": data}


# Packets (sequence_id, action, audio), each with the text it is answered with or the violation it is refused with.
CONVERSATIONS: dict[str, list[tuple[int, int, bytes | None, str | tuple[str, str, str]]]] = {
    "from 0": [(0, 1, b"1234", "2 so far"), (1, 0, b"12", "3 so far"), (2, 2, b"12", "heard 4 samples")],
    "from 1": [(1, 1, b"1234", "2 so far"), (2, 2, b"", "heard 2 samples")],
    "empty speech": [(0, 1, b"", "0 so far"), (1, 0, b"", "0 so far"), (2, 2, None, "heard 0 samples")],
    "split sample": [(0, 1, b"1", "0 so far"), (1, 0, b"23", "1 so far"), (2, 2, b"4", "heard 2 samples")],
    "retry": [
        (0, 1, b"12", "1 so far"),
        (0, 1, b"12", "1 so far"),
        (1, 0, b"12", "2 so far"),
        (1, 0, b"12", "2 so far"),
        (2, 2, b"", "heard 2 samples"),
        (2, 2, b"", "heard 2 samples"),
    ],
    "overtaking": [
        (0, 1, b"12", "1 so far"),
        (2, 0, b"56", "1 so far"),
        (1, 0, b"34", "3 so far"),
        (3, 2, b"", "heard 3 samples"),
    ],
    "missing": [
        (0, 1, b"12", "1 so far"),
        (2, 0, b"56", "1 so far"),
        (
            3,
            2,
            b"",
            (
                "config.sequence_id",
                "1",
                "packet 1 is missing: it was never received, so the stream cannot be completed; "
                "send every number once, in steps of 1",
            ),
        ),
    ],
    "outside the window": [
        (0, 1, b"12", "1 so far"),
        (
            34,
            0,
            b"",
            (
                "config.sequence_id",
                "34",
                "the next packet is number 1; a packet may be at most 32 ahead of or behind it",
            ),
        ),
        (1, 2, b"", "heard 1 samples"),
    ],
    "start of a live stream": [
        (0, 1, b"12", "1 so far"),
        (
            0,
            1,
            b"34",
            (
                "config.action",
                "1",
                "the stream {} is already live and this is not a retry of its first packet; "
                "use action 0 to go on, action 3 to drop it, or another stream_id",
            ),
        ),
        (1, 2, b"", "heard 1 samples"),
    ],
    "other content": [
        (0, 1, b"12", "1 so far"),
        (1, 0, b"12", "2 so far"),
        (
            1,
            0,
            b"34",
            (
                "config.sequence_id",
                "1",
                "packet 1 was sent before with different content; a retry repeats the same packet, "
                "new audio takes the next number",
            ),
        ),
        (2, 3, b"", ""),
    ],
    "abort": [(0, 3, b"", ""), (0, 1, b"12", "1 so far"), (1, 3, b"34", ""), (5, 3, None, "")],
    "free again": [
        (0, 1, b"12", "1 so far"),
        (1, 2, b"", "heard 1 samples"),
        (1, 1, b"1234", "2 so far"),
        (2, 2, b"", "heard 2 samples"),
    ],
    "too long": [
        (0, 1, pcm(2), "32000 so far"),
        (1, 0, pcm(2), "64000 so far"),
        (
            2,
            0,
            pcm(2),
            (
                "speech.speech",
                "",
                "the stream is longer than 5 s; packet 2 was not taken: "
                "end the stream with action 2, sequence_id 2 and no audio, and open another one",
            ),
        ),
        (2, 2, b"", "heard 64000 samples"),
    ],
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_stream_is_answered_packet_by_packet(server: Running, name: str) -> None:
    before = server.service.streams.live  # the server is shared
    stream_id = uuid.uuid4().hex[:16]
    for sequence_id, action, audio, expected in CONVERSATIONS[name]:
        answer = server.post(STREAM, key=server.key, json=packet_body(stream_id, sequence_id, action, audio))
        if isinstance(expected, str):
            check(answer, 200, ok(stream_id, sequence_id, expected))
        else:
            field, value, description = expected
            check(answer, 400, invalid((field, value, description.format(stream_id))))
    assert server.service.streams.live <= before


@pytest.mark.parametrize(
    ("error", "message", "wait"),
    [
        (Overloaded("busy", 1.0), "busy", "1"),
        (RuntimeError("inner"), "the server failed on this request; try again", None),
    ],
)
def test_a_stream_that_cannot_be_opened_is_a_network_anomaly(
    server: Running, error: Exception, message: str, wait: str | None
) -> None:
    server.service.open_error = error
    answer = server.post(STREAM, key=server.key, json=packet_body(STREAM_ID, 0, 1))
    check(answer, 500, gateway(1040102, "network anomaly", message))
    assert answer.headers.get("Retry-After") == wait


def test_a_final_text_that_fails_is_a_network_anomaly(server: Running) -> None:
    stream_id = uuid.uuid4().hex[:16]
    server.post(STREAM, key=server.key, json=packet_body(stream_id, 0, 1))
    server.service.recognizer.error = RuntimeError("inner details")
    answer = server.post(STREAM, key=server.key, json=packet_body(stream_id, 1, 2))
    check(answer, 500, gateway(1040102, "network anomaly", "the recognition failed; try again"))


def test_a_stream_answer_says_how_much_of_its_text_is_confirmed(server: Running) -> None:
    key = server.new_key()
    answers = [
        server.post(STREAM, key=key, json=packet_body("confirmed0000000", number, action, pcm(0.1)))
        for number, action in ((0, 1), (1, 2))
    ]
    assert all("X-Lingting-Confirmed" in list(answer.headers) for answer in answers), "the case matters to some"
    confirmed = [
        answer.json()["data"]["recognition_text"][: int(answer.headers["X-Lingting-Confirmed"])] for answer in answers
    ]
    assert confirmed == ["1600", "heard 3200 samples"]
    assert [answer.headers["X-Lingting-Confirmed-Ms"] for answer in answers] == ["100", "200"]


def test_the_packet_that_opens_a_stream_may_name_hot_words_and_a_language(server: Running) -> None:
    key = server.new_key()
    headers = {"hot-words": quote("Kubernetes，承运人"), "language": "zh"}
    answer = server.post(STREAM, key=key, json=packet_body("withoptions00000", 0, 1, pcm(0.1)), headers=headers)
    assert answer.status_code == 200
    options = server.service.sessions[-1].options
    assert (options.language, options.hot_words) == ("zh", ("Kubernetes", "承运人"))
    for wrong in ({"language": "fr"}, {"hot-words": "%ff"}, {"hot-words": "x" * 65}):
        answer = server.post(STREAM, key=key, json=packet_body("withoptions00001", 0, 1, pcm(0.1)), headers=wrong)
        assert (answer.status_code, answer.json()["code"]) == (400, 1040101)
        assert answer.json()["error"]["field_violations"][0]["field"] == next(iter(wrong))
    assert server.post(STREAM, key=key, json=packet_body("withoptions00000", 1, 2)).status_code == 200


@pytest.mark.parametrize("speech", ["", {}, {"speech": ""}, None])
def test_a_last_packet_without_audio_may_write_that_in_any_way(server: Running, speech: Any) -> None:
    stream_id = "last" + str(["", {}, {"speech": ""}, None].index(speech)) * 12
    assert server.post(STREAM, key=server.key, json=packet_body(stream_id, 0, 1, pcm(0.1))).json()["code"] == 0
    last = with_speech(packet_body(stream_id, 1, 2), speech)
    answer = server.post(STREAM, key=server.key, json=last).json()
    assert (answer["code"], answer["data"]["recognition_text"]) == (0, "heard 1600 samples")


def test_a_flood_of_packets_is_told_to_slow_down_and_no_other_tenant_notices(tmp_path: Path) -> None:
    with serving(tmp_path, stream_packets_per_second=5, drain_seconds=0.1) as server:
        assert server.post(STREAM, key=server.key, json=packet_body(STREAM_ID, 0, 1, pcm(0.1))).json()["code"] == 0
        answers = [server.post(STREAM, key=server.key, json=packet_body(STREAM_ID, 0, 1, pcm(0.1))) for _ in range(30)]
        refused = next(answer for answer in answers if answer.status_code != 200)
        body = refused.json()
        message = "the limit of 5 stream packets per second for the tenant is reached"
        assert (refused.status_code, body["code"], body["error"]["message"]) == (429, 99991400, message)
        assert refused.headers["x-ogw-ratelimit-limit"] == "5"
        assert refused.headers["Retry-After"] == refused.headers["x-ogw-ratelimit-reset"] == "1"
        other = server.post(STREAM, key=server.new_key(), json=packet_body(STREAM_ID, 0, 1, pcm(0.1)))
        assert other.json()["code"] == 0


def test_packets_whose_bodies_never_come_take_only_the_places_of_their_own_tenant(tmp_path: Path) -> None:
    import contextlib
    import socket

    with (
        serving(tmp_path, requests_per_tenant=1, streams_per_tenant=1, drain_seconds=0.1) as server,
        contextlib.ExitStack() as opened,
    ):
        head = f"POST {STREAM} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Length: 99\r\n\r\n"
        for _ in range(4):
            connection = opened.enter_context(socket.create_connection(server.address, timeout=10))
            connection.sendall(head.encode())
        packet = packet_body(STREAM_ID, 0, 1, pcm(0.1))
        while (answer := server.post(STREAM, key=server.key, json=packet)).status_code == 200:
            packet = packet_body(STREAM_ID, packet["config"]["sequence_id"] + 1, 0, pcm(0.1))  # not all are there yet
        message = "the limit of 4 stream packets at once for the tenant is reached"
        assert (answer.json()["code"], answer.json()["error"]["message"]) == (99991400, message)
        other = server.post(STREAM, key=server.new_key(), json=packet_body(STREAM_ID, 0, 1, pcm(0.1)))
        assert other.json()["code"] == 0
