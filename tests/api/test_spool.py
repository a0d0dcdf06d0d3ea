"""Uploads on disk: a full disk, processes that share a data folder, and what a dead one left."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.api.serving import FLASH, TRANSCRIPTIONS, Running, pcm, serving
from tests.api.test_server import Process, processes

__all__ = ["processes"]

FULL = "the server has no room on its disk for the upload; try again later"
SCOPES = ("audio:flash", "audio:transcriptions")


def uploads(data_dir: Path) -> list[Path]:
    """Files that requests have on the disk now."""
    return list((data_dir / "spool").glob("process-*/upload-*"))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
def test_a_full_disk_is_503_in_the_words_of_the_interface_and_leaves_no_trace(
    tmp_path: Path, processes: list[Process]
) -> None:
    server = Process(tmp_path, scopes=" ".join(SCOPES))
    processes.append(server)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
    large, headers = b"RIFF" + pcm(70), {"Authorization": f"Bearer {server.key}"}
    answer = requests.post(server.url + FLASH, data=large, headers=headers, timeout=20)
    expected = {"message": FULL, "type": "Service Unavailable", "param": None, "code": "503", "httpCode": 503}
    assert (answer.status_code, answer.json()) == (503, {"error": expected})
    assert answer.headers["Retry-After"] == "30"
    answer = requests.post(server.url + TRANSCRIPTIONS, files={"file": ("a.wav", large)}, headers=headers, timeout=20)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "server_overloaded")
    assert answer.json()["error"]["message"] == FULL
    deadline = time.monotonic() + 10
    while uploads(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert uploads(tmp_path) == []
    small = requests.post(server.url + FLASH, data=b"RIFF" + pcm(1), headers=headers, timeout=20)
    assert small.status_code == 200
    assert "an upload cannot be kept" in server.log.read_text()


def held(server: Running) -> threading.Thread:
    """A request whose upload stays on disk until the recogniser is released."""
    thread = threading.Thread(target=server.post, args=(FLASH,), kwargs={"key": server.key, "data": b"RIFF" + pcm(1)})
    thread.start()
    deadline = time.monotonic() + 20
    while not server.service.recognizer.running:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return thread


HOLD = """
import sys, time
from pathlib import Path
from lingting.api.http.spool import Spool
spool = Spool(Path(sys.argv[1]) / "spool")
(spool._folder / "upload-mine").write_bytes(b"audio")
print("ready", flush=True)
time.sleep(600)
"""


def test_processes_on_one_data_folder_leave_each_others_uploads_and_clear_those_of_the_dead(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        (left,) = uploads(tmp_path)
        with serving(tmp_path):
            assert left.read_bytes() == b"audio"
        assert left.read_bytes() == b"audio"
        other.send_signal(signal.SIGKILL)
        other.wait()
        (tmp_path / "spool" / "flash-left").write_bytes(b"of an older version")
        with serving(tmp_path, database_url=f"sqlite:///{tmp_path / 'another.db'}"):
            assert not left.exists()
            assert not (tmp_path / "spool" / "flash-left").exists()
    finally:
        other.kill()
        other.wait()


def test_an_upload_is_private_while_it_is_there_and_nothing_stays_after_a_stop(tmp_path: Path) -> None:
    import asyncio

    with serving(tmp_path) as server:
        released = server.call(asyncio.Event)
        server.service.recognizer.released = released
        thread = held(server)
        (upload,) = server.uploads
        assert upload.stat().st_mode & 0o077 == 0
        assert upload.parent.stat().st_mode & 0o077 == 0
        server.call(released.set)
        thread.join(20)
    assert list((tmp_path / "spool").glob("process-*")) == []
