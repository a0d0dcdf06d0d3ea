"""Every recording that a request makes is closed when the request is over, however it ends; what it lacks is said."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
import requests

from lingting.audio.recording import Recording
from lingting.errors import LingtingError, RecognitionFailed
from tests.api.serving import FILE, FLASH, TRANSCRIPTIONS, Running, file_body, pcm

WAV = b"RIFF" + pcm(0.5)


@pytest.fixture
def made(server: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Recording]]:
    """The recordings that the decoder made."""
    found: list[Recording] = []
    of_samples, of_pcm16 = Recording.of_samples, Recording.of_pcm16

    def kept(make):
        def make_and_keep(*arguments):
            recording = make(*arguments)
            found.append(recording)
            return recording

        return make_and_keep

    monkeypatch.setattr(Recording, "of_samples", kept(of_samples))
    monkeypatch.setattr(Recording, "of_pcm16", kept(of_pcm16))
    yield found
    assert found
    for _ in range(1000):  # the end of an answer may be read before the server is through with it
        if not any(map(_open, found)):
            return
        server.call(lambda: None)
    pytest.fail("a recording is still open")


def _open(recording: Recording) -> bool:
    try:
        recording.window(0, 1)
    except LingtingError:
        return False
    return True


def _flash(server: Running, **named: object) -> requests.Response:
    return server.post(FLASH, key=server.key, data=WAV, headers={"format": "wav"}, **named)


def _openai(server: Running, **fields: str) -> requests.Response:
    return server.post(
        TRANSCRIPTIONS, key=server.key, files={"file": ("a.wav", WAV)}, data={"model": "whisper-1", **fields}
    )


def test_after_a_transcript(server: Running, made: list[Recording]) -> None:
    assert _flash(server).status_code == 200
    assert _openai(server).status_code == 200
    assert _openai(server, stream="true").text.endswith("[DONE]\n\n")
    token = server.key
    assert server.post(FILE, key=token, json=file_body()).json()["code"] == 0
    assert len(made) == 4


@pytest.mark.parametrize("send", [_flash, _openai, lambda server: _openai(server, stream="true")])
def test_after_a_failure(server: Running, made: list[Recording], send) -> None:  # type: ignore[no-untyped-def]
    server.service.recognizer.error = RecognitionFailed("broken")
    assert send(server).status_code == 500


def test_after_a_failure_in_the_middle_of_a_stream(server: Running, made: list[Recording]) -> None:
    server.service.recognizer.broken = RecognitionFailed("broken")
    assert "event: error" in _openai(server, stream="true").text


def test_after_the_caller_has_left(server: Running, made: list[Recording]) -> None:
    recognizer = server.service.recognizer
    recognizer.released = server.call(asyncio.Event)
    before = recognizer.cancelled
    try:
        with socket.create_connection(server.address, timeout=10) as connection:
            head = f"POST {FLASH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {server.key}\r\nformat: wav\r\n"
            connection.sendall(f"{head}Content-Length: {len(WAV)}\r\n\r\n".encode() + WAV)
            while not server.call(lambda: recognizer.running):
                pass
        while server.call(lambda: recognizer.cancelled) == before:
            pass
    finally:
        recognizer.released = None


def test_a_file_that_breaks_off_is_recognised_and_every_answer_says_what_is_missing(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.service.decoder, "missing", 9.5)
    warning = "the file ends after 0.5 s of the 10.0 s that it declares"
    answer = _flash(server).json()
    assert answer["warnings"] == [warning]
    assert answer["flash_result"]["sentences"]
    verbose = _openai(server, response_format="verbose_json")
    assert verbose.json()["warnings"] == [warning]
    for fields in ({}, {"response_format": "text"}, {"response_format": "srt"}, {"stream": "true"}):
        answer = _openai(server, **fields)
        assert answer.status_code == 200
        assert answer.headers["X-Lingting-Warning"] == warning


def test_a_whole_file_has_no_warning(server: Running) -> None:
    assert "warnings" not in _flash(server).json()
    whole = _openai(server, response_format="verbose_json")
    assert "warnings" not in whole.json()
    assert "X-Lingting-Warning" not in whole.headers
