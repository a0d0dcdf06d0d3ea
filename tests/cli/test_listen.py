"""`lingting listen` with a recording in place of the microphone."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lingting.cli import listen as command
from lingting.cli.listen import last_lines
from lingting.errors import LingtingError
from lingting.extras import install_command
from tests.conftest import LINGTING, LiveServer
from tests.recordings import recording


def listen(*arguments: str | Path, data_dir: Path) -> subprocess.CompletedProcess[str]:
    """Run the command, its output no terminal."""
    environment = {**os.environ, "LINGTING_DATA_DIR": str(data_dir), "NO_COLOR": "1", "COLUMNS": "200"}
    command = [str(LINGTING), "listen", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.engine
def test_a_recording_is_heard_as_fast_as_it_was_spoken(model_dir: Path) -> None:
    spoken = recording("asr_example")
    began = time.monotonic()
    shown = listen("--file", spoken.path, "-l", "zh", data_dir=model_dir.parents[1])
    assert time.monotonic() - began >= spoken.seconds - 0.2
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "出现交易几乎" in shown.stdout


@pytest.mark.engine
def test_a_server_hears_it_too(live_server: LiveServer, tmp_path: Path) -> None:
    options = ["--server", live_server.url, "--key", live_server.key]
    shown = listen("--file", recording("asr_example").path, *options, data_dir=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "出现交易几乎" in shown.stdout


@pytest.mark.engine
def test_on_a_terminal_a_guess_is_dim_and_the_end_is_plain(model_dir: Path) -> None:
    command = [str(LINGTING), "listen", "--file", str(recording("asr_example").path), "-l", "zh"]
    environment = {**os.environ, "LINGTING_DATA_DIR": str(model_dir.parents[1]), "COLUMNS": "80", "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:  # Linux says so when the other side has closed
                break
            if not data:
                break
            shown += data
    os.close(ours)
    assert running.returncode == 0
    text = shown.decode()
    assert "listening; Ctrl-C ends" in text
    assert re.search(r"\x1b\[2m[^\x1b]*[甚出]", text)
    assert re.search(r"出现交易几乎[^\x1b]*\r\n$", text)


def test_only_the_newest_lines_are_shown_where_not_all_fit() -> None:
    shown = last_lines("one two three four five ", "six seven", 10, 2)
    assert shown.plain.split("\n")[-1].strip().endswith("seven")
    assert len(shown.plain.split("\n")) == 2


@pytest.mark.parametrize("guess", ["It was", " It was"])
def test_a_guess_stands_a_space_behind_what_is_sure(guess: str) -> None:
    assert str(last_lines("The best part of the week.", guess, 80, 5)).strip() == "The best part of the week. It was"


def test_without_the_package_it_says_how_to_get_a_microphone(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['sounddevice'] = None; sys.argv = ['lingting', 'listen']\n"
        "from lingting.cli import main; main()"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    command = install_command("microphone")
    assert "-m pip install 'sounddevice>=0.4.6'" in command
    assert shown.stderr == (
        f"lingting: a microphone needs the package sounddevice: {command}, or hear a recording with --file\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--file", "missing.wav"], "there is no file missing.wav"),
        (["--file", "x", "--device", "1"], "--file and --device exclude each other"),
        (
            ["--server", "http://x", "-m", "whisper-base"],
            "--model works in this process only; a server has its own",
        ),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    shown = listen(*arguments, data_dir=tmp_path)
    assert (shown.returncode, shown.stdout, shown.stderr) == (2, "", f"lingting: {message}\n")


class Microphone:
    """Stands for the package sounddevice with a device that knows one sample rate and hears a tone."""

    class PortAudioError(Exception):
        pass

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.heard = 0

    def check_input_settings(self, *, samplerate: int, **_: Any) -> None:
        if samplerate != self.rate:
            raise self.PortAudioError("Invalid sample rate")

    def query_devices(self, device: Any, kind: str) -> dict[str, float]:
        if device == "none":
            raise ValueError("No input device matching 'none'")
        return {"default_samplerate": float(self.rate)}

    def RawInputStream(self, *, samplerate: int, **_: Any) -> Microphone:  # noqa: N802
        assert samplerate == self.rate
        return self

    def __enter__(self) -> Microphone:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, count: int) -> tuple[memoryview, bool]:
        at = np.arange(self.heard, self.heard + count) / self.rate
        self.heard += count
        return memoryview((np.sin(2 * np.pi * 440 * at) * 10_000).astype(np.int16).tobytes()), False


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_a_microphone_of_any_rate_gives_16_khz(rate: int) -> None:
    packets = b"".join(islice(command._of_microphone(Microphone(rate), None), 20))
    samples = np.frombuffer(packets, np.int16)
    assert len(samples) == pytest.approx(4 * 16_000, rel=0.03)
    spectrum = np.abs(np.fft.rfft(samples[: 3 * 16_000]))
    assert spectrum.argmax() / 3 == pytest.approx(440, abs=1)


def test_a_microphone_that_is_not_there_is_named() -> None:
    with pytest.raises(LingtingError, match=r"cannot be used \(No input device matching 'none'\); `python -m"):
        next(command._of_microphone(Microphone(48_000), "none"))


def test_a_second_interruption_keeps_the_text_that_is_sure() -> None:
    class Slow:
        confirmed, guess = "好的。", "那我们"

        def accept(self, pcm: bytes) -> None:
            raise KeyboardInterrupt

        def finish(self) -> None:
            raise KeyboardInterrupt

        def abort(self) -> None:
            pass

    assert command._show(Slow(), (pcm for pcm in (b"",))) == "好的。"


def test_a_recording_is_heard_sample_for_sample() -> None:
    recorded = np.array([-32768, -255, -1, 0, 1, 255, 32767], np.int16)
    assert b"".join(command._of_file(recorded.astype(np.float32) / 32768)) == recorded.astype("<i2").tobytes()
