"""The part of a stream's audio that is still needed."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from lingting.domain import Samples


class AudioBuffer:
    """A window on a stream of samples, addressed by sample of the stream. Thread-safe."""

    def __init__(self) -> None:
        self._pieces: deque[Samples] = deque()
        self._lock = threading.Lock()
        self.start = 0
        """First sample of the stream that is kept."""
        self.end = 0
        """One past the newest sample."""

    def append(self, samples: Samples) -> None:
        """Add the samples that come next; they are not copied."""
        with self._lock:
            self._pieces.append(samples)
            self.end += len(samples)

    def trim(self, before: int) -> None:
        """Drop whole pieces that lie before sample `before`."""
        with self._lock:
            while self._pieces and self.start + len(self._pieces[0]) <= before:
                self.start += len(self._pieces.popleft())

    def slice(self, first: int, last: int) -> Samples:
        """A copy of samples [first, last), as far as they are kept."""
        with self._lock:
            pieces = list(self._pieces)
            start = self.start
        if not pieces:
            return np.zeros(0, np.float32)
        return np.concatenate(pieces)[max(0, first - start) : max(0, last - start)]
