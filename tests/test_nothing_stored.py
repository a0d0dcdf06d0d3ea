"""What people say is nowhere on the disk: not in the data folder, the log, or the temporary folder, crash or not.

A journal on disk is the exception that an operator asks for: encrypted, and gone with the stream.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from bench.speakers import PROTOCOLS, Plan, speak
from tests.api.serving import FILE, FLASH, STREAM, TRANSCRIPTIONS
from tests.clients.hearing import mandarin, plain
from tests.clients.test_live_protocols import by_stream
from tests.conftest import LINGTING, LiveServer, free_port, start_server
from tests.recordings import Recording

pytestmark = [pytest.mark.engine, pytest.mark.slow]

_PIECE = 48
ONE_TEXT = 1000
"""The journal keeps the text of a stream for a minute, encrypted."""
DUMPS_ALLOWED = ("sh", "-c", 'ulimit -c unlimited 2>/dev/null; exec "$@"', "sh")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of the servers that a test starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def traces(said: Recording, texts: list[str]) -> dict[str, Callable[[bytes], bool]]:
    """What tells that a file holds the recording or its text, by name."""
    pcm = said.pcm
    loud = range(len(pcm) // 4 & ~1, len(pcm) // 2, 2 * _PIECE)
    pieces = [pcm[start : start + _PIECE] for start in loud]
    # base64 writes three bytes in four characters, so a piece looks one of three ways, wherever it lies
    encoded = [base64.b64encode(pcm[s + shift : s + shift + _PIECE]) for s in loud for shift in range(3)]
    phrases = {phrase for text in [*said.phrases, *texts] for phrase in re.split(r"\W+", text) if len(phrase) > 3}
    written = [form for phrase in phrases for form in (phrase.encode(), json.dumps(phrase)[1:-1].encode())]
    return {
        "samples": lambda content: any(piece in content for piece in pieces),
        "base64": lambda content: any(piece in content for piece in encoded),
        "text": lambda content: any(form in content for form in written),
    }


def holds(said: Recording, texts: list[str], *folders: Path) -> list[str]:
    """Files with sound or text in them."""
    signs = traces(said, texts)
    return [
        f"{file}: {name}"
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file() and "models" not in file.parts
        for name, sign in signs.items()
        if sign(file.read_bytes())
    ]


def by_files(server: LiveServer, said: Recording) -> list[str]:
    """The texts of the interfaces for recordings, plain PCM and files that a process decodes."""
    headers, pcm, wav = {"Authorization": f"Bearer {server.key}"}, said.pcm, said.path.read_bytes()
    config = {"file_id": "nothingstored000", "format": "pcm", "engine_type": "16k_auto"}
    body = {"speech": {"speech": base64.b64encode(pcm).decode()}, "config": config}
    file = requests.post(server.url + FILE, json=body, headers=headers, timeout=60).json()
    flash = requests.post(server.url + FLASH, wav, headers=headers | {"format": "wav"}, timeout=60).json()
    form = {"file": ("speech.wav", wav), "model": (None, "whisper-1")}
    openai = requests.post(server.url + TRANSCRIPTIONS, files=form, headers=headers, timeout=60).json()
    listen = requests.post(
        server.url + "/v1/listen?model=nova-3", wav, headers=headers | {"Content-Type": "audio/wav"}, timeout=60
    ).json()
    return [
        file["data"]["recognition_text"],
        flash["flash_result"]["sentences"][0]["text"],
        openai["text"],
        listen["results"]["channels"][0]["alternatives"][0]["transcript"],
    ]


def by_protocols(server: LiveServer, said: Recording, wyoming_port: int) -> list[str]:
    """The texts of the live protocols."""
    plan = Plan(int(server.url.rsplit(":", 1)[1]), wyoming_port, server.key, [], [], [])
    spoken = [asyncio.run(speak(plan, protocol, 0, said.pcm, pace=0)) for protocol in PROTOCOLS]
    assert [one.failure for one in spoken] == [""] * len(PROTOCOLS)
    return [one.text for one in spoken]


def new_key(data: Path) -> str:
    """A key that is there before the first start: clients of Wyoming cannot send one."""
    command = [LINGTING, "keys", "create", "hearing", "--json"]
    environment = {**os.environ, "LINGTING_DATA_DIR": str(data)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["key"])


def journalled(data: Path) -> int:
    """Bytes in the journal."""
    sizes = [file.stat().st_size for file in (data / "journal").rglob("*") if file.is_file()]
    return sum(sizes)


def half_a_stream(server: LiveServer, said: Recording) -> None:
    """A stream that is never ended, at the point where the server has heard most of it."""
    config = {"stream_id": "b" * 16, "sequence_id": 0, "action": 1, "format": "pcm", "engine_type": "16k_auto"}
    heard = said.pcm[: len(said.pcm) * 3 // 8 * 2]  # it breaks off in a word, so nothing of it is final yet
    body = {"speech": {"speech": base64.b64encode(heard).decode()}, "config": config}
    reply = requests.post(server.url + STREAM, json=body, headers={"Authorization": f"Bearer {server.key}"}, timeout=60)
    assert reply.json()["code"] == 0


def half_an_upload(server: LiveServer, said: Recording) -> socket.socket:
    """A recording of which the server has all but the end; it waits for that on the connection."""
    port = int(server.url.rsplit(":", 1)[1])
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    sound = said.pcm * 40
    head = f"POST {FLASH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nformat: pcm\r\n"
    connection.sendall(f"{head}sample_rate: 16000\r\nContent-Length: {len(sound) + 1000}\r\n\r\n".encode() + sound)
    return connection


def spooled(server: LiveServer) -> Iterator[Path]:
    """Files of bodies that are being received."""
    for file in (server.data_dir / "spool").rglob("upload-*"):
        if file.stat().st_size:
            yield file


def test_after_all_interfaces_and_a_crash_no_file_holds_sound_or_text(
    tmp_path: Path, model_dir: Path, temporary: Path
) -> None:
    said, port, data = mandarin(), str(free_port()), tmp_path / "data"
    key, wyoming_port = new_key(data), free_port()
    settings = {"journal": "disk", "journal_key": "sixteen or more of them", "keyless_key": key, "port": port}
    started = start_server(
        data, model_dir, under=DUMPS_ALLOWED, log_level="debug", wyoming_port=str(wyoming_port), **settings
    )
    server = replace(started, key=key)
    try:
        texts = [*by_files(server, said), *by_protocols(server, said, wyoming_port), by_stream(server, said.pcm)]
        deadline = time.monotonic() + 30
        while journalled(data) > ONE_TEXT and time.monotonic() < deadline:
            time.sleep(0.05)
        assert journalled(data) <= ONE_TEXT, "the sound of a stream that has ended is gone"
        assert all(plain(text) for text in texts)
        assert holds(said, texts, data, temporary) == []

        half_a_stream(server, said)
        assert journalled(data) > len(said.pcm) / 2, "it sees the sound that the journal has"
        with half_an_upload(server, said):
            deadline = time.monotonic() + 30
            while not (files := list(spooled(server))) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert files and {file.stat().st_mode & 0o777 for file in files} == {0o600}
            assert holds(said, texts, data) == [f"{file}: samples" for file in files], "it sees sound where it is"
            os.kill(server.process.pid, signal.SIGSEGV)
            _, status = os.waitpid(server.process.pid, 0)
            server.process.returncode = -signal.SIGSEGV
        assert os.WTERMSIG(status) == signal.SIGSEGV
        assert not os.WCOREDUMP(status)
        assert server.output.count("request log_id") > 8
        first = data / "first.log"
        server.log.rename(first)
        server = start_server(data, None, under=DUMPS_ALLOWED, **settings)
        assert holds(said, texts, data, temporary) == []
    finally:
        if server.process.poll() is None:
            server.stop()
    assert holds(said, texts, data, temporary) == []


def test_a_server_and_what_it_starts_may_leave_no_core_dump(live_server: LiveServer) -> None:
    limits = Path(f"/proc/{live_server.process.pid}/limits").read_text()
    found = re.search(r"Max core file size +(\d+) +(\d+)", limits)
    assert found and max(int(found[1]), int(found[2])) <= 1
