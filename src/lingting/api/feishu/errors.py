"""The errors of `/open-apis` as their protocol answers them."""

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
from lingting.errors import AudioError, LingtingError, Overloaded, RecognitionTooSlow, StreamBehind
from lingting.streams.errors import StreamError

MISSING_TOKEN = 99991661
INVALID_TOKEN = 99991663
USER_TOKEN = 99991668
ACCESS_DENIED = 99991672
TOO_FREQUENT = 99991400
UNKNOWN_PATH = 99991201
WRONG_METHOD = 99991301
INVALID_PARAM = 1040101
FAILED = 1040102

MSG = {
    MISSING_TOKEN: "Missing access token for authorization. Please make a request with token attached.",
    INVALID_TOKEN: "Invalid access token for authorization. Please make a request with token attached.",
    USER_TOKEN: "Invalid access token for authorization. Please make a request with token attached.",
    TOO_FREQUENT: "request trigger frequency limit",
    UNKNOWN_PATH: "resource not find",
    WRONG_METHOD: "request method doesn't match",
    INVALID_PARAM: "invalid param",
    FAILED: "network anomaly",
}
"""What the gateway says for each code, in its own words."""

_SHOWN = 64

Violations = list[dict[str, str]]


class InvalidParam(LingtingError):
    """A field is missing or wrong.

    Attributes:
        violations: what is wrong, field by field.
    """

    def __init__(self, violations: Violations) -> None:
        super().__init__(_joined(violations))
        self.violations = violations


def violation(field: str, value: str, description: str) -> dict[str, str]:
    """One wrong field; the value is shortened."""
    return {
        "field": field,
        "value": value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…",
        "description": description,
    }


def _joined(violations: Violations) -> str:
    return "; ".join(f"{wrong['field']}: {wrong['description']}" for wrong in violations)


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of refusal.

    Attributes:
        status: HTTP status.
        code: the gateway's code.
        msg: the gateway's words; empty takes those of `MSG`.
        message: what to do, in our words; empty takes those of the error.
        violations: the fields at fault; their descriptions are the message then.
        denied: what is not allowed, as (type, subject).
        limit: the limit that is reached, per second or at once.
    """

    status: int
    code: int
    msg: str = ""
    message: str = ""
    violations: tuple[dict[str, str], ...] = ()
    denied: tuple[str, str] | None = None
    limit: int | None = None


def _invalid(status: int, field: str, value: str, error: Exception) -> Row:
    return Row(status, INVALID_PARAM, violations=(violation(field, value, str(error)),))


def _of_stream(error: StreamError) -> Row:
    return _invalid(400, error.field if "." in error.field else f"config.{error.field}", error.value, error)


def _denied(what: str, kind: str, subject: str) -> Row:
    return Row(400, ACCESS_DENIED, f"Access denied. {what}: [{subject}]", denied=(kind, subject))


_DEAD_TOKEN = "the tenant access token is unknown, malformed, expired or revoked; get a new one"  # noqa: S105

TABLE: ErrorTable[Row] = ErrorTable(
    {
        MissingBearer: always(Row(400, MISSING_TOKEN)),
        UserToken: always(Row(400, USER_TOKEN)),
        InvalidCredential: always(Row(400, INVALID_TOKEN, message=_DEAD_TOKEN)),
        MissingScope: lambda error: _denied(
            "One of the following scopes is required", "action_scope_required", error.scope
        ),
        ModelForbidden: lambda error: _denied("The model is not allowed", "model_required", error.model),
        LimitExceeded: lambda error: Row(429, TOO_FREQUENT, limit=error.limit),
        TooManyFailures: always(Row(429, TOO_FREQUENT)),
        InvalidParam: lambda error: Row(400, INVALID_PARAM, violations=tuple(error.violations)),
        StreamError: _of_stream,
        BodyTooLarge: lambda error: _invalid(413, "body", "", error),
        BodyEncoded: lambda error: _invalid(400, "Content-Encoding", error.encoding, error),
        BodyError: lambda error: _invalid(400, "body", "", error),
        AudioError: lambda error: _invalid(400, "speech.speech", "", error),
        Overloaded: always(Row(500, FAILED)),
        StreamBehind: always(Row(429, TOO_FREQUENT)),
        Unforeseen: always(Row(500, FAILED)),
        RecognitionTooSlow: always(Row(500, FAILED)),
    },
    other=Row(500, FAILED, message="the recognition failed; try again"),
)


def answer(scope: Scope, error: LingtingError) -> Response:
    """The answer to a request that ended in a known error."""
    refusals.note(scope, error)
    row = TABLE.row(error)
    headers = retry_header(error)
    if row.code == TOO_FREQUENT:
        headers["x-ogw-ratelimit-reset"] = headers["Retry-After"]
    if row.limit is not None:
        headers["x-ogw-ratelimit-limit"] = str(row.limit)
    return gateway_error(scope, row, str(error), headers)


def gateway_error(scope: Scope, row: Row, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error in the envelope of `/open-apis`; `message` is what to do where the row does not say."""
    exchange = exchanges.of(scope)
    exchange.code = row.code
    return error_answer(scope, content(row, message, exchange.log_id), row.status, headers)


def content(row: Row, message: str, log_id: str) -> dict[str, Any]:
    """The envelope itself."""
    msg = row.msg or MSG[row.code]
    violations = list(row.violations)
    return {
        "code": row.code,
        "msg": msg,
        "error": {
            "log_id": log_id,
            "message": _joined(violations) or row.message or message or msg,
            "field_violations": violations,
            "permission_violations": [{"type": row.denied[0], "subject": row.denied[1]}] if row.denied else [],
        },
    }
