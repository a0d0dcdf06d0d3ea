"""Every error of OpenAI's transcription interface, and what its fields do, over a socket."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from lingting.api.openai.form import MAX_FIELD_BYTES, MAX_PARTS
from lingting.errors import LingtingError, Overloaded, RecognitionFailed
from tests.api.serving import TRANSCRIPTIONS, Running, pcm, receive_all

WAV = b"RIFF" + pcm(1.0)
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def send(server: Running, *fields: tuple[str, str], audio: bytes | None = WAV, **named: Any) -> requests.Response:
    """A form with these fields and a file."""
    key = named.pop("key", server.key)
    name = named.pop("filename", "speech.wav")
    parts: list[tuple[str, Any]] = [(field, (None, value)) for field, value in fields]
    if audio is not None:
        parts.append(("file", (name, audio)))
    return server.post(TRANSCRIPTIONS, key=key, files=parts, **named)


def check(
    answer: requests.Response, status: int, code: str | None, message: str, param: str | None = None
) -> requests.Response:
    """The status, the whole body, and the headers that every answer carries."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "param": param, "code": code}
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert re.fullmatch(r"[0-9]{14}[0-9a-f]{20}", answer.headers["X-Request-Id"])
    return answer


def nothing_spooled(server: Running) -> bool:
    """Whether no request has left a file on the server; what is about to be removed is waited for."""
    deadline = time.monotonic() + 10
    while server.uploads and time.monotonic() < deadline:
        time.sleep(0.01)
    return not server.uploads


def events(answer: requests.Response) -> list[Any]:
    """The data of server-sent events."""
    lines = answer.content.decode().split("\n")
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [each if each == "[DONE]" else json.loads(each) for each in data]


def test_a_recording_is_answered_with_its_text_and_its_seconds(server: Running) -> None:
    answer = send(server, ("model", "whisper-1"))
    assert answer.json() == {"text": "heard 16000 samples", "usage": {"type": "duration", "seconds": 1.0}}


def test_silence_is_an_empty_text_in_every_format(server: Running) -> None:
    silence = b"RIFF" + pcm(0.5, 0)
    assert send(server, audio=silence).json()["text"] == ""
    bodies = {form: send(server, ("response_format", form), audio=silence).text for form in ("text", "srt", "vtt")}
    assert bodies == {"text": "\n", "srt": "", "vtt": "WEBVTT\n"}
    verbose = send(server, ("response_format", "verbose_json"), audio=silence).json()
    assert (verbose["text"], verbose["segments"], verbose["duration"]) == ("", [], 0.5)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi"])
def test_no_key_is_401(server: Running, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = send(server, key=None, headers=headers)
    check(answer, 401, "invalid_api_key", "send the header `Authorization: Bearer <API key>`")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("key", ["nonsense", "t-abc", "u-abc", "eyJx"])
def test_an_unknown_key_is_401_on_every_path(server: Running, key: str) -> None:
    message = "the API key is unknown or revoked"
    check(send(server, key=key), 401, "invalid_api_key", message)
    for path in ("/v1/models", "/v1/models/whisper-1"):
        answer = requests.get(server.url + path, headers={"Authorization": f"Bearer {key}"}, timeout=10)
        check(answer, 401, "invalid_api_key", message)


def test_a_key_without_the_scope_is_403(server: Running) -> None:
    message = "the scope audio:transcriptions is required; an operator can give it to the app or key"
    check(send(server, key=server.new_key(("audio:flash",))), 403, "missing_scope", message)


def test_a_key_without_the_model_is_403_and_sees_no_model(server: Running) -> None:
    key = server.new_key(models=("another",))
    message = "this credential may not use the model 'whisper-base'"
    check(send(server, ("model", "whisper-1"), key=key), 403, "model_not_allowed", message, "model")
    headers = {"Authorization": f"Bearer {key}"}
    listed = requests.get(f"{server.url}/v1/models", headers=headers, timeout=10)
    assert listed.json() == {"object": "list", "data": []}
    one = requests.get(f"{server.url}/v1/models/whisper-base", headers=headers, timeout=10)
    check(one, 403, "model_not_allowed", message, "model")


@pytest.mark.parametrize("model", ["whisper-large-v3", "x" * 200, "whisper-1 "])
def test_only_the_installed_model_and_names_that_stand_for_it_are_known(server: Running, model: str) -> None:
    answer = send(server, ("model", model))
    if model.strip() == "whisper-1":
        assert answer.status_code == 200
    else:
        message = f"the model {model[:60]!r} is not installed; use 'whisper-base', or none for the default"
        check(answer, 404, "model_not_found", message, "model")


@pytest.mark.parametrize("asked", [("response_format", "diarized_json"), ("model", "gpt-4o-transcribe-diarize")])
def test_speakers_are_refused_where_there_are_no_models_for_them(server: Running, asked: tuple[str, str]) -> None:
    message = "this server does not tell speakers apart; its operator sets LINGTING_SPEAKER_MODEL"
    check(send(server, asked), 400, "unsupported_value", message, "response_format")


@pytest.mark.parametrize(
    "model", ["", "whisper-base", "whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe-2025-12-15"]
)
def test_names_of_openai_stand_for_the_servers_model(server: Running, model: str) -> None:
    assert send(server, ("model", model)).status_code == 200


BAD_FIELDS = [
    ("language", "fr", "the language 'fr' is not supported; use zh or en, or leave language out to have it recognised"),
    (
        "language",
        "english please",
        "the language 'english please' is not supported; use zh or en, or leave language out to have it recognised",
    ),
    (
        "languages[]",
        "de",
        "the language 'de' is not supported; use zh or en, or leave languages out to have it recognised",
    ),
    (
        "response_format",
        "xml",
        "response_format must be one of json, text, srt, vtt, verbose_json, diarized_json, got 'xml'",
    ),
    ("temperature", "hot", "temperature must be a number from 0 to 1, got 'hot'"),
    ("temperature", "1.5", "temperature must be a number from 0 to 1, got '1.5'"),
    ("temperature", "nan", "temperature must be a number from 0 to 1, got 'nan'"),
    ("stream", "perhaps", "stream must be true or false, got 'perhaps'"),
    ("timestamp_granularities[]", "letter", "timestamp_granularities must be word or segment, got 'letter'"),
    ("timestamp_granularities[]", "word", "timestamp_granularities needs response_format verbose_json, got 'json'"),
    ("prompt", "x" * 8001, "prompt may have 8000 characters, got 8001"),
    ("prompt", ",".join(f"w{number}" for number in range(501)), "prompt may hold 500 terms, got 501"),
    ("keywords[]", "x" * 65, "a keyword may have 64 printable characters"),
    ("include[]", "logprobs", "include is not supported; word probabilities are not returned here"),
    (
        "known_speaker_names[]",
        "Ada",
        "known_speaker_names is not supported: speakers are told apart, and not known by name",
    ),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_FIELDS)
def test_a_bad_field_is_400_and_named(server: Running, name: str, value: str, message: str) -> None:
    before = len(server.service.recognizer.seen)
    check(send(server, (name, value)), 400, "invalid_value", message, name.removesuffix("[]"))
    assert len(server.service.recognizer.seen) == before
    assert nothing_spooled(server)


def test_a_field_given_twice_is_400(server: Running) -> None:
    answer = send(server, ("language", "zh"), ("language", "en"))
    check(answer, 400, "invalid_value", "language is given more than once", "language")


def test_streaming_takes_formats_that_can_be_streamed(server: Running) -> None:
    message = "stream=true takes the response_format json or text, got 'srt'"
    answer = send(server, ("stream", "true"), ("response_format", "srt"))
    check(answer, 400, "invalid_value", message, "response_format")


@pytest.mark.parametrize(
    ("given", "heard"),
    [("zh", "zh"), ("zh-CN", "zh"), ("zh_Hant_TW", "zh"), ("Chinese", "zh"), ("en", "en"), ("en-US", "en"), ("", None)],
)
def test_a_language_and_its_variants_reach_the_recognition(server: Running, given: str, heard: str | None) -> None:
    assert send(server, ("language", given)).status_code == 200
    assert server.service.recognizer.seen[-1][1].language == heard


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("聆听，飞书、小明", ("聆听", "飞书", "小明")),
        ("Lingting Feishu Lingting", ("Lingting", "Feishu")),
        ("Ada Lovelace, Claude Shannon", ("Ada Lovelace", "Claude Shannon")),
        ("Hello, this is about the new billing system.", ("Hello", "this", "is", "about", "the", "new", "billing",
         "system")),
        (" ,，, ", ()),
    ],
)  # fmt: skip
def test_a_prompt_becomes_hot_words(server: Running, prompt: str, words: tuple[str, ...]) -> None:
    assert send(server, ("prompt", prompt)).status_code == 200
    assert server.service.recognizer.seen[-1][1].hot_words == words


def test_keywords_become_hot_words(server: Running) -> None:
    assert send(server, ("keywords[]", "Ada Lovelace"), ("keywords[]", "飞书")).status_code == 200
    assert server.service.recognizer.seen[-1][1].hot_words == ("Ada Lovelace", "飞书")


def test_unknown_fields_are_passed_over(server: Running) -> None:
    assert send(server, ("colour", "blue"), ("chunking_strategy", "auto")).status_code == 200


def test_the_name_of_a_file_decides_only_for_raw_samples(server: Running) -> None:
    assert send(server, audio=pcm(0.5), filename="x.pcm").json()["usage"]["seconds"] == 0.5
    assert send(server, filename="../../etc/passwd").status_code == 200


def test_a_missing_or_empty_file_is_400(server: Running) -> None:
    missing = send(server, ("model", "whisper-1"), audio=None)
    check(missing, 400, "invalid_form", "the field file is missing; send the audio file in it", "file")
    check(send(server, audio=b""), 400, "invalid_form", "the file is empty", "file")
    check(send(server, audio=b"RIFF"), 400, "empty_audio", "there are no samples in the audio", "file")


def test_two_files_are_400(server: Running) -> None:
    answer = server.post(TRANSCRIPTIONS, key=server.key, files=[("file", ("a", WAV)), ("file", ("b", WAV))])
    message = "the form has more than one file; send one request for each"
    check(answer, 400, "invalid_form", message, "file")


def test_what_is_not_audio_is_400(server: Running) -> None:
    answer = send(server, audio=b"not audio at all")
    check(answer, 400, "invalid_audio", "the bytes are not audio in any known format", "file")


def test_audio_over_the_length_limit_is_413(server: Running) -> None:
    answer = send(server, audio=b"RIFF" + pcm(3.5))
    check(answer, 413, "audio_too_long", "the audio is longer than 3 s", "file")


def test_a_file_over_the_byte_limit_is_413_whether_it_says_so_or_not(server: Running) -> None:
    message = "the file is over the limit of 200000 bytes"
    check(send(server, audio=b"x" * 200_001), 413, "file_too_large", message, "file")
    declared = (
        f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 900000000\r\n\r\n"
    )
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(declared.encode())
        answer = receive_all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert message.encode() in answer
    assert nothing_spooled(server)


FORM = {"Content-Type": "multipart/form-data; boundary=b"}
NOT_A_FORM = "the body must be multipart/form-data with a boundary; curl makes one with -F file=@NAME"


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("application/json", b"{}", NOT_A_FORM),
        ("", WAV, NOT_A_FORM),
        ("multipart/form-data", b"--b--\r\n", NOT_A_FORM),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nRIFF',
         "the form breaks off before its last boundary"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
         "a part of the form has no name"),
    ],
)  # fmt: skip
def test_what_is_no_whole_form_is_400(server: Running, kind: str, body: bytes, message: str) -> None:
    answer = server.post(TRANSCRIPTIONS, key=server.key, data=body, headers={"Content-Type": kind})
    check(answer, 400, "invalid_form", message)


def test_a_broken_form_is_400(server: Running) -> None:
    answer = server.post(TRANSCRIPTIONS, key=server.key, data=b"nothing like a form", headers=FORM)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid_form")
    assert error["message"].startswith("the body is not a valid multipart form: ")


def test_too_many_parts_and_too_large_fields_are_400(server: Running) -> None:
    many = send(server, *((f"f{number}", "x") for number in range(MAX_PARTS + 1)))
    check(many, 400, "invalid_form", f"the form has more than {MAX_PARTS} parts")
    large = send(server, ("model", "x" * (MAX_FIELD_BYTES + 1)))
    check(large, 400, "invalid_form", f"a field may have {MAX_FIELD_BYTES} bytes", "model")


def test_a_field_that_is_not_text_is_400(server: Running) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n\xff\xfe\r\n--b--\r\n'
    answer = server.post(TRANSCRIPTIONS, key=server.key, data=body, headers=FORM)
    check(answer, 400, "invalid_form", "the field is not UTF-8", "prompt")


def test_a_compressed_body_is_415(server: Running) -> None:
    message = "compressed bodies are not taken; send the body as it is, without Content-Encoding"
    check(send(server, headers={"Content-Encoding": "gzip"}), 415, "unsupported_encoding", message)


def test_a_body_that_stops_arriving_is_400(server: Running) -> None:
    head = (
        f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n--b\r\n"
    )
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(head.encode())
        answer = receive_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"invalid_body"' in answer
    assert nothing_spooled(server)


def test_over_the_rate_is_429_with_a_time(server: Running) -> None:
    key = server.new_key(limits={"transcription_requests_per_second": 1})
    answers = [send(server, key=key) for _ in range(4)]
    refused = next(answer for answer in answers if answer.status_code != 200)
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["code"]) == (429, "rate_limit_error", "rate_limit_exceeded")
    assert int(refused.headers["Retry-After"]) >= 1


def test_over_the_audio_budget_is_429_with_a_code_of_its_own(server: Running) -> None:
    answer = send(server, key=server.new_key(limits={"audio_seconds_per_day": 1}), audio=b"RIFF" + pcm(2.0))
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("stream", ["true", "false"])
@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (Overloaded("the predicted wait is 40 s", 7.2), 503, "server_overloaded", "the predicted wait is 40 s"),
        (RecognitionFailed("secret"), 500, "server_error", "the recognition failed; try again"),
        (LingtingError("secret"), 500, "server_error", "the recognition failed; try again"),
        (RuntimeError("secret"), 500, "server_error", "the server failed on this request; try again"),
    ],
)
def test_a_recognition_that_fails_has_a_status_streamed_or_not(
    server: Running, stream: str, error: Exception, status: int, code: str, message: str
) -> None:
    server.service.recognizer.error = error
    answer = check(send(server, ("stream", stream)), status, code, message)
    assert answer.headers.get("Retry-After") == ("8" if status == 503 else None)
    assert nothing_spooled(server)


def test_while_the_model_loads_it_is_503(server: Running) -> None:
    server.service.ready = False
    answer = check(send(server), 503, "server_overloaded", "the model is loading; try again shortly")
    assert answer.headers["Retry-After"] == "5"


def test_a_stream_is_deltas_then_the_whole_text(server: Running) -> None:
    answer = send(server, ("stream", "true"))
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert events(answer) == [
        {"type": "transcript.text.delta", "delta": "heard 16000 samples"},
        {
            "type": "transcript.text.done",
            "text": "heard 16000 samples",
            "usage": {"type": "duration", "seconds": 1.0},
        },
        "[DONE]",
    ]


@pytest.mark.parametrize("error", [RecognitionFailed("secret"), RuntimeError("secret")])
def test_a_stream_that_breaks_ends_in_an_error_event(server: Running, error: Exception) -> None:
    server.service.recognizer.broken = error
    answer = send(server, ("stream", "true"))
    failure = {"message": "the recognition failed; try again", "type": "server_error", "param": None}
    assert events(answer)[1:] == [{"error": failure | {"code": "server_error"}}]
    assert b"event: error\n" in answer.content


def test_a_client_that_leaves_ends_its_recognition(server: Running) -> None:
    recognizer = server.service.recognizer
    before = recognizer.cancelled
    recognizer.released = server.call(asyncio.Event)
    try:
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(
                server.url + TRANSCRIPTIONS,
                headers={"Authorization": f"Bearer {server.key}"},
                files={"file": ("a.wav", WAV), "stream": (None, "true")},
                timeout=0.5,
            )
        deadline = time.monotonic() + 10
        while recognizer.cancelled == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert recognizer.cancelled == before + 1
    finally:
        recognizer.released = None


def test_a_place_is_held_until_the_stream_ends_and_then_free(server: Running) -> None:
    key = server.new_key(limits={"concurrent_requests": 1})
    assert [send(server, ("stream", "true"), key=key).status_code for _ in range(3)] == [200, 200, 200]


def test_usage_counts_what_was_recognised(server: Running) -> None:
    key = server.new_key()
    tenant = server.service.access.directory.keys()[-1].tenant
    for stream in ("true", "false"):
        assert send(server, ("stream", stream), key=key).status_code == 200
    assert send(server, ("language", "fr"), key=key).status_code == 400
    today = datetime.now(UTC).date()
    summary = server.service.access.usage.summary(today, today, ["tenant", "interface"])
    rows = asyncio.run_coroutine_threadsafe(summary, server.loop).result(10)
    counted = {row["interface"]: row for row in rows if row["tenant"] == tenant}["transcriptions"]
    assert (counted["requests"], counted["errors"], counted["audio_seconds"]) == (3, 1, 2.0)


def test_models_are_listed_and_found_by_either_name(server: Running) -> None:
    headers = {"Authorization": f"Bearer {server.key}"}
    listed = requests.get(f"{server.url}/v1/models", headers=headers, timeout=10).json()
    assert [(each["id"], each["object"], each["owned_by"]) for each in listed["data"]] == [
        ("whisper-base", "model", "lingting")
    ]
    for name in ("whisper-base", "whisper-1"):
        found = requests.get(f"{server.url}/v1/models/{name}", headers=headers, timeout=10)
        assert found.json() == listed["data"][0]
    unknown = requests.get(f"{server.url}/v1/models/a/b", headers=headers, timeout=10)
    message = "the model 'a/b' is not installed; use 'whisper-base', or none for the default"
    check(unknown, 404, "model_not_found", message, "model")
    (server.service.settings.models_dir / "whisper-tiny").mkdir(parents=True, exist_ok=True)
    another = requests.get(f"{server.url}/v1/models/whisper-tiny", headers=headers, timeout=10)
    message = "the model 'whisper-tiny' is installed but not served; use 'whisper-base', or none for the default"
    check(another, 404, "model_not_found", message, "model")


def test_wrong_methods_and_paths_answer_like_openai(server: Running) -> None:
    wrong = requests.get(server.url + TRANSCRIPTIONS, timeout=10)
    check(wrong, 405, "method_not_allowed", "/v1/audio/transcriptions does not take GET")
    unknown = requests.get(server.url + TRANSCRIPTIONS + "/x", timeout=10)
    check(unknown, 404, "unknown_url", "there is nothing at /v1/audio/transcriptions/x")
