"""The errors of flash, in the envelope that every path outside the other protocols uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Scope

from lingting.access.errors import (
    InvalidCredential,
    LimitExceeded,
    MissingScope,
    ModelForbidden,
    TooManyFailures,
    UserToken,
)
from lingting.api.http import exchange as exchanges
from lingting.api.http import refusals
from lingting.api.http.admission import MissingBearer
from lingting.api.http.body import BodyEncoded, BodyError, BodyTooLarge
from lingting.api.http.errors import ErrorTable, Unforeseen, always, retry_header
from lingting.api.http.render import error_answer
from lingting.errors import (
    AudioError,
    AudioTooLong,
    EmptyAudio,
    LingtingError,
    NoSpeakers,
    Overloaded,
    RecognitionTooSlow,
    UnknownModel,
)

TYPES = {
    400: "Illegal Argument",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    431: "Illegal Argument",
    500: "Internal Exception",
    503: "Service Unavailable",
}


class FlashError(LingtingError):
    """A request that flash refuses.

    Attributes:
        status: HTTP status of the answer.
        param: name of the parameter at fault.
    """

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of refusal: HTTP status, words (those of the error when empty), and the parameter at fault."""

    status: int
    message: str = ""
    param: str | None = None


_DEAD_KEY = Row(401, "the API key is unknown or revoked")

TABLE: ErrorTable[Row] = ErrorTable(
    {
        FlashError: lambda error: Row(error.status, param=error.param),
        MissingBearer: always(Row(401)),
        InvalidCredential: always(_DEAD_KEY),
        UserToken: always(_DEAD_KEY),
        MissingScope: always(Row(403)),
        ModelForbidden: always(Row(403, param="model")),
        UnknownModel: always(Row(404, param="model")),
        NoSpeakers: always(Row(400, param="speakers")),
        LimitExceeded: always(Row(429)),
        TooManyFailures: always(Row(429)),
        BodyTooLarge: always(Row(413)),
        AudioTooLong: always(Row(413)),
        BodyEncoded: always(Row(415, param="Content-Encoding")),
        BodyError: always(Row(400)),
        EmptyAudio: always(Row(400)),
        AudioError: always(Row(415)),
        Overloaded: always(Row(503)),
        Unforeseen: always(Row(500)),
        RecognitionTooSlow: always(Row(500)),
    },
    other=Row(500, "the recognition failed; try again"),
)


def answer(scope: Scope, error: LingtingError) -> Response:
    """The answer to a request that ended in a known error."""
    refusals.note(scope, error)
    row = TABLE.row(error)
    headers = retry_header(error)
    if row.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return flash_error(scope, row.status, row.message or str(error), param=row.param, headers=headers)


def content_of(error: Exception) -> dict[str, Any]:
    """The envelope of an error in the middle of an answer, when its status is out."""
    row = TABLE.row(error)
    return content(row.status, row.message or str(error), row.param)


def flash_error(
    scope: Scope,
    status: int,
    message: str,
    *,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error in the envelope of flash."""
    exchanges.of(scope).code = status
    return error_answer(scope, content(status, message, param), status, headers)


def content(status: int, message: str, param: str | None = None) -> dict[str, Any]:
    """The envelope itself."""
    return {
        "error": {
            "message": message,
            "type": TYPES[status],
            "param": param,
            "code": str(status),
            "httpCode": status,
        }
    }
