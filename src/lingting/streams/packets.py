"""A numbered packet of a stream, as any protocol hands it over."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass


class Action(enum.IntEnum):
    """What a packet does to its stream; the numbers are those of the interface."""

    CONTINUE = 0
    START = 1
    END = 2
    ABORT = 3


@dataclass(frozen=True, slots=True)
class StreamPacket:
    """One packet.

    Attributes:
        stream_id: name of the stream, unique among the live streams of a tenant.
        sequence_id: number of the packet.
        action: what it does.
        audio: 16 kHz 16-bit little-endian mono samples; a sample may be split between two packets.
        digest: of action and audio: two packets of equal number and digest are the same packet, sent again.
    """

    stream_id: str
    sequence_id: int
    action: Action
    audio: bytes
    digest: bytes

    @classmethod
    def of(cls, stream_id: str, sequence_id: int, action: int, audio: bytes) -> StreamPacket:
        """A packet with its digest; call it off the event loop when the audio is large.

        Raises:
            ValueError: `action` is none of the four.
        """
        known = Action(action)
        digest = hashlib.blake2b(audio, digest_size=16, key=bytes([known])).digest()
        return cls(stream_id, sequence_id, known, audio, digest)


@dataclass(frozen=True, slots=True)
class StreamReply:
    """What a packet is answered with.

    Attributes:
        text: the text of the stream so far, or its final text.
        audio_seconds: audio this packet added to the stream; 0 for a retry.
        confirmed: how many characters of `text`, from its beginning, will not change any more.
        confirmed_seconds: how much of the stream's audio, from its beginning, those characters cover.
    """

    text: str
    audio_seconds: float = 0.0
    confirmed: int = 0
    confirmed_seconds: float = 0.0
