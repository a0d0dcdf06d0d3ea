"""A stop with work in flight: what balancers, callers and systemd see of it."""

from __future__ import annotations

import re
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from lingting.api.stopping import CLOSING_SECONDS
from lingting.settings import Settings
from tests.api.serving import FILE, FLASH, STREAM, TRANSCRIPTIONS, file_body, packet_body, pcm
from tests.api.test_server import Process, processes

__all__ = ["processes"]

ROOT = Path(__file__).resolve().parents[2]
SCOPES = "speech_to_text:speech audio:flash audio:transcriptions"
WAV = b"RIFF" + pcm(1.0)
BUSY = "the server is stopping; try again shortly"
CUT = "the server is stopping and this request was not finished; try again shortly"


class Call(threading.Thread):
    """A request in a thread of its own."""

    def __init__(self, server: Process, path: str, **content: Any) -> None:
        super().__init__()
        self._url, self._content = server.url + path, content
        self._headers = {"Authorization": f"Bearer {server.key}"}
        self.answer: requests.Response | None = None
        self.start()

    def run(self) -> None:
        self.answer = requests.post(self._url, headers=self._headers, timeout=60, **self._content)

    def result(self) -> requests.Response:
        """Its answer."""
        self.join(60)
        assert self.answer is not None
        return self.answer


def in_flight(server: Process, *calls: Call) -> None:
    """Wait until the recogniser has these requests."""
    deadline = time.monotonic() + 20
    while True:
        answer = requests.get(server.url + "/metrics", timeout=5).text
        if f'lingting_queued_jobs{{kind="file"}} {len(calls)}.0' in answer:
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stop_says_so_first_then_refuses_new_work_and_finishes_what_is_in_flight(
    tmp_path: Path, processes: list[Process]
) -> None:
    server = Process(tmp_path, scopes=SCOPES, recognition_seconds=6, drain_lead_seconds=2, drain_seconds=30)
    processes.append(server)
    early = Call(server, FLASH, data=WAV)
    in_flight(server, early)
    server.process.send_signal(signal.SIGTERM)
    server.logged("stopping: not ready any more; new work is refused in 2 s")
    not_ready = requests.get(server.url + "/readyz", timeout=5)
    assert (not_ready.status_code, not_ready.json()) == (503, {"status": "draining"})
    assert not_ready.headers["Connection"] == "close"
    late = Call(server, FILE, json=file_body())
    server.logged("stopping: no new work; waiting up to 30 s for what is in flight")
    headers = {"Authorization": f"Bearer {server.key}"}
    flash = requests.post(server.url + FLASH, data=WAV, headers=headers, timeout=5)
    assert (flash.status_code, flash.json()["error"]["message"]) == (503, BUSY)
    assert flash.headers["Retry-After"] == "5"
    file = requests.post(server.url + FILE, json=file_body(), headers=headers, timeout=5)
    assert (file.status_code, file.json()["code"], file.json()["error"]["message"]) == (500, 1040102, BUSY)
    stream = requests.post(server.url + STREAM, json=packet_body("a" * 16, 0, 1), headers=headers, timeout=5)
    assert (stream.status_code, stream.json()["code"], stream.json()["error"]["message"]) == (500, 1040102, BUSY)
    form = requests.post(server.url + TRANSCRIPTIONS, files={"file": ("a.wav", WAV)}, headers=headers, timeout=5)
    assert (form.status_code, form.json()["error"]["code"]) == (503, "server_overloaded")
    assert requests.get(server.url + "/healthz", timeout=5).status_code == 200
    assert early.result().json()["flash_result"]["duration"] == 1000
    assert late.result().json()["data"]["recognition_text"] == "heard 1600 samples"
    assert server.process.wait(20) == 0
    with sqlite3.connect(tmp_path / "lingting.db") as database:
        assert database.execute("select sum(audio_seconds) from usage").fetchone()[0] == pytest.approx(1.1)


def test_what_is_not_finished_in_time_is_told_so_in_its_own_words_with_a_log_id(
    tmp_path: Path, processes: list[Process]
) -> None:
    server = Process(tmp_path, scopes=SCOPES, recognition_seconds=300, drain_seconds=0.5)
    processes.append(server)
    calls = (
        Call(server, FILE, json=file_body()),
        Call(server, FLASH, data=WAV),
        Call(server, TRANSCRIPTIONS, files={"file": ("a.wav", WAV)}),
    )
    in_flight(server, *calls)
    server.process.send_signal(signal.SIGTERM)
    file, flash, form = (call.result() for call in calls)
    assert (file.status_code, file.json()["code"], file.json()["error"]["message"]) == (500, 1040102, CUT)
    assert file.json()["error"]["log_id"] == file.headers["X-Tt-Logid"]
    assert (flash.status_code, flash.json()["error"]["message"]) == (503, CUT)
    assert (form.status_code, form.json()["error"]["code"]) == (503, "server_overloaded")
    for answer in (file, flash, form):
        assert re.fullmatch(r"[0-9]{14}[0-9a-f]{20}", answer.headers["X-Tt-Logid"])
        server.logged(answer.headers["X-Tt-Logid"])
    assert server.process.wait(20) == 0
    assert "Traceback" not in server.log.read_text()


def test_a_service_that_does_not_come_to_an_end_is_left_behind_and_usage_is_written(
    tmp_path: Path, processes: list[Process]
) -> None:
    server = Process(tmp_path, stuck="yes")
    processes.append(server)
    headers = {"Authorization": f"Bearer {server.key}"}
    assert requests.post(server.url + FILE, json=file_body(), headers=headers, timeout=20).status_code == 200
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 1
    assert "the service did not stop within 4 s" in server.log.read_text()
    with sqlite3.connect(tmp_path / "lingting.db") as database:
        assert database.execute("select sum(audio_seconds) from usage").fetchone()[0] == pytest.approx(0.1)


def test_ctrl_c_does_not_wait_for_balancers(tmp_path: Path, processes: list[Process]) -> None:
    server = Process(tmp_path, drain_lead_seconds=3000)
    processes.append(server)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(20) == 0


def test_systemd_is_told_when_the_server_is_ready_alive_and_stopping(tmp_path: Path, processes: list[Process]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        server = Process(tmp_path, {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000"})
        processes.append(server)
        assert systemd.recv(100) == b"READY=1"
        assert [systemd.recv(100) for _ in range(5)] == [b"WATCHDOG=1"] * 5
        server.send(packet_body("a" * 16, 0, 1))
        server.process.send_signal(signal.SIGTERM)
        while (said := systemd.recv(100)) == b"WATCHDOG=1":
            pass
        assert said == b"STOPPING=1"
        assert systemd.recv(100) == b"WATCHDOG=1", "it drains, and its loop is watched until the end"


def test_systemd_and_containers_wait_longer_than_a_stop_takes() -> None:
    settings = Settings()
    longest = settings.drain_lead_seconds + settings.drain_seconds + CLOSING_SECONDS
    unit = (ROOT / "deploy" / "systemd" / "lingting.service").read_text()
    compose = (ROOT / "deploy" / "docker" / "compose.yaml").read_text()
    (systemd,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    (container,) = re.findall(r"stop_grace_period: (\d+)s$", compose, re.MULTILINE)
    assert int(systemd) > longest
    assert int(container) > longest
    assert "Type=notify" in unit
    assert "WatchdogSec=" in unit
