"""The errors of `/open-apis` as their protocol answers them."""

from __future__ import annotations

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
from lingting.api.http.body import BodyEncoded, BodyError, BodyTooLarge
from lingting.api.http.render import gateway_error, retry_after
from lingting.errors import AudioError, LingtingError, Overloaded
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

INVALID_PARAM_MSG = "invalid param"
FAILED_MSG = "network anomaly"
TOO_FREQUENT_MSG = "request trigger frequency limit"
MISSING_TOKEN_MSG = "Missing access token for authorization. Please make a request with token attached."  # noqa: S105
INVALID_TOKEN_MSG = "Invalid access token for authorization. Please make a request with token attached."  # noqa: S105

_SHOWN = 64


class MissingToken(LingtingError):
    """The request names no access token."""


class InvalidParam(LingtingError):
    """A field is missing or wrong.

    Attributes:
        violations: what is wrong, field by field.
    """

    def __init__(self, violations: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{v['field']}: {v['description']}" for v in violations))
        self.violations = violations


def violation(field: str, value: str, description: str) -> dict[str, str]:
    """One wrong field; the value is shortened."""
    return {
        "field": field,
        "value": value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…",
        "description": description,
    }


def invalid_param(scope: Scope, violations: list[dict[str, str]], status: int = 400) -> Response:
    """1040101, with what is wrong."""
    message = "; ".join(f"{v['field']}: {v['description']}" for v in violations)
    return gateway_error(scope, status, INVALID_PARAM, INVALID_PARAM_MSG, message=message, field_violations=violations)


def failed(scope: Scope, message: str, wait: float | None = None) -> Response:
    """1040102, with the seconds to wait before trying again."""
    headers = {"Retry-After": retry_after(wait)} if wait is not None else None
    return gateway_error(scope, 500, FAILED, FAILED_MSG, message=message, headers=headers)


def too_frequent(scope: Scope, message: str, limit: int | None, reset: float) -> Response:
    """99991400, with the limit and when to come again."""
    headers = {"x-ogw-ratelimit-reset": retry_after(reset), "Retry-After": retry_after(reset)}
    if limit is not None:
        headers["x-ogw-ratelimit-limit"] = str(limit)
    return gateway_error(scope, 429, TOO_FREQUENT, TOO_FREQUENT_MSG, message=message, headers=headers)


def answer(scope: Scope, error: LingtingError) -> Response:  # noqa: PLR0911, PLR0912
    """The answer to a request that ended in a known error."""
    match error:
        case MissingToken():
            return gateway_error(scope, 400, MISSING_TOKEN, MISSING_TOKEN_MSG, message=str(error))
        case UserToken():
            return gateway_error(scope, 400, USER_TOKEN, INVALID_TOKEN_MSG, message=str(error))
        case InvalidCredential():
            return gateway_error(
                scope,
                400,
                INVALID_TOKEN,
                INVALID_TOKEN_MSG,
                message="the tenant access token is unknown, malformed, expired or revoked; get a new one",
            )
        case MissingScope():
            return gateway_error(
                scope,
                400,
                ACCESS_DENIED,
                f"Access denied. One of the following scopes is required: [{error.scope}]",
                message=str(error),
                permission_violations=[{"type": "action_scope_required", "subject": error.scope}],
            )
        case ModelForbidden():
            return gateway_error(
                scope,
                400,
                ACCESS_DENIED,
                f"Access denied. The model is not allowed: [{error.model}]",
                message=str(error),
                permission_violations=[{"type": "model_required", "subject": error.model}],
            )
        case LimitExceeded():
            return too_frequent(scope, str(error), error.limit, error.reset_seconds)
        case TooManyFailures():
            return too_frequent(scope, str(error), None, error.retry_after)
        case InvalidParam():
            return invalid_param(scope, error.violations)
        case StreamError():
            field = error.field if "." in error.field else f"config.{error.field}"
            return invalid_param(scope, [violation(field, error.value, str(error))])
        case BodyTooLarge():
            return invalid_param(scope, [violation("body", "", str(error))], 413)
        case BodyEncoded():
            return invalid_param(scope, [violation("Content-Encoding", error.encoding, str(error))])
        case BodyError():
            return invalid_param(scope, [violation("body", "", str(error))])
        case AudioError():
            return invalid_param(scope, [violation("speech.speech", "", str(error))])
        case Overloaded():
            return failed(scope, str(error), error.retry_after)
        case _:
            return failed(scope, "the recognition failed; try again")
