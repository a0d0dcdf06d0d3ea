"""Every row of the error table of flash, and what its parameters do."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
import requests

from lingting.errors import Overloaded, RecognitionFailed
from tests.api.serving import FLASH, Running, pcm

TYPES = {
    400: "Illegal Argument",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Exception",
    503: "Service Unavailable",
}
WAV = b"RIFF" + pcm(1.0)
FORMATS = "wav, mp3, pcm, flac, ogg, opus, aac, m4a, mp4, amr, webm"


def check(answer: requests.Response, status: int, message: str, param: str | None = None) -> None:
    """The status, the whole body, and the headers that every answer carries."""
    error = {"message": message, "type": TYPES[status], "param": param, "code": str(status), "httpCode": status}
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert re.fullmatch(r"[0-9]{14}[0-9a-f]{20}", answer.headers["X-Tt-Logid"])


def test_a_recording_is_answered_with_sentences_and_times(server: Running) -> None:
    answer = server.post(FLASH, key=server.key, data=WAV)
    body = answer.json()
    assert re.fullmatch(r"asr-[0-9a-f]{32}", body.pop("task_id"))
    assert body == {
        "user": "Ada",
        "flash_result": {
            "duration": 1000,
            "sentences": [{"text": "heard 16000 samples", "begin_time": 250, "end_time": 1000}],
        },
    }
    assert answer.status_code == 200


def test_silence_has_no_sentences_and_its_true_duration(server: Running) -> None:
    answer = server.post(FLASH, key=server.key, data=b"RIFF" + pcm(1.5, 0))
    assert answer.json()["flash_result"] == {"duration": 1500, "sentences": []}


def test_every_task_has_an_id_of_its_own(server: Running) -> None:
    tasks = {server.post(FLASH, key=server.key, data=WAV).json()["task_id"] for _ in range(5)}
    assert len(tasks) == 5


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi", "Bearer  "])
def test_no_key_is_401(server: Running, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = server.post(FLASH, headers=headers, data=WAV)
    check(answer, 401, "send the header `Authorization: Bearer <API key>`")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("key", ["nonsense", "t-abc", "u-abc", "eyJx", "x" * 4000])
def test_an_unknown_key_is_401(server: Running, key: str) -> None:
    check(server.post(FLASH, key=key, data=WAV), 401, "the API key is unknown or revoked")


def test_a_disabled_key_is_401(server: Running) -> None:
    key = server.new_key()
    assert server.post(FLASH, key=key, data=WAV).status_code == 200
    directory = server.service.access.directory
    directory.set_key_disabled(directory.keys()[-1].id, True)
    check(server.post(FLASH, key=key, data=WAV), 401, "the API key is unknown or revoked")


def test_a_key_without_the_scope_is_403(server: Running) -> None:
    answer = server.post(FLASH, key=server.new_key(("speech_to_text:speech",)), data=WAV)
    check(answer, 403, "the scope audio:flash is required; an operator can give it to the app or key")


def test_a_key_without_the_model_is_403(server: Running) -> None:
    answer = server.post(FLASH, key=server.new_key(models=("another",)), data=WAV)
    check(answer, 403, "this credential may not use the model 'whisper-base'", "model")


def test_a_model_that_is_not_installed_is_404(server: Running) -> None:
    message = "the model 'asr-model-1' is not installed; use 'whisper-base', or none for the default"
    check(server.post(FLASH, key=server.key, data=WAV, headers={"model": "asr-model-1"}), 404, message, "model")
    assert server.post(FLASH, key=server.key, data=WAV, headers={"model": "whisper-base"}).status_code == 200


def test_a_model_that_is_installed_and_does_not_answer_is_404_and_not_called_missing(server: Running) -> None:
    (server.service.settings.models_dir / "whisper-small").mkdir(parents=True, exist_ok=True)
    message = "the model 'whisper-small' is installed but not served; use 'whisper-base', or none for the default"
    check(server.post(FLASH, key=server.key, data=WAV, headers={"model": "whisper-small"}), 404, message, "model")


BAD_PARAMETERS = [
    ("sample_rate", "x", 400, "sample_rate must be a whole number of Hz, got 'x'"),
    ("sample_rate", "-1", 400, "sample_rate must be a whole number of Hz, got '-1'"),
    ("sample_rate", "16000.5", 400, "sample_rate must be a whole number of Hz, got '16000.5'"),
    ("sample_rate", "1", 400, "sample_rate must be from 4000 to 192000 Hz, got 1"),
    ("sample_rate", "192001", 400, "sample_rate must be from 4000 to 192000 Hz, got 192001"),
    ("max_sentence_silence", "long", 400, "max_sentence_silence must be a whole number of ms, got 'long'"),
    ("max_sentence_silence", "0", 400, "max_sentence_silence must be from 100 to 60000 ms, got 0"),
    ("max_sentence_silence", "60001", 400, "max_sentence_silence must be from 100 to 60000 ms, got 60001"),
    ("convert_numbers", "maybe", 400, "convert_numbers must be true or false, got 'maybe'"),
    ("language", "fr", 400, "language must be zh, en or auto, got 'fr'"),
    ("hot_words", ",".join(f"w{i}" for i in range(501)), 400, "hot_words may hold 500 words, got 501"),
    ("hot_words", "x" * 65, 400, "a hot word may have 64 characters, got 65"),
    ("hot_words", "a%00b", 400, "a hot word has unprintable characters: 'a\\x00b'"),
    ("hot_words_table_id", "t1", 400, "there is no hot word table 't1'; send the words in hot_words"),
    ("format", "exe", 415, f"unknown format 'exe'; the formats are {FORMATS}"),
]


@pytest.mark.parametrize(("name", "value", "status", "message"), BAD_PARAMETERS)
@pytest.mark.parametrize("way", ["underscores", "hyphens", "query"])
def test_a_bad_parameter_is_named(server: Running, way: str, name: str, value: str, status: int, message: str) -> None:
    if way == "query":
        query = f"{name}={value}" if "%" in value else f"{name}=" + requests.utils.quote(value)
        answer = server.post(f"{FLASH}?{query}", key=server.key, data=WAV)
    else:
        header = name.replace("_", "-") if way == "hyphens" else name
        answer = server.post(FLASH, key=server.key, data=WAV, headers={header: value})
    check(answer, status, message, name)


@pytest.mark.parametrize("way", ["header", "query"])
def test_hot_words_that_are_not_utf8_are_refused(server: Running, way: str) -> None:
    if way == "header":
        answer = server.post(FLASH, key=server.key, data=WAV, headers={"hot_words": "%FF"})
    else:
        answer = server.post(FLASH + "?hot_words=%FF", key=server.key, data=WAV)
    check(answer, 400, "hot_words is not URL-encoded UTF-8", "hot_words")


PARAMETERS: list[tuple[dict[str, str], Any]] = [
    ({}, (3.0, (), False)),
    ({"max_sentence_silence": "2000"}, (2.0, (), False)),
    ({"hot_words": "%E8%81%86%E5%90%AC,Ada%20Lovelace,,%E8%81%86%E5%90%AC"}, (3.0, ("聆听", "Ada Lovelace"), False)),
    ({"hot_words": "%E8%81%86%EF%BC%8C%E5%90%AC"}, (3.0, ("聆", "听"), False)),
    ({"hot_words": "C%2B%2B,caf%C3%A9,100%25"}, (3.0, ("C++", "café", "100%"), False)),
    ({"hot_words_table_id": ""}, (3.0, (), False)),
    ({"convert_numbers": "TRUE"}, (3.0, (), True)),
    ({"convert_numbers": "false"}, (3.0, (), False)),
    ({"format": "MP3", "sample_rate": "44100"}, (3.0, (), False)),
]


@pytest.mark.parametrize(("parameters", "expected"), PARAMETERS)
@pytest.mark.parametrize("way", ["underscores", "hyphens", "query"])
def test_parameters_come_as_headers_or_in_the_query(
    server: Running, way: str, parameters: dict[str, str], expected: Any
) -> None:
    if way == "query":
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        answer = server.post(f"{FLASH}?{query}", key=server.key, data=WAV)
    else:
        headers = {name.replace("_", "-") if way == "hyphens" else name: v for name, v in parameters.items()}
        answer = server.post(FLASH, key=server.key, data=WAV, headers=headers)
    assert answer.status_code == 200, answer.text
    _, options = server.service.recognizer.seen[-1]
    assert (options.max_sentence_silence, options.hot_words, options.convert_numbers) == expected


@pytest.mark.parametrize(("given", "language"), [("zh", "zh"), ("EN", "en"), ("auto", None)])
def test_a_language_is_what_all_speech_is_in(server: Running, given: str, language: str | None) -> None:
    assert server.post(FLASH, key=server.key, data=WAV, headers={"language": given}).status_code == 200
    assert server.service.recognizer.seen[-1][1].language == language


def test_hot_words_as_plain_utf8_are_understood(server: Running) -> None:
    headers = {"hot_words": "聆听,飞书".encode()}
    assert server.post(FLASH, key=server.key, data=WAV, headers=headers).status_code == 200
    assert server.service.recognizer.seen[-1][1].hot_words == ("聆听", "飞书")


def test_an_empty_body_is_400(server: Running) -> None:
    check(server.post(FLASH, key=server.key, data=b""), 400, "the body is empty; send the audio file as the body")


def test_audio_without_samples_is_400(server: Running) -> None:
    check(server.post(FLASH, key=server.key, data=b"RIFF"), 400, "there are no samples in the audio")


def test_a_body_over_the_limit_is_413(server: Running) -> None:
    message = "the body is over the limit of 200000 bytes"
    check(server.post(FLASH, key=server.key, data=b"x" * 200_001), 413, message)
    check(server.post(FLASH, key=server.key, data=iter([b"x" * 50_000] * 20)), 413, message)


def test_audio_over_the_length_limit_is_413(server: Running) -> None:
    check(server.post(FLASH, key=server.key, data=b"RIFF" + pcm(3.1)), 413, "the audio is longer than 3 s")


def test_bytes_that_are_not_audio_are_415(server: Running) -> None:
    answer = server.post(FLASH, key=server.key, data=b"not audio at all")
    check(answer, 415, "the bytes are not audio in any known format")


def test_a_compressed_body_is_415(server: Running) -> None:
    answer = server.post(FLASH, key=server.key, data=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    message = "compressed bodies are not taken; send the body as it is, without Content-Encoding"
    check(answer, 415, message, "Content-Encoding")


def test_requests_over_the_rate_are_429(server: Running) -> None:
    key = server.new_key(limits={"flash_requests_per_second": 1})
    answers = [server.post(FLASH, key=key, data=WAV) for _ in range(6)]
    refused = [answer for answer in answers if answer.status_code != 200]
    check(refused[0], 429, "the limit of 1 flash requests per second for the tenant is reached")
    assert refused[0].headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("error", "status", "message", "wait"),
    [
        (RecognitionFailed("inner details"), 500, "the recognition failed; try again", None),
        (RuntimeError("inner details"), 500, "the server failed on this request; try again", None),
        (Overloaded("the queue is full; try again", 2.2), 503, "the queue is full; try again", "3"),
    ],
)
def test_a_failed_recognition_says_whose_fault_it_is(
    server: Running, error: Exception, status: int, message: str, wait: str | None
) -> None:
    server.service.recognizer.error = error
    answer = server.post(FLASH, key=server.key, data=WAV)
    check(answer, status, message)
    assert answer.headers.get("Retry-After") == wait


def test_a_model_that_still_loads_is_503(server: Running) -> None:
    server.service.ready = False
    answer = server.post(FLASH, key=server.key, data=WAV)
    check(answer, 503, "the model is loading; try again shortly")
    assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_a_wrong_method_is_405(server: Running, method: str) -> None:
    answer = requests.request(method, server.url + FLASH, timeout=10)
    check(answer, 405, f"{FLASH} does not take {method}")
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ["/v1", FLASH + "/", "/v1/audio/asr/flash2", "/open-apisx"])
def test_an_unknown_path_is_404(server: Running, path: str) -> None:
    check(server.post(path), 404, f"there is nothing at {path}")


def test_requests_at_once_over_the_limit_are_429_and_a_client_that_leaves_stops_the_work(server: Running) -> None:
    import asyncio

    recognizer = server.service.recognizer
    recognizer.released = server.call(asyncio.Event)
    key = server.new_key(limits={"concurrent_requests": 1})
    before = recognizer.cancelled

    def leave() -> None:
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(server.url + FLASH, headers={"Authorization": f"Bearer {key}"}, data=WAV, timeout=(5, 0.7))

    first = threading.Thread(target=leave)
    first.start()
    while not recognizer.running:
        time.sleep(0.01)
    check(server.post(FLASH, key=key, data=WAV), 429, "the limit of 1 requests at once for the tenant is reached")
    first.join()
    while recognizer.cancelled == before:
        time.sleep(0.01)
    recognizer.released = None
    assert server.post(FLASH, key=key, data=WAV).status_code == 200


def test_no_request_leaves_a_file_behind(server: Running) -> None:
    for data in (WAV, b"", b"junk", b"x" * 200_001):
        server.post(FLASH, key=server.key, data=data)
    deadline = time.monotonic() + 10
    while server.uploads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.uploads == []
