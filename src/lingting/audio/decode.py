"""Audio files into samples: untrusted bytes are decoded in separate processes with bounds on time and memory.

The content decides which demuxer reads a file, out of a fixed few; FFmpeg never guesses, so playlists, images and other
formats that can reach beyond the file are not even looked at. Plain 16 kHz WAV and raw PCM need no decoder and are read
in this process. soxr resamples: it keeps the length to the sample and lets less alias through than FFmpeg's default.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lingting.audio.formats import DECLARED, sniff
from lingting.audio.pcm import TOLERANCE, plain_pcm_range, read_pcm16, too_long
from lingting.domain import SAMPLE_RATE, Samples, Seconds
from lingting.errors import AudioError, EmptyAudio, LingtingError, UndecodableAudio

_START_SECONDS = 60.0
_JOBS_PER_WORKER = 500
_KNOWN = ", ".join(DECLARED)


class Decoder:
    """Decodes files with at most `workers` processes, started when first needed and kept; for one event loop.

    A process that dies, hangs or takes too much is killed, costs its own file one error, and is replaced.

    Args:
        workers: processes at once; further calls wait.
        memory_bytes: what a process may allocate.
        base_seconds: time for a file, whatever its length limit.
        seconds_per_second: time on top of it for each second that the caller allows the audio to last.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        memory_bytes: int = 512 * 1024 * 1024,
        base_seconds: Seconds = 20.0,
        seconds_per_second: float = 0.05,
    ) -> None:
        self._places = asyncio.Semaphore(max(1, workers))
        self._memory_bytes = memory_bytes
        self._base_seconds = base_seconds
        self._seconds_per_second = seconds_per_second
        self._idle: list[_Worker] = []
        self._reaping: set[asyncio.Future[Any]] = set()
        self._busy: set[_Worker] = set()
        self._closed = False

    async def decode(self, path: Path, *, format: str, sample_rate: int, max_seconds: Seconds) -> Samples:
        """Decode a file to 16 kHz mono.

        Args:
            path: a file that nobody changes meanwhile; it is not removed.
            format: what the caller says it is, a key of `formats.DECLARED`; a recognisable container decides itself.
            sample_rate: of raw PCM (16-bit little-endian mono); containers carry their own.
            max_seconds: the longest audio allowed.

        Raises:
            EmptyAudio: the file is empty or holds no sample.
            UndecodableAudio: the bytes are not audio that is understood, or decoding them took too much; says which.
            AudioTooLong: it lasts longer than `max_seconds`.
            LingtingError: the decoder is closed, or its processes do not start.
        """
        if self._closed:
            raise LingtingError("the server is stopping")
        if format.lower() not in DECLARED:
            raise UndecodableAudio(f"unknown audio format {format!r}; the known ones are {_KNOWN}")
        plan = await asyncio.to_thread(_look, path, format.lower(), sample_rate, max_seconds)
        if not isinstance(plan, tuple):
            return plan
        demuxer, certain = plan
        seconds = self._base_seconds + self._seconds_per_second * max_seconds
        job = {
            "demuxer": demuxer,
            "certain": certain,
            "sample_rate": sample_rate,
            "max_seconds": max_seconds,
            "tolerance": TOLERANCE,
            "memory_bytes": self._memory_bytes,
            "cpu_seconds": seconds,
        }
        with _scratch() as output:
            async with self._places:
                reply = await self._run(path, output, job, seconds)
            if "samples" not in reply:
                raise _error(reply, max_seconds)
            return await asyncio.to_thread(_read, output, int(reply["samples"]))

    async def close(self) -> None:
        """Kill the processes, busy ones too, and wait until they are gone."""
        self._closed = True
        for worker in self._idle:
            self._discard(worker)
        self._idle.clear()
        while self._busy or self._reaping:
            for worker in self._busy:
                worker.end()
            await asyncio.wait([*self._reaping, asyncio.ensure_future(asyncio.sleep(0.01))])

    async def _run(self, path: Path, output: int, job: dict[str, Any], seconds: Seconds) -> dict[str, Any]:
        if self._closed:
            raise LingtingError("the server is stopping")
        worker = self._idle.pop() if self._idle else _Worker()
        self._busy.add(worker)
        kept = False
        try:
            await worker.ready()
            try:
                async with asyncio.timeout(seconds):
                    reply = await worker.ask(path, output, job)
            except TimeoutError:
                message = f"decoding it takes longer than {seconds:.0f} seconds"
                return {"error": "undecodable", "message": message}
            if reply is None:
                if self._closed:
                    raise LingtingError("the server is stopping")
                return {"error": "undecodable", "message": await asyncio.to_thread(worker.cause_of_death)}
            kept = worker.jobs < _JOBS_PER_WORKER and not self._closed
            return reply
        finally:
            self._busy.discard(worker)
            if kept:
                self._idle.append(worker)
            else:
                self._discard(worker)

    def _discard(self, worker: _Worker) -> None:
        worker.kill()
        reaping = asyncio.get_running_loop().run_in_executor(None, worker.reap)
        self._reaping.add(reaping)
        reaping.add_done_callback(self._reaping.discard)


class _Worker:
    """One decoding process and the socket to it."""

    def __init__(self) -> None:
        self.jobs = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._killed = False

    async def ready(self) -> None:
        """Start the process when it does not run yet, and wait until it takes jobs."""
        if self._socket is not None:
            return
        starting = asyncio.ensure_future(asyncio.to_thread(self._start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(lambda _: self.kill())
            raise
        except OSError as error:
            raise LingtingError(f"the decoding process does not start: {error}") from error
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await self._line()
        except TimeoutError:
            line = None
        if line != b"ready":
            raise LingtingError("the decoding process does not start; is the package `av` installed and intact?")

    async def ask(self, path: Path, output: int, job: dict[str, Any]) -> dict[str, Any] | None:
        """Have one file decoded; None when the process died over it."""
        assert self._socket is not None
        self.jobs += 1
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # at once: a thread would lose it to a cancellation
        try:
            socket.send_fds(self._socket, [json.dumps(job).encode()], [source, output])
        except OSError:
            return None
        finally:
            os.close(source)
        line = await self._line()
        if line is None:
            return None
        reply: dict[str, Any] = json.loads(line)
        return reply

    def end(self) -> None:
        """End the process; whoever waits for its answer is told that it died."""
        self._killed = True
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def kill(self) -> None:
        """End the process and close the socket, on which nobody may wait; `reap` collects it."""
        self.end()
        if self._socket is not None:
            self._socket.close()

    def reap(self) -> None:
        """Wait for the killed process; for a thread."""
        if self._process is not None:
            self._process.wait()

    def cause_of_death(self) -> str:
        """Why the process ended, in words for the sender of the file; for a thread."""
        code = self._process.wait() if self._process is not None else 0
        if code == -signal.SIGXCPU:
            return "decoding it takes too much processor time"
        return "decoding it ran out of memory or crashed the decoder"

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        names = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL")
        environment = {name: os.environ[name] for name in names if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
        environment["OPENBLAS_NUM_THREADS"] = environment["OMP_NUM_THREADS"] = "1"
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", "lingting.audio.worker", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self._socket = ours
        if self._killed:
            self.kill()
            self.reap()

    async def _line(self) -> bytes | None:
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        received = b""
        while not received.endswith(b"\n"):
            try:
                data = await loop.sock_recv(self._socket, 4096)
            except OSError:
                return None
            if not data:
                return None
            received += data
        return received.rstrip(b"\n")


def _look(path: Path, declared: str, sample_rate: int, max_seconds: Seconds) -> Samples | tuple[str, bool]:
    """The samples where no decoder is needed, else the demuxer and whether the content itself chose it."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            raise EmptyAudio("the audio is empty")
        file.seek(0)
        found = sniff(file)
        plain = plain_pcm_range(file) if found == "wav" else None
    if plain is not None:
        return read_pcm16(path, max_seconds, offset=plain[0], length=plain[1])
    if found is not None:
        return found, True
    if declared == "pcm":
        return read_pcm16(path, max_seconds) if sample_rate == SAMPLE_RATE else ("pcm", True)
    if declared in {"mp3", "aac"}:
        return DECLARED[declared], False
    raise UndecodableAudio(
        f"the bytes are not a {declared} file nor any other of {_KNOWN}; raw samples need the format pcm"
    )


def _error(reply: dict[str, Any], max_seconds: Seconds) -> AudioError:
    match reply["error"]:
        case "empty":
            return EmptyAudio("there is no audio in the file")
        case "too_long":
            return too_long(max_seconds)
    return UndecodableAudio(f"the audio cannot be decoded: {reply['message']}")


@contextlib.contextmanager
def _scratch() -> Any:
    """A file without a name, in memory where the system can do that; it is gone with its descriptor."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("lingting-decode", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(descriptor: int, count: int) -> Samples:
    samples = np.empty(count, np.float32)
    view = memoryview(samples.view(np.uint8).data)
    done = 0
    while done < len(view):
        got = os.preadv(descriptor, [view[done:]], done)
        if not got:
            raise UndecodableAudio("the audio cannot be decoded: its samples were cut off")
        done += got
    return samples
