"""Tries the live clients that are too heavy for the suite, each as its users run it, against a real server.

    .venv/bin/python scripts/clients/run.py              everything; CI runs it
    .venv/bin/python scripts/clients/run.py pipecat      some of them, by their names

openai-agents, LiveKit, Pipecat, Wyoming's programs and the Node SDKs are installed from locks beside this file into
`.cache/clients`, apart from the server's environment; wyoming-openai, which needs Python 3.12, into one of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from bench.place import prepare  # noqa: E402
from bench.server import Server, free_port  # noqa: E402
from lingting import samples  # noqa: E402

CACHE = ROOT / ".cache" / "clients"
SAID = "购买汽车"
MOST_CER = 30.0
PATIENCE = 240.0


@dataclass(frozen=True)
class Place:
    """What a client is told: a server over HTTP and another over TLS, and the recording that it sends."""

    plain: Server
    secure: Server
    wyoming_port: int
    sample: Path
    corpus: Path

    @property
    def environment(self) -> dict[str, str]:
        """For programs that speak HTTP and WebSockets."""
        url = f"http://127.0.0.1:{self.plain.port}"
        return {**os.environ, "URL": url, "KEY": self.plain.key, "NODE_TLS_REJECT_UNAUTHORIZED": "0"}


class Failed(Exception):
    """A client did not hear what it should have heard."""


def installed(name: str, python: str) -> Path:
    """The folder of an environment with the packages of `name`.txt, made once for each lock and Python."""
    lock = HERE / f"{name}.txt"
    version = subprocess.run([python, "--version"], capture_output=True, check=True).stdout
    folder = CACHE / f"{name}-{hashlib.sha256(lock.read_bytes() + version).hexdigest()[:12]}"
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-compile"]
        done = subprocess.run([*pip, "--require-hashes", "-r", lock], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"pip cannot install {lock.name}:\n{done.stderr[-3000:]}")
        (folder / "installed").touch()
    return folder


def node() -> Path:
    """The folder of the Node programs, with what package-lock.json names."""
    lock = (HERE / "package-lock.json").read_bytes()
    folder = CACHE / f"node-{hashlib.sha256(lock).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "deepgram.mjs", "openai.mjs"):
        shutil.copy(HERE / name, folder)
    if not (folder / "installed").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True)
        (folder / "installed").touch()
    return folder


def heard(command: list[str | Path], environment: dict[str, str], folder: Path = ROOT) -> None:
    """Run a program, which must end well and print what it heard of the recording."""
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=folder
    )
    print(done.stdout, end="", flush=True)
    if done.returncode or SAID not in done.stdout:
        raise Failed(f"{Path(command[-1]).name} ended with {done.returncode}:\n{done.stderr[-3000:]}")


def python_program(name: str, place: Place) -> None:
    """One of the programs beside this file."""
    python = installed("clients", sys.executable) / "bin" / "python"
    heard([python, HERE / f"{name}.py", place.sample, SAID], place.environment)


def node_deepgram(place: Place) -> None:
    """Deepgram's SDK for Node, over HTTP and TLS."""
    for server, scheme in ((place.plain, "http"), (place.secure, "https")):
        address = {"URL": f"{scheme}://127.0.0.1:{server.port}", "KEY": server.key}
        heard(["node", node() / "deepgram.mjs", place.sample], place.environment | address)


def node_openai(place: Place) -> None:
    """OpenAI's SDK for Node, which speaks TLS only."""
    address = {"URL": f"https://127.0.0.1:{place.secure.port}", "KEY": place.secure.key}
    heard(["node", node() / "openai.mjs", place.sample], place.environment | address)


def wyoming_page(place: Place) -> None:
    """The program of the page about Wyoming, as it is printed."""
    page = (ROOT / "docs" / "caller" / "wyoming.md").read_text(encoding="utf-8")
    folder = place.corpus.parent
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    if found is None:
        raise Failed("the page about Wyoming shows no program")
    (folder / "page.py").write_text(found[1].replace("10300", str(place.wyoming_port)), encoding="utf-8")
    heard([installed("clients", sys.executable) / "bin" / "python", "page.py"], place.environment, folder)


def wyoming_bench(place: Place, port: int = 0) -> None:
    """wyoming-bench in both of its modes; on a port of another server where one is given."""
    program = installed("clients", sys.executable) / "bin" / "wyoming-bench"
    command = [program, "stt", f"127.0.0.1:{port or place.wyoming_port}", "--corpus", place.corpus, "--mode", "both"]
    done = subprocess.run(
        [*command, "--rounds", "1", "--warmup", "0", "--config", '{"language":"zh"}', "-v"],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    print(done.stdout, flush=True)
    rates = [float(rate) for rate in re.findall(r"CER\D*?(\d+(?:\.\d+)?)\s*%", done.stdout)]
    if done.returncode or not rates or max(rates) > MOST_CER:
        raise Failed(f"wyoming-bench ended with {done.returncode}, CER {rates}:\n{done.stderr[-3000:]}")


def wyoming_openai(place: Place) -> None:
    """wyoming-openai between wyoming-bench and the Realtime interface."""
    python = newer_python()
    if python is None:
        print("wyoming-openai needs Python 3.12 or newer, of which there is none here: not tried")
        return
    port = free_port()
    url = f"http://127.0.0.1:{place.plain.port}/v1"
    command = [installed("bridge", python) / "bin" / "python", "-m", "wyoming_openai", "--languages", "zh"]
    command += ["--uri", f"tcp://127.0.0.1:{port}", "--stt-openai-url", url, "--stt-openai-key", place.plain.key]
    with running([*command, "--stt-realtime-models", "gpt-live-transcribe", "--stt-backend", "OPENAI"], port):
        wyoming_bench(place, port)


def newer_python() -> str | None:
    """A Python that wyoming-openai runs on."""
    homes = sorted(Path.home().glob(".pyenv/versions/3.1[2-9].*/bin/python"))
    found = [shutil.which(f"python3.{minor}") for minor in (13, 12, 14)]
    for python in [sys.executable, *filter(None, found), *map(str, homes)]:
        asked = [python, "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))"]
        if not subprocess.run(asked, capture_output=True, check=False).returncode:
            return python
    return None


@contextlib.contextmanager
def running(command: list[str | Path], port: int) -> Iterator[None]:
    """A program that listens on a port."""
    with tempfile.TemporaryFile() as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise Failed(f"{Path(command[0]).name} does not listen:\n{output.read()[-3000:].decode()}")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()


CLIENTS = {
    "node-openai": node_openai,
    "node-deepgram": node_deepgram,
    "openai-agents": lambda place: python_program("openai_agents_sdk", place),
    "livekit": lambda place: python_program("livekit_plugins", place),
    "pipecat": lambda place: python_program("pipecat_services", place),
    "wyoming-page": wyoming_page,
    "wyoming-bench": wyoming_bench,
    "wyoming-openai": wyoming_openai,
}


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own and its key, made with openssl."""
    made, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=127.0.0.1", "-days", "2", "-out", str(made), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return made, key


def main() -> int:
    """Runs the clients that are named, all without names; 0 when each heard the recording."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(CLIENTS)}")
    chosen = parser.parse_args().clients or list(CLIENTS)
    if unknown := set(chosen) - CLIENTS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    failed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample, corpus = folder / "data" / "sample" / "sample.wav", folder / "corpus"
        corpus.mkdir()
        sample.parent.mkdir(parents=True)
        sample.write_bytes(samples.contents()["sample.wav"])
        shutil.copy(sample, corpus / "sample_01.wav")
        (corpus / "sample_01.txt").write_text(samples.TEXT, encoding="utf-8")
        made, key = certificate(folder)
        port = free_port()
        model = prepare(folder / "data")
        with (
            Server(model, wyoming_port=str(port)) as plain,
            Server(model, tls_certificate=str(made), tls_key=str(key)) as secure,
        ):
            place = Place(plain, secure, port, sample, corpus)
            for client in chosen:
                began = time.monotonic()
                try:
                    CLIENTS[client](place)
                except (Failed, OSError, subprocess.SubprocessError) as error:
                    print(f"{client} FAILED: {error}", flush=True)
                    failed.append(client)
                print(f"--- {client}: {time.monotonic() - began:.0f} s", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "every client heard the recording")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
