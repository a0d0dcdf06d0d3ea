"""Whether there is room is asked before a body is read: what a sender of a large file sees of a server that is full."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lingting.audio.budget import AudioBudget
from tests.api.serving import FILE, FLASH, TRANSCRIPTIONS, Running, file_body, head_and_body, receive_all, serving
from tests.requirements import missing

HUNDRED_MB = 100_000_000
FULL = "as much audio is being recognised as there is room for"
BUSY = "the predicted wait is 40 s; try again later"


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the usual limits, whose queue is longer than it takes."""
    with serving(tmp_path_factory.mktemp("busy"), file_max_seconds=3600.0) as server:
        server.service.recognizer.predicted_wait = 40.0
        yield server


def said(path: str, body: dict[str, object]) -> tuple[object, str]:
    """The code and the words of a refusal."""
    error = body["error"]
    assert isinstance(error, dict)
    return (body["code"], error["message"]) if path == FILE else (error["code"], error["message"])


REFUSALS = {
    FILE: ("500", (1040102, BUSY)),
    FLASH: ("503", ("503", BUSY)),
    TRANSCRIPTIONS: ("503", ("server_overloaded", BUSY)),
}


@pytest.mark.parametrize("path", REFUSALS)
@pytest.mark.parametrize("sent", [0, 4096])
def test_a_full_server_refuses_an_upload_of_100_mb_when_its_head_is_there(busy: Running, path: str, sent: int) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {busy.key}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {HUNDRED_MB}\r\n\r\n"
    )
    with socket.create_connection(busy.address, timeout=10) as connection:
        connection.sendall(head.encode() + b"x" * sent)
        lines, body = head_and_body(receive_all(connection))  # until the server closes
    status, expected = REFUSALS[path]
    assert lines[0].split()[1] == status
    assert said(path, body) == expected
    assert "Retry-After: 30" in lines
    assert "connection: close" in [line.lower() for line in lines]
    assert busy.uploads == []


@pytest.mark.parametrize("path", REFUSALS)
@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
def test_curl_shows_the_refusal_of_an_upload_of_100_mb(busy: Running, tmp_path: Path, path: str, expect: str) -> None:
    curl = shutil.which("curl")
    if curl is None:
        missing("curl is not installed")
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(HUNDRED_MB)
    body = ["-F", f"file=@{large}"] if path == TRANSCRIPTIONS else ["--data-binary", f"@{large}"]
    command = [curl, "-sS", "-w", "\n%{http_code} %{size_upload}", "-H", f"Authorization: Bearer {busy.key}"]
    done = subprocess.run(
        [*command, "-H", expect, *body, busy.url + path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answer, _, figures = done.stdout.rpartition("\n")
    status, uploaded = figures.split()
    assert (status, said(path, json.loads(answer))) == REFUSALS[path]
    assert int(uploaded) < HUNDRED_MB / 2


def test_a_first_packet_is_refused_and_a_stream_that_is_live_goes_on(tmp_path: Path) -> None:
    from tests.api.serving import STREAM, packet_body, pcm

    with serving(tmp_path) as server:
        assert server.post(STREAM, key=server.key, json=packet_body("a" * 16, 0, 1, pcm(0.1))).json()["code"] == 0
        server.service.recognizer.predicted_wait = 40.0
        refused = server.post(STREAM, key=server.key, json=packet_body("b" * 16, 0, 1, pcm(0.1)))
        assert (refused.status_code, refused.json()["code"]) == (500, 1040102)
        assert refused.json()["error"]["message"] == BUSY
        for number, action in ((1, 0), (2, 2)):
            answer = server.post(STREAM, key=server.key, json=packet_body("a" * 16, number, action, pcm(0.1)))
            assert answer.json()["code"] == 0


def test_when_the_memory_for_audio_is_taken_no_upload_is_read(tmp_path: Path) -> None:
    with serving(tmp_path, file_max_seconds=3600.0) as server:
        budget = server.service.decoder.budget = AudioBudget(40_000_000)
        held = budget.reserve(39_000_000)
        head = f"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Length: "
        with socket.create_connection(server.address, timeout=10) as connection:
            connection.sendall(f"POST {FILE} {head}20000000\r\n\r\n".encode())
            lines, body = head_and_body(receive_all(connection))
        assert lines[0].split()[1] == "500"
        assert said(FILE, body) == (1040102, FULL)
        assert "Retry-After: 5" in lines
        small = server.post(FILE, key=server.key, json=file_body())
        assert small.json()["code"] == 0, "there is room for a shorter one"
        held.resize(40_000_000)
        with socket.create_connection(server.address, timeout=10) as connection:
            connection.sendall(f"POST {FLASH} {head}{HUNDRED_MB}\r\n\r\n".encode())
            lines, body = head_and_body(receive_all(connection))
        assert lines[0].split()[1] == "503"
        assert said(FLASH, body) == ("503", FULL)
        held.release()
        assert server.post(FILE, key=server.key, json=file_body()).json()["code"] == 0
