"""Which protocol's words a path is answered in, when no endpoint has answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from lingting.api.deepgram import errors as deepgram
from lingting.api.feishu import errors as feishu
from lingting.api.flash import errors as flash
from lingting.api.http import exchange as exchanges
from lingting.api.openai import errors as openai
from lingting.errors import LingtingError

Protocol: TypeAlias = Literal["feishu", "openai", "deepgram", "flash"]

_ROOTS: tuple[tuple[str, Protocol], ...] = (
    ("/open-apis", "feishu"),
    ("/v1/audio/transcriptions", "openai"),
    ("/v1/models", "openai"),
    ("/v1/realtime", "openai"),
    ("/v1/listen", "deepgram"),
)


def protocol_of(path: str) -> Protocol:
    """The protocol whose clients ask for a path; flash's envelope is that of every path that is nobody's."""
    for root, protocol in _ROOTS:
        if path == root or path.startswith(root + "/"):
            return protocol
    return "flash"


def answer(scope: Scope, error: LingtingError) -> Response:
    """The answer to a request that ended in an error outside its endpoint."""
    match protocol_of(scope["path"]):
        case "feishu":
            return feishu.answer(scope, error)
        case "openai":
            return openai.answer(scope, error)
        case "deepgram":
            return deepgram.answer(scope, error)
        case "flash":
            return flash.answer(scope, error)


async def not_routed(request: Request, error: Exception) -> Response:
    """The answer to unknown paths and wrong methods."""
    assert isinstance(error, HTTPException)
    exchanges.of(request.scope).interface = "other"
    path, method = request.url.path[:100], request.method[:20]
    wrong_method = error.status_code == 405
    headers: Mapping[str, str] = error.headers or {} if wrong_method else {}
    match protocol_of(request.scope["path"]):
        case "feishu" if wrong_method:
            message = f"{path} takes {headers.get('Allow', 'POST')}, not {method}"
            return feishu.gateway_error(request.scope, feishu.Row(404, feishu.WRONG_METHOD), message)
        case "feishu":
            row = feishu.Row(404, feishu.UNKNOWN_PATH)
            return feishu.gateway_error(request.scope, row, f"there is nothing at {path}")
        case protocol:
            status = 405 if wrong_method else 404
            message = f"{path} does not take {method}" if wrong_method else f"there is nothing at {path}"
            if protocol == "flash":
                return flash.flash_error(request.scope, status, message, headers=headers)
            if protocol == "deepgram":
                code = "METHOD_NOT_ALLOWED" if wrong_method else "NOT_FOUND"
                return deepgram.deepgram_error(request.scope, status, code, message, headers=headers)
            code = "method_not_allowed" if wrong_method else "unknown_url"
            return openai.openai_error(request.scope, status, message, code=code, headers=headers)


def headless(path: str, status: int, message: str, log_id: str) -> bytes:
    """The body of the answer to a request whose head is not valid; `status` is 400 or 431."""
    match protocol_of(path):
        case "feishu":
            return msgspec.json.encode(feishu.content(feishu.Row(status, feishu.INVALID_PARAM), message, log_id))
        case "openai":
            return msgspec.json.encode(openai.content(status, message, "invalid_request"))
        case "deepgram":
            return msgspec.json.encode(deepgram.content("Bad Request", message, log_id))
        case "flash":
            return msgspec.json.encode(flash.content(status, message))
