"""The errors of Deepgram's interface as its clients read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
from lingting.api.http.errors import ErrorTable, always, retry_header
from lingting.api.http.render import error_answer
from lingting.errors import AudioError, AudioTooLong, LingtingError, Overloaded, RecognitionTooSlow


class QueryError(LingtingError):
    """A parameter of the query is refused; the message names it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of refusal: HTTP status and Deepgram's code; words, those of the error when empty."""

    status: int
    code: str
    message: str = ""


_DEAD_KEY = Row(401, "INVALID_AUTH", "Invalid credentials.")

TABLE: ErrorTable[Row] = ErrorTable(
    {
        QueryError: always(Row(400, "INVALID_QUERY_PARAMETER")),
        MissingBearer: always(Row(401, "INVALID_AUTH")),
        InvalidCredential: always(_DEAD_KEY),
        UserToken: always(_DEAD_KEY),
        MissingScope: always(Row(403, "INSUFFICIENT_PERMISSIONS")),
        ModelForbidden: always(Row(403, "INSUFFICIENT_PERMISSIONS")),
        LimitExceeded: always(Row(429, "TOO_MANY_REQUESTS")),
        TooManyFailures: always(Row(429, "TOO_MANY_REQUESTS")),
        BodyTooLarge: always(Row(413, "PAYLOAD_TOO_LARGE")),
        AudioTooLong: always(Row(413, "PAYLOAD_TOO_LARGE")),
        BodyEncoded: always(Row(415, "UNSUPPORTED_MEDIA_TYPE")),
        BodyError: always(Row(400, "Bad Request")),
        AudioError: always(Row(400, "Bad Request")),
        Overloaded: always(Row(503, "SERVICE_UNAVAILABLE")),
        RecognitionTooSlow: always(Row(500, "TIMEOUT")),
    },
    other=Row(500, "INTERNAL_SERVER_ERROR", "the recognition failed; try again"),
)


def answer(scope: Scope, error: LingtingError, request_id: str = "") -> Response:
    """The answer to a request that ended in a known error; its log id stands for a request id where it has none yet."""
    refusals.note(scope, error)
    row = TABLE.row(error)
    message = row.message or str(error)
    return deepgram_error(scope, row.status, row.code, message, request_id=request_id, headers=retry_header(error))


def deepgram_error(
    scope: Scope,
    status: int,
    code: str,
    message: str,
    *,
    request_id: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error in the envelope of Deepgram; clients look for its two headers in a failed handshake."""
    exchange = exchanges.of(scope)
    exchange.code = status
    request_id = request_id or exchange.log_id
    named = {"dg-error": message.encode("ascii", "replace").decode("ascii"), "dg-request-id": request_id}
    return error_answer(scope, content(code, message, request_id), status, {**(headers or {}), **named})


def content(code: str, message: str, request_id: str) -> dict[str, str]:
    """The envelope itself."""
    return {"err_code": code, "err_msg": message, "request_id": request_id}
