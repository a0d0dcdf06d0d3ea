"""A journal in files: a folder for each stream, in it segments of entries; what is needless goes with its segment.

A segment is named by the number of its first entry. An entry is its length in four bytes, its checksum in four, and
itself, written with one call, so that what a crash cut short is told from what is whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import struct
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from lingting.streams.journal.storage import JournalError, Key

SEGMENT_BYTES = 128 * 1024
_HEAD = struct.Struct("<II")

T = TypeVar("T")


@dataclass(slots=True)
class _Writer:
    """Where a stream's next entry goes; only the journal's thread touches it.

    Attributes:
        segments: numbers of the first entries of its segments, ascending.
        size: bytes of the last segment.
    """

    folder: Path
    segments: list[int]
    number: int
    size: int


class DiskStorage:
    """Keeps entries under `folder`, which no other process uses. Files are private to the user.

    Args:
        folder: where; it is made when something is kept.
        clock: seconds that only go forward, whatever happens to the time of day.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._opened_at = clock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._writers: dict[Key, _Writer] = {}

    async def append(self, key: Key, entry: bytes) -> int:
        return await self._do(partial(self._append, key, entry))

    async def checkpoint(self, key: Key, entry: bytes, first: int) -> int:
        return await self._do(partial(self._checkpoint, key, entry, first))

    async def recover(self, key: Key) -> list[tuple[int, bytes]]:
        return await self._do(partial(self._recover, key))

    async def forget(self, key: Key) -> None:
        await self._do(partial(self._forget, key))

    async def sweep(self, seconds: float) -> None:
        await self._do(partial(self._sweep, seconds))

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            reason = error.strerror or str(error)
            raise JournalError(f"the journal of streams cannot be used: {reason}; try again", 2.0) from error

    # -- on the journal's thread --------------------------------------------------------------------------------------

    def _append(self, key: Key, entry: bytes) -> int:
        writer = self._writers.get(key) or self._open(key)
        if not writer.segments or writer.size >= SEGMENT_BYTES:
            writer.segments.append(writer.number)
            writer.size = 0
        data = _HEAD.pack(len(entry), zlib.crc32(entry)) + entry
        file = writer.folder / f"{writer.segments[-1]:010d}"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.write(descriptor, data) != len(data):
                os.ftruncate(descriptor, writer.size)
                raise OSError(28, "the disk is full")
        finally:
            os.close(descriptor)
        writer.size += len(data)
        writer.number += 1
        return writer.number - 1

    def _checkpoint(self, key: Key, entry: bytes, first: int) -> int:
        writer = self._writers.get(key) or self._open(key)
        if first >= writer.number:
            writer.size = SEGMENT_BYTES
        number = self._append(key, entry)
        while len(writer.segments) > 1 and writer.segments[1] <= first:
            (writer.folder / f"{writer.segments.pop(0):010d}").unlink(missing_ok=True)
        return number

    def _recover(self, key: Key) -> list[tuple[int, bytes]]:
        folder = self._place(key)
        entries: list[tuple[int, bytes]] = []
        for file in sorted(folder.glob("*")) if folder.is_dir() else ():
            data, position, number = file.read_bytes(), 0, int(file.name)
            before = len(entries)
            while position + _HEAD.size <= len(data):
                length, checksum = _HEAD.unpack_from(data, position)
                entry = data[position + _HEAD.size : position + _HEAD.size + length]
                if len(entry) < length or zlib.crc32(entry) != checksum:
                    break
                entries.append((number, entry))
                number += 1
                position += _HEAD.size + length
            if len(entries) == before:
                file.unlink()  # its name is that of the next segment, which must not begin behind what was cut short
        if entries:
            # what a crash cut short stays behind in a segment that is never written again
            self._writers[key] = _Writer(folder, self._segments(folder), entries[-1][0] + 1, SEGMENT_BYTES)
        return entries

    def _forget(self, key: Key) -> None:
        self._writers.pop(key, None)
        shutil.rmtree(self._place(key), ignore_errors=True)

    def _sweep(self, seconds: float) -> None:
        if self._clock() - self._opened_at <= seconds or not self._folder.is_dir():
            return  # what a former process left may be gone on with
        live = {writer.folder for writer in self._writers.values()}
        for folder in self._folder.iterdir():
            if folder not in live:
                shutil.rmtree(folder, ignore_errors=True)

    def _open(self, key: Key) -> _Writer:
        folder = self._place(key)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        segments = self._segments(folder)
        if segments:
            self._recover(key)
            if key in self._writers:
                return self._writers[key]
        writer = self._writers[key] = _Writer(folder, [], 0, 0)
        return writer

    def _place(self, key: Key) -> Path:
        return self._folder / hashlib.sha256("\0".join(key).encode()).hexdigest()[:40]

    @staticmethod
    def _segments(folder: Path) -> list[int]:
        return sorted(int(file.name) for file in folder.glob("*"))
