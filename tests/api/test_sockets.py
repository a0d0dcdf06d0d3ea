"""Sockets held well: what an idle one costs, who reads too slowly, who dies, how all end when the server stops."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import resource
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lingting.api.sockets import held
from tests.api.serving import Running, serving
from tests.api.sockets import hush, peer, voice
from tests.conftest import start_server

REALTIME = "/v1/realtime?intent=transcription"
LISTEN = "/v1/listen?encoding=linear16&sample_rate=16000&interim_results=true"
IDLE = 2000
MOST_BYTES = 20_000


def handshake(port: int, path: str, key: str) -> socket.socket:
    """A connection that has been upgraded and greeted."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {key}\r\n\r\n".encode()
    )
    assert connection.recv(65_536).startswith(b"HTTP/1.1 101 ")
    return connection


def frame(opcode: int, content: bytes) -> bytes:
    """A frame of a client."""
    length = len(content)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack("!H", length)
    if length > 65_535:
        size = b"\xff" + struct.pack("!Q", length)
    return bytes([0x80 | opcode]) + size + b"\0\0\0\0" + content


@pytest.mark.engine
@pytest.mark.slow
def test_two_thousand_idle_connections_cost_under_20_kb_each(tmp_path: Path, model_dir: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    limits = {"streams_per_tenant": "5000", "connections_per_address": "5000", "drain_seconds": "1"}
    server = start_server(tmp_path, model_dir, **limits)
    port = int(server.url.rsplit(":", 1)[1])
    opened: list[socket.socket] = []
    try:
        process = psutil.Process(server.process.pid)
        opened += [handshake(port, REALTIME, server.key) for _ in range(200)]
        before = process.memory_info().rss
        opened += [handshake(port, REALTIME, server.key) for _ in range(IDLE)]
        cost = (process.memory_info().rss - before) / IDLE
        print(f"{cost:.0f} bytes for each idle connection")
        assert cost < MOST_BYTES
    finally:
        for connection in opened:
            connection.close()
        server.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_compression_is_not_agreed_to(server: Running) -> None:
    with peer(server, REALTIME, key=server.new_key()) as opened:
        assert opened.connection.protocol.extensions == []


def free_again(server: Running, key: str, within: float) -> None:
    """A tenant with one place has it again within so many seconds."""
    deadline = time.monotonic() + within
    while True:
        try:
            with peer(server, LISTEN, key=key):
                return
        except InvalidStatus:
            assert time.monotonic() < deadline


def test_a_connection_that_breaks_frees_its_place_in_a_second(server: Running) -> None:
    key = server.new_key(limits={"streams": 1})
    connection = handshake(server.address[1], LISTEN, key)
    connection.sendall(frame(2, voice(0.5)))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    free_again(server, key, 1.0)


def test_a_peer_that_never_reads_is_dropped_and_frees_its_place(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "MAX_WAITING_BYTES", 20_000)
    key = server.new_key(limits={"streams": 1})
    connection = handshake(server.address[1], LISTEN, key)
    wrong = frame(1, b"x") * 1000
    connection.settimeout(0.5)
    with contextlib.suppress(OSError):
        for _ in range(1000):
            connection.sendall(wrong)
    free_again(server, key, 3.0)
    connection.close()


def test_a_message_over_24_mib_is_refused(server: Running) -> None:
    with peer(server, LISTEN, key=server.new_key(), max_size=None) as opened:
        with contextlib.suppress(ConnectionClosed, OSError):
            opened.connection.send(bytes((24 << 20) + 1))
        opened.rest()
        assert opened.closed[0] in (1009, None)  # the answer may be lost with what was not read


@pytest.mark.parametrize(
    "frames",
    [
        b"\xff\xff\xff\xff",
        b"\x81\x05hello",
        frame(3, b"reserved"),
        frame(1, b"\xff\xfe"),
        frame(9, bytes(200)),
        b"\x80\x80\0\0\0\0",
        frame(8, b"\x00"),
        frame(8, struct.pack("!H", 5)),
        frame(1, b"\xff") + frame(8, struct.pack("!H", 1000)),
    ],
)
def test_what_is_no_frame_ends_only_its_own_connection(server: Running, frames: bytes) -> None:
    key = server.new_key(limits={"streams": 1})
    connection = handshake(server.address[1], LISTEN, key)
    connection.sendall(frames)
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65_536):
            received += chunk
    assert b"\x88" in received
    free_again(server, key, 2.0)
    connection.close()


@pytest.fixture
def stopping(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path, drain_seconds=5.0) as running:
        yield running


@pytest.mark.parametrize("path", [REALTIME, LISTEN, "/"])
def test_a_server_that_stops_gives_what_was_said_and_closes_with_1012(stopping: Running, path: str) -> None:
    with peer(stopping, path, key=stopping.key) as opened:
        sound = voice(1.0, 24_000 if path == REALTIME else 16_000)
        if path == REALTIME:
            opened.hear()
            opened.say({"type": "input_audio_buffer.append", "audio": base64.b64encode(sound).decode()})
            opened.until("input_audio_buffer.speech_started")
        else:
            opened.say(sound)
            opened.hear()
        stopping.server.stop(leisurely=False)
        heard = json.dumps(opened.rest(), ensure_ascii=False)
        assert "今天我们开会讨论下一" in heard
        assert opened.closed == (1012, "the server is restarting")


def test_a_server_that_stops_opens_no_connection_more(stopping: Running) -> None:
    stopping.call(setattr, stopping.service.streams, "_draining", True)
    with pytest.raises(InvalidStatus) as refused, peer(stopping, LISTEN, key=stopping.key):
        pass
    assert refused.value.response.status_code == 503


def texts(rng: random.Random) -> str | bytes:
    """Something that a client should not send, or should."""
    known = [
        "input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear", "session.update",
        "transcription_session.update", "KeepAlive", "Finalize", "Configure", "response.create",
    ]  # fmt: skip
    odd = [None, True, 0, -1, 1e308, "", "x", "\x00", [], {}, [[]], {"type": 5}, "AAAA", "AAA", {"input": 5}, "é" * 50]
    match rng.randrange(6):
        case 0:
            return rng.randbytes(rng.choice((1, 2, 3, 641, 5000)))
        case 1:
            return voice(rng.choice((0.01, 0.1, 0.7))) + hush(rng.choice((0.0, 0.1, 0.7)))
        case 2:
            return rng.choice(("", "[", "{", "null", "5", "[]", '{"type":', "\u0000", "[" * 5000))
    message = {"type": rng.choice(known)}
    for name in rng.sample(
        [
            "audio",
            "session",
            "event_id",
            "keyterms",
            "is_speaking",
            "mode",
            "hotwords",
            "audio_fs",
            "wav_format",
            "itn",
        ],
        rng.randrange(4),
    ):
        message[name] = rng.choice(odd)  # type: ignore[assignment]
    if rng.random() < 0.2:
        given = {name: rng.choice(odd) for name in ("format", "transcription", "turn_detection", "noise_reduction")}
        message["session"] = {"type": "transcription", "audio": {"input": given}, **given}  # type: ignore[assignment]
    return json.dumps(message)


@pytest.mark.parametrize("path", [REALTIME, LISTEN, "/"])
def test_wrong_messages_neither_break_the_server_nor_hold_a_place(server: Running, path: str) -> None:
    key = server.new_key(limits={"streams": 1})
    for number in range(12):
        rng = random.Random(number)
        with peer(server, path, key=key, max_size=None, max_queue=None) as opened:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(60):
                    opened.say(texts(rng))
                    with contextlib.suppress(TimeoutError):
                        while True:
                            opened.connection.recv(timeout=0)
            opened.connection.close()
            close = opened.connection.protocol.close_rcvd
            assert close is None or close.code in (1000, 1001, 1008, 1013), close
        free_again(server, key, 2.0)
