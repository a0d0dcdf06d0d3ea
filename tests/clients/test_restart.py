"""A real server that is killed while somebody speaks: with the journal on disk, the text is what it would have been."""

from __future__ import annotations

import base64
import itertools
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.clients.hearing import mandarin, new_id
from tests.conftest import LiveServer, free_port, start_server

pytestmark = [pytest.mark.engine, pytest.mark.slow]

STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
PACKET = 6_400
JOURNAL = {"journal": "disk", "journal_key": "a long random text for the tests"}


def _send(url: str, key: str, stream: str, number: int, action: int, audio: bytes) -> Any:
    """Send a packet until it is answered, as the documents tell clients to."""
    body = {
        "speech": {"speech": base64.b64encode(audio).decode()},
        "config": {
            "stream_id": stream,
            "sequence_id": number,
            "action": action,
            "format": "pcm",
            "engine_type": "16k_auto",
        },
    }
    headers = {"Authorization": f"Bearer {key}"}
    for _ in itertools.repeat(None, 600):
        try:
            answer = requests.post(url + STREAM, json=body, headers=headers, timeout=120)
        except requests.ConnectionError:
            time.sleep(0.1)
            continue
        if answer.status_code == 200:
            return answer.json()["data"]["recognition_text"]
        assert answer.json()["code"] in (1040102, 99991400), answer.text
        time.sleep(0.1)
    raise AssertionError("no answer within a minute")


def _play(server: LiveServer, kill_behind: set[int] = frozenset()) -> tuple[str, LiveServer]:  # type: ignore[assignment]
    """The final text of a stream, and the server that is there at its end."""
    pause = b"\0" * 40_000
    pcm = pause + mandarin().pcm + pause + mandarin().pcm + pause
    starts = range(0, len(pcm), PACKET)
    key, stream, text = server.key, new_id(), ""
    for number, start in enumerate(starts):
        action = 1 if number == 0 else 2 if start == starts[-1] else 0
        text = _send(server.url, key, stream, number, action, pcm[start : start + PACKET])
        if number in kill_behind:
            server.process.kill()
            server.process.wait()
            server = start_server(server.data_dir, None, port=server.url.rsplit(":", 1)[1], **JOURNAL)
    return text, server


def test_a_server_killed_again_and_again_gives_the_text_of_an_undisturbed_one(tmp_path: Path, model_dir: Path) -> None:
    server = start_server(tmp_path, model_dir, port=str(free_port()), **JOURNAL)
    try:
        undisturbed, server = _play(server)
        assert len(undisturbed) > 20
        killed, server = _play(server, {0, 15, 30, 45})
        assert killed == undisturbed
        spoken = base64.b64encode(mandarin().pcm[32_000:32_100])[:64]
        time.sleep(1.0)
        for file in (tmp_path / "journal").rglob("*"):
            assert file.is_dir() or (spoken not in file.read_bytes() and file.stat().st_size < 2_000)
    finally:
        server.stop()


def test_a_server_that_is_stopped_while_somebody_speaks_hands_the_stream_to_the_next(
    tmp_path: Path, model_dir: Path
) -> None:
    server = start_server(tmp_path, model_dir, port=str(free_port()), **JOURNAL)
    try:
        stream = new_id()
        pcm = mandarin().pcm
        half = len(pcm) // 2 // PACKET * PACKET
        numbers = itertools.count()
        for start in range(0, half, PACKET):
            number = next(numbers)
            _send(server.url, server.key, stream, number, int(number == 0), pcm[start : start + PACKET])
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 25, "a stream in the journal is not waited for"
        key = server.key
        server = start_server(tmp_path, None, port=server.url.rsplit(":", 1)[1], **JOURNAL)
        for start in range(half, len(pcm), PACKET):
            _send(server.url, key, stream, next(numbers), 0, pcm[start : start + PACKET])
        resumed = _send(server.url, key, stream, next(numbers), 2, b"\0" * PACKET)
        for start in range(0, len(pcm), PACKET):
            _send(server.url, key, "w" * 16, start // PACKET, int(start == 0), pcm[start : start + PACKET])
        assert resumed == _send(server.url, key, "w" * 16, -(-len(pcm) // PACKET), 2, b"\0" * PACKET)
    finally:
        server.stop()
