"""Live audio to a server that is away, busy, or started anew: nothing that was spoken is lost."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lingting.cli.packets import PacketStream
from lingting.cli.remote import Server, ServerError
from tests.api.serving import pcm, serving
from tests.conftest import LINGTING, free_port, start_server
from tests.recordings import recording


class Script(ThreadingHTTPServer):
    """Answers packets as a list says; `None` closes the connection, and when the list is over all is well."""

    daemon_threads = True

    def __init__(self, *answers: tuple[int, int, dict[str, str]] | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.seen: list[tuple[float, dict[str, Any], int]] = []
        self.heard = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Script
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sound = len(base64.b64decode(body["speech"]["speech"]))
        self.server.seen.append((time.monotonic(), body["config"], sound))
        answer = self.server.answers.pop(0) if self.server.answers else (200, 0, {})
        if answer is None:
            self.close_connection = True
            return
        status, code, headers = answer
        if status == 200:
            self.server.heard += sound
        content = json.dumps({"code": code, "data": {"recognition_text": f"{self.server.heard}"}}).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def script(*answers: tuple[int, int, dict[str, str]] | None) -> Iterator[Script]:
    server = Script(*answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


WELL = (200, 0, {})


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    "refusal",
    [
        (429, 99991400, {"Retry-After": "1"}),
        (500, 1040102, {"Retry-After": "1"}),
        (503, 0, {}),
        None,
    ],
)
def test_a_packet_that_is_refused_for_a_while_is_sent_again(refusal: Any) -> None:
    with script(WELL, refusal, refusal) as server:
        stream = PacketStream(Server(server.url, "lt-key"))
        for _ in range(5):
            stream.accept(b"\1\0" * 3200)
        stream.finish()
        numbers = [config["sequence_id"] for _, config, _ in server.seen]
        assert numbers == [0, 1, 1, 1, 2, 3, 4, 5]
        assert server.heard == 5 * 6400
        if refusal and "Retry-After" in refusal[2]:
            assert server.seen[2][0] - server.seen[1][0] >= 1


def test_a_server_that_was_never_there_is_named_at_once() -> None:
    stream = PacketStream(Server(f"http://127.0.0.1:{free_port()}", "lt-key"))
    stream.accept(b"\1\0" * 3200)
    with pytest.raises(ServerError, match="is the server running there"):
        stream.finish()


def test_a_server_that_starts_anew_hears_everything_once(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        stream = PacketStream(Server(served.url, served.key), {"language": "zh"})
        streams = served.service.streams

        def heard() -> int:
            return sum(part.size for session in served.service.sessions for part in session.samples)

        for turn in range(2):
            stream.accept(pcm(0.2))
            until(lambda turn=turn: heard() == 3200 * (turn + 1))
            served.call(lambda: [streams._fail(each, RuntimeError("gone")) for each in list(streams._live.values())])
        stream.accept(pcm(0.2))
        stream.finish()
        sessions = served.service.sessions
        assert [sum(part.size for part in session.samples) for session in sessions] == [3200, 3200, 3200]
        assert {session.options.language for session in sessions} == {"zh"}


def test_a_refusal_that_no_repetition_mends_ends_it(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        stream = PacketStream(Server(served.url, served.new_key(("audio:flash",))))
        stream.accept(pcm(0.2))
        with pytest.raises(ServerError, match="speech_to_text:speech"):
            stream.finish()
        assert stream.rest == pcm(0.2), "the sound is still there"


@pytest.mark.engine
@pytest.mark.slow
def test_listen_goes_on_when_the_server_is_killed_and_started_again(tmp_path: Path, model_dir: Path) -> None:
    port = str(free_port())
    server = start_server(tmp_path / "data", model_dir, port=port)
    command = [str(LINGTING), "listen", "--file", str(recording("beckett").path), "--server", server.url]
    running = subprocess.Popen(
        [*command, "--key", server.key], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        assert running.stdout is not None
        said = running.stdout.readline()
        server.process.kill()
        server.process.wait()
        server = start_server(tmp_path / "data", model_dir, port=port)
        rest, complaints = running.communicate(timeout=60)
    finally:
        running.kill()
        server.stop()
    assert running.returncode == 0
    assert "listening on, everything is sent when it is back" in complaints
    assert "the server is back" in complaints
    text = (said + rest).lower()
    for phrase in ("ever tried", "no matter", "try again", "fail again"):
        assert text.count(phrase) == 1
