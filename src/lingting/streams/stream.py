"""One live stream: what is known of it, and how its packets become the sound of its session."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Generic

import numpy as np

from lingting.domain import SAMPLE_RATE, Seconds
from lingting.errors import LingtingError, RecognitionFailed
from lingting.streams.finals import Key
from lingting.streams.journal import StreamJournal
from lingting.streams.packets import StreamPacket, StreamReply
from lingting.streams.sequence import Sequence
from lingting.streams.types import Lease, LiveSession, OwnerT, StreamState

BYTES_PER_SECOND = 2 * SAMPLE_RATE

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Stream(Generic[OwnerT]):
    """State of one live stream; only the event loop touches it.

    Attributes:
        owner, key: whose it is, and its name.
        session: what recognises it.
        lease: its place.
        sequence: the order of its packets.
        opened_at, last_seen: when it was opened, and when its last packet came, by the clock of `Streams`.
        kept: what the journal has of it.
        heard: bytes at the beginning of the sound that comes next which its session has heard before a restart.
        half_sample: the last byte, where a packet ended within a sample.
        lock: held while a packet goes into the journal.
        ending: the task of its end, once the final packet came.
        complete: set when every packet is there.
        outcome: the final text, or why there is none.
    """

    owner: OwnerT
    key: Key
    session: LiveSession
    lease: Lease
    sequence: Sequence
    opened_at: float
    last_seen: float
    kept: StreamJournal | None = None
    heard: int = 0
    half_sample: bytes = b""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    ending: asyncio.Task[None] | None = None
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def __post_init__(self) -> None:
        self.outcome.add_done_callback(_retrieve)

    @property
    def seconds(self) -> Seconds:
        """Audio taken so far."""
        return self.sequence.total_bytes / BYTES_PER_SECOND

    def accept(self, packet: StreamPacket) -> Seconds:
        """Give the session what is in order with this packet; returns the seconds that the packet added.

        Raises:
            LingtingError: the session failed, and the stream with it.
        """
        audio = self.half_sample + self.sequence.take(packet)
        if self.heard:
            gone = min(self.heard, len(audio))
            audio, self.heard = audio[gone:], self.heard - gone
        whole = len(audio) & ~1
        self.half_sample = audio[whole:]
        try:
            if whole:
                self.session.accept(np.frombuffer(audio, "<i2", count=whole // 2))
        except LingtingError:
            raise
        except Exception as error:
            log.exception("a live session failed on new audio")
            raise RecognitionFailed("the recognition of this stream failed") from error
        if self.sequence.complete:
            self.complete.set()
        return len(packet.audio) / BYTES_PER_SECOND

    def reply(self, added: Seconds) -> StreamReply:
        """The answer to a packet that is not the final one."""
        session = self.session
        return StreamReply(session.text, added, len(session.confirmed), session.confirmed_seconds)

    def abort(self) -> None:
        """Drop what its session has not made text of."""
        try:
            self.session.abort()
        except Exception:
            log.exception("a live session failed on its abort")

    def state(self, now: float) -> StreamState[OwnerT]:
        """It as those see it who watch the server."""
        age, idle = now - self.opened_at, now - self.last_seen
        return StreamState(self.owner, self.key[1], self.seconds, age, idle, self.ending is not None)


def _retrieve(outcome: asyncio.Future[str]) -> None:
    """Marks the error as seen: its waiter may have left."""
    if not outcome.cancelled():
        outcome.exception()
