"""The part of a stream's audio that is still needed."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from lingting.audio.pcm import samples_to_pcm16
from lingting.domain import SAMPLE_RATE, Samples

_LEAST = SAMPLE_RATE


class AudioBuffer:
    """A window on a stream of samples, addressed by sample of the stream, kept as 16-bit PCM. Any thread may use it.

    What is kept lies in one array, so that a slice copies what it returns and nothing else. It takes the memory of
    twice the audio that is kept, at most.
    """

    def __init__(self) -> None:
        self._pcm: NDArray[np.int16] = np.empty(_LEAST, np.int16)
        self._at = 0  # where sample `start` lies in `_pcm`
        self._lock = threading.Lock()
        self.start = 0
        """First sample of the stream that is kept."""
        self.end = 0
        """One past the newest sample."""
        self.ended = 0
        """Where the latest utterance ended, set before any of its sound is dropped; its end comes with that sound."""

    def append(self, samples: Samples) -> None:
        """Add the samples that come next, shape (n,), float32 in [-1, 1]; they are copied."""
        pcm = samples_to_pcm16(samples)
        with self._lock:
            kept = self.end - self.start
            used = self._at + kept
            if used + len(pcm) > len(self._pcm):
                room = np.empty(max(_LEAST, 2 * (kept + len(pcm))), np.int16)
                room[:kept] = self._pcm[self._at : used]
                self._pcm, self._at, used = room, 0, kept
            self._pcm[used : used + len(pcm)] = pcm
            self.end += len(pcm)

    def restore(self, start: int, pcm: bytes) -> None:
        """Hold these 16-bit samples, of which the first is sample `start` of the stream, and nothing else."""
        with self._lock:
            self._pcm, self._at = np.frombuffer(pcm, np.int16).copy(), 0
            self.start, self.end = start, start + len(self._pcm)

    def kept(self) -> bytes:
        """What is kept, as 16-bit samples."""
        with self._lock:
            return self._pcm[self._at : self._at + self.end - self.start].tobytes()

    def trim(self, before: int) -> None:
        """Drop what lies before sample `before` of the stream."""
        with self._lock:
            gone = min(before, self.end) - self.start
            if gone > 0:
                self.start += gone
                self._at += gone

    def slice(self, first: int, last: int) -> Samples:
        """Samples [first, last) of the stream, as far as they are kept, as float32."""
        with self._lock:
            first, last = max(first, self.start), min(last, self.end)
            shift = self._at - self.start
            samples = self._pcm[first + shift : max(first, last) + shift].astype(np.float32)
        samples *= np.float32(1 / 32768)
        return samples
