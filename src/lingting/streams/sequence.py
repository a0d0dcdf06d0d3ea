"""Numbered packets in, bytes in order out: retries, packets that overtake each other, and the end of a stream."""

from __future__ import annotations

from lingting.streams.errors import (
    FinalBeforeOthers,
    NumberOutsideWindow,
    PacketAfterFinal,
    PacketConflict,
    TooMuchAhead,
)
from lingting.streams.packets import Action, StreamPacket


class Sequence:
    """The order of one stream's packets.

    Remembers a digest of each of the last `window` packets and holds at most `max_waiting_bytes` of audio that came
    ahead of a packet that is not there yet. The first packet taken is that of number `base`.

    Attributes:
        base: number of the first packet.
        expected: number of the packet that comes next.
        last: number of the final packet, once it came.
        total_bytes: audio taken so far, in order or waiting.
    """

    def __init__(self, base: int, *, window: int, max_waiting_bytes: int) -> None:
        self.base = self.expected = base
        self.last: int | None = None
        self.total_bytes = 0
        self._window = window
        self._max_waiting_bytes = max_waiting_bytes
        self._first: bytes | None = None
        self._digests: dict[int, bytes] = {}
        self._waiting: dict[int, bytes] = {}
        self._waiting_bytes = 0

    @property
    def complete(self) -> bool:
        """Whether every packet up to the final one is there."""
        return self.last is not None and self.expected > self.last

    def is_first(self, packet: StreamPacket) -> bool:
        """Whether this is the stream's first packet, sent again; any may be where none was taken yet."""
        return packet.sequence_id == self.base and self._first in (None, packet.digest)

    def is_retry(self, packet: StreamPacket) -> bool:
        """Whether this packet was taken before.

        Raises:
            PacketConflict: its number was taken before, with other content.
            PacketAfterFinal: the stream ends before it.
            NumberOutsideWindow: it is too far from the expected number to tell or to hold.
        """
        number = packet.sequence_id
        known = self._digests.get(number)
        if known is not None:
            if known != packet.digest:
                raise PacketConflict(number)
            return True
        if number == self.base and packet.digest == self._first:
            return True
        if self.last is not None and (number > self.last or packet.action is Action.END):
            raise PacketAfterFinal(number, self.last)
        if number < self.expected or number > self.expected + self._window:
            raise NumberOutsideWindow(number, self.expected, self._window)
        return False

    @property
    def first(self) -> bytes:
        """Digest of the first packet."""
        return self._first or b""

    def digests_before(self, number: int) -> dict[int, bytes]:
        """What is remembered of the packets before this one, by number."""
        return {each: digest for each, digest in self._digests.items() if each < number}

    def resume(self, first: bytes, digests: dict[int, bytes], expected: int, total_bytes: int) -> None:
        """Go on where another sequence was before it took packet `expected`."""
        self._first, self._digests = first, dict(digests)
        self.expected, self.total_bytes = expected, total_bytes

    def require(self, packet: StreamPacket) -> None:
        """Pass when a packet that is not a retry can be taken.

        Raises:
            FinalBeforeOthers: it is the final packet and one of a higher number came before.
            TooMuchAhead: too much audio waits for a missing packet.
        """
        number = packet.sequence_id
        if packet.action is Action.END and self._waiting and (highest := max(self._waiting)) > number:
            raise FinalBeforeOthers(number, highest)
        if number != self.expected and self._waiting_bytes + len(packet.audio) > self._max_waiting_bytes:
            raise TooMuchAhead(self.expected, self._max_waiting_bytes)

    def take(self, packet: StreamPacket) -> bytes:
        """Take a packet that is not a retry; returns the audio that is now in order, after what was returned before.

        Raises: as `require`.
        """
        self.require(packet)
        number = packet.sequence_id
        if self._first is None:
            self._first = packet.digest
        ahead = number != self.expected
        self._digests[number] = packet.digest
        self.total_bytes += len(packet.audio)
        if packet.action is Action.END:
            self.last = number
        if ahead:
            self._waiting[number] = packet.audio
            self._waiting_bytes += len(packet.audio)
            return b""
        ready = [packet.audio]
        self._advance()
        while self.expected in self._waiting:
            audio = self._waiting.pop(self.expected)
            self._waiting_bytes -= len(audio)
            ready.append(audio)
            self._advance()
        return b"".join(ready) if len(ready) > 1 else ready[0]

    def _advance(self) -> None:
        self.expected += 1
        self._digests.pop(self.expected - 1 - self._window, None)
