"""Kills and freezes a real server again and again while streams play, and checks every final text.

    python scripts/chaos.py                      20 streams at a time in real time, 200 kills with SIGKILL, 50 freezes
    python scripts/chaos.py --quick              3 streams, 3 kills, 1 freeze, faster than real time
    python scripts/chaos.py --minutes 10         whatever fits into the time
    python scripts/chaos.py --seed 7             the same speech and the same moments again

The server keeps its journal on disk. Clients send packets of 200 ms over plain HTTP and repeat what was not answered,
as the documents tell them to. Each kind of stream is first played to the same server undisturbed: alone, among as many
as later, and among as many that are sent so fast that much waits and the server decodes as it does then. These texts
are what the others are compared with, whichever is nearest. Speech is the sample, and recordings of the folder that
LINGTING_SPEECH_DIR names.

Fails when a stream ends without a final text, when a final text covers less sound than was acknowledged, or when a
passage is missing in it. Texts may differ in a few characters, because where a decode begins and how much waits is not
the same twice. How many differ is told.
"""

from __future__ import annotations

import argparse
import base64
import difflib
import http.client
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
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.recordings import CACHE, NoRecordings, speech_dir
from lingting import samples
from lingting.models import Store, install

LINGTING = Path(sys.executable).with_name("lingting")
STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
PACKET_BYTES = 6_400
PACKET_SECONDS = 0.2
BYTES_PER_MS = 32
BUSY = (1040102, 99991400)
PATIENCE_SECONDS = 300.0
START_SECONDS = 120.0
_HASTE = 8.0
MISSING_UNITS = 6
"""So many characters or words in a row that nothing stands for are taken for lost sound."""
SETTINGS = {
    "host": "127.0.0.1",
    "journal": "disk",
    "journal_key": "a long random text for the chaos run",
    "streams_per_tenant": "1000",
    "requests_per_tenant": "1000",
    "log_level": "warning",
}


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


class Server:
    """`lingting serve` on one port and one data folder, however often its process is replaced.

    Use `kill`, `freeze` and `stop` from one thread.
    """

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        model = install(Store.at(CACHE / "models"), "whisper-base")
        (folder / "models").mkdir(parents=True)
        (folder / "models" / model.name).symlink_to(model, target_is_directory=True)
        given = {**SETTINGS, "port": str(self.port), "data_dir": str(folder)}
        self._environment = {**os.environ, **{f"LINGTING_{name.upper()}": value for name, value in given.items()}}
        self.log = folder / "server.log"
        self._process = self._start()
        self.wait()
        found = re.search(r"^  API key +(\S+)$", self.log.read_text(encoding="utf-8"), re.MULTILINE)
        assert found, "the first start prints an API key"
        self.key = found[1]

    def kill(self) -> None:
        """End the process at once and start another."""
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def freeze(self, seconds: float) -> None:
        """Let the process stand still for so long."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def wait(self) -> None:
        """Return once requests are answered."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2).close()
                return
            time.sleep(0.1)
        raise SystemExit(f"the server does not start; the end of its log:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """Stop as an operator does."""
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [LINGTING, "serve"], env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )


@dataclass
class Speaker:
    """Plays one stream with a connection of its own.

    Attributes:
        speed: times faster than it was spoken.
    """

    server: Server
    kind: Kind
    name: str
    speed: float
    repeated: int = 0
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def play(self) -> Played:
        """The stream's end; raises Failed."""
        starts = range(0, len(self.kind.pcm), PACKET_BYTES)
        began, text, covered = time.monotonic(), "", 0
        for number, start in enumerate(starts):
            spoken = began + (number + 1) * PACKET_SECONDS / self.speed
            time.sleep(max(0.0, spoken - time.monotonic()))
            action = 1 if number == 0 else 2 if start == starts[-1] else 0
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


def units(text: str) -> list[str]:
    """Han characters, and words of other letters and digits, without punctuation and case."""
    return re.findall(r"[a-z0-9]+|[^\W_]", text.lower())


def missing(expected: list[str], units: list[str]) -> str:
    """The longest passage that nothing stands for; empty where all are short."""
    longest: list[str] = []
    for _, first, end, other, other_end in difflib.SequenceMatcher(None, expected, units, False).get_opcodes():
        if (end - first) - (other_end - other) > len(longest):
            longest = expected[first:end]
    return "".join(longest) if len(longest) >= MISSING_UNITS else ""


def differing(expected: list[str], units: list[str]) -> int:
    """How many of either are not in the other in the same order."""
    same = sum(block.size for block in difflib.SequenceMatcher(None, expected, units, False).get_matching_blocks())
    return max(len(expected), len(units)) - same


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
        self._said = said
        self._speed = speed
        self._lock = threading.Lock()
        self._begun = 0
        self.over = threading.Event()
        self.played: list[Played] = []
        self.failures: list[str] = []

    def speak(self) -> None:
        """Play streams one after another until it is over, and the last one to its end."""
        while not self.over.is_set():
            with self._lock:
                number, self._begun = self._begun, self._begun + 1
            kind = self._said[number % len(self._said)]
            try:
                played = Speaker(self._server, kind, f"chaos{number:011d}", self._speed).play()
            except Failed as error:
                with self._lock:
                    self.failures.append(str(error))
            else:
                with self._lock:
                    self.played.append(played)


def disturb(server: Server, rng: random.Random, faults: list[str], uptime: float, until: float) -> tuple[int, int]:
    """Kill and freeze in random order until all is done or it is time; returns how often each was done."""
    rng.shuffle(faults)
    done = {"kill": 0, "freeze": 0}
    for fault in faults:
        if rng.random() < 0.9:  # else while it starts
            server.wait()
        time.sleep(rng.uniform(0.2, uptime))
        if time.monotonic() > until:
            break
        if fault == "kill":
            server.kill()
        else:
            server.freeze(rng.uniform(0.2, 3.0))
        done[fault] += 1
    server.wait()
    return done["kill"], done["freeze"]


def report(run: Run, expected: Mapping[str, Set[str]]) -> list[str]:
    """Print what became of the streams; what is wrong."""
    wrong = list(run.failures)
    exact = total = different = 0
    for played in run.played:
        if played.covered_ms < played.sent_ms:
            wrong.append(f"{played.kind.name}: {played.sent_ms} ms were sent, the text is of {played.covered_ms} ms")
        after = units(played.text)
        before = min(map(units, expected[played.kind.name]), key=partial(differing, after))
        exact += before == after
        total += len(before)
        different += differing(before, after)
        if hole := missing(before, after):
            wrong.append(f"{played.kind.name}: {hole!r} is missing in {played.text!r}")
    repeated = sum(played.repeated for played in run.played)
    packets = sum(len(played.kind.pcm) // PACKET_BYTES for played in run.played)
    print(f"{len(run.played)} streams of {packets} packets, of which {repeated} were sent again")
    print(f"{exact} final texts equal to the undisturbed ones; {different} of {total} characters differ")
    print(f"streams without a final text, or with sound that is lost: {len(wrong)}")
    for line in wrong:
        print("  " + line)
    return wrong


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--streams", type=int, default=20)
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--freezes", type=int, default=50)
    arguments.add_argument("--minutes", type=float, default=600.0)
    arguments.add_argument("--uptime", type=float, default=12.0, help="most seconds between two faults")
    arguments.add_argument("--speed", type=float, default=1.0, help="times faster than it was spoken")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--quick", action="store_true")
    given = arguments.parse_args()
    if given.quick:
        given.streams, given.kills, given.freezes, given.speed, given.uptime = 3, 3, 1, 2.0, 4.0
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="lingting-chaos-") as folder:
        server = Server(Path(folder))
        try:
            said = kinds(rng, min(given.streams, 6), 1 if given.quick else 3)
            expected = {
                kind.name: {Speaker(server, kind, f"alone{kind.name[5:]:0>11}", 4.0).play().text} for kind in said
            }
            for speed in (given.speed, _HASTE):
                for played in together(server, said, given.streams, speed):
                    expected[played.kind.name].add(played.text)
            for name, texts in expected.items():
                print(f"{name} undisturbed: {' | '.join(texts)}", flush=True)
            faults = ["kill"] * given.kills + ["freeze"] * given.freezes
            run = Run(server, said, given.speed)
            began = time.monotonic()
            with ThreadPoolExecutor(given.streams) as pool:
                speakers = [pool.submit(run.speak) for _ in range(given.streams)]
                kills, freezes = disturb(server, rng, faults, given.uptime, began + given.minutes * 60)
                run.over.set()
                for speaker in speakers:
                    speaker.result()
            seconds = time.monotonic() - began
            print(f"{kills} kills and {freezes} freezes in {seconds:.0f} s, {given.streams} streams at a time")
            wrong = report(run, expected)
        finally:
            server.stop()
    return 1 if wrong else 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
