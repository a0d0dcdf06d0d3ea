"""The errors of OpenAI's interface as its clients read them."""

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
from lingting.api.openai.form import FILE, FormError
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

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ParameterError(LingtingError):
    """A field that is refused.

    Attributes:
        param: its name.
        status: HTTP status of the answer.
        code: the error's code.
    """

    def __init__(
        self, message: str, param: str | None, *, status: int = 400, code: str | None = "invalid_value"
    ) -> None:
        super().__init__(message)
        self.param = param
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of refusal.

    Attributes:
        status: HTTP status.
        code: the error's code.
        param: the field at fault.
        message: words; those of the error when empty.
    """

    status: int
    code: str | None
    param: str | None = None
    message: str = ""


def _limit(error: LimitExceeded) -> Row:
    return Row(429, "insufficient_quota" if "audio" in error.what else "rate_limit_exceeded")


def _too_large(error: BodyTooLarge) -> Row:
    return Row(413, "file_too_large", FILE, f"the file is over the limit of {error.limit} bytes")


_DEAD_KEY = Row(401, "invalid_api_key", message="the API key is unknown or revoked")

TABLE: ErrorTable[Row] = ErrorTable(
    {
        ParameterError: lambda error: Row(error.status, error.code, error.param),
        MissingBearer: always(Row(401, "invalid_api_key")),
        InvalidCredential: always(_DEAD_KEY),
        UserToken: always(_DEAD_KEY),
        MissingScope: always(Row(403, "missing_scope")),
        ModelForbidden: always(Row(403, "model_not_allowed", "model")),
        UnknownModel: always(Row(404, "model_not_found", "model")),
        NoSpeakers: always(Row(400, "unsupported_value", "response_format")),
        LimitExceeded: _limit,
        TooManyFailures: always(Row(429, "rate_limit_exceeded")),
        BodyTooLarge: _too_large,
        AudioTooLong: always(Row(413, "audio_too_long", FILE)),
        BodyEncoded: always(Row(415, "unsupported_encoding")),
        FormError: lambda error: Row(400, "invalid_form", error.param),
        BodyError: always(Row(400, "invalid_body")),
        EmptyAudio: always(Row(400, "empty_audio", FILE)),
        AudioError: always(Row(400, "invalid_audio", FILE)),
        Overloaded: always(Row(503, "server_overloaded")),
        Unforeseen: always(Row(500, "server_error")),
        RecognitionTooSlow: always(Row(500, "timeout")),
    },
    other=Row(500, "server_error", message="the recognition failed; try again"),
)


def answer(scope: Scope, error: LingtingError) -> Response:
    """The answer to a request that ended in a known error."""
    refusals.note(scope, error)
    row = TABLE.row(error)
    headers = retry_header(error)
    if row.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    message = row.message or str(error)
    return openai_error(scope, row.status, message, code=row.code, param=row.param, headers=headers)


def content_of(error: Exception) -> dict[str, Any]:
    """The error object for an error in the middle of an answer, when its status is out."""
    row = TABLE.row(error)
    return content(row.status, row.message or str(error), row.code)


def openai_error(
    scope: Scope,
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error in the envelope of OpenAI."""
    exchanges.of(scope).code = status
    return error_answer(scope, content(status, message, code, param), status, headers)


def content(status: int, message: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The envelope itself; the type of the error follows from the status."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
