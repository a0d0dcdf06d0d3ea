"""Bodies on disk: a file for each, written off the event loop and gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_WRITE_BYTES = 1 << 20
_THREADS = 4


class Spool:
    """The folder for bodies that are kept on disk, and the threads that write there. Use from one event loop.

    Making one clears what a crash left in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="spool")
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("flash-*"):
            left.unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def file(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[Path, int]]:
        """These pieces in a file of their own, and its size in bytes; the file is gone afterwards."""
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(self._threads, _File, self._folder)
        try:
            size, waiting = 0, bytearray()
            async for piece in pieces:
                size += len(piece)
                waiting += piece
                if len(waiting) >= _WRITE_BYTES:
                    await loop.run_in_executor(self._threads, file.write, bytes(waiting))
                    waiting.clear()
            await loop.run_in_executor(self._threads, file.complete, bytes(waiting))
            yield file.path, size
        finally:
            self._threads.submit(file.remove)

    def close(self) -> None:
        """Wait until every file is gone."""
        self._threads.shutdown()


class _File:
    """A temporary file; every method blocks and runs on the threads of the spool, in the order of the calls."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="flash-", dir=folder, delete=False)  # noqa: SIM115
        self.path = Path(self._file.name)

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def complete(self, data: bytes) -> None:
        self._file.write(data)
        self._file.close()

    def remove(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)
