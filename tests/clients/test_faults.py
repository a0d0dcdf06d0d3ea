"""A real server from which something is taken that it lives by: callers are told to wait, and lose nothing."""

from __future__ import annotations

import base64
import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from lingting.access.usage import FLUSH_SECONDS
from tests.clients.hearing import assert_heard, mandarin, new_id
from tests.conftest import LiveServer, start_server

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process"),
]

STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
FILE = "/open-apis/speech_to_text/v1/speech/file_recognize"
FLASH = "/v1/audio/asr/flash"
PACKET = 6_400
BUSY = 1040102


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[LiveServer]:
    settings = {"journal": "disk", "journal_key": "a long random text for the tests", "drain_seconds": "1"}
    started = start_server(tmp_path_factory.mktemp("server"), model_dir, **settings)
    yield started
    assert started.stop() == 0


class Stream:
    """One stream over one connection that is kept."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self._session = requests.Session()
        self._id = new_id()

    def send(self, number: int, action: int, audio: bytes) -> requests.Response:
        config = {"stream_id": self._id, "sequence_id": number, "action": action}
        body = {
            "speech": {"speech": base64.b64encode(audio).decode()},
            "config": {**config, "format": "pcm", "engine_type": "16k_auto"},
        }
        headers = {"Authorization": f"Bearer {self._server.key}"}
        return self._session.post(self._server.url + STREAM, json=body, headers=headers, timeout=60)

    def taken(self, number: int, action: int, audio: bytes) -> str:
        """Send a packet until it is taken; the text so far."""
        deadline = time.monotonic() + 60
        while (answer := self.send(number, action, audio)).json()["code"] == BUSY and time.monotonic() < deadline:
            time.sleep(0.1)
        assert answer.json()["code"] == 0, answer.text
        return str(answer.json()["data"]["recognition_text"])


@contextmanager
def without(server: LiveServer, what: str) -> Iterator[None]:
    """Nothing can be written, or nothing opened, in this block."""
    pid = server.process.pid
    kind = resource.RLIMIT_FSIZE if what == "disk" else resource.RLIMIT_NOFILE
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, before)


def metric(server: LiveServer, name: str) -> float:
    lines = requests.get(server.url + "/metrics", timeout=10).text.splitlines()
    return float(next(line for line in lines if line.startswith(name)).rpartition(" ")[2])


@pytest.mark.parametrize("what", ["disk", "descriptors"])
def test_a_packet_that_cannot_be_kept_is_refused_and_the_stream_is_whole_when_it_can_be_again(
    server: LiveServer, what: str
) -> None:
    pcm = mandarin().pcm + b"\0" * 32_000
    packets = [pcm[start : start + PACKET] for start in range(0, len(pcm), PACKET)]
    stream, errors = Stream(server), metric(server, "lingting_journal_errors_total")
    for number, audio in enumerate(packets[:5]):
        stream.taken(number, int(number == 0), audio)
    with without(server, what):
        refused = stream.send(5, 0, packets[5])
    assert (refused.status_code, refused.json()["code"]) == (500, BUSY)
    assert "the journal of streams cannot be used" in refused.json()["error"]["message"]
    assert int(refused.headers["Retry-After"]) >= 1
    assert metric(server, "lingting_journal_errors_total") > errors
    for number, audio in enumerate(packets[5:], 5):
        text = stream.taken(number, 2 if number == len(packets) - 1 else 0, audio)
    assert_heard(text, mandarin())


def used(server: LiveServer) -> float:
    """Seconds of audio of files that the database has."""
    with sqlite3.connect(server.data_dir / "lingting.db") as database:
        query = "select coalesce(sum(audio_seconds), 0) from usage where interface = 'file_recognize'"
        return float(database.execute(query).fetchone()[0])


def test_on_a_full_disk_what_needs_no_disk_is_recognised_and_usage_is_written_afterwards(server: LiveServer) -> None:
    headers = {"Authorization": f"Bearer {server.key}"}
    body = {
        "speech": {"speech": base64.b64encode(mandarin().pcm).decode()},
        "config": {"file_id": new_id(), "format": "pcm", "engine_type": "16k_auto"},
    }
    with without(server, "disk"):
        answer = requests.post(server.url + FILE, json=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        assert_heard(answer.json()["data"]["recognition_text"], mandarin())
        flash = requests.post(server.url + FLASH, data=mandarin().pcm, headers=headers, timeout=60)
        assert (flash.status_code, flash.headers["Retry-After"]) == (503, "30")
        deadline = time.monotonic() + 1.5 * FLUSH_SECONDS
        while time.monotonic() < deadline:
            assert used(server) == 0.0
    deadline = time.monotonic() + 60
    while not used(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert used(server) == pytest.approx(mandarin().seconds, abs=0.1)
