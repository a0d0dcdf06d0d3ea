"""What the entries of the journal hold, as MessagePack: packets, places to go on from, and final texts."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from lingting.domain import Language, RecognitionOptions
from lingting.recognition.finals import Checkpoint


class Packet(msgspec.Struct, tag="packet", array_like=True):
    """A packet that was acknowledged."""

    sequence_id: int
    action: int
    audio: bytes
    digest: bytes


class Place(msgspec.Struct, tag="place", array_like=True):
    """Where a stream goes on when the packets behind are taken again.

    Attributes:
        options: what the first packet asked for.
        base: number of the first packet.
        first: its digest.
        digests: of the packets before `number`, by number.
        number: the first packet of which something is needed.
        offset: bytes of sound before that packet.
        checkpoint: of the session; None before its first final.
    """

    options: Options
    base: int
    first: bytes
    digests: dict[int, bytes]
    number: int
    offset: int
    checkpoint: Checkpoint | None = None


class Options(msgspec.Struct, array_like=True):
    """`RecognitionOptions` as they are written down."""

    language: Language | None
    hot_words: tuple[str, ...]
    convert_numbers: bool
    max_sentence_silence: float
    timestamps: bool
    model: str = ""

    @classmethod
    def of(cls, options: RecognitionOptions) -> Options:
        """Write down options."""
        return cls(
            options.language,
            options.hot_words,
            options.convert_numbers,
            options.max_sentence_silence,
            options.timestamps,
            options.model,
        )

    def options(self) -> RecognitionOptions:
        """The options."""
        return RecognitionOptions(
            self.language,
            self.hot_words,
            self.convert_numbers,
            self.max_sentence_silence,
            self.timestamps,
            self.model,
        )


class Ended(msgspec.Struct, tag="ended", array_like=True):
    """How a stream ended: with which packet, with what text, and how many seconds of sound."""

    sequence_id: int
    digest: bytes
    text: str
    seconds: float


Record: TypeAlias = Packet | Place | Ended

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    """A record as an entry."""
    return _encoder.encode(record)


def decode(entry: bytes) -> Record:
    """The record of an entry.

    Raises:
        msgspec.DecodeError: another version of the server wrote it.
    """
    return _decoder.decode(entry)
