"""Audio files into samples: untrusted bytes are decoded in separate processes with bounds on time and memory.

The content decides which demuxer reads a file, out of a fixed few; FFmpeg never guesses, so playlists, images and other
formats that can reach beyond the file are not even looked at. Plain 16 kHz WAV and raw PCM need no decoder and are read
in this process. soxr resamples: it keeps the length to the sample and lets less alias through than FFmpeg's default.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from lingting.audio.budget import AudioBudget, Reservation
from lingting.audio.formats import DECLARED, sniff
from lingting.audio.pcm import TOLERANCE, PlainPcm, plain_pcm_range, too_long
from lingting.audio.piecewise import Piecewise
from lingting.audio.places import Places
from lingting.audio.process import DecodingProcess
from lingting.audio.recording import Recording, nameless_file
from lingting.domain import SAMPLE_RATE, Seconds
from lingting.errors import AudioError, AudioTooLong, EmptyAudio, LingtingError, Overloaded, UndecodableAudio

log = logging.getLogger(__name__)

_JOBS_PER_WORKER = 500
_MOST_PIECEWISE = 16
_KNOWN = ", ".join(DECLARED)


class Decoder:
    """Decodes files with at most `workers` processes, started when first needed and kept; for one event loop.

    A process that dies, hangs or takes too much is killed, costs its own file one error, and is replaced. One that is
    killed or stopped from outside costs a delay: another takes its file.

    Args:
        workers: processes at once; further calls wait, those of each tenant in turn.
        budget: room for what is decoded and not closed yet; no limit when None.
        max_wait: the longest wait for a process; no limit by default.
        memory_bytes: what a process may allocate.
        base_seconds: time for a file, whatever its length limit.
        seconds_per_second: time on top of it for each second that the caller allows the audio to last.

    Attributes:
        replaced: how many processes died or took too long.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        budget: AudioBudget | None = None,
        max_wait: Seconds = math.inf,
        memory_bytes: int = 512 * 1024 * 1024,
        base_seconds: Seconds = 20.0,
        seconds_per_second: float = 0.05,
    ) -> None:
        self._places = Places(max(1, workers), max_wait)
        self._kept = max(1, workers)
        self._piecewise = 0
        self._budget = budget or AudioBudget()
        self._memory_bytes = memory_bytes
        self._base_seconds = base_seconds
        self._seconds_per_second = seconds_per_second
        self._idle: list[DecodingProcess] = []
        self._reaping: set[asyncio.Future[Any]] = set()
        self._busy: set[DecodingProcess] = set()
        self._looking: set[asyncio.Future[Recording | tuple[str, bool]]] = set()
        self._closed = False
        self.replaced = 0

    def predicted_wait(self) -> Seconds:
        """How long a file that came now would wait until its decoding begins."""
        return self._places.predicted_wait()

    def admit(self, tenant: str) -> None:
        """Pass while a file of this tenant would be decoded in time, and there is memory; ask before it is received.

        Raises:
            Overloaded: too many files wait, or all the memory for audio is taken.
        """
        self._places.admit(tenant)
        self._budget.admit(1)

    def admit_pcm16(self, size: int) -> None:
        """Pass while there is memory for so many bytes of samples; to be asked before they are received.

        Raises:
            Overloaded: there is not.
        """
        self._budget.admit(size)

    def pcm16(self, data: bytes) -> Recording:
        """A recording of 16-bit little-endian mono samples at 16 kHz that are there already; its caller closes it.

        Raises:
            Overloaded: there is no room for it.
        """
        return Recording.of_pcm16(data, self._budget.reserve(len(data)))

    def empty(self, size: int) -> tuple[Recording, int]:
        """A recording of so many samples, and the descriptor of the file to which they are written as 16-bit ones.

        Raises:
            Overloaded: so much memory is not left.
            AudioTooLong: so much will never be.
        """
        reservation = self._budget.reserve(2 * size)
        descriptor = nameless_file()
        return Recording.of_file(descriptor, size, reservation=reservation), descriptor

    async def confined(self) -> tuple[str, ...]:
        """By what the kernel confines the processes, of "landlock" and "seccomp".

        Raises:
            LingtingError: they do not start.
        """
        async with self._process() as process:
            return process.confined

    async def decode(
        self, path: Path, *, format: str, sample_rate: int, max_seconds: Seconds, tenant: str = ""
    ) -> Recording:
        """Decode a file to 16 kHz mono. The caller closes the recording.

        Args:
            path: a file that nobody changes until the recording is closed; it is not removed, but may be.
            format: what the caller says it is, a key of `formats.DECLARED`; a recognisable container decides itself.
            sample_rate: of raw PCM (16-bit little-endian mono); containers carry their own.
            max_seconds: the longest audio allowed.
            tenant: who it is decoded for; tenants take turns.

        Raises:
            EmptyAudio: the file is empty or holds no sample.
            UndecodableAudio: the bytes are not audio that is understood, or decoding them took too much; says which.
            AudioTooLong: it lasts longer than `max_seconds`, or takes more room than there will ever be.
            Overloaded: the wait for a process is too long, or there is no room for the samples.
            LingtingError: the decoder is closed, or its processes do not start.
        """
        if self._closed:
            raise LingtingError("the server is stopping")
        if format.lower() not in DECLARED:
            raise UndecodableAudio(f"unknown audio format {format!r}; the known ones are {_KNOWN}")
        plan = await self._looked(path, format.lower(), sample_rate, max_seconds)
        if isinstance(plan, Recording):
            return plan
        demuxer, certain = plan
        job = self._job(demuxer, max_seconds) | {"certain": certain, "sample_rate": sample_rate}
        room = self._budget.reserve(0)
        output = nameless_file()
        try:
            async with self._places.place(tenant):
                reply = await self._run(path, output, room, job)
            if "samples" not in reply:
                raise _error(reply, max_seconds)
            size = int(reply["samples"])
            room.resize(2 * size)
        except BaseException:
            os.close(output)
            room.release()
            raise
        return Recording.of_file(output, size, missing=float(reply["missing"]), reservation=room)

    @contextlib.asynccontextmanager
    async def piecewise(self, demuxer: str, *, max_seconds: Seconds) -> AsyncIterator[Piecewise]:
        """A file that comes in pieces while it is spoken; it has a process of its own until it ends, 16 at most.

        Args:
            demuxer: what `formats.sniff` says of its first bytes.
            max_seconds: the longest audio allowed.

        Raises:
            Overloaded: as many are open as may be.
            UndecodableAudio, LingtingError: the process does not start.
        """
        if self._piecewise >= _MOST_PIECEWISE:
            raise Overloaded(
                f"{_MOST_PIECEWISE} compressed streams are open; send raw samples, or try again later", 5.0
            )
        self._piecewise += 1
        try:
            async with self._process() as process:
                file = await Piecewise.begin(process, self._job(demuxer, max_seconds) | {"piecewise": True})
                try:
                    yield file
                finally:
                    file.close()
                    if not file.ended:
                        process.end()
        finally:
            self._piecewise -= 1

    async def close(self) -> None:
        """Kill the processes, busy ones too, and wait until they are gone."""
        self._closed = True
        for worker in self._idle:
            self._discard(worker)
        self._idle.clear()
        if self._looking:
            await asyncio.wait(self._looking)
        while self._busy or self._reaping:
            for worker in self._busy:
                worker.end()
            await asyncio.wait([*self._reaping, asyncio.ensure_future(asyncio.sleep(0.01))])

    async def _looked(
        self, path: Path, declared: str, sample_rate: int, max_seconds: Seconds
    ) -> Recording | tuple[str, bool]:
        """What `_look` finds in a thread; a recording that nobody waits for any more is closed."""
        looking = asyncio.ensure_future(asyncio.to_thread(_look, path, declared, sample_rate, max_seconds))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)
        try:
            return await asyncio.shield(looking)
        except asyncio.CancelledError:
            looking.add_done_callback(_drop)
            raise

    def _job(self, demuxer: str, max_seconds: Seconds) -> dict[str, Any]:
        """What every job says; `cpu_seconds` bounds the time that it takes, too."""
        return {
            "demuxer": demuxer,
            "certain": True,
            "max_seconds": max_seconds,
            "tolerance": TOLERANCE,
            "memory_bytes": self._memory_bytes,
            "cpu_seconds": self._base_seconds + self._seconds_per_second * max_seconds,
        }

    async def _run(self, path: Path, output: int, room: Reservation, job: dict[str, Any]) -> dict[str, Any]:
        """What a process says of a file; it is given to another when the first is killed or stopped from outside."""
        seconds = job["cpu_seconds"]
        message: str | None = None
        for _ in range(2):
            async with self._process() as process:
                try:
                    async with asyncio.timeout(seconds):
                        reply = await process.ask(path, output, job, room)
                except TimeoutError:
                    process.end()
                    self.replaced += 1
                    message = f"decoding it takes longer than {seconds:.0f} seconds"
                    log.warning("a file cost its decoding process: %s", message)
                    return {"error": "undecodable", "message": message}
                if reply is not None:
                    return reply
                if self._closed:
                    raise LingtingError("the server is stopping")
                message = await asyncio.to_thread(process.cause_of_death)
                process.end()
                self.replaced += 1
                log.warning("a file cost its decoding process: %s", message or "it was killed from outside")
                if message is not None:
                    break
            os.ftruncate(output, 0)
            os.lseek(output, 0, os.SEEK_SET)
            room.resize(0)
        return {"error": "undecodable", "message": message or "the process that decoded it was killed twice"}

    @contextlib.asynccontextmanager
    async def _process(self) -> AsyncIterator[DecodingProcess]:
        """A process that takes jobs. It is kept unless it was ended, or failed those who used it."""
        if self._closed:
            raise LingtingError("the server is stopping")
        process = self._idle.pop() if self._idle else DecodingProcess()
        self._busy.add(process)
        kept = False
        try:
            await process.ready()
            yield process
            kept = True
        except (Overloaded, AudioTooLong):
            kept = True
            raise
        finally:
            self._busy.discard(process)
            kept = kept and not process.ended and len(self._idle) < self._kept
            if kept and process.jobs < _JOBS_PER_WORKER and not self._closed:
                self._idle.append(process)
            else:
                self._discard(process)

    def _discard(self, worker: DecodingProcess) -> None:
        worker.kill()
        reaping = asyncio.get_running_loop().run_in_executor(None, worker.reap)
        self._reaping.add(reaping)
        reaping.add_done_callback(self._reaping.discard)


def _drop(looking: asyncio.Future[Recording | tuple[str, bool]]) -> None:
    if not looking.cancelled() and looking.exception() is None and isinstance(found := looking.result(), Recording):
        found.close()


def _look(path: Path, declared: str, sample_rate: int, max_seconds: Seconds) -> Recording | tuple[str, bool]:
    """The recording where no decoder is needed, else the demuxer and whether the content itself chose it."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            raise EmptyAudio("the audio is empty")
        file.seek(0)
        found = sniff(file)
        plain = plain_pcm_range(file) if found == "wav" else None
    if plain is not None:
        return _plain(path, max_seconds, plain)
    if found is not None:
        return found, True
    if declared == "pcm":
        return _plain(path, max_seconds) if sample_rate == SAMPLE_RATE else ("pcm", True)
    if declared in {"mp3", "aac"}:
        return DECLARED[declared], False
    raise UndecodableAudio(
        f"the bytes are not a {declared} file nor any other of {_KNOWN}; raw samples need the format pcm"
    )


def _plain(path: Path, max_seconds: Seconds, part: PlainPcm | None = None) -> Recording:
    """16-bit mono samples at 16 kHz in part of a file or all of it, read from there when they are needed.

    Raises:
        EmptyAudio: there is not one sample.
        AudioTooLong: there are more than `max_seconds` of them.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        part = part or PlainPcm(0, os.fstat(descriptor).st_size)
        count = part.length // 2
        if count <= 0:
            raise EmptyAudio("there is no audio in the file")
        if count > (max_seconds + TOLERANCE) * SAMPLE_RATE:
            raise too_long(max_seconds)
    except BaseException:
        os.close(descriptor)
        raise
    return Recording.of_file(descriptor, count, offset=part.offset, missing=part.missing)


def _error(reply: dict[str, Any], max_seconds: Seconds) -> AudioError:
    match reply["error"]:
        case "empty":
            return EmptyAudio("there is no audio in the file")
        case "too_long":
            return too_long(max_seconds)
    return UndecodableAudio(f"the audio cannot be decoded: {reply['message']}")
