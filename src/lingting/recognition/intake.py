"""Sound of one stream that voice activity has not heard yet."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from lingting.domain import SAMPLE_RATE, Seconds

PIECE = 5 * SAMPLE_RATE
"""Voice activity takes so much at a time, so that streams take turns."""
_FAST: Seconds = 5.0
"""A stream that is so far ahead of a speaker is no live one: its work is done in the background."""
_LEAK = 1.25
"""A speaker catches up with what was sent at once, at this many seconds a second."""


class _Flush:
    """Stands between pieces of sound where the caller ended an utterance."""


class Intake:
    """What was accepted and not heard yet, in order. Only the event loop touches it.

    Attributes:
        received: samples of the stream that were accepted.
        waiting: samples of them that were not heard yet.
    """

    def __init__(self) -> None:
        self.received = 0
        self.waiting = 0
        self._pieces: deque[NDArray[np.int16] | _Flush] = deque()
        self._ahead: Seconds = 0.0
        self._added_at = time.monotonic()

    def __bool__(self) -> bool:
        return bool(self._pieces)

    @property
    def live(self) -> bool:
        """Whether the sound comes as fast as someone speaks, and not faster."""
        return self._ahead <= _FAST

    def add(self, pcm: NDArray[np.int16]) -> None:
        """More sound, shape (n,)."""
        now = time.monotonic()
        self._ahead = max(0.0, self._ahead - _LEAK * (now - self._added_at)) + len(pcm) / SAMPLE_RATE
        self._added_at = now
        self.received += len(pcm)
        self.waiting += len(pcm)
        self._pieces.extend(pcm[first : first + PIECE] for first in range(0, len(pcm), PIECE))

    def flush(self) -> None:
        """The caller ends an utterance behind what was added so far."""
        self._pieces.append(_Flush())

    def take(self) -> list[NDArray[np.int16]]:
        """What is to be heard next; nothing where the caller ended an utterance. There must be something."""
        if isinstance(self._pieces[0], _Flush):
            self._pieces.popleft()
            return []
        taken: list[NDArray[np.int16]] = []
        length = 0
        while self._pieces and length < PIECE:
            piece = self._pieces[0]
            if isinstance(piece, _Flush):
                break
            self._pieces.popleft()
            taken.append(piece)
            length += len(piece)
        return taken

    def heard(self, pieces: list[NDArray[np.int16]]) -> None:
        """Voice activity has heard what it took."""
        self.waiting -= sum(map(len, pieces))

    def resume(self, received: int) -> None:
        """Go on behind so many samples that another session has heard."""
        self.received = received

    def clear(self) -> None:
        """Drop what waits."""
        self._pieces.clear()
        self.waiting = 0
