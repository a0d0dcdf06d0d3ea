"""How streams ended, remembered for a while: a final packet that is sent again gets the same answer."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from lingting.domain import Seconds
from lingting.errors import LingtingError
from lingting.streams.packets import StreamPacket, StreamReply

REMEMBERED_SECONDS = 60.0
REMEMBERED_FINALS = 4096

Key = tuple[str, str]
"""Tenant and stream_id."""


@dataclass(frozen=True, slots=True)
class Final:
    """How a stream ended: with which packet, when, with a text or an error, and with how many seconds of audio."""

    sequence_id: int
    digest: bytes
    ended_at: float
    text: str
    error: LingtingError | None = None
    seconds: Seconds = 0.0


class Finals:
    """The latest ends of streams, the oldest first."""

    def __init__(self) -> None:
        self._finals: OrderedDict[Key, Final] = OrderedDict()

    def __len__(self) -> int:
        return len(self._finals)

    def remember(self, key: Key, final: Final) -> None:
        """Keep how a stream ended, in place of the longest kept end when there are too many."""
        self._finals[key] = final
        self._finals.move_to_end(key)
        if len(self._finals) > REMEMBERED_FINALS:
            self._finals.popitem(last=False)

    def knows(self, key: Key) -> bool:
        """Whether the end of a stream of this name is remembered."""
        return key in self._finals

    def forget(self, key: Key) -> None:
        """A stream of this name begins or was aborted."""
        self._finals.pop(key, None)

    def sweep(self, now: float) -> list[Key]:
        """Forget what is older than `REMEMBERED_SECONDS`; returns the streams whose ends are forgotten."""
        forgotten = []
        while self._finals:
            key, final = next(iter(self._finals.items()))
            if now - final.ended_at < REMEMBERED_SECONDS:
                break
            del self._finals[key]
            forgotten.append(key)
        return forgotten

    def answer(self, key: Key, packet: StreamPacket, now: float) -> StreamReply | None:
        """The answer to a final packet that was answered before; None for any other packet.

        Raises:
            LingtingError: the stream ended with it.
        """
        final = self._finals.get(key)
        if (
            final is None
            or packet.sequence_id != final.sequence_id
            or packet.digest != final.digest
            or now - final.ended_at >= REMEMBERED_SECONDS
        ):
            return None
        if final.error is not None:
            raise final.error.with_traceback(None)
        return StreamReply(final.text, confirmed=len(final.text), confirmed_seconds=final.seconds)
