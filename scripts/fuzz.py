"""Sends a real server malformed requests, mutated audio files and wrong messages, and checks that it stays well.

    python scripts/fuzz.py            20,000 requests, 2,000 audio files, 10,000 messages for each live protocol
    python scripts/fuzz.py --short    a few hundred of each
    python scripts/fuzz.py --seed 7   the same ones again

Fails on an answer in the 500s that does not say when to try again, on an answer that is not the JSON of its interface,
on a request without an answer, on a WebSocket that ends with a code that explains nothing, and when memory, threads,
open files, spooled files or live streams have grown at the end. What failed is printed with its bytes.
"""

from __future__ import annotations

import argparse
import base64
import functools
import io
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil

FILE = "/open-apis/speech_to_text/v1/speech/file_recognize"
STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
TOKEN = "/open-apis/auth/v3/tenant_access_token/internal"
FLASH = "/v1/audio/asr/flash"
PATHS = [FILE, STREAM, TOKEN, FLASH, "/healthz", "/metrics", "/openapi.json"]
SETTINGS = {
    "FILE_REQUESTS_PER_SECOND": "1000000",
    "FLASH_REQUESTS_PER_SECOND": "1000000",
    "REQUESTS_PER_TENANT": "100000",
    "STREAM_IDLE_SECONDS": "2",
    "STREAMS_PER_TENANT": "1000",
    "REQUEST_TIMEOUT_SECONDS": "1",
    "LOG_LEVEL": "error",
}
PATIENCE_SECONDS = 120.0
KEPT_SECONDS = 3.0
"""A connection that is silent for so long after an answer is one that is kept for another request."""
MEMORY_BYTES = 100_000_000
POOLS_THREADS = 16
"""Pools of threads are bounded, and filled by what happens at once, which is more on a machine with much else to do."""
CLIENTS = {"malformed requests": 16, "mutated audio files": 3, "wrong messages": 8, "wrong Wyoming events": 8}
FILES_PATH = "/v1/listen?interim_results=true"
"""Where the sound of a WebSocket is a file that comes in pieces."""
LIVE_PATHS = ("/v1/realtime", "/v1/listen?encoding=linear16&sample_rate=16000&interim_results=true", "/", FILES_PATH)
WYOMING_HELLO = b'{"type":"describe"}\n'
MESSAGES_A_SOCKET = 50
EXPLAINED = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1012, 1013)
"""Codes with which a server may end a connection over what its client sent."""
SPEECH_SHARE = 0.2

# name: (container, codec, samples per second, suffix for the format header)
ENCODINGS = {
    "wav": ("wav", "pcm_s16le", 16_000),
    "mp3": ("mp3", "libmp3lame", 22_050),
    "flac": ("flac", "flac", 44_100),
    "ogg": ("ogg", "libopus", 48_000),
    "m4a": ("mp4", "aac", 44_100),
    "aac": ("adts", "aac", 16_000),
    "webm": ("webm", "libopus", 48_000),
}


@dataclass(frozen=True)
class Server:
    """A running server under test."""

    process: psutil.Process
    address: tuple[str, int]
    wyoming: tuple[str, int]
    key: str
    data_dir: Path


@dataclass(frozen=True)
class Health:
    """What must not grow."""

    memory: int
    threads: int
    files: int
    streams: float
    spooled: int


@functools.cache
def second(speech: bytes) -> tuple[np.ndarray[Any, np.dtype[np.int16]], int]:
    """A second of a WAV file, shape (1, samples), and its samples per second; a tone when there is no file."""
    if not speech:
        return (8000 * np.sin(np.arange(16_000) / 5)).astype("<i2").reshape(1, -1), 16_000
    with wave.open(io.BytesIO(speech)) as source:
        rate = source.getframerate()
        return np.frombuffer(source.readframes(rate), "<i2").reshape(1, -1), rate


@functools.cache
def encoded(name: str, speech: bytes) -> bytes:
    """A second of speech, or of a tone, in a container."""
    container, codec, rate = ENCODINGS[name]
    samples, source_rate = second(speech)
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        stream = target.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = source_rate
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=rate, frame_size=stream.codec_context.frame_size
        )
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    return out.getvalue()


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Bytes changed, cut, doubled, moved or mixed with noise."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(out) + 1)
        length = rng.choice((1, 2, 4, 16, 256))
        match rng.randrange(7):
            case 0:
                for _ in range(rng.choice((1, 3, 30))):
                    if out:
                        out[rng.randrange(len(out))] = rng.randrange(256)
            case 1:
                del out[at:]
            case 2:
                del out[at : at + length]
            case 3:
                out[at:at] = rng.randbytes(length)
            case 4:
                out[at : at + length] = rng.choice((b"\xff", b"\x00", b"\x7f")) * length
            case 5:
                out += out[at : at + length * 16]
            case 6:
                del out[:at]
    return bytes(out)


def request(method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """The bytes of a request that asks for the connection to end."""
    lines = {"Host": "fuzz", "Connection": "close", "Content-Length": str(len(body))} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogatepass") + body


ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 3, 4, 33, 1e308, -0.0, 1.5, 10**18, 10**40),
    *("", "pcm", "16k_auto", "wav", "\x00", "é" * 16, "a" * 16, "_" * 16, "x" * 5000, "AAAA", "AAA", "====", "-_-_"),
    *([], {}, [[]], {"speech": {}}, "\ud83d\ude00"),
]


def valid_body(rng: random.Random, path: str) -> dict[str, Any]:
    """A body that its interface takes, if a stream of that name is where the packet says."""
    if path == TOKEN:
        return {"app_id": f"cli_{rng.getrandbits(64):016x}", "app_secret": "secret"}
    audio = base64.b64encode(rng.randbytes(rng.choice((0, 2, 3, 640, 6400)))).decode()
    config: dict[str, Any] = {"format": "pcm", "engine_type": "16k_auto"}
    if path == FILE:
        return {"speech": {"speech": audio}, "config": config | {"file_id": "qwe12dd34567890w"}}
    config["stream_id"] = f"fuzz{rng.randrange(30):012d}"
    config["sequence_id"] = rng.randrange(6)
    config["action"] = rng.choice((0, 0, 0, 1, 1, 2, 3))
    return {"speech": {"speech": audio}, "config": config}


def malformed_flash(rng: random.Random, headers: dict[str, str]) -> bytes:
    """A body for flash; odd parameters are put among the headers."""
    names = ("format", "sample_rate", "max_sentence_silence", "hot_words", "hot_words_table_id", "convert_numbers")
    for name in rng.sample(names, rng.randrange(3)):
        headers[name] = rng.choice(("", "pcm", "mp3", "-1", "0", "16000", "1e3", "%FF", "%zz", "true", "é", "9" * 30))
    return mutated(rng, b"RIFF\x00\x00\x00\x00WAVEfmt " + rng.randbytes(60))


def malformed_json(rng: random.Random, path: str) -> bytes:
    """A JSON body with a field that is odd or missing, or bytes that are none."""
    if rng.random() < 0.01:
        return rng.choice((b"[", b'{"config":')) * rng.choice((10, 100_000))
    content = valid_body(rng, path)
    parts = [content, *(part for part in content.values() if isinstance(part, dict))]
    part = rng.choice(parts)
    match rng.randrange(6):
        case 0 | 1:
            part[rng.choice(list(part) or ["x"])] = rng.choice(ODD)
        case 2:
            part.pop(rng.choice(list(part)), None)
        case 3:
            content = rng.choice(ODD)
    body = json.dumps(content).encode()
    return mutated(rng, body) if rng.random() < 0.3 else body


def malformed(rng: random.Random, key: str) -> bytes:
    """A request that is wrong in one of many ways, and now and then right."""
    path = rng.choice((FILE, STREAM, STREAM, TOKEN, FLASH))
    headers = {"Authorization": f"Bearer {key}"}
    body = malformed_flash(rng, headers) if path == FLASH else malformed_json(rng, path)
    method = "POST"
    match rng.randrange(12):
        case 0:
            headers["Authorization"] = rng.choice(
                ("", "Bearer", "Bearer ", "Bearer t-x", "Bearer u-x", "é", "x" * 9000)
            )
        case 1:
            headers["Content-Length"] = rng.choice(("-1", "x", "0", "1", "99999999999", "1" * 40, "+5", "5, 6"))
        case 2:
            name = rng.choice(("Transfer-Encoding", "Content-Encoding", "Expect", "Upgrade"))
            headers[name] = rng.choice(("chunked", "gzip", "identity", "100-continue", "websocket", "x"))
        case 3:
            return mutated(rng, request(method, path, headers, body))
        case 4:
            path = rng.choice((*PATHS, "/", "*", "//", path + "/", path + "?x=%FF", "/open-apis/" + "a" * 3000, "/%00"))
        case 5:
            method = rng.choice(("GET", "PUT", "HEAD", "OPTIONS", "BREW", "post", "CONNECT", ""))
    return request(method, path, headers, body)


def mutated_audio(rng: random.Random, key: str, speech: bytes) -> bytes:
    """A flash request whose file is broken in some way."""
    name = rng.choice(list(ENCODINGS))
    body = mutated(rng, encoded(name, speech if rng.random() < SPEECH_SHARE else b""))
    form = name if rng.random() < 0.9 else rng.choice(("pcm", "wav", "mp3", "amr"))
    return request("POST", FLASH, {"Authorization": f"Bearer {key}", "format": form}, body)


TYPES = (
    "input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear", "session.update",
    "transcription_session.update", "KeepAlive", "Finalize", "Configure", "CloseStream", "response.create", "",
)  # fmt: skip
FIELDS = ("audio", "session", "event_id", "keyterms", "is_speaking", "is_end", "mode", "hotwords", "audio_fs", "itn")


def wrong_message(rng: random.Random) -> bytes:
    """A message for a live protocol that is wrong in one of many ways, and now and then right."""
    if rng.random() < 0.3:
        return rng.randbytes(rng.choice((1, 2, 3, 641, 6400)))
    content: Any = {"type": rng.choice(TYPES)} | {
        name: rng.choice(ODD) for name in rng.sample(FIELDS, rng.randrange(4))
    }
    if rng.random() < 0.3:
        given = {name: rng.choice(ODD) for name in ("format", "transcription", "turn_detection", "noise_reduction")}
        content["session"] = {"type": "transcription", "audio": {"input": given}, **given}
    elif rng.random() < 0.3:
        content["audio"] = base64.b64encode(rng.randbytes(rng.choice((1, 640, 6401)))).decode()
    text = json.dumps(content if rng.random() < 0.9 else rng.choice(ODD)).encode()
    return mutated(rng, text) if rng.random() < 0.3 else text


def frame(rng: random.Random, content: bytes) -> bytes:
    """A frame of a client: text mostly, and now and then one that is no frame."""
    opcode = rng.choices((1, 2, 0, 3, 9, 10), (60, 30, 1, 1, 4, 4))[0]
    whole = framed(opcode, content[:125] if opcode > 2 else content)
    return mutated(rng, whole) if rng.random() < 0.003 else whole


def framed(opcode: int, content: bytes) -> bytes:
    """A frame of a client."""
    length = len(content)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2) if length < 65_536 else b""
    return bytes([0x80 | opcode]) + (size or b"\xff" + length.to_bytes(8)) + b"\0\0\0\0" + content


WYOMING_TYPES = (
    "audio-start",
    "audio-chunk",
    "audio-chunk",
    "audio-chunk",
    "audio-stop",
    "transcribe",
    "ping",
    "x",
    "",
)
WYOMING_FIELDS = ("rate", "width", "channels", "language", "transcript_names", "transcript_terms", "text", "timestamp")


def wyoming_event(rng: random.Random) -> bytes:
    """An event that is wrong in one of many ways, and now and then right."""
    data: dict[str, Any] = {"rate": 16_000, "width": 2, "channels": 1}
    for name in rng.sample(WYOMING_FIELDS, rng.choice((0, 0, 1, 2))):
        data[name] = rng.choice(ODD)
    payload = rng.randbytes(rng.choice((0, 1, 640, 2048)))
    header: dict[str, Any] = {"type": rng.choice(WYOMING_TYPES), "payload_length": len(payload)}
    content = json.dumps(data).encode()
    if rng.random() < 0.5:
        header["data_length"] = len(content)
    else:
        header["data"], content = data, b""
    whole = json.dumps(header).encode() + b"\n" + content + payload
    if rng.random() < 0.005:
        header[rng.choice(list(header))] = rng.choice(ODD)
        return json.dumps(header).encode() + b"\n" + content + payload
    return mutated(rng, whole) if rng.random() < 0.005 else whole


def wrong_wyoming(rng: random.Random) -> bytes:
    """A Wyoming connection with its events, sent all at once."""
    return WYOMING_HELLO + b"".join(wyoming_event(rng) for _ in range(MESSAGES_A_SOCKET))


def wyoming_exchange(server: Server, sent: bytes) -> bytes:
    """What the server answers on a Wyoming connection until its end."""
    received = bytearray()
    with socket.create_connection(server.wyoming, timeout=PATIENCE_SECONDS) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65_536):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    return bytes(received)


def wyoming_problem(answer: bytes) -> str:
    """What is wrong with the events of an answer; empty when nothing is, or when the last bytes were lost."""
    at = 0
    while (end := answer.find(b"\n", at)) >= 0:
        try:
            header = json.loads(answer[at:end])
            at = end + 1 + header.get("data_length", 0) + header.get("payload_length", 0)
            data = json.loads(answer[end + 1 : end + 1 + header.get("data_length", 0)] or b"{}")
        except ValueError:
            return "" if at > len(answer) else "no Wyoming event"
        if data.get("code") == "server-error":
            return "the server failed on a Wyoming connection"
    return ""


def pieces(rng: random.Random) -> list[bytes]:
    """A broken file in pieces, as frames."""
    file = mutated(rng, encoded(rng.choice(list(ENCODINGS)), b""))
    size = len(file) // (MESSAGES_A_SOCKET // 2) + 1
    return [framed(2, file[start : start + size]) for start in range(0, len(file), size)]


def wrong_socket(rng: random.Random, key: str) -> bytes:
    """A WebSocket with its messages, wrong ones and right ones, sent all at once."""
    path = rng.choice(LIVE_PATHS)
    head = (
        f"GET {path} HTTP/1.1\r\nHost: fuzz\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {key}\r\n\r\n"
    )
    made = pieces(rng) if path == FILES_PATH else []
    frames = b"".join([*made, *(frame(rng, wrong_message(rng)) for _ in range(MESSAGES_A_SOCKET - len(made)))])
    return head.encode() + frames + b"\x88\x82\0\0\0\0" + (1000).to_bytes(2)


def socket_exchange(server: Server, sent: bytes) -> bytes:
    """What the server answers on a WebSocket: its head first, then everything to its end."""
    head, _, frames = sent.partition(b"\r\n\r\n")
    received = bytearray()
    with socket.create_connection(server.address, timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(head + b"\r\n\r\n")
        try:
            received += connection.recv(65_536)
            connection.sendall(frames)
        except (ConnectionResetError, BrokenPipeError):
            pass
        try:
            while chunk := connection.recv(65_536):
                received += chunk
        except ConnectionResetError:
            pass
    return bytes(received)


def socket_problem(answer: bytes) -> str:
    """What is wrong with the end of a WebSocket; empty when nothing is, or when the last bytes were lost."""
    if not answer.startswith(b"HTTP/1.1 101 "):
        return "no WebSocket"
    code = int.from_bytes(answer[-2:]) if len(answer) > 4 and answer[-4:-2] == b"\x88\x02" else 0
    return f"closed with {code}" if code and code not in EXPLAINED else ""


def exchange(server: Server, sent: bytes) -> bytes:
    """Everything the server answers on a connection of its own."""
    received = bytearray()
    with socket.create_connection(server.address, timeout=PATIENCE_SECONDS) as connection:
        try:
            connection.sendall(sent)
            while chunk := connection.recv(65536):
                received += chunk
                connection.settimeout(KEPT_SECONDS)
        except TimeoutError:
            if not received:
                raise
        except (ConnectionResetError, BrokenPipeError):
            pass
    return bytes(received)


def problem(sent: bytes, answer: bytes) -> str:
    """What is wrong with an answer; empty when nothing is."""
    if not answer:
        return ""  # the request was cut off before its end
    for status in re.findall(rb"(?m)^HTTP/1\.1 (\d+)", answer):
        if status[:1] == b"5" and b"\r\nRetry-After: " not in answer:
            return f"unexplained {status.decode()}"
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        return "not HTTP"
    if b"\r\nX-Tt-Logid: " not in head and not head.startswith(b"HTTP/1.1 100"):
        return "no log id"
    if b"application/json" in head and body and b"HTTP/1.1 " not in body:
        try:
            json.loads(body)
        except ValueError:
            return "not JSON"
    return ""


class Findings:
    """Counts of answers, and what was wrong."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.wrong: list[tuple[str, bytes, bytes]] = []
        self.slowest = 0.0
        self._lock = threading.Lock()

    def take(self, server: Server, sent: bytes) -> None:
        started = time.monotonic()
        try:
            if sent.startswith(WYOMING_HELLO):
                answer = wyoming_exchange(server, sent)
                found = wyoming_problem(answer)
            elif b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-" in sent[:200]:
                answer = socket_exchange(server, sent)
                found = socket_problem(answer)
            else:
                answer = exchange(server, sent)
                found = problem(sent, answer)
        except TimeoutError:
            answer, found = b"", f"no answer in {PATIENCE_SECONDS:g} s"
        except OSError as error:
            answer, found = b"", f"no connection: {error}"
        with self._lock:
            self.slowest = max(self.slowest, time.monotonic() - started)
            self.statuses["event" if answer[:1] == b"{" else answer[9:12].decode("latin-1") or "cut"] += 1
            if found:
                self.wrong.append((found, sent, answer))


def health(server: Server) -> Health:
    """The state of the server and of the processes it started."""
    processes = [server.process, *server.process.children(recursive=True)]
    metrics = exchange(server, request("GET", "/metrics", {}, b"")).decode()
    live = re.search(r"(?m)^lingting_live_streams (\S+)", metrics)
    return Health(
        memory=sum(process.memory_info().rss for process in processes),
        threads=sum(process.num_threads() for process in processes),
        files=sum(process.num_fds() for process in processes),
        streams=float(live[1]) if live else -1.0,
        spooled=len(list((server.data_dir / "spool").glob("process-*/upload-*"))),
    )


def settled(server: Server, before: Health | None = None) -> Health:
    """The state once streams have expired, closed connections are gone, and nothing is more than `before`; after a
    minute the state as it is then."""
    deadline = time.monotonic() + 60
    while True:
        time.sleep(1)
        now = health(server)
        if not grown(before or now, now) or time.monotonic() > deadline:
            return now


def grown(before: Health, after: Health) -> list[str]:
    """What has grown."""
    found = []
    if after.memory - before.memory > MEMORY_BYTES:
        found.append(f"memory grew from {before.memory / 1e6:.0f} to {after.memory / 1e6:.0f} MB")
    if after.threads > before.threads + POOLS_THREADS:
        found.append(f"threads grew from {before.threads} to {after.threads}")
    if after.files > before.files + 4:
        found.append(f"open files grew from {before.files} to {after.files}")
    if after.streams:
        found.append(f"{after.streams:g} streams are still live")
    if after.spooled:
        found.append(f"{after.spooled} spooled files are left")
    return found


def started(data_dir: Path, port: int, wyoming_port: int) -> tuple[subprocess.Popen[str], str]:
    """A server on these ports with its own data folder, and a key."""
    environment = {**os.environ, **{f"LINGTING_{name}": value for name, value in SETTINGS.items()}}
    environment |= {"LINGTING_DATA_DIR": str(data_dir), "LINGTING_PORT": str(port)}
    command = str(Path(sys.executable).with_name("lingting"))
    making = [command, "keys", "create", "fuzz", "--tenant", "default", "--json"]
    key = json.loads(subprocess.run(making, env=environment, check=True, capture_output=True).stdout)["key"]
    environment |= {"LINGTING_WYOMING_PORT": str(wyoming_port), "LINGTING_KEYLESS_KEY": key}
    process = subprocess.Popen([command, "serve"], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Ready on"):
            return process, key
    sys.exit("the server did not start")


def run(server: Server, make: Callable[[random.Random], bytes], count: int, clients: int, seed: int) -> Findings:
    """Sends `count` requests from so many clients at once, each made from a seed of its own."""
    findings = Findings()

    def one(number: int) -> None:
        findings.take(server, make(random.Random(seed * 10_000_000 + number)))

    with ThreadPoolExecutor(clients) as senders:
        for _ in senders.map(one, range(count)):
            pass
    return findings


def report(name: str, findings: Findings, seconds: float) -> None:
    """Prints what was answered and what was wrong."""
    statuses = ", ".join(f"{status} {count}" for status, count in sorted(findings.statuses.items()))
    print(f"{name}: {findings.statuses.total()} in {seconds:.0f} s, slowest {findings.slowest:.1f} s: {statuses}")
    for found, sent, answer in findings.wrong[:10]:
        print(f"  {found}\n    sent {sent[:1500]!r}\n    got {answer[:600]!r}")


@dataclass(frozen=True)
class Counts:
    """How much of each is sent."""

    requests: int
    files: int
    sockets: int
    wyoming: int


def rounds(server: Server, counts: Counts, seed: int) -> Iterator[str]:
    """Everything that is wrong, in words."""
    speech = (server.data_dir / "sample" / "sample.wav").read_bytes()
    makers = {
        "malformed requests": (lambda rng: malformed(rng, server.key), counts.requests),
        "mutated audio files": (lambda rng: mutated_audio(rng, server.key, speech), counts.files),
        "wrong messages": (lambda rng: wrong_socket(rng, server.key), counts.sockets),
        "wrong Wyoming events": (wrong_wyoming, counts.wyoming),
    }
    for name, (make, count) in makers.items():
        run(server, make, max(30 if count > 30 else 3, count // 10), CLIENTS[name], seed + 1)
    before = settled(server)
    for name, (make, count) in makers.items():
        begun = time.monotonic()
        findings = run(server, make, count, CLIENTS[name], seed)
        report(name, findings, time.monotonic() - begun)
        yield from (found for found, _, _ in findings.wrong)
    after = settled(server, before)
    print(f"before: {before}\nafter:  {after}")
    yield from grown(before, after)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def main() -> int:
    """Runs the whole thing; 0 when nothing is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--short", action="store_true", help="a few hundred of each")
    parser.add_argument("--requests", type=int, help="how many malformed requests")
    parser.add_argument("--files", type=int, help="how many mutated audio files")
    parser.add_argument("--sockets", type=int, help=f"how many WebSockets with {MESSAGES_A_SOCKET} wrong messages each")
    parser.add_argument("--wyoming", type=int, help="how many Wyoming connections with as many wrong events each")
    parser.add_argument("--seed", type=int, default=1, help="another seed sends other requests")
    options = parser.parse_args()
    requests = options.requests or (800 if options.short else 20_000)
    files = options.files or (80 if options.short else 2000)
    sockets = options.sockets or (24 if options.short else 10_000 * len(LIVE_PATHS) // MESSAGES_A_SOCKET)
    wyoming = options.wyoming or (8 if options.short else 10_000 // MESSAGES_A_SOCKET)
    with tempfile.TemporaryDirectory() as folder:
        port, wyoming_port = free_port(), free_port()
        process, key = started(Path(folder), port, wyoming_port)
        try:
            addresses = ("127.0.0.1", port), ("127.0.0.1", wyoming_port)
            server = Server(psutil.Process(process.pid), *addresses, key, Path(folder))
            wrong = Counter(rounds(server, Counts(requests, files, sockets, wyoming), options.seed))
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
    if code:
        wrong[f"the server ended with status {code}"] += 1
    for found, count in wrong.items():
        print(f"WRONG ({count}): {found}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
