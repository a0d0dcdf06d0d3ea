"""Bodies on disk: a file for each, written off the event loop and gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from lingting.errors import Overloaded

_WRITE_BYTES = 1 << 20
_THREADS = 4
_RETRY_SECONDS = 30.0
_LOCK = "lock"

log = logging.getLogger(__name__)
T = TypeVar("T")


class SpoolFull(Overloaded):
    """The disk takes no more."""

    def __init__(self) -> None:
        super().__init__("the server has no room on its disk for the upload; try again later", _RETRY_SECONDS)


class Spool:
    """The folder of this process for bodies that are kept on disk, and the threads that write there.

    Each process has a folder of its own below `root`, readable by its user only, and holds a lock on it that the system
    releases however the process ends. Making a spool clears the folders whose process is gone. Use from one event loop.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / ".lock"):  # nobody looks at a folder between its making and its lock
            _clear(root)
            self._folder = Path(tempfile.mkdtemp(prefix="process-", dir=root))
            self._lock = os.open(self._folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="spool")

    @contextlib.asynccontextmanager
    async def file(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[Path, int]]:
        """These pieces in a file of their own, and its size in bytes; the file is gone afterwards.

        Raises:
            SpoolFull: they cannot be written; what was written is gone.
        """
        file = _File(self._folder)
        try:
            size, waiting = 0, bytearray()
            async for piece in pieces:
                size += len(piece)
                waiting += piece
                if len(waiting) >= _WRITE_BYTES:
                    await self._blocking(partial(file.write, waiting))
                    waiting = bytearray()
            yield await self._blocking(partial(file.complete, waiting)), size
        finally:
            self._threads.submit(file.remove)

    def close(self) -> None:
        """Wait until every file is gone, and remove the folder."""
        self._threads.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    async def _blocking(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            log.error("an upload cannot be kept in %s: %s", self._folder, error.strerror)
            raise SpoolFull from error


class _File:
    """A temporary file, made when something is written; its methods block and may run in any thread.

    A write may still run, or wait for its turn, when the request that wanted it is gone and the file is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._turn = threading.Lock()
        self._removed = False
        self._descriptor = -1
        self._path = folder / f"upload-{uuid.uuid4().hex}"

    def write(self, data: bytearray) -> None:
        with self._turn:
            self._write(data)

    def complete(self, data: bytearray) -> Path:
        """Write the last piece; the file may be read now."""
        with self._turn:
            self._write(data)
            self._close()
            return self._path

    def remove(self) -> None:
        with self._turn:
            self._removed = True
            self._close()
            self._path.unlink(missing_ok=True)

    def _write(self, data: bytearray) -> None:
        if self._removed:
            return
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _clear(root: Path) -> None:
    """Remove what processes left that have ended; the lock of a living one cannot be had."""
    for folder in root.glob("process-*"):
        with contextlib.suppress(OSError), _locked(folder / _LOCK, wait=False):
            shutil.rmtree(folder, ignore_errors=True)
    for left in root.glob("flash-*"):  # of versions that had one folder for all
        left.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock on a file; without `wait` BlockingIOError says that another process holds it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
