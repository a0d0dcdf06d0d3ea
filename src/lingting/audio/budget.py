"""How much decoded audio may be held at once, counted in one place for everything that is decoded or waits."""

from __future__ import annotations

import threading

from lingting.domain import SAMPLE_RATE
from lingting.errors import AudioTooLong, Overloaded

BYTES_PER_SECOND = 2 * SAMPLE_RATE
"""Of audio as it is held: 16-bit mono at 16 kHz."""

_RETRY_SECONDS = 5.0


class AudioBudget:
    """Bytes of decoded audio that may be held at once. Any thread may use it.

    Args:
        limit: bytes; None sets no limit.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._spent = 0
        self._lock = threading.Lock()

    @property
    def spent(self) -> int:
        """Bytes that are reserved now."""
        return self._spent

    def admit(self, size: int) -> None:
        """Pass while so many bytes are free, or never will be; nothing is set aside.

        Raises:
            Overloaded: so many are not free now.
        """
        if self.limit is not None and self._spent + min(size, self.limit) > self.limit:
            raise full()

    def reserve(self, size: int) -> Reservation:
        """Set bytes aside until the reservation is released.

        Raises:
            Overloaded: so many are not free.
            AudioTooLong: so many never will be.
        """
        self._take(0, size)
        return Reservation(self, size)

    def _take(self, before: int, size: int) -> None:
        with self._lock:
            if self.limit is not None and size > before:
                if size > self.limit:
                    seconds = self.limit // BYTES_PER_SECOND
                    raise AudioTooLong(
                        f"the audio is longer than the {seconds} seconds that this server keeps room for", seconds
                    )
                if self._spent - before + size > self.limit:
                    raise full()
            self._spent += size - before


def full() -> Overloaded:
    """What is said when the budget is spent."""
    return Overloaded("as much audio is being recognised as there is room for", _RETRY_SECONDS)


class Reservation:
    """Bytes of a budget that are set aside; used by one thread or task at a time."""

    def __init__(self, budget: AudioBudget, size: int) -> None:
        self._budget = budget
        self.size = size

    def resize(self, size: int) -> None:
        """Set more or fewer bytes aside instead.

        Raises:
            Overloaded, AudioTooLong: as `AudioBudget.reserve`; the bytes are those of before.
        """
        self._budget._take(self.size, size)
        self.size = size

    def release(self) -> None:
        """Give all of it back; harmless when that is done already."""
        self.resize(0)
