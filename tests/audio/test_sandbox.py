"""A process that decodes untrusted files can reach nothing but the two files of its job."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lingting.audio.decode import Decoder
from tests.audio.sounds import buzz, encode

ATTEMPTS = """
import json, os, resource, signal, socket, subprocess, sys, threading, time
from lingting import sandbox

only, secret, parent = sys.argv[1], sys.argv[2], int(sys.argv[3])
for name in ("landlock", "seccomp"):
    if only not in ("both", name):
        setattr(sandbox, "_" + name, lambda libc: False)
kept = os.open(secret, os.O_RDONLY)
output = os.memfd_create("output")
held = sandbox.confine()

def fork():
    if os.fork() == 0:
        os._exit(0)

def execute():
    os.execv("/bin/true", ["true"])

attempts = {
    "read a file": lambda: open(secret),
    "write a file": lambda: open(secret + ".new", "w"),
    "read the environment of the server": lambda: open(f"/proc/{parent}/environ"),
    "list a folder": lambda: os.listdir("/"),
    "remove a file": lambda: os.unlink(secret),
    "open a socket": lambda: socket.socket(),
    "open a local socket": lambda: socket.socket(socket.AF_UNIX),
    "connect": lambda: socket.create_connection(("127.0.0.1", int(sys.argv[4]))),
    "start a process": fork,
    "run a program": execute,
    "signal the server": lambda: os.kill(parent, 0),
    "raise the limits of the server": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE),
}
done = []
if not held:
    attempts = {}
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError:
        continue
    done.append(name)

thread = threading.Thread(target=lambda: None)
thread.start()
thread.join()
os.write(output, os.read(kept, 100))
print(json.dumps({"held": held, "done": done, "environment": dict(os.environ), "wrote": os.lseek(output, 0, 1),
                  "core": resource.getrlimit(resource.RLIMIT_CORE)}))
"""

FILES = {"read a file", "write a file", "read the environment of the server", "list a folder", "remove a file"}


def _attempt(tmp_path: Path, only: str = "both") -> dict[str, object]:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        shown = subprocess.run(
            [sys.executable, "-c", ATTEMPTS, only, str(secret), str(os.getpid()), str(port)],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
            env={**os.environ, "LINGTING_DATABASE_URL": "postgresql://secret"},
        )
    assert shown.returncode == 0, shown.stderr
    assert secret.read_text() == "secret"
    result: dict[str, object] = json.loads(shown.stdout)
    if only in ("landlock", "seccomp") and only not in result["held"]:  # type: ignore[operator]
        pytest.skip(f"this kernel has no {only}")
    return result


def test_a_confined_process_reads_what_it_was_given_and_reaches_nothing_else(tmp_path):
    result = _attempt(tmp_path)
    if result["held"] != ["landlock", "seccomp"]:
        pytest.skip(f"this kernel has only {result['held']}")
    assert result["done"] == []
    assert result["environment"] == {}
    assert result["wrote"] == len("secret")
    assert result["core"] == [0, 0]


def test_landlock_alone_takes_away_every_file(tmp_path):
    assert not FILES & set(_attempt(tmp_path, "landlock")["done"])


def test_seccomp_alone_takes_away_files_the_network_and_other_processes(tmp_path):
    assert _attempt(tmp_path, "seccomp")["done"] == []


def test_without_either_the_process_still_works(tmp_path):
    result = _attempt(tmp_path, "none")
    assert result["held"] == []
    assert result["core"] == [0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of no process what it may do")
def test_the_processes_that_decode_are_confined_and_bounded(tmp_path, monkeypatch):
    monkeypatch.setenv("LINGTING_DATABASE_URL", "postgresql://secret")
    path = encode(tmp_path / "a.flac", buzz(1.0), "flac", 16_000)
    before = set(psutil.Process().children())

    def decodes(child):
        return "lingting.audio.worker" in child.cmdline()

    async def main():
        decoder = Decoder(1)
        try:
            (await decoder.decode(path, format="flac", sample_rate=16_000, max_seconds=60.0)).close()
            (child,) = [child for child in set(psutil.Process().children()) - before if decodes(child)]
            folder = Path(f"/proc/{child.pid}")
            limits = {name: child.rlimit(getattr(psutil, name))[0] for name in ("RLIMIT_CORE", "RLIMIT_FSIZE")}
            return (folder / "status").read_text(), (folder / "environ").read_text(), limits, await decoder.confined()
        finally:
            await decoder.close()

    status, environment, limits, confined = asyncio.run(main())
    assert "secret" not in environment
    assert limits["RLIMIT_CORE"] == 0
    assert limits["RLIMIT_FSIZE"] < 3 * 1024 * 1024
    if "seccomp" in confined:
        assert "Seccomp:\t2" in status
        assert "NoNewPrivs:\t1" in status
