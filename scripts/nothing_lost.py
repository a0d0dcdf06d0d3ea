"""Kill the server while someone speaks and start it again, twice in a minute, and compare the text with that of an
undisturbed run: `python -m scripts.nothing_lost`, or one way by name:

    page      somebody speaks to the page, in a real browser
    listen    `lingting listen --server` hears a file as if it were spoken

`--file RECORDING` takes another recording than the one of a minute in English and Chinese. Needs Chromium and the
packages of `make setup-dev`. The text of an undisturbed run is that of the same sound, which the page offers for
download, as one stream in this process; for `listen` it is that of the command without kills.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from playwright.sync_api import expect, sync_playwright

from lingting import Transcriber
from lingting.audio.pcm import samples_to_pcm16
from lingting.domain import SAMPLE_RATE, Samples
from lingting.models import Store, install
from lingting.text import error_rate
from tests.conftest import LINGTING, LiveServer, free_port, start_server
from tests.console.conftest import HEARING, launch, visit
from tests.console.test_nothing_lost import recorded, shown, stop
from tests.recordings import CACHE, recording

KILLS = (1 / 3, 2 / 3)
"""When the server is killed, as parts of what is said."""


class Mortal:
    """A server that is killed and started again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, str(free_port())
        self._model = install(Store.at(CACHE / "models"), "whisper-base")
        self.running = self._started()
        self.key = self.running.key  # the first start tells it

    def _started(self) -> LiveServer:
        return start_server(self._folder, self._model, port=self._port, drain_seconds="1")

    def killed_and_started(self) -> None:
        """Kill it without a word, and have it serve again."""
        self.running.process.kill()
        self.running.process.wait()
        began = time.monotonic()
        self.running = self._started()
        print(f"  killed, and away for {time.monotonic() - began:.1f} s", flush=True)


@contextlib.contextmanager
def mortal() -> Iterator[Mortal]:
    """A server in a folder of its own, stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="lingting-lost-") as folder:
        server = Mortal(Path(folder) / "data")
        try:
            yield server
        finally:
            server.running.stop()


def page(said: Path, seconds: float) -> tuple[str, str]:
    """The text on the page, and that of the sound it kept."""
    with mortal() as server, sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        with (
            contextlib.closing(launch(playwright, said, *HEARING)) as hearing,
            visit(hearing, server.running.url) as seen,
        ):
            seen.expected += ["ERR_", "400"]
            seen.sign_in(server.key)
            seen.page.click("#record")
            for part in (*KILLS, 1.0):
                clock = f"{int(part * seconds) // 60}:{int(part * seconds) % 60:02}"
                expect(seen.page.locator("#clock")).to_have_text(clock, timeout=120_000)
                if part < 1:
                    server.killed_and_started()
            stop(seen.page)
            text, sound = shown(seen.page), recorded(seen.page, Path(folder))
        with Transcriber(data_dir=CACHE) as transcriber, transcriber.stream() as stream:
            stream.accept(sound)
            return text, stream.finish().text


def listen(said: Path, seconds: float) -> tuple[str, str]:
    """The text of the command with kills and without."""

    def heard(server: Mortal, *, kills: bool) -> str:
        options = ["--server", server.running.url, "--key", server.key]
        running = subprocess.Popen(
            [str(LINGTING), "listen", "--file", str(said), *options], stdout=subprocess.PIPE, text=True
        )
        timers = [threading.Timer(part * seconds, server.killed_and_started) for part in KILLS if kills]
        for timer in timers:
            timer.start()
        text, _ = running.communicate()
        for timer in timers:
            timer.join()
        return text.replace("\n", " ")

    with mortal() as server:
        return heard(server, kills=True), heard(server, kills=False)


def spoken(file: Path | None, folder: Path) -> tuple[Path, float]:
    """What is said, as a WAV that a browser takes for a microphone, and how many seconds it has."""
    parts: list[Samples]
    if file is None:
        pause = np.zeros(SAMPLE_RATE, np.float32)
        parts = [each for name in ("two_cities", "asr_example", "beckett") for each in (recording(name).samples, pause)]
    else:
        with Transcriber(data_dir=CACHE) as transcriber:
            parts = [transcriber.samples(file)]
    samples = samples_to_pcm16(np.concatenate(parts))
    path = folder / "said.wav"
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        out.writeframes(samples.tobytes())
    return path, len(samples) / SAMPLE_RATE


WAYS: dict[str, Callable[[Path, float], tuple[str, str]]] = {"page": page, "listen": listen}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--file", type=Path, metavar="RECORDING")
    parser.add_argument("ways", nargs="*", metavar="page|listen")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lingting-said-") as folder:
        path, seconds = spoken(given.file, Path(folder))
        for way in given.ways or WAYS:
            print(f"{way}: {seconds:.0f} s of speech", flush=True)
            text, undisturbed = WAYS[way](path, seconds)
            count = error_rate(undisturbed, text)
            print(
                f"  {text}\n  undisturbed: {undisturbed}\n  {count.errors} of {count.length} units differ", flush=True
            )


if __name__ == "__main__":
    main()
