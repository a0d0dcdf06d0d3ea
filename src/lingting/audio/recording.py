"""A decoded recording that is read in windows, so that two hours of it never lie in memory as floats."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingting.audio.budget import Reservation
from lingting.audio.pcm import pcm16_to_samples
from lingting.domain import SAMPLE_RATE, Samples, Seconds
from lingting.errors import LingtingError


class Recording:
    """Mono audio at 16 kHz; a context manager, for what it takes is freed when it is closed. Any thread may read it.

    Attributes:
        size: samples.
        missing: seconds that the file declares and does not hold; 0 where it is whole or declares nothing.
    """

    def __init__(self, size: int, *, missing: Seconds = 0.0, reservation: Reservation | None = None) -> None:
        self.size = size
        self.missing = missing
        self._reservation = reservation
        self._lock = threading.Lock()
        self._closed = False

    @staticmethod
    def of_samples(samples: Samples) -> Recording:
        """A recording over float32 samples, shape (n,), which are not copied."""
        return _InArray(samples)

    @staticmethod
    def of_pcm16(data: bytes, reservation: Reservation | None = None) -> Recording:
        """A recording over 16-bit little-endian samples, which are not copied; half a sample at the end is dropped.

        Args:
            reservation: what `data` takes of a budget; released when the recording is closed.
        """
        return _InArray(np.frombuffer(data, "<i2", count=len(data) // 2), reservation)

    @staticmethod
    def of_file(
        descriptor: int,
        size: int,
        *,
        offset: int = 0,
        missing: Seconds = 0.0,
        reservation: Reservation | None = None,
    ) -> Recording:
        """A recording over 16-bit little-endian samples in a file.

        Args:
            descriptor: of the file; it belongs to the recording from now on.
            size: samples.
            offset: byte at which they begin.
            reservation: what the file takes of a budget; released when the recording is closed.
        """
        return _InFile(descriptor, size, offset, missing, reservation)

    @property
    def duration(self) -> Seconds:
        """Length in seconds."""
        return self.size / SAMPLE_RATE

    @property
    def warning(self) -> str | None:
        """What the sender should know of the file, in words; None where there is nothing to say."""
        if not self.missing:
            return None
        whole = self.duration + self.missing
        return f"the file ends after {self.duration:.1f} s of the {whole:.1f} s that it declares"

    def window(self, start: int, end: int) -> Samples:
        """Samples [start, end), as far as the recording reaches, as float32; a copy, and nothing else is read.

        Raises:
            LingtingError: the recording is closed.
        """
        start, end = max(0, start), min(end, self.size)
        with self._lock:  # a descriptor that is closed meanwhile may be another file's
            if self._closed:
                raise LingtingError("the recording is closed")
            return self._read(start, max(start, end))

    def close(self) -> None:
        """Free what it takes; harmless when that is done already."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._free()
        if self._reservation is not None:
            self._reservation.release()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, start: int, end: int) -> Samples:
        raise NotImplementedError

    def _free(self) -> None:
        raise NotImplementedError


class _InArray(Recording):
    def __init__(self, samples: NDArray[Any], reservation: Reservation | None = None) -> None:
        super().__init__(len(samples), reservation=reservation)
        self._samples = samples

    def _read(self, start: int, end: int) -> Samples:
        window = self._samples[start:end]
        return pcm16_to_samples(window) if window.dtype == np.int16 else window.astype(np.float32)

    def _free(self) -> None:
        self._samples = np.zeros(0, np.float32)


class _InFile(Recording):
    def __init__(
        self, descriptor: int, size: int, offset: int, missing: Seconds, reservation: Reservation | None
    ) -> None:
        super().__init__(size, missing=missing, reservation=reservation)
        self._descriptor = descriptor
        self._offset = offset

    def _read(self, start: int, end: int) -> Samples:
        data = bytearray(2 * (end - start))  # what somebody has cut off the file meanwhile is silence
        view, done = memoryview(data), 0
        while done < len(data):
            got = os.preadv(self._descriptor, [view[done:]], self._offset + 2 * start + done)
            if not got:
                break
            done += got
        return pcm16_to_samples(data)

    def _free(self) -> None:
        os.close(self._descriptor)


def nameless_file() -> int:
    """A descriptor of a file without a name, in memory where the system can do that; it is gone with its descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("lingting-audio", os.MFD_CLOEXEC)
    with contextlib.closing(tempfile.TemporaryFile()) as file:
        return os.dup(file.fileno())
