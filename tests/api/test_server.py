"""The server as an operator meets it: what prevents the start, TLS, signals, an orderly stop."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from lingting.api import server as servers
from lingting.api.listening import sockets
from lingting.errors import ModelError, SettingsError
from lingting.settings import Settings
from tests.api.serving import FLASH, STREAM, packet_body, pcm, serving
from tests.requirements import missing

ROOT = Path(__file__).resolve().parents[2]


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    try:
        subprocess.run(
            [*command, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        missing("openssl is not installed")
    return certificate, key


def test_a_taken_port_is_one_line_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError) as error:
            sockets.listen("127.0.0.1", port)
    expected = (
        f"port {port} on 127.0.0.1 is already in use; stop the other program or set LINGTING_PORT to another port"
    )
    assert str(error.value) == expected


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_one_line_that_names_it(host: str) -> None:
    with pytest.raises(SettingsError, match=f"cannot listen on {host}: .*LINGTING_HOST"):
        sockets.listen(host, 0)


def test_a_privileged_port_is_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(SettingsError, match=r"port 80 on .* is reserved"):
        sockets.listen("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_is_recognised(host: str, loopback: bool) -> None:
    assert sockets.is_loopback(host) is loopback


class Stub:
    """A service that fails to start, or that nobody gets to start."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def start(self) -> None:
        raise ModelError("the model is missing; run `lingting models pull whisper-base`")


def test_a_failed_start_is_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert servers.run(Stub(Settings(data_dir=tmp_path, port=0))) == 1  # type: ignore[arg-type]
    assert capsys.readouterr().err == "lingting: the model is missing; run `lingting models pull whisper-base`\n"


def test_listening_beyond_loopback_without_tls_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        servers.run(Stub(Settings(data_dir=tmp_path, port=0, host="0.0.0.0")))  # type: ignore[arg-type]
    (warning,) = [r.getMessage() for r in caplog.records if r.name == "lingting.api.server"]
    assert "SDKs refuse plain http:// except for localhost" in warning


def test_a_certificate_that_cannot_be_used_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificate, key = make_certificate(tmp_path, "good")
    _, other_key = make_certificate(tmp_path, "other")
    junk = tmp_path / "junk.pem"
    junk.write_text("not a certificate")
    cases = [
        (tmp_path / "none.pem", key, f"LINGTING_TLS_CERTIFICATE: {tmp_path / 'none.pem'} cannot be read"),
        (certificate, tmp_path / "none.key", f"LINGTING_TLS_KEY: {tmp_path / 'none.key'} cannot be read"),
        (junk, key, f"the TLS certificate {junk} and key {key} cannot be used"),
        (certificate, other_key, f"the TLS certificate {certificate} and key {other_key} cannot be used"),
    ]
    for cert, private, message in cases:
        settings = Settings(data_dir=tmp_path, port=0, tls_certificate=cert, tls_key=private)
        assert servers.run(Stub(settings)) == 1  # type: ignore[arg-type]
        line = capsys.readouterr().err
        assert line.startswith(f"lingting: {message}")
        assert line.count("\n") == 1


SERVE = """
import sys
from pathlib import Path
from lingting.api import server
from lingting.operations import logs
from lingting.settings import Settings
from tests.api.serving import Service
named = dict(argument.split("=", 1) for argument in sys.argv[2:])
SCOPES = named.pop("scopes", "speech_to_text:speech")
seconds = float(named.pop("recognition_seconds", 0))
stuck = named.pop("stuck", "")
settings = Settings(data_dir=Path(sys.argv[1]), port=0, **named)
logs.configure(settings.log_level, "json")
service = Service(settings)
service.recognizer.seconds = seconds
if stuck:
    import asyncio
    server.CLOSING_SECONDS, service.stop = 4, lambda: asyncio.sleep(1000)
def ready(url):
    from lingting.access.records import NewCredential
    scopes = tuple(SCOPES.split())
    key = service.access.directory.create_key(NewCredential("k", "default", scopes)).key
    print(url, key, flush=True)
sys.exit(server.run(service, ready))
"""


class Process:
    """A server in a process of its own."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None, **settings: Any) -> None:
        arguments = [f"{name}={value}" for name, value in settings.items()]
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, folder, *arguments],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=self.log.open("wb"),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode().split()
        assert line, self.log.read_text()
        self.url, self.key = line
        self.address = ("127.0.0.1", int(self.url.rsplit(":", 1)[1]))

    def send(self, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        return requests.post(self.url + STREAM, headers=headers, json=body, timeout=10).json()  # type: ignore[no-any-return]

    def logged(self, text: str) -> None:
        """Wait until the log says so."""
        deadline = time.monotonic() + 20
        while text not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in started:
        process.process.kill()
        process.process.wait()


def test_sigterm_lets_live_streams_end_and_refuses_new_ones(tmp_path: Path, processes: list[Process]) -> None:
    server = Process(tmp_path, drain_seconds=20)
    processes.append(server)
    assert server.send(packet_body("a" * 16, 0, 1, pcm(0.1)))["code"] == 0
    server.process.send_signal(signal.SIGTERM)
    server.logged("stopping: no new work")
    refused = server.send(packet_body("b" * 16, 0, 1))
    assert (refused["code"], refused["error"]["message"]) == (
        1040102,
        "the server is stopping; try again shortly",
    )
    assert requests.get(server.url + "/readyz", timeout=5).json() == {"status": "draining"}
    assert server.send(packet_body("a" * 16, 1, 0, pcm(0.1)))["data"]["recognition_text"] == "3200 so far"
    assert server.send(packet_body("a" * 16, 2, 2))["data"]["recognition_text"] == "heard 3200 samples"
    assert server.process.wait(20) == 0


def test_a_stop_does_not_wait_for_ever(tmp_path: Path, processes: list[Process]) -> None:
    server = Process(tmp_path, drain_seconds=0.2)
    processes.append(server)
    server.send(packet_body("a" * 16, 0, 1))
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once_without_a_traceback(
    tmp_path: Path, processes: list[Process], number: signal.Signals
) -> None:
    server = Process(tmp_path, drain_seconds=300)
    processes.append(server)
    server.send(packet_body("a" * 16, 0, 1))
    server.process.send_signal(number)
    server.logged("stopping: no new work")
    server.process.send_signal(number)
    assert server.process.wait(20) == 128 + number
    said = server.log.read_text()
    assert "lingting: ended at once; what was in flight is lost" in said
    assert "Traceback" not in said


def presented(address: tuple[str, int], trusted: Path, **versions: Any) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(trusted))
    for name, version in versions.items():
        setattr(context, name, version)
    return context.wrap_socket(socket.create_connection(address, timeout=10), server_hostname="127.0.0.1")


def test_tls_is_modern_and_its_certificate_is_read_again_on_sighup(tmp_path: Path, processes: list[Process]) -> None:
    certificate, key = make_certificate(tmp_path, "served")
    server = Process(tmp_path, tls_certificate=certificate, tls_key=key)
    processes.append(server)
    assert server.url.startswith("https://")
    assert requests.get(server.url + "/healthz", verify=str(certificate), timeout=5).json() == {"status": "ok"}
    with presented(server.address, certificate) as connection:
        assert connection.version() == "TLSv1.3"
    with presented(server.address, certificate, maximum_version=ssl.TLSVersion.TLSv1_2) as connection:
        cipher = connection.cipher()
        assert cipher is not None
        assert cipher[0].startswith("ECDHE-")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        presented(
            server.address,
            certificate,
            minimum_version=ssl.TLSVersion.TLSv1,
            maximum_version=ssl.TLSVersion.TLSv1_1,
        )
    renewed, renewed_key = make_certificate(tmp_path, "renewed")
    certificate.write_text("broken")
    server.process.send_signal(signal.SIGHUP)
    server.logged("the old certificate stays")
    certificate.write_bytes(renewed.read_bytes())
    key.write_bytes(renewed_key.read_bytes())
    server.process.send_signal(signal.SIGHUP)
    server.logged("the TLS certificate was reloaded")
    with presented(server.address, renewed) as connection:
        subject = connection.getpeercert()["subject"]  # type: ignore[index]
        assert subject == ((("commonName", "renewed"),),)


def test_sighup_without_tls_changes_nothing(tmp_path: Path, processes: list[Process]) -> None:
    server = Process(tmp_path)
    processes.append(server)
    server.process.send_signal(signal.SIGHUP)
    server.logged("no TLS certificate to reload")
    assert requests.get(server.url + "/healthz", timeout=5).status_code == 200


def test_the_access_log_has_one_line_a_request_and_no_secret(tmp_path: Path, processes: list[Process]) -> None:
    import json

    server = Process(tmp_path, log_level="debug")
    processes.append(server)
    answer = server.send(packet_body("a" * 16, 0, 1, pcm(0.1)))
    refused = requests.post(server.url + STREAM, headers={"Authorization": "Bearer t-secret"}, timeout=5)
    server.logged(refused.headers["X-Tt-Logid"])
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    requests_logged = [line for line in lines if line["logger"] == "lingting.access_log"]
    assert [(line["interface"], line["status"], line["code"]) for line in requests_logged] == [
        ("stream_recognize", 200, 0),
        ("stream_recognize", 400, 99991663),
    ]
    assert (requests_logged[0]["tenant"], requests_logged[0]["audio_seconds"]) == ("default", 0.1)
    text = server.log.read_text()
    assert "t-secret" not in text
    assert server.key not in text
    assert answer["data"]["recognition_text"] not in text


def test_packets_that_went_well_do_not_fill_the_log(tmp_path: Path, processes: list[Process]) -> None:
    server = Process(tmp_path)
    processes.append(server)
    assert server.send(packet_body("a" * 16, 0, 1, pcm(0.1)))["code"] == 0
    refused = server.send(packet_body("a" * 16, 900, 0, pcm(0.1)))
    server.logged(refused["error"]["log_id"])
    assert server.log.read_text().count("lingting.access_log") == 1


def test_a_stop_leaves_no_thread_of_ours(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with serving(tmp_path, drain_seconds=0.1) as running:
        running.post(FLASH, key=running.key, data=b"RIFF" + pcm(0.1))
        running.post(STREAM, key=running.key, json=packet_body("a" * 16, 0, 1))
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert left == []
