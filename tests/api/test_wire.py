"""What goes over the wire: header names, early refusals, slow and broken senders, connections that stay."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.api.serving import (
    FILE,
    FLASH,
    STREAM,
    TENANT_TOKEN,
    Running,
    file_body,
    head_and_body,
    pcm,
    receive_all,
    serving,
)

HUGE = 10**12


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request; a Content-Length of the body's own unless one is given."""
    given = {"Host": "x", "Content-Length": str(len(body)), "Connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def names(head: list[str]) -> list[str]:
    return [line.split(":")[0] for line in head[1:]]


EXCHANGES = {
    "success": lambda s: request("POST", FILE, json.dumps(file_body()).encode(), Authorization=f"Bearer {s.key}"),
    "token": lambda s: request(
        "POST", TENANT_TOKEN, json.dumps({"app_id": s.app.app.id, "app_secret": s.app.app_secret}).encode()
    ),
    "no token": lambda s: request("POST", FILE, b"{}"),
    "bad field": lambda s: request("POST", STREAM, b"{}", Authorization=f"Bearer {s.key}"),
    "unknown path": lambda s: request("GET", "/open-apis/x"),
    "wrong method": lambda s: request("PUT", STREAM),
    "flash": lambda s: request("POST", FLASH, b"RIFF" + pcm(0.1), Authorization=f"Bearer {s.key}"),
    "flash without a key": lambda s: request("POST", FLASH),
    "flash wrong method": lambda s: request("GET", FLASH),
    "not found": lambda s: request("GET", "/x"),
    "health": lambda s: request("GET", "/healthz"),
    "metrics": lambda s: request("GET", "/metrics"),
    "document": lambda s: request("GET", "/openapi.json"),
    "too large": lambda s: request("POST", FILE, Authorization=f"Bearer {s.key}", Content_Length=str(HUGE)),
    "not HTTP": lambda s: b"nonsense\r\n\r\n",
    "too large a head": lambda s: request("GET", "/healthz", X_Long="x" * 70_000),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_every_answer_has_title_case_names_and_a_log_id(server: Running, name: str) -> None:
    answer = server.raw(EXCHANGES[name](server), read_all=False)
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    for header in names(head):
        assert header == "-".join(part.capitalize() for part in header.split("-")) or header == "connection", header
    for wanted in ("Content-Type", "X-Tt-Logid", "X-Request-Id"):
        assert names(head).count(wanted) == 1
    (log_id,) = (line.split(": ")[1] for line in head if line.startswith("X-Tt-Logid"))
    assert re.fullmatch(r"[0-9]{14}[0-9a-f]{20}", log_id)


def test_no_two_answers_share_a_log_id(server: Running) -> None:
    ids = {requests.get(server.url + "/healthz", timeout=5).headers["X-Tt-Logid"] for _ in range(50)}
    assert len(ids) == 50


@pytest.mark.parametrize("path", [FILE, STREAM, FLASH])
def test_a_body_is_refused_by_its_announced_length_before_any_of_it_is_sent(server: Running, path: str) -> None:
    head, body = head_and_body(
        server.raw(
            request("POST", path, Authorization=f"Bearer {server.key}", Content_Length=str(HUGE)), read_all=False
        )
    )
    assert head[0].startswith("HTTP/1.1 413 ")
    assert "Connection: close" in head or "connection: close" in head
    assert body["error"]


@pytest.mark.parametrize("path", [FILE, FLASH])
def test_a_client_that_sends_all_of_a_refused_body_still_reads_the_answer(server: Running, path: str) -> None:
    answer = server.post(path, key=server.key, data=b"x" * 20_000_000)
    assert answer.status_code == 413


def test_a_client_that_waits_for_permission_is_refused_without_it(server: Running) -> None:
    answer = server.raw(
        request("POST", FLASH, Authorization=f"Bearer {server.key}", Content_Length=str(HUGE), Expect="100-continue"),
        read_all=False,
    )
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_client_that_waits_for_permission_gets_it(server: Running) -> None:
    body = b"RIFF" + pcm(0.1)
    with socket.create_connection(server.address, timeout=10) as connection:
        head = request("POST", FLASH, Authorization=f"Bearer {server.key}", Expect="100-continue")
        connection.sendall(head.replace(b"Content-Length: 0", b"Content-Length: %d" % len(body)))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert receive_all(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sent", [b"", b"POST /v1/au", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_a_client_that_never_ends_its_head_is_cut(server: Running, sent: bytes) -> None:
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(sent)
        with pytest.raises((ConnectionResetError, AssertionError)):
            assert receive_all(connection)


def test_a_client_that_drips_its_head_is_cut(server: Running) -> None:
    with socket.create_connection(server.address, timeout=10) as connection:
        started = time.monotonic()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while time.monotonic() < started + 30:
                connection.sendall(b"GET"[:1])
                time.sleep(0.05)


@pytest.mark.parametrize("path", [FILE, STREAM, FLASH, TENANT_TOKEN])
def test_a_body_that_stops_arriving_is_answered(server: Running, path: str) -> None:
    head, body = head_and_body(
        server.raw(
            request("POST", path, b"{", Authorization=f"Bearer {server.key}", Content_Length="1000"), read_all=False
        )
    )
    if path == TENANT_TOKEN:
        assert (head[0].split()[1], body) == ("200", {"code": 10003, "msg": "invalid param"})
        return
    assert head[0].split()[1] == "400"
    message = "the body stopped arriving or comes too slowly: it may pause for at most 2 s, must come at 1000 bytes per"
    assert message in body["error"]["message"]


def test_a_body_that_drips_is_answered(server: Running) -> None:
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(request("POST", FLASH, Authorization=f"Bearer {server.key}", Content_Length="100000"))
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.1):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
        finally:
            stop.set()
            dripping.join()


def test_a_body_that_comes_steadily_is_there_within_a_time_or_is_answered(tmp_path: Path) -> None:
    with serving(tmp_path, body_timeout_seconds=0.5) as running, socket.create_connection(running.address) as sender:
        sender.settimeout(30)
        sender.sendall(request("POST", FLASH, Authorization=f"Bearer {running.key}", Content_Length="100000000"))
        stop = threading.Event()

        def send() -> None:
            with suppress(OSError):
                while not stop.wait(0.05):
                    sender.sendall(b"x" * 1000)  # many times faster than the least

        sending = threading.Thread(target=send)
        sending.start()
        try:
            answer = receive_all(sender)
        finally:
            stop.set()
            sending.join()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"and be there within 0.5 s" in answer


def test_a_client_that_leaves_in_the_middle_of_its_body_costs_nothing(server: Running) -> None:
    before = server.service.streams.live  # the server is shared
    for path in (FILE, STREAM, FLASH):
        server.raw(request("POST", path, b"{", Authorization=f"Bearer {server.key}", Content_Length="1000"))
    assert requests.get(server.url + "/readyz", timeout=5).status_code == 200
    assert server.service.streams.live <= before


def test_a_connection_serves_many_requests_and_errors(server: Running) -> None:
    with requests.Session() as session:
        for _ in range(3):
            for path, expected in ((FILE, 400), ("/open-apis/none", 404), (FLASH, 401), ("/none", 404)):
                assert session.post(server.url + path, data=b"x" * 2000, timeout=5).status_code == expected
        answer = session.post(
            server.url + FILE, headers={"Authorization": f"Bearer {server.key}"}, json=file_body(), timeout=5
        )
        assert answer.json()["code"] == 0


def test_requests_sent_together_are_answered_in_order(server: Running) -> None:
    first = request("GET", "/healthz", Connection="keep-alive")
    answer = server.raw(first + first + request("GET", "/nothing"), read_all=False)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"200", b"404"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /" + b"x" * 300_000, 431),
    ],
)
def test_what_is_not_http_is_refused_in_json(server: Running, sent: bytes, status: int) -> None:
    head, body = head_and_body(server.raw(sent, read_all=False))
    assert head[0].startswith(f"HTTP/1.1 {status} ")
    assert body["error"]["httpCode"] == status


def test_a_body_that_is_not_http_ends_its_request(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    head = request("POST", FLASH, Authorization=f"Bearer {server.key}", Transfer_Encoding="chunked", Content_Length="")
    answer = server.raw(head + b"5\r\nabcde\r\nnonsense\r\n", read_all=False)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert requests.get(server.url + "/readyz", timeout=5).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_no_page_of_another_origin_may_read_answers(server: Running) -> None:
    answer = requests.options(
        server.url + FILE,
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
        timeout=5,
    )
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_json(server: Running, path: str) -> None:
    answer = requests.get(server.url + path, timeout=5)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok" if path == "/healthz" else "ready")


def test_readiness_says_that_the_model_loads(server: Running) -> None:
    server.service.ready = False
    answer = requests.get(server.url + "/readyz", timeout=5)
    assert (answer.status_code, answer.json()) == (503, {"status": "loading"})
    assert requests.get(server.url + "/healthz", timeout=5).status_code == 200


def test_readiness_says_why_no_request_should_come_while_the_process_is_well(server: Running) -> None:
    server.service.why = ["no sentence was recognised rightly for 30 s"]
    answer = requests.get(server.url + "/readyz", timeout=5)
    server.service.why = []
    expected = {"status": "unready", "why": ["no sentence was recognised rightly for 30 s"]}
    assert (answer.status_code, answer.json()) == (503, expected)
    assert requests.get(server.url + "/healthz", timeout=5).status_code == 200


def test_metrics_count_by_interface_and_outcome_and_hold_no_secret(server: Running) -> None:
    server.post(FILE, key=server.key, json=file_body())
    server.post(FILE, key="t-unknown", json=file_body())
    text = requests.get(server.url + "/metrics", timeout=5).text
    assert 'lingting_refusals_total{interface="file_recognize",reason="credential"}' in text
    assert 'lingting_requests_total{interface="file_recognize",outcome="ok"}' in text
    assert 'lingting_requests_total{interface="file_recognize",outcome="99991663"}' in text
    assert f"lingting_live_streams {server.service.streams.live:.1f}" in text
    assert server.key not in text
    assert "t-unknown" not in text


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_metrics_are_not_shown_through_a_proxy(server: Running, header: str) -> None:
    answer = requests.get(server.url + "/metrics", headers={header: "203.0.113.5"}, timeout=5)
    assert answer.status_code == 403


def test_usage_counts_requests_errors_and_audio(server: Running) -> None:
    import asyncio
    from datetime import UTC, datetime

    key = server.new_key(owner="counted")
    for body in (file_body(pcm(1)), file_body(pcm(0.5)), file_body(format="wav")):
        server.post(FILE, key=key, json=body)
    server.post(FLASH, key=key, data=b"RIFF" + pcm(2))
    today = datetime.now(UTC).date()
    usage = server.service.access.usage
    rows = asyncio.run_coroutine_threadsafe(usage.summary(today, today, ["tenant", "interface"]), server.loop).result(
        10
    )
    mine = server.service.access.directory.tenants()[-1].name
    counted = {row["interface"]: row for row in rows if row["tenant"] == mine}
    assert {n: counted["file_recognize"][n] for n in ("requests", "errors")} == {"requests": 3, "errors": 1}
    assert counted["flash"]["requests"] == 1
    assert counted["flash"]["audio_seconds"] == 2
