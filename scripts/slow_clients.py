"""Slow, silent and half-open clients by the hundred, over plain TCP and TLS: nobody else may notice them.

    python scripts/slow_clients.py               300 at a time for 60 s, plain and then with TLS
    python scripts/slow_clients.py --clients 1000 --seconds 120
    python scripts/slow_clients.py --quick       200 at a time for 15 s

They connect and say nothing, send head or body byte by byte, stop in the middle, read no answer, or stall in a
WebSocket; whoever is cut comes again. They come from several addresses of this machine. A caller with short files and
one who asks `/healthz` are measured before and meanwhile, and what the server has open behind it.

Fails when one of the two callers fails, when `/healthz` takes over 250 ms more than alone or a file over twice as long
(p95), or when the server holds on to what they leave behind.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.place import Place
from bench.player import FLASH_PATH
from bench.promises import Result, command
from bench.server import Server
from bench.slow import believing
from bench.stats import Summary
from bench.targets import Target, at_least, at_most
from bench.traffic import Speech, speeches

ROOT = Path(__file__).resolve().parents[1]
GROW_SECONDS = 60.0
SENDER_SECONDS = 10
ALONE_SECONDS = 10.0
GONE_SECONDS = 60.0
SETTINGS = {
    "request_timeout_seconds": str(SENDER_SECONDS),
    "stream_idle_seconds": str(SENDER_SECONDS),
    "log_level": "error",
}


@dataclass
class Callers:
    """What those see who are not slow; times in seconds."""

    url: str
    key: str
    said: Sequence[Speech]
    health: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def ask(self, seconds: float) -> None:
        """Ask and send for so long, each over a new connection every time."""
        context = believing()
        until = time.monotonic() + seconds
        await asyncio.gather(self._healthz(until, context), self._files(until, context))

    async def _healthz(self, until: float, context: ssl.SSLContext) -> None:
        while time.monotonic() < until:
            await self._timed(self.health, context, "GET", "/healthz")
            await asyncio.sleep(0.2)

    async def _files(self, until: float, context: ssl.SSLContext) -> None:
        headers = {"Authorization": f"Bearer {self.key}", "format": "flac"}
        for speech in itertools.cycle(self.said):
            if time.monotonic() > until:
                return
            await self._timed(self.files, context, "POST", FLASH_PATH, content=speech.encoded, headers=headers)
            await asyncio.sleep(0.5)

    async def _timed(
        self, times: list[float], context: ssl.SSLContext, method: str, path: str, **named: object
    ) -> None:
        async with httpx.AsyncClient(base_url=self.url, verify=context, timeout=60) as client:
            began = time.monotonic()
            try:
                answer = await client.request(method, path, **named)
            except httpx.HTTPError as error:
                self.failures.append(f"{path}: {error!r}")
                return
            times.append(time.monotonic() - began)
            if answer.status_code != 200:
                self.failures.append(f"{path}: HTTP {answer.status_code} {answer.text[:100]}")


@contextmanager
def crowd(server: Server, key: str, count: int, *, tls: bool) -> Iterator[None]:
    """So many slow clients, in a process of their own."""
    arguments = [str(server.port), key, str(count), *(["tls"] if tls else [])]
    process = subprocess.Popen([sys.executable, "-m", "bench.slow", *arguments], cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def filled(server: Server, sockets: int) -> int:
    """Wait until most of them are there; how many sockets the server has then."""
    deadline = time.monotonic() + GROW_SECONDS
    while (have := server.use.sockets) < sockets and time.monotonic() < deadline:
        time.sleep(0.5)
    return have


def gone(server: Server, before: int) -> float:
    """Seconds until the server has no more sockets than before."""
    ended = time.monotonic()
    while server.use.sockets > before + 2 and time.monotonic() - ended < GONE_SECONDS:
        time.sleep(0.5)
    return time.monotonic() - ended


def certificate(folder: Path) -> dict[str, str]:
    """Settings of a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    signed = made.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(signed.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return {"tls_certificate": str(folder / "certificate.pem"), "tls_key": str(folder / "key.pem")}


def run(given: argparse.Namespace, place: Place, say: Callable[[str], None]) -> Result:
    if given.quick:
        given.clients, given.seconds = 200, 15.0
    said = speeches(6.0)
    figures: dict[str, object] = {"clients": given.clients, "seconds": given.seconds}
    promises: list[Target] = []
    failures: list[str] = []
    for name, tls in (("plain", {}), ("TLS", certificate(place.data_dir))):
        with Server(place, **tls, **SETTINGS) as server:
            url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
            alone, crowded = Callers(url, server.key, said), Callers(url, server.key, said)
            asyncio.run(Callers(url, server.key, said).ask(3.0))
            asyncio.run(alone.ask(ALONE_SECONDS))
            before = server.use
            slow = server.new_key("slow", "slow")
            say(f"{name}: {given.clients} slow clients for {given.seconds:.0f} s")
            with crowd(server, slow, given.clients, tls=bool(tls)):
                most = filled(server, before.sockets + given.clients // 2)
                asyncio.run(crowded.ask(given.seconds))
            took = gone(server, before.sockets)
            after = server.use
        health, files = (
            (Summary.of(a).p95 or 0.0, Summary.of(b).p95 or 0.0)
            for a, b in ((alone.health, crowded.health), (alone.files, crowded.files))
        )
        figures[name] = {
            "server's sockets": most,
            "healthz p95 ms alone": 1000 * health[0],
            "beside them": 1000 * health[1],
            "file p95 s alone": files[0],
            "beside": files[1],
            "MB before": before.memory / 1e6,
            "MB after": after.memory / 1e6,
        }
        failures += [*alone.failures, *crowded.failures]
        promises += [
            at_least(f"{name}: sockets of slow clients at a time", most - before.sockets, given.clients / 2, ""),
            at_most(f"{name}: healthz p95 more than alone", 1000 * (health[1] - health[0]), 250, "ms"),
            at_most(f"{name}: file p95, of alone", files[1] / files[0], 2, "times"),
            at_most(f"{name}: calls that failed", len(alone.failures) + len(crowded.failures), 0, ""),
            at_most(f"{name}: until their connections are gone", took, 2 * SENDER_SECONDS, "s"),
        ]
    return Result(figures, promises, failures)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60.0)


if __name__ == "__main__":
    sys.exit(command(__doc__ or "", run, options))
