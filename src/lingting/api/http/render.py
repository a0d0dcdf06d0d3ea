"""JSON answers, the three envelopes of errors, and answers to requests that are not read to their end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lingting.api.http import exchange as exchanges

OPEN_APIS = "/open-apis"
SMALL_BODY = 65_536
LINGER_SECONDS = 10.0
LINGER_IDLE_SECONDS = 1.0


class JSON(Response):
    """A JSON answer."""

    media_type = "application/json; charset=utf-8"

    def render(self, content: Any) -> bytes:
        """The content as compact JSON."""
        return msgspec.json.encode(content)


class Refusal(JSON):
    """A JSON answer to a request whose body has not been read.

    The answer goes out at once. What the client still sends is thrown away for a short while: closing the connection
    on unread data would make the client's system drop the answer too.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, then read and drop the rest of the request."""
        self.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while True:
                    async with asyncio.timeout(LINGER_IDLE_SECONDS):
                        message = await receive()
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        break
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def gateway_error(
    scope: Scope,
    status: int,
    code: int,
    msg: str,
    *,
    message: str = "",
    field_violations: list[dict[str, str]] | None = None,
    permission_violations: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error in the envelope of `/open-apis`."""
    exchange = exchanges.of(scope)
    exchange.code = code
    content = {
        "code": code,
        "msg": msg,
        "error": {
            "log_id": exchange.log_id,
            "message": message or msg,
            "field_violations": field_violations or [],
            "permission_violations": permission_violations or [],
        },
    }
    return _answer(scope, content, status, headers)


FLASH_TYPES = {
    400: "Illegal Argument",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Exception",
    503: "Service Unavailable",
}


def flash_error(
    scope: Scope,
    status: int,
    message: str,
    *,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error in the envelope of flash, which every path outside `/open-apis` uses."""
    exchanges.of(scope).code = status
    content = {
        "error": {
            "message": message,
            "type": FLASH_TYPES[status],
            "param": param,
            "code": str(status),
            "httpCode": status,
        }
    }
    return _answer(scope, content, status, headers)


OPENAI_PATHS = ("/v1/audio/transcriptions", "/v1/models")


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
    return _answer(scope, openai_content(status, message, code=code, param=param), status, headers)


def openai_content(status: int, message: str, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The error object of OpenAI; its type follows from the status."""
    kind = OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def is_openai(scope: Scope) -> bool:
    """Whether a request is for one of the interfaces of OpenAI."""
    path: str = scope["path"]
    return any(path == known or path.startswith(known + "/") for known in OPENAI_PATHS)


def internal_error(scope: Scope) -> Response:
    """The answer to a request that failed for a reason nobody foresaw."""
    if is_open_api(scope):
        return gateway_error(
            scope, 500, 1040102, "network anomaly", message="the server failed on this request; try again"
        )
    if is_openai(scope):
        return openai_error(scope, 500, "the server failed on this request; try again", code="server_error")
    return flash_error(scope, 500, "the server failed on this request; try again")


def is_open_api(scope: Scope) -> bool:
    """Whether a request is under `/open-apis`."""
    path: str = scope["path"]
    return path == OPEN_APIS or path.startswith(OPEN_APIS + "/")


def _answer(scope: Scope, content: Any, status: int, headers: Mapping[str, str] | None) -> Response:
    """A refusal that ends the connection when more than a little of the request's body has not been read."""
    if exchanges.of(scope).body_read:
        return JSON(content, status, headers=headers)
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
    small = not chunked and declared.isdigit() and int(declared[:20]) <= SMALL_BODY
    return (JSON if small else Refusal)(content, status, headers=headers)


def retry_after(seconds: float) -> str:
    """A `Retry-After` value: whole seconds, at least one."""
    return str(max(1, -int(-seconds // 1)))
