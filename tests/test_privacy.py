"""The server and the library speak to nobody but their callers, and write nowhere but where they are told to."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from lingting import samples
from tests.conftest import start_server
from tests.requirements import require_program

ROOT = Path(__file__).resolve().parents[1]
_CALLS = (
    "socket,connect,bind,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat"
)

LIBRARY = """
import sys
from lingting import Transcriber
with Transcriber(data_dir=sys.argv[1], threads=1) as transcriber:
    assert transcriber.transcribe(sys.argv[2]).text
    with transcriber.stream() as stream:
        stream.accept(bytes(64_000))
        stream.finish()
"""


def _strace(log: Path) -> list[str]:
    """A command that runs another and writes what it and its children open, as the process that the caller ends."""
    command = [require_program("strace"), "-D", "-f", "-yy", "-s", "200", "-e", f"trace={_CALLS}", "-o", str(log)]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine forbids a process to trace another")
    return command


def _beyond(log: Path, own: Path) -> list[str]:
    """Lines of a trace that reach beyond this machine or write outside the folder `own`."""
    return [line for line in log.read_text(errors="replace").splitlines() if _reaches_out(line) or _writes(line, own)]


def _reaches_out(line: str) -> bool:
    """Whether a call looks up a name of a host, or sends to an address other than this machine's own."""
    if re.search(r"\b(connect|bind|sendto|sendmsg|sendmmsg)\(", line) and (
        address := re.search("inet_addr|inet_pton", line)
    ):
        return not re.search(r'inet_addr\("127\.0\.0\.1"\)', line[address.start() :])
    if re.search(r"\bsocket\(AF_INET6?, SOCK_DGRAM", line):
        return True
    return re.search(r'"/etc/(hosts|resolv\.conf)"', line) is not None


def _writes(line: str, own: Path) -> bool:
    """Whether a call makes or changes a file outside the folder, byte code of Python's own modules aside."""
    if " = -1 " in line:
        return False
    made = re.search(r"\b(creat|mkdir|mkdirat|rename\w*|link|linkat)\(", line)
    opened = re.search(r"\bopen(at)?\(", line) and re.search("O_WRONLY|O_RDWR|O_CREAT", line)
    if not made and not opened:
        return False
    paths = re.findall(r'"([^"]+)"', line)
    return not all(path.startswith((str(own), "/dev/null", "/dev/shm/")) or "__pycache__" in path for path in paths)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and an environment in which nothing is switched off by chance."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in [name for name in os.environ if name.startswith(("XDG_", "ORT_")) or name == "CI"]:
        monkeypatch.delenv(name)
    return folder


@pytest.mark.engine
@pytest.mark.slow
def test_a_server_looks_up_no_name_opens_no_socket_but_its_own_and_writes_only_under_its_data_folder(
    tmp_path, model_dir, home
):
    log, data = tmp_path / "trace", tmp_path / "data"
    server = start_server(data, model_dir, under=_strace(log), drain_seconds="1")
    try:
        recording = samples.contents()["sample.wav"]
        headers = {"Authorization": f"Bearer {server.key}"}
        answer = requests.post(f"{server.url}/v1/audio/asr/flash", recording, headers=headers | {"format": "wav"})
        assert answer.json()["flash_result"]["sentences"]
        for name in sorted(name for name in samples.contents() if name.startswith("stream-")):
            url = f"{server.url}/open-apis/speech_to_text/v1/speech/stream_recognize"
            packet = requests.post(
                url, samples.contents()[name], headers=headers | {"Content-Type": "application/json"}
            )
            assert packet.json()["code"] == 0
    finally:
        server.stop()
    assert "bind(" in log.read_text()
    assert _beyond(log, data) == []
    assert list(home.iterdir()) == []


@pytest.mark.engine
@pytest.mark.slow
def test_the_library_looks_up_no_name_and_writes_only_under_its_data_folder(tmp_path, model_dir, home):
    log, data = tmp_path / "trace", tmp_path / "data"
    samples.write(data / "sample")
    (data / "models").mkdir(parents=True)
    (data / "models" / model_dir.name).symlink_to(model_dir)
    command = [*_strace(log), sys.executable, "-c", LIBRARY, str(data), str(data / "sample" / "sample.wav")]
    subprocess.run(command, check=True, timeout=120)
    assert "openat(" in log.read_text()
    assert _beyond(log, data) == []
    assert list(home.iterdir()) == []


def test_onnx_runtime_is_imported_where_its_telemetry_is_switched_off_and_nowhere_else():
    importing = []
    for path in [*ROOT.glob("src/**/*.py"), *ROOT.glob("bench/**/*.py"), *ROOT.glob("examples/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "onnxruntime" for name in names):
                importing.append(path.relative_to(ROOT).as_posix())
    assert importing == ["src/lingting/audio/onnx.py"]
