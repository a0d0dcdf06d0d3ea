"""What doors and homes say to one another: MessagePack arrays, each with the number of the call that it belongs to.

A call begins with `Take`, `Open` or `Recognize` from a door and ends with one of the answers, or with `Cancel`; between
them both ends may say more under the same number. Audio is 16-bit little-endian mono at 16 kHz.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from lingting.access.principal import Principal
from lingting.domain import Account, RecognitionOptions, Sentence
from lingting.recognition.endpoint import EndpointConfig
from lingting.recognition.events import Final
from lingting.recognition.finals import Checkpoint

LARGEST = 8 << 20
"""No frame is larger, in bytes."""

CHUNK_BYTES = 256 * 1024
"""A recording is sent in pieces of so many bytes."""


class Message(msgspec.Struct, array_like=True, tag=True):
    """Any of them; a door counts its calls on a connection from 1. Number 0 is the connection's own."""

    number: int


class Take(Message):
    """A packet of a stream, for the home that holds `epoch` of it.

    Attributes:
        owner: whose stream it is.
        epoch: of the stream, as the directory has it.
        fresh: nothing was kept of the stream when it was claimed.
        log_id: of the request, for the home's log.
        trace: the request's `traceparent`; empty where it is not traced.
    """

    owner: Principal
    stream_id: str
    sequence_id: int
    action: int
    audio: bytes
    digest: bytes
    options: RecognitionOptions
    epoch: int
    fresh: bool
    log_id: str
    trace: str


class Taken(Message):
    """The answer to a packet; `kept` is false where it is in the home's memory alone, for Redis does not answer."""

    text: str
    audio_seconds: float
    confirmed: int
    confirmed_seconds: float
    kept: bool


class Open(Message):
    """Begin a live session; `again` where one was elsewhere, which left off at the checkpoint if there is one."""

    owner: Principal
    options: RecognitionOptions
    endpoint: EndpointConfig | None
    again: bool
    checkpoint: Checkpoint | None
    log_id: str
    trace: str


class Sound(Message):
    """Audio of a live session or of a recording."""

    pcm: bytes


class Flush(Message):
    """End the utterance that is open."""


class Finish(Message):
    """No more audio comes."""


class Started(Message):
    """Speech began."""

    at: float


class Stopped(Message):
    """Speech ended."""

    at: float


class Guessed(Message):
    """What is not final yet."""

    text: str


class Finished(Message):
    """An utterance is final, and where another session can go on; None while that has not changed."""

    final: Final
    checkpoint: Checkpoint | None


class Reached(Message):
    """Where another session can go on by now, though no utterance has become final: nobody speaks."""

    checkpoint: Checkpoint


class Recognize(Message):
    """Recognise a recording of `size` samples, which follow as `Sound`."""

    account: Account
    options: RecognitionOptions
    size: int
    log_id: str
    trace: str


class More(Message):
    """The home has room for another piece of a recording; or it has begun a live session."""


class Told(Message):
    """A sentence of a recording."""

    sentence: Sentence


class Done(Message):
    """The end of a live session or a recording: everything was said."""


class Failure(Message):
    """The end of a call that failed: the error by name, in words, and its attributes."""

    kind: str
    text: str
    attributes: dict[str, str | int | float | bool | None]


class Cancel(Message):
    """Nobody waits for the answer to this call any more."""


class Leaving(Message):
    """This home stops: nothing new is for it."""


class Ping(Message):
    """Are you there?"""


class Pong(Message):
    """I am."""


ToHome: TypeAlias = Take | Open | Sound | Flush | Finish | Recognize | Cancel | Ping
ToDoor: TypeAlias = (
    Taken | Started | Stopped | Guessed | Finished | Reached | More | Told | Done | Failure | Leaving | Pong
)

_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """A message as bytes."""
    return _encoder.encode(message)


to_home: msgspec.msgpack.Decoder[ToHome] = msgspec.msgpack.Decoder(ToHome)
to_door: msgspec.msgpack.Decoder[ToDoor] = msgspec.msgpack.Decoder(ToDoor)
