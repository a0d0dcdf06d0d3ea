"""Why a request was answered with an error, in one of a few words for the metrics; the same for all protocols."""

from __future__ import annotations

from starlette.types import Scope

from lingting.access.errors import (
    AccessUnavailable,
    InvalidCredential,
    LimitExceeded,
    MissingScope,
    ModelForbidden,
    TooManyFailures,
    UnknownApp,
    UserToken,
    WrongSecret,
)
from lingting.api.http import exchange as exchanges
from lingting.api.http.admission import MissingBearer
from lingting.api.http.body import BodyTooLarge
from lingting.api.http.errors import ErrorTable, Unforeseen, always
from lingting.errors import AudioTooLong, Overloaded, RecognitionFailed, StreamBehind
from lingting.streams.errors import UnknownStream
from lingting.streams.journal import JournalError

REASONS: ErrorTable[str] = ErrorTable(
    {
        MissingBearer: always("credential"),
        InvalidCredential: always("credential"),
        UserToken: always("credential"),
        UnknownApp: always("credential"),
        WrongSecret: always("credential"),
        MissingScope: always("permission"),
        ModelForbidden: always("permission"),
        LimitExceeded: always("limit"),
        TooManyFailures: always("failures"),
        BodyTooLarge: always("too_large"),
        AudioTooLong: always("too_large"),
        AccessUnavailable: always("database"),
        JournalError: always("journal"),
        Overloaded: always("busy"),
        StreamBehind: always("behind"),
        UnknownStream: always("unknown_stream"),
        RecognitionFailed: always("failed"),
        Unforeseen: always("failed"),
    },
    other="invalid",
)


def note(scope: Scope, error: Exception) -> None:
    """Remember why a request is refused; the protocol says it to the caller in its own words."""
    exchanges.of(scope).refusal = REASONS.row(error)
