"""What a server and the process of an engine say to each other: frames of MessagePack over a socket, plain data only.

Samples and times go as raw float32 in native byte order; both ends are on one machine.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lingting.domain import Language
from lingting.errors import ModelError, RecognitionFailed
from lingting.recognition import engine as recognition
from lingting.recognition.engine import Before, CharacterTimes, Heard, Need, Outcome, Request

_SIZE = struct.Struct("=I")
BUFFER = 4 << 20
"""Of each socket: the sound of a long utterance goes in one piece, without the two ends waking each other for parts."""


class Start(msgspec.Struct, tag=True, array_like=True):
    """The first message: `factory` is `module:function`, called with `arguments`."""

    factory: str
    arguments: dict[str, Any]
    log_level: int


class Ready(msgspec.Struct, tag=True, array_like=True):
    """The engine is loaded; its attributes, those that engines of its kind have."""

    longest: float = 0.0
    delay: float = 0.0
    chunk: float = 0.0
    punctuates: bool = False


class Failed(msgspec.Struct, tag=True, array_like=True):
    """A call failed: name of the exception, and its message."""

    kind: str
    message: str


class Begin(msgspec.Struct, tag=True, array_like=True):
    """Begin an utterance; `forget` are works and ears that nobody needs any more, here and below."""

    samples: memoryview
    need: str
    language: str | None
    hot_words: tuple[str, ...]
    before: tuple[str, tuple[str, ...]]
    times: bool
    forget: list[int]


class Work(msgspec.Struct, tag=True, array_like=True):
    """A work that the process keeps under a number; works of equal `group` number may be stepped together."""

    number: int
    group: int
    most: int


class Step(msgspec.Struct, tag=True, array_like=True):
    """Step works by number."""

    works: list[int]
    forget: list[int]


class Sound(msgspec.Struct, array_like=True):
    """What an ear is to hear; `last` finishes it. Language and hot words count in its first message."""

    ear: int
    samples: memoryview
    last: bool
    language: str | None
    hot_words: tuple[str, ...]


class Hear(msgspec.Struct, tag=True, array_like=True):
    """Give ears sound and step those that have enough of it."""

    sounds: list[Sound]
    forget: list[int]


class HeardText(msgspec.Struct, array_like=True):
    """`Heard`; `times` are the starts, ends and probabilities one after the other."""

    text: str
    language: str
    times: bytes | None
    borders: tuple[int, ...]
    average: float | None
    punctuated: bool


class Result(msgspec.Struct, array_like=True):
    """`Outcome`. Of an ear, `more` has the number of the ear, and `stepped` says whether there was enough sound."""

    heard: HeardText | None = None
    more: Work | None = None
    error: Failed | None = None
    stepped: bool = True


class LogLine(msgspec.Struct, array_like=True):
    """A record of the process's log."""

    logger: str
    level: int
    message: str


class Results(msgspec.Struct, tag=True, array_like=True):
    """The outcomes of a step, in order."""

    results: list[Result]


Reply = Failed | Work | Results


class Answer(msgspec.Struct, tag=True, array_like=True):
    """The answer to `Begin`, `Step` or `Hear`, and what was logged meanwhile."""

    reply: Reply
    log: list[LogLine]


class Ping(msgspec.Struct, tag=True, array_like=True):
    """Are you there? The answer is the same."""

    number: int


Message = Start | Ready | Failed | Begin | Step | Hear | Answer | Ping

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection."""
    ends = socket.socketpair()
    for end in ends:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    return ends


def send(connection: socket.socket, message: Message) -> None:
    """Send a message, whole.

    Raises:
        OSError: the other end is gone, or does not read for as long as the socket's timeout.
    """
    content = _encoder.encode(message)
    connection.sendall(_SIZE.pack(len(content)))
    connection.sendall(content)


def receive(connection: socket.socket) -> Message:
    """The next message.

    Raises:
        EOFError: the other end is gone.
        OSError: nothing comes for as long as the socket's timeout.
        msgspec.DecodeError: it is none.
    """
    (size,) = _SIZE.unpack(_exactly(connection, _SIZE.size))
    return _decoder.decode(_exactly(connection, size))


def _exactly(connection: socket.socket, size: int) -> bytearray:
    content = bytearray(size)
    view, place = memoryview(content), 0
    while place < size:
        got = connection.recv_into(view[place:], size - place)
        if not got:
            raise EOFError("the other end is gone")
        place += got
    return content


def samples_out(samples: NDArray[np.float32]) -> memoryview:
    """Samples as bytes."""
    return memoryview(samples.astype(np.float32, copy=False).tobytes())


def samples_in(content: memoryview) -> NDArray[np.float32]:
    """Bytes as samples."""
    return np.frombuffer(content, np.float32)


def request_out(request: Request, forget: list[int]) -> Begin:
    """A request as a message."""
    before = (request.before.text, tuple(request.before.languages))
    samples = samples_out(request.samples)
    return Begin(samples, request.need.value, request.language, request.hot_words, before, request.times, forget)


def request_in(message: Begin) -> Request:
    """A message as a request."""
    text, languages = message.before
    return Request(
        samples_in(message.samples),
        Need(message.need),
        _language(message.language),
        tuple(message.hot_words),
        Before(text, tuple(_language(one) or "zh" for one in languages)),
        message.times,
    )


def heard_out(heard: Heard) -> HeardText:
    """What was heard as a message."""
    times = heard.times
    arrays = None if times is None else np.concatenate([times.start, times.end, times.probability], dtype=np.float32)
    return HeardText(
        heard.text,
        heard.language,
        None if arrays is None else arrays.tobytes(),
        heard.borders,
        heard.average,
        heard.punctuated,
    )


def heard_in(message: HeardText) -> Heard:
    """A message as what was heard."""
    times = None
    if message.times is not None:
        times = CharacterTimes(*np.frombuffer(message.times, np.float32).reshape(3, -1))
    language = _language(message.language) or "zh"
    return Heard(message.text, language, times, tuple(message.borders), message.average, message.punctuated)


def _language(language: str | None) -> Language | None:
    return "en" if language == "en" else "zh" if language == "zh" else None


def outcome_in(result: Result, more: recognition.Work | None) -> Outcome:
    """A result as an outcome, whose next work is made here."""
    heard = None if result.heard is None else heard_in(result.heard)
    return Outcome(heard, more, None if result.error is None else error_in(result.error))


def error_in(message: Message | Reply) -> Exception:
    """A failure as an exception; any other message is a failure of its own kind: it was not expected."""
    if not isinstance(message, Failed):
        return RecognitionFailed(f"an unexpected answer of the kind {type(message).__name__}")
    if message.kind == "ModelError":
        return ModelError(message.message)
    return RecognitionFailed(f"{message.kind}: {message.message}")
