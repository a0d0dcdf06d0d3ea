"""Errors as values: those of the domain travel by name with their attributes, and are raised anew at the other end."""

from __future__ import annotations

import logging

from lingting.access.errors import LimitExceeded
from lingting.cluster.messages import Failure
from lingting.errors import (
    LingtingError,
    ModelLoading,
    NoSpeakers,
    Overloaded,
    RecognitionFailed,
    RecognitionTooSlow,
    StreamBehind,
    UnknownModel,
)
from lingting.streams import errors as streams
from lingting.streams.journal import JournalError

log = logging.getLogger(__name__)

_KINDS: dict[str, type[LingtingError]] = {
    kind.__name__: kind
    for kind in (
        LimitExceeded,
        Overloaded,
        JournalError,
        ModelLoading,
        NoSpeakers,
        UnknownModel,
        RecognitionFailed,
        RecognitionTooSlow,
        StreamBehind,
        streams.FinalBeforeOthers,
        streams.InvalidFirstNumber,
        streams.MissingPacket,
        streams.NumberOutsideWindow,
        streams.PacketAfterFinal,
        streams.PacketConflict,
        streams.StreamAborted,
        streams.StreamAlreadyLive,
        streams.StreamMoved,
        streams.StreamTooLong,
        streams.TooMuchAhead,
        streams.UnknownStream,
    )
}


def told(number: int, error: BaseException) -> Failure:
    """An error as a message; one that nobody foresaw is logged and told as a failed recognition."""
    kind = next((base for base in type(error).__mro__ if _KINDS.get(base.__name__) is base), None)
    if kind is None:
        log.error("a call of another node failed", exc_info=error)
        return Failure(number, RecognitionFailed.__name__, "the recognition failed on another node", {})
    return Failure(number, kind.__name__, str(error), dict(vars(error)))


def raised(failure: Failure) -> LingtingError:
    """The error of a message, to be raised: of its class, with its words and its attributes."""
    kind = _KINDS.get(failure.kind, RecognitionFailed)
    error = kind.__new__(kind)
    error.args = (failure.text,)
    vars(error).update(failure.attributes)
    return error
