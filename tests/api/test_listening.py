"""Whoever connects: slow and half-open clients by the hundred, too many of one address, heads that are no HTTP."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from lingting.api.listening import gate
from tests.api.serving import Running, head_and_body, receive_all, serving
from tests.api.test_server import Process, make_certificate, processes

__all__ = ["processes"]

HALF_A_HEAD = b"POST /v1/audio/asr/flash HTTP/1.1\r\nHost: x\r\nAuthorization: "


@contextlib.contextmanager
def connections(address: tuple[str, int], count: int, source: str, data: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections of one address, each of which has sent `data`."""
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            connection = socket.create_connection(address, timeout=10, source_address=(source, 0))
            opened.append(connection)
            if data:
                connection.sendall(data)
        yield opened
    finally:
        for connection in opened:
            connection.close()


def closed(connection: socket.socket) -> bool:
    """Whether the server ends a connection without a word."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        return connection.recv(1) == b""
    return True


def alive(server: Running | Process, **named: object) -> bool:
    """Whether a new client is answered."""
    return requests.get(server.url + "/healthz", timeout=10, **named).json() == {"status": "ok"}  # type: ignore[arg-type]


def test_hundreds_of_half_open_and_slow_clients_do_not_keep_others_from_being_answered(tmp_path: Path) -> None:
    with (
        serving(tmp_path) as server,
        connections(server.address, 200, "127.0.0.2"),
        connections(server.address, 200, "127.0.0.3", HALF_A_HEAD),
    ):
        for _ in range(20):
            assert alive(server)


def test_when_too_many_wait_for_their_first_request_the_longest_waiting_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "MAX_WAITING", 20)
    with (
        serving(tmp_path) as server,
        requests.Session() as session,
        connections(server.address, 20, "127.0.0.2", HALF_A_HEAD) as slow,
    ):
        assert session.get(server.url + "/healthz", timeout=10).status_code == 200
        assert closed(slow[0])
        with connections(server.address, 30, "127.0.0.3", HALF_A_HEAD) as more:
            assert all(map(closed, slow[1:]))
            assert closed(more[0])
            assert session.get(server.url + "/healthz", timeout=10).status_code == 200, "it has shown that it asks"


def test_an_address_with_too_many_connections_gets_no_more_and_others_do(tmp_path: Path) -> None:
    with serving(tmp_path, connections_per_address=5) as server:
        with connections(server.address, 5, "127.0.0.2"):
            with connections(server.address, 1, "127.0.0.2") as (sixth,):
                assert closed(sixth)
            assert alive(server)
            shown = requests.get(server.url + "/metrics", timeout=10).text
            assert 'lingting_connections_refused_total{reason="address"} 1.0' in shown
        deadline = time.monotonic() + 10
        while True:
            with connections(server.address, 1, "127.0.0.2", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") as (again,):
                if not closed(again):
                    break
            assert time.monotonic() < deadline, "the places of connections that ended are free again"


def test_a_trusted_proxy_may_have_as_many_connections_as_it_needs(tmp_path: Path) -> None:
    with (
        serving(tmp_path, connections_per_address=5, trusted_proxies="127.0.0.2") as server,
        connections(server.address, 20, "127.0.0.2") as opened,
    ):
        for connection in opened:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b'{"status":"ok"}' in receive_all(connection)


def test_hundreds_of_tls_handshakes_that_never_end_do_not_keep_others_from_theirs(
    tmp_path: Path, processes: list[Process]
) -> None:
    certificate, key = make_certificate(tmp_path, "served")
    server = Process(tmp_path, tls_certificate=certificate, tls_key=key)
    processes.append(server)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"
    with (
        connections(server.address, 200, "127.0.0.2"),
        connections(server.address, 200, "127.0.0.3", hello),
        connections(server.address, 200, "127.0.0.4", b"no TLS at all"),
    ):
        for _ in range(5):
            assert alive(server, verify=str(certificate))


def test_a_handshake_has_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio
    import ssl

    from lingting.api.listening.sockets import listen

    monkeypatch.setattr(gate, "HANDSHAKE_SECONDS", 0.2)
    certificate, key = make_certificate(tmp_path, "served")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def wait_for_the_end() -> bytes:
        with listen("127.0.0.1", 0) as listener:
            door = gate.Gate(
                listener,
                lambda _: asyncio.Protocol(),
                tls=context,
                per_address=5,
                exempt=lambda _: False,
                refused=print,
            )
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            try:
                return await asyncio.wait_for(reader.read(), 10)
            finally:
                writer.close()
                door.close()
                await door.wait_closed()

    assert asyncio.run(wait_for_the_end()) == b""


def test_a_client_that_asks_and_never_reads_is_cut(tmp_path: Path) -> None:
    with serving(tmp_path, request_timeout_seconds=0.5) as server:
        with connections(server.address, 1, "127.0.0.1") as (greedy,):
            greedy.settimeout(20)
            with contextlib.suppress(ConnectionError):
                while True:
                    greedy.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        assert alive(server)


INVALID_HEADS = {
    400: b"POST %s HTTP/1.1\r\nno header\r\n\r\n",
    431: b"POST %s HTTP/1.1\r\nX-Long: " + b"x" * 70_000,
}
SAID = {400: "this is not valid HTTP", 431: "the head of the request is over 32768 bytes"}


@pytest.mark.parametrize("status", INVALID_HEADS)
@pytest.mark.parametrize(
    "path",
    [
        "/open-apis/speech_to_text/v1/speech/file_recognize",
        "/v1/models",
        "/v1/listen?model=nova-3",
        "/v1/audio/asr/flash",
        "/healthz?a=b",
    ],
)
def test_a_head_that_is_no_http_is_answered_in_the_words_of_its_interface(
    server: Running, status: int, path: str
) -> None:
    lines, body = head_and_body(server.raw(INVALID_HEADS[status] % path.encode(), read_all=False))
    assert lines[0].split()[1] == str(status)
    (log_id,) = (line.split(": ")[1] for line in lines if line.startswith("X-Tt-Logid"))
    message = SAID[status]
    if path.startswith("/open-apis"):
        lists: dict[str, list[object]] = {"field_violations": [], "permission_violations": []}
        error = {"log_id": log_id, "message": message, **lists}
        assert body == {"code": 1040101, "msg": "invalid param", "error": error}
    elif path == "/v1/models":
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_request"}
        assert body == {"error": error}
    elif path.startswith("/v1/listen"):
        assert body == {"err_code": "Bad Request", "err_msg": message, "request_id": log_id}
    else:
        assert body["error"] == {
            "message": message,
            "type": "Illegal Argument",
            "param": None,
            "code": str(status),
            "httpCode": status,
        }


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
def test_a_server_that_has_no_descriptors_left_makes_room_and_goes_on(tmp_path: Path, processes: list[Process]) -> None:
    server = Process(tmp_path)
    processes.append(server)
    used = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 20, used + 20))
    with connections(server.address, 60, "127.0.0.2"):
        for _ in range(5):
            assert alive(server)
    assert "no connection can be accepted: Too many open files" in server.log.read_text()
    shown = requests.get(server.url + "/metrics", timeout=10).text
    assert 'lingting_connections_refused_total{reason="descriptors"}' in shown
