"""What can be wrong with a packet, each with the field it is about and words to act on."""

from __future__ import annotations

from lingting.errors import LingtingError


class StreamError(LingtingError):
    """A packet that cannot be taken; `str()` of it says what to change.

    Attributes:
        field: name of the field at fault, as the interface calls it (`stream_id`, `sequence_id`, `action`, `speech`).
        value: what the field held, short; empty for audio.
    """

    def __init__(self, field: str, value: object, description: str) -> None:
        super().__init__(description)
        self.field = field
        self.value = str(value)


class UnknownStream(StreamError):
    """The stream was never opened, has ended, or has expired."""

    def __init__(self, stream_id: str, idle_seconds: float) -> None:
        super().__init__(
            "stream_id",
            stream_id,
            f"the stream is unknown or has expired ({idle_seconds:g} s without a packet end a stream); "
            "open one with action 1",
        )


class StreamAlreadyLive(StreamError):
    """A first packet, other than a retry of the first one, for a stream that is live."""

    def __init__(self, stream_id: str) -> None:
        super().__init__(
            "action",
            1,
            f"the stream {stream_id} is already live and this is not a retry of its first packet; "
            "use action 0 to go on, action 3 to drop it, or another stream_id",
        )


class InvalidFirstNumber(StreamError):
    """A first packet whose number is neither 0 nor 1."""

    def __init__(self, sequence_id: int) -> None:
        super().__init__("sequence_id", sequence_id, "the first packet of a stream (action 1) is number 0 or 1")


class NumberOutsideWindow(StreamError):
    """A number too far from the one expected next."""

    def __init__(self, sequence_id: int, expected: int, window: int) -> None:
        super().__init__(
            "sequence_id",
            sequence_id,
            f"the next packet is number {expected}; a packet may be at most {window} ahead of or behind it",
        )


class PacketConflict(StreamError):
    """A number that was sent before with other content."""

    def __init__(self, sequence_id: int) -> None:
        super().__init__(
            "sequence_id",
            sequence_id,
            f"packet {sequence_id} was sent before with different content; a retry repeats the same packet, "
            "new audio takes the next number",
        )


class PacketAfterFinal(StreamError):
    """A number behind the final packet, or a second final packet."""

    def __init__(self, sequence_id: int, last: int) -> None:
        super().__init__(
            "sequence_id", sequence_id, f"the stream ends with packet {last}; open a new stream with action 1"
        )


class FinalBeforeOthers(StreamError):
    """A final packet whose number is below one that was already sent."""

    def __init__(self, sequence_id: int, highest: int) -> None:
        super().__init__(
            "sequence_id",
            sequence_id,
            f"packet {highest} was already sent; the final packet (action 2) has the highest number",
        )


class MissingPacket(StreamError):
    """The final packet came, and one before it never did."""

    def __init__(self, missing: int) -> None:
        super().__init__(
            "sequence_id",
            missing,
            f"packet {missing} is missing: it was never received, so the stream cannot be completed; "
            "send every number once, in steps of 1",
        )


class TooMuchAhead(StreamError):
    """Too much audio waits for a packet that has not come."""

    def __init__(self, missing: int, limit_bytes: int) -> None:
        super().__init__(
            "sequence_id",
            missing,
            f"packet {missing} has not come, and more than {limit_bytes} bytes of audio behind it are waiting; "
            f"send packet {missing} first",
        )


class StreamTooLong(StreamError):
    """The stream is longer than the limit."""

    def __init__(self, sequence_id: int, limit_seconds: float) -> None:
        super().__init__(
            "speech.speech",
            "",
            f"the stream is longer than {limit_seconds:g} s; packet {sequence_id} was not taken: "
            f"end the stream with action 2, sequence_id {sequence_id} and no audio, and open another one",
        )


class StreamAborted(StreamError):
    """The stream was aborted while this packet waited for its text."""

    def __init__(self, stream_id: str) -> None:
        super().__init__("stream_id", stream_id, "the stream was aborted (action 3) before its final text was ready")


class StreamMoved(LingtingError):
    """Another process has taken the stream over: nothing of it may be answered here any more."""
