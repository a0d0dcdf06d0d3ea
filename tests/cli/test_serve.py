"""`lingting serve` as a person meets it: the first start, the second, and starts that cannot be."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from lingting import samples
from tests.api.serving import receive_all
from tests.cli.test_command import lingting
from tests.conftest import LiveServer, free_port, start_server
from tests.requirements import require_program

ROOT = Path(__file__).resolve().parents[2]
SPOKEN = samples.TEXT

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that found an empty data folder, without a model."""
    server = start_server(tmp_path_factory.mktemp("first start"), None)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ran_before(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> LiveServer:
    """A server that listened on all addresses, and has ended."""
    server = start_server(tmp_path_factory.mktemp("ran before"), model_dir, host="0.0.0.0")
    assert server.stop() == 0
    return server


def shell(command: str, cwd: Path) -> str:
    require_program("curl")
    return subprocess.run(["/bin/sh", "-c", command], cwd=cwd, capture_output=True, text=True, check=True).stdout


def words(text: str) -> str:
    """Text without punctuation and spaces."""
    return re.sub(r"[\W_]", "", text)


def test_each_printed_command_returns_the_words_spoken(first_start: LiveServer, tmp_path: Path) -> None:
    file, stream, flash, openai = re.findall(r"^(?:curl|for) .*$", first_start.output, re.MULTILINE)
    assert words(json.loads(shell(file, tmp_path))["data"]["recognition_text"]) == SPOKEN
    answers = [json.loads(line)["data"]["recognition_text"] for line in shell(stream, tmp_path).splitlines()]
    assert words(answers[-1]) == SPOKEN
    assert any(answers[:-1]), "text grows while audio comes in"
    result = json.loads(shell(flash, tmp_path))["flash_result"]
    assert words("".join(sentence["text"] for sentence in result["sentences"])) == SPOKEN
    assert result["duration"] == 5766
    assert words(json.loads(shell(openai, tmp_path))["text"]) == SPOKEN


def test_the_start_prints_a_link_that_signs_in_once(first_start: LiveServer) -> None:
    (code,) = re.findall(rf"^  {first_start.url}/#sign-in=(\S+)$", first_start.output, re.MULTILINE)
    answer = requests.post(f"{first_start.url}/console/sign-in", data=code, timeout=10)
    headers = {"Authorization": f"Bearer {answer.json()['key']}"}
    session = requests.get(f"{first_start.url}/console/session", headers=headers, timeout=10).json()
    assert {"operator", "speech_to_text:speech"} <= set(session["scopes"])
    assert requests.post(f"{first_start.url}/console/sign-in", data=code, timeout=10).status_code == 403


def test_the_printed_commands_work_a_second_time(first_start: LiveServer, tmp_path: Path) -> None:
    for line in re.findall(r"^(?:curl|for) .*$", first_start.output, re.MULTILINE):
        quick = line.replace("; sleep 1", "")
        assert shell(quick, tmp_path).strip()
        assert SPOKEN in words(shell(quick, tmp_path))


def blocks(readme: str, language: str) -> list[str]:
    """The code of that language in a README, without its comments."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r" *# .*", "", block) for block in found]


def test_the_commands_of_the_readme_work(first_start: LiveServer, tmp_path: Path) -> None:
    block = next(block for block in blocks("README.md", "sh") if "curl" in block)
    (tmp_path / "data").symlink_to(first_start.data_dir)
    command = block.replace("KEY=lt-...", f"KEY={first_start.key}").replace("http://127.0.0.1:8300", first_start.url)
    assert words(shell(command, tmp_path)).count(SPOKEN) == 3


def test_the_program_of_the_readme_works(first_start: LiveServer, tmp_path: Path) -> None:
    (program,) = blocks("README.md", "python")
    (tmp_path / "data").symlink_to(first_start.data_dir)
    for old, new in (
        ("http://127.0.0.1:8300", first_start.url),
        ("cli_...", first_start.app_id),
        ('app_secret("...")', f'app_secret("{first_start.app_secret}")'),
    ):
        assert old in program
        program = program.replace(old, new)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert words(done.stdout) == SPOKEN


def test_both_readmes_show_the_same_commands_and_program() -> None:
    for language in ("sh", "python"):
        assert blocks("README.md", language) == blocks("README.zh.md", language)


def test_a_second_start_shows_the_names_and_no_secret(ran_before: LiveServer, tmp_path: Path) -> None:
    first = ran_before
    assert first.app_id and first.app_secret and first.key
    folder = shutil.copytree(first.data_dir, tmp_path / "data", symlinks=True)
    second = start_server(folder, None)
    try:
        assert first.app_id in second.output
        assert first.key[:8] in second.output
        assert first.app_secret not in second.output
        assert first.key not in second.output
        assert "curl" not in second.output
    finally:
        assert second.stop() == 0


def test_the_model_is_put_together_on_the_first_start(first_start: LiveServer) -> None:
    assert (first_start.data_dir / "models" / "whisper-base" / "model.bin").stat().st_size == 145_217_532


def refused(data_dir: Path, **settings: str) -> str:
    """The one line with which a start is refused."""
    shown = lingting("serve", data_dir=data_dir, **{"LINGTING_PORT": str(free_port()), **settings})
    assert shown.returncode == 1
    assert shown.stderr.startswith("lingting: ")
    assert shown.stderr.count("\n") == 1
    assert "lt-" not in shown.stdout, "no credentials are made by a start that fails"
    return shown.stderr


@pytest.fixture
def data_dir(tmp_path: Path, model_dir: Path) -> Path:
    """A data folder with the model."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "whisper-base").symlink_to(model_dir)
    return tmp_path


def test_a_port_in_use_is_named(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} on 127.0.0.1 is already in use" in refused(data_dir, LINGTING_PORT=str(port))


def test_options_say_where_to_listen_and_where_the_data_lies(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("not used")
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = ["serve", "--host", "127.0.0.2", "--port", port, "--data-dir", str(data_dir)]
        shown = lingting(*options, data_dir=elsewhere, LINGTING_PORT="1")
    assert f"port {port} on 127.0.0.2 is already in use" in shown.stderr
    assert (data_dir / "sample").is_dir()
    assert list(elsewhere.iterdir()) == []


def test_a_model_that_is_not_installed_names_the_command(tmp_path: Path) -> None:
    assert "lingting models pull whisper-small" in refused(tmp_path, LINGTING_MODEL="whisper-small")


def test_a_damaged_model_names_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "whisper-base"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"half")
    message = refused(tmp_path)
    assert "model.bin is missing or has the wrong size" in message
    assert "lingting models pull whisper-base" in message


def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "ours"
    folder.mkdir(parents=True)
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes(b"{}")
    assert "ours" in refused(tmp_path, LINGTING_MODEL="ours")


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "LINGTING_DATA_DIR" in refused(tmp_path / "file")


def test_half_of_tls_is_named(data_dir: Path) -> None:
    assert "tls_key is missing" in refused(data_dir, LINGTING_TLS_CERTIFICATE="/nowhere.pem")


def test_a_certificate_that_is_absent_is_named(data_dir: Path) -> None:
    message = refused(data_dir, LINGTING_TLS_CERTIFICATE="/nowhere.pem", LINGTING_TLS_KEY="/nowhere.key")
    assert "LINGTING_TLS_CERTIFICATE: /nowhere.pem cannot be read" in message


def test_listening_beyond_loopback_without_tls_warns(ran_before: LiveServer) -> None:
    assert "the official SDKs refuse plain http://" in ran_before.output
    assert f"curl -s -H 'Authorization: Bearer {ran_before.key}' http://127.0.0.1:" in ran_before.output


def test_the_samples_are_written_again_where_they_are_missing(data_dir: Path) -> None:
    folder = samples.write(data_dir / "sample")
    (folder / "file.json").unlink()
    (folder / "stream-0.json").write_text("cut short")
    samples.write(folder)
    assert json.loads((folder / "file.json").read_text())["config"]["format"] == "pcm"
    assert json.loads((folder / "stream-0.json").read_text())["config"]["action"] == 1
    assert {entry.name for entry in folder.iterdir()} == set(samples.contents())


def test_a_stop_under_load_finishes_every_request_and_stream_and_writes_their_usage(
    tmp_path: Path, model_dir: Path
) -> None:
    server = start_server(tmp_path, model_dir)
    headers = {"Authorization": f"Bearer {server.key}"}
    sample = samples.contents()
    packets = [json.loads(sample[name]) for name in sorted(sample) if name.startswith("stream-")]
    begun = threading.Barrier(5)

    def file() -> str:
        port, body = int(server.url.rpartition(":")[2]), sample["sample.wav"]
        head = f"POST /v1/audio/asr/flash HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
        head += f"Content-Length: {len(body)}\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(head.encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 "), "it is let in, and its body is read"
            begun.wait(60)
            connection.sendall(body)
            answer = receive_all(connection)
        sentences = json.loads(answer.partition(b"\r\n\r\n")[2])["flash_result"]["sentences"]
        return "".join(sentence["text"] for sentence in sentences)

    def stream(name: str) -> str:
        url = f"{server.url}/open-apis/speech_to_text/v1/speech/stream_recognize"
        for number, packet in enumerate(packets):
            own = {**packet, "config": {**packet["config"], "stream_id": name * 16}}
            answer = requests.post(url, json=own, headers=headers, timeout=60).json()
            assert answer["code"] == 0, answer
            if number == 0:
                begun.wait(60)
        return str(answer["data"]["recognition_text"])

    with ThreadPoolExecutor(4) as callers:
        said = [callers.submit(stream, name) for name in "abc"] + [callers.submit(file)]
        begun.wait(60)
        assert server.stop() == 0
        assert [words(each.result()) for each in said] == [SPOKEN] * 4
    with sqlite3.connect(tmp_path / "lingting.db") as database:
        (seconds,) = database.execute("select sum(audio_seconds) from usage").fetchone()
    assert seconds == pytest.approx(4 * 5.766, abs=0.1)
