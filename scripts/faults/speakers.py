"""Who speaks to the server: streams of packets, repeated until they are answered, and files."""

from __future__ import annotations

import base64
import http.client
import io
import json
import random
import threading
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from bench.recordings import NoRecordings, speech_dir
from faults.server import Server
from lingting import samples

STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
FLASH = "/v1/audio/asr/flash"
PACKET_BYTES = 6_400
PACKET_SECONDS = 0.2
BYTES_PER_MS = 32
BUSY = (1040102, 99991400)
PATIENCE_SECONDS = 1200.0


@dataclass(frozen=True)
class Kind:
    """What a stream says: 16-bit mono PCM at 16 kHz."""

    name: str
    pcm: bytes


@dataclass(frozen=True)
class Played:
    """A stream that was played to its end.

    Attributes:
        repeated: packets that were sent again because no answer came.
        sent_ms, covered_ms: sound that was sent, and that the final text is of.
    """

    kind: Kind
    text: str
    repeated: int
    sent_ms: int
    covered_ms: int


class Failed(Exception):
    """A stream that has no final text; the message says why."""


@dataclass(eq=False)
class Speaker:
    """Plays one stream with a connection of its own.

    Attributes:
        speed: times faster than it was spoken.
        ends_since: when it began to send its final packet, by `time.monotonic`.
    """

    server: Server
    kind: Kind
    name: str
    speed: float
    repeated: int = 0
    ends_since: float | None = None
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def play(self) -> Played:
        """The stream's end; raises Failed."""
        starts = range(0, len(self.kind.pcm), PACKET_BYTES)
        began, text, covered = time.monotonic(), "", 0
        for number, start in enumerate(starts):
            spoken = began + (number + 1) * PACKET_SECONDS / self.speed
            time.sleep(max(0.0, spoken - time.monotonic()))
            action = 1 if number == 0 else 2 if start == starts[-1] else 0
            self.ends_since = time.monotonic() if action == 2 else None
            text, covered = self._send(number, action, self.kind.pcm[start : start + PACKET_BYTES])
        return Played(self.kind, text, self.repeated, len(self.kind.pcm) // BYTES_PER_MS, covered)

    def _send(self, number: int, action: int, audio: bytes) -> tuple[str, int]:
        config = {"stream_id": self.name, "sequence_id": number, "action": action}
        body = json.dumps(
            {
                "speech": {"speech": base64.b64encode(audio).decode()},
                "config": {**config, "format": "pcm", "engine_type": "16k_auto"},
            }
        )
        deadline, why = time.monotonic() + PATIENCE_SECONDS, ""
        while time.monotonic() < deadline:
            try:
                code, answer, covered = self._post(body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._connection, why = None, repr(error)
                self.repeated += 1
                time.sleep(0.2)
                continue
            if code == 0:
                return answer, covered
            why = f"{code}: {answer}"
            if code not in BUSY:
                raise Failed(f"{self.kind.name} {self.name}, packet {number}: {why}")
            time.sleep(0.5)
        raise Failed(f"{self.kind.name} {self.name}, packet {number}: no answer in time, last {why}")

    def _post(self, body: str) -> tuple[int, str, int]:
        """Code, text or message, and how many milliseconds the final text covers."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.server.key}", "Content-Type": "application/json"}
        self._connection.request("POST", STREAM, body, headers)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if answer["code"] != 0:
            return answer["code"], answer["msg"], 0
        return 0, answer["data"]["recognition_text"], int(response.headers["X-Lingting-Confirmed-Ms"])


def kinds(rng: random.Random, count: int, clips: int) -> list[Kind]:
    """Streams of `clips` utterances each, with pauses of a second."""
    speech = [samples.contents()["sample.pcm"]]
    with suppress(NoRecordings):
        speech += [each.pcm for each in speech_dir() if 2 < each.seconds < 12]
    pause = b"\0" * 32_000
    chosen = [rng.sample(speech, clips) if len(speech) >= clips else rng.choices(speech, k=clips) for _ in range(count)]
    return [Kind(f"kind {n}", pause + pause.join(parts) + pause) for n, parts in enumerate(chosen)]


def together(server: Server, said: Sequence[Kind], count: int, speed: float) -> list[Played]:
    """So many streams at the same time, undisturbed."""
    speakers = [Speaker(server, said[n % len(said)], f"quiet{n:011d}", speed) for n in range(count)]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(Speaker.play, speakers))


class Run:
    """Streams that play until enough faults were made, and what became of them."""

    def __init__(self, server: Server, said: Sequence[Kind], speed: float) -> None:
        self._server = server
        self.said = said
        self._speed = speed
        self._lock = threading.Lock()
        self._begun = 0
        self._speakers: set[Speaker] = set()
        self.over = threading.Event()
        self.played: list[Played] = []
        self.failures: list[str] = []

    def speak(self) -> None:
        """Play streams one after another until it is over, and the last one to its end."""
        while not self.over.is_set():
            with self._lock:
                number, self._begun = self._begun, self._begun + 1
                speaker = Speaker(self._server, self.said[number % len(self.said)], f"chaos{number:011d}", self._speed)
                self._speakers.add(speaker)
            try:
                played = speaker.play()
            except Failed as error:
                with self._lock:
                    self.failures.append(str(error))
            else:
                with self._lock:
                    self.played.append(played)
            finally:
                with self._lock:
                    self._speakers.remove(speaker)

    def wait_for_ends(self, before: float) -> None:
        """Return when no stream waits for its final text any more whose final packet came before this moment of
        `time.monotonic`."""
        while any(since is not None and since < before for since in self._ends()):
            time.sleep(0.05)

    def _ends(self) -> list[float | None]:
        with self._lock:
            return [speaker.ends_since for speaker in self._speakers]


class Files:
    """Sends one file after another to flash until it is over; the file is one that a decoding process reads.

    Attributes:
        answered: how many got their text.
        failures: answers that are neither a text nor "busy".
    """

    def __init__(self, server: Server, over: threading.Event) -> None:
        self._server = server
        self._over = over
        self.answered = 0
        self.failures: list[str] = []

    def send(self) -> None:
        """Send until it is over."""
        body, headers = _at_8_khz(samples.contents()["sample.pcm"]), {"Authorization": f"Bearer {self._server.key}"}
        while not self._over.is_set():
            request = urllib.request.Request(
                f"http://127.0.0.1:{self._server.port}{FLASH}", body, {**headers, "format": "wav"}
            )
            try:
                with urllib.request.urlopen(request, timeout=120) as response:
                    heard = json.loads(response.read())["flash_result"]["sentences"]
            except urllib.error.HTTPError as error:
                if error.code not in (429, 503):
                    self.failures.append(f"a file: HTTP {error.code}: {error.read()[:300]!r}")
                time.sleep(0.5)
            except (OSError, http.client.HTTPException):
                time.sleep(0.5)
            else:
                self.answered += 1
                if not heard:
                    self.failures.append("a file: no sentence was heard")


def _at_8_khz(pcm: bytes) -> bytes:
    """16 kHz PCM as a WAV of 8 kHz."""
    every_other = b"".join(pcm[start : start + 2] for start in range(0, len(pcm) - 1, 4))
    output = io.BytesIO()
    with wave.open(output, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(every_other)
    return output.getvalue()
