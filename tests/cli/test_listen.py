"""`lingting listen` with a recording in place of the microphone."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lingting.cli.listen import last_lines
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
    assert re.search(r"\x1b\[2m[^\x1b]*出现", text)
    assert re.search(r"出现交易几乎[^\x1b]*\r\n$", text)


def test_only_the_newest_lines_are_shown_where_not_all_fit() -> None:
    shown = last_lines("one two three four five ", "six seven", 10, 2)
    assert shown.plain.split("\n")[-1].strip().endswith("seven")
    assert len(shown.plain.split("\n")) == 2


def test_without_the_package_it_says_how_to_get_a_microphone(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['sounddevice'] = None; sys.argv = ['lingting', 'listen']\n"
        "from lingting.cli import main; main()"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    assert shown.stderr == (
        "lingting: a microphone needs the package sounddevice: pip install 'lingting[microphone]', or hear a recording "
        "with --file\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--file", "missing.wav"], "there is no file missing.wav"),
        (["--file", "x", "--device", "1"], "--file and --device exclude each other"),
        (
            ["--server", "http://x", "-l", "zh"],
            "--language and --model work in this process only; a server has its own",
        ),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    shown = listen(*arguments, data_dir=tmp_path)
    assert (shown.returncode, shown.stdout, shown.stderr) == (2, "", f"lingting: {message}\n")
