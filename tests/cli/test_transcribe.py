"""`lingting transcribe` as a person uses it."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lingting.cli import outputs
from lingting.cli.outputs import NotFound, Source
from lingting.errors import LingtingError
from tests.audio.sounds import encode
from tests.conftest import LINGTING, LiveServer, free_port
from tests.recordings import recording

engine = pytest.mark.engine


def transcribe(
    *arguments: str | Path, data_dir: Path, stdin: bytes = b"", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run the command; its output as text."""
    environment = {**os.environ, "LINGTING_DATA_DIR": str(data_dir), "NO_COLOR": "1", "COLUMNS": "200", **settings}
    command = [str(LINGTING), "transcribe", *map(str, arguments)]
    done = subprocess.run(command, env=environment, input=stdin, capture_output=True, check=False)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="session")
def data_dir(model_dir: Path) -> Path:
    """A data folder with the model."""
    return model_dir.parents[1]


@engine
def test_one_recording_is_printed(data_dir: Path) -> None:
    shown = transcribe(recording("asr_example").path, data_dir=data_dir)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "甚至出现交易几乎" in shown.stdout


@engine
@pytest.mark.parametrize("remote", [False, True])
def test_a_recording_that_breaks_off_is_printed_and_a_line_says_what_is_missing(
    data_dir: Path, live_server: LiveServer, tmp_path: Path, remote: bool
) -> None:
    whole = encode(tmp_path / "whole.flac", np.tile(recording("asr_example").samples, 4), "flac", 16_000)
    broken = tmp_path / "broken.flac"
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    options = ["--server", live_server.url, "--key", live_server.key] if remote else []
    shown = transcribe(broken, *options, data_dir=data_dir)
    assert shown.returncode == 0
    assert "甚至出现交易几乎" in shown.stdout
    line = r"lingting: .*broken\.flac: warning: the file ends after \d+\.\d s of the \d+\.\d s that it declares\n"
    assert re.fullmatch(line, shown.stderr)


@engine
def test_standard_input_is_a_recording_too(data_dir: Path) -> None:
    content = recording("asr_example").path.read_bytes()
    shown = transcribe("-", "-f", "srt", "-l", "zh", data_dir=data_dir, stdin=content)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.match(r"1\n00:00:00,\d{3} --> 00:00:0\d,\d{3}\n甚至", shown.stdout)


@engine
def test_a_folder_is_written_in_every_format_and_a_broken_recording_stops_nothing(
    data_dir: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(recording("asr_example").path, folder / "a.wav")
    shutil.copy(recording("beckett").path, folder / "deep" / "b.wav")
    (folder / "broken.mp3").write_bytes(b"no music")
    (folder / "notes.md").write_text("not a recording")
    formats = ["txt", "srt", "vtt", "json", "tsv"]
    options = [argument for form in formats for argument in ("-f", form)]
    shown = transcribe(folder, *options, "-o", out, data_dir=data_dir)
    assert shown.returncode == 1
    assert shown.stdout == ""
    errors = [line for line in shown.stderr.splitlines() if line.startswith("lingting: ")]
    assert len(errors) == 1
    assert errors[0].startswith(f"lingting: {folder / 'broken.mp3'}: ")
    assert "2 recognised, 1 failed of 3" in shown.stderr.splitlines()[-1]
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == {f"{name}.{form}" for name in ("a", "deep/b") for form in formats}
    assert "甚至" in (out / "a.txt").read_text(encoding="utf-8")
    content = json.loads((out / "deep" / "b.json").read_text(encoding="utf-8"))
    assert (content["language"], content["text"][:10]) == ("en", "Ever tried")

    (out / "a.srt").unlink()
    before = (out / "deep" / "b.json").stat().st_mtime_ns
    shutil.copy(recording("asr_example").path, folder / "broken.mp3")
    again = transcribe(folder, *options, "-o", out, data_dir=data_dir)
    assert again.returncode == 0
    assert "2 recognised, 1 already done of 3" in again.stderr.splitlines()[-1]
    assert (out / "a.srt").exists()
    assert (out / "deep" / "b.json").stat().st_mtime_ns == before


@engine
def test_an_interrupted_batch_leaves_whole_files_and_goes_on(data_dir: Path, tmp_path: Path) -> None:
    for number in range(6):
        shutil.copy(recording("asr_example").path, tmp_path / f"{number}.wav")
    shutil.copy(recording("vad_example").path, tmp_path / "9.wav")
    environment = {**os.environ, "LINGTING_DATA_DIR": str(data_dir)}
    command = [str(LINGTING), "transcribe", str(tmp_path), "-f", "txt", "-j", "1"]
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*.txt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors.splitlines()[-1] == "lingting: interrupted; the same command again goes on where it stopped"
    written = list(tmp_path.glob("*.txt"))
    assert 1 <= len(written) < 7
    assert all("甚至" in path.read_text(encoding="utf-8") for path in written)
    assert [path.name for path in tmp_path.glob(".*")] == []


@engine
def test_standard_input_that_is_interrupted_leaves_no_sound_on_the_disk(data_dir: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "LINGTING_DATA_DIR": str(data_dir), "TMPDIR": str(tmp_path)}
    command = [str(LINGTING), "transcribe", "-"]
    running = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdin is not None
    running.stdin.write(recording("asr_example").path.read_bytes())
    running.stdin.flush()
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*.audio")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(tmp_path.glob("*.audio"))
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors.decode()) == (130, "lingting: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@engine
def test_a_server_says_the_same_as_this_process(data_dir: Path, live_server: LiveServer, tmp_path: Path) -> None:
    spoken = recording("two_cities").path
    results = []
    for where, options in (("here", []), ("there", ["--server", live_server.url, "--key", live_server.key])):
        shown = transcribe(
            spoken, "-f", "txt", "-f", "srt", "-f", "json", "-o", tmp_path / where, *options, data_dir=data_dir
        )
        assert shown.returncode == 0, shown.stderr
        folder = tmp_path / where
        content = json.loads((folder / "two_cities.json").read_text(encoding="utf-8"))
        words = [word.pop("probability") for sentence in content["sentences"] for word in sentence["words"]]
        assert all(0 < probability <= 1 for probability in words)
        results.append(((folder / "two_cities.txt").read_text(), (folder / "two_cities.srt").read_text(), content))
    assert results[0] == results[1]


@engine
def test_what_a_server_refuses_is_one_line_with_the_next_step(
    data_dir: Path, live_server: LiveServer, tmp_path: Path
) -> None:
    (tmp_path / "a.wav").write_bytes(b"no audio")
    name = tmp_path / "a.wav"

    def refused(*options: str) -> str:
        shown = transcribe(name, *options, data_dir=data_dir)
        assert (shown.returncode, shown.stdout, shown.stderr.count("\n")) == (1, "", 1)
        return shown.stderr.removeprefix(f"lingting: {name}: ").rstrip("\n")

    known = ["--server", live_server.url, "--key", live_server.key]
    assert "wav" in refused(*known)
    unknown = "the server does not know this API key; `lingting keys create` makes one there"
    assert refused("--server", live_server.url, "--key", "lt-unknown") == unknown
    missing = "the model 'big' is not installed; use 'whisper-base', or none for the default"
    assert refused(*known, "--model", "big") == missing
    nobody = f"http://127.0.0.1:{free_port()}"
    gone = f"no answer from {nobody} (Connection refused); is the server running there?"
    assert refused("--server", nobody, "--key", "x") == gone


class _Busy(http.server.BaseHTTPRequestHandler):
    """Refuses twice, then answers."""

    tries = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).tries += 1
        body = {"error": {"message": "busy"}}
        if self.tries > 2:
            segment = {"text": "Hello, 世界。", "start": 0.5, "end": 2.0, "avg_logprob": 0.0}
            words = [{"word": w, "start": s, "end": s + 0.5} for w, s in (("Hello", 0.5), ("世", 1.0), ("界", 1.5))]
            body = {"text": segment["text"], "language": "chinese", "duration": 2.5}
            body |= {"segments": [segment], "words": words}
        content = json.dumps(body).encode()
        self.send_response(200 if self.tries > 2 else 503)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def busy() -> Iterator[str]:
    """The address of a server that refuses twice, then answers."""
    _Busy.tries = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def test_a_busy_server_is_asked_again_and_words_get_their_punctuation_back(busy: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    environment = {"LINGTING_API_KEY": "lt-of-the-environment"}
    shown = transcribe(tmp_path / "a.wav", "-f", "json", "--server", busy, data_dir=tmp_path, **environment)
    assert shown.returncode == 0, shown.stderr
    (sentence,) = json.loads(shown.stdout)["sentences"]
    assert [(word["text"], word["start"]) for word in sentence["words"]] == [
        ("Hello,", 0.5),
        ("世", 1.0),
        ("界。", 1.5),
    ]
    assert _Busy.tries == 3


WRONG = [
    (["missing.wav"], "there is no file or folder missing.wav"),
    (["{empty}"], "there are no recordings in {empty}"),
    (["{file}", "--key", "x"], "--key and --insecure need --server"),
    (["{file}", "--server", "ftp://x"], "ftp://x is not the address of a server; it looks like http://127.0.0.1:8300"),
    (["{file}", "--server", "http://x:99999", "--key", "x"],
     "http://x:99999 is not the address of a server; it looks like http://127.0.0.1:8300"),
    (["{file}", "--server", "http://x"],
     "a server needs an API key: --key or LINGTING_API_KEY; `lingting keys create` makes one"),
    (["{file}", "--server", "http://x", "--convert-numbers"],
     "--convert-numbers works in this process only; on a server it is a setting"),
    (["{file}", "--server", "http://x", "--key", "x", "--explain"], "--explain works in this process only"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_a_wrong_command_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LINGTING_API_KEY", raising=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.wav").touch()
    names = {"empty": tmp_path / "empty", "file": tmp_path / "a.wav"}
    shown = transcribe(*(argument.format(**names) for argument in arguments), data_dir=tmp_path)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr == f"lingting: {message.format(**names)}\n"


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    shown = transcribe(tmp_path / "a.wav", "--model", "none", data_dir=tmp_path)
    assert shown.returncode == 1
    assert shown.stderr.startswith("lingting: there is no model 'none' in ")
    assert shown.stderr.count("\n") == 1


def test_recordings_that_differ_in_their_suffix_keep_it(tmp_path: Path) -> None:
    for name in ("a.wav", "a.mp3", "b.wav", ".hidden.wav", "c.txt"):
        (tmp_path / name).touch()
    planned = outputs.plan([str(tmp_path)], ["txt"], None)
    assert [source.outputs[0].name for source in planned] == ["a.mp3.txt", "a.wav.txt", "b.txt"]


def test_recordings_that_would_write_the_same_file_are_refused(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.wav").touch()
    planned = outputs.plan([str(tmp_path / "x" / "a.wav"), str(tmp_path / "y")], ["txt"], tmp_path / "out")
    with pytest.raises(NotFound, match=r"would both write .*a\.wav\.txt"):
        outputs.clashes(planned)


def test_an_output_older_than_its_recording_is_not_done(tmp_path: Path) -> None:
    audio, text = tmp_path / "a.wav", tmp_path / "a.txt"
    source = Source(audio, "a.wav", (text,))
    audio.touch()
    assert not source.done
    text.touch()
    assert source.done
    os.utime(text, (1, 1))
    assert not source.done


def test_an_output_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(LingtingError, match=r"cannot write .*; --output-dir names another folder"):
        outputs.write(target, "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("words", "number", "offered"),
    [
        ("lingting tr", 1, ["transcribe"]),
        ("lingting transcribe --form", 2, ["--format"]),
        ("lingting transcribe --format ", 3, ["txt", "srt", "vtt", "json", "tsv"]),
        ("lingting models ver", 2, ["verify"]),
    ],
)
def test_the_shell_completes_commands_options_and_values(words: str, number: int, offered: list[str]) -> None:
    environment = {**os.environ, "COMP_WORDS": words, "COMP_CWORD": str(number), "_LINGTING_COMPLETE": "complete_bash"}
    shown = subprocess.run([str(LINGTING)], env=environment, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout.split()) == (0, offered)
