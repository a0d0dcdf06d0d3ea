"""Tenant and app access tokens: `/open-apis/auth/v3/…/internal`.

Failures are answered with HTTP 200: on a 4xx a common client writes the app secret into its log.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from lingting.access.errors import TooManyFailures, UnknownApp, WrongSecret
from lingting.api.feishu.errors import FAILED, MSG, TOO_FREQUENT
from lingting.api.http import admission, body, refusals
from lingting.api.http import exchange as exchanges
from lingting.api.http.body import BodyError, BodyLimits, ClientLeft
from lingting.api.http.context import service_of
from lingting.api.http.errors import ErrorTable, always, retry_header
from lingting.api.http.render import JSON, Refusal
from lingting.errors import LingtingError, Overloaded

TENANT_TOKEN_PATH = "/open-apis/auth/v3/tenant_access_token/internal"  # noqa: S105
APP_TOKEN_PATH = "/open-apis/auth/v3/app_access_token/internal"  # noqa: S105
MAX_BYTES = 16_384

INVALID_PARAM = 10003
WRONG_SECRET = 10014

TABLE: ErrorTable[tuple[int, str]] = ErrorTable(
    {
        BodyError: always((INVALID_PARAM, "invalid param")),
        msgspec.DecodeError: always((INVALID_PARAM, "invalid param")),
        UnicodeDecodeError: always((INVALID_PARAM, "invalid param")),
        RecursionError: always((INVALID_PARAM, "invalid param")),
        UnknownApp: always((INVALID_PARAM, "invalid param")),
        WrongSecret: always((WRONG_SECRET, "app secret invalid")),
        TooManyFailures: always((TOO_FREQUENT, MSG[TOO_FREQUENT])),
        Overloaded: always((FAILED, MSG[FAILED])),
    },
    other=(FAILED, MSG[FAILED]),
)


class _Login(msgspec.Struct):
    app_id: str
    app_secret: str


_login = msgspec.json.Decoder(_Login)


async def tenant_access_token(request: Request) -> Response:
    """A tenant access token for an app."""
    return await _token(request, app=False)


async def app_access_token(request: Request) -> Response:
    """The same token, also under the name of an app access token."""
    return await _token(request, app=True)


async def _token(request: Request, *, app: bool) -> Response:
    exchange = exchanges.of(request.scope)
    exchange.interface = "token"
    service = service_of(request)
    try:
        content = await body.read(request, BodyLimits.of(service.settings, MAX_BYTES))
        login = _login.decode(content)
        issued = await service.access.issue_token(login.app_id, login.app_secret, admission.address_of(request))
    except (LingtingError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _failure(request.scope, error)
    except ClientLeft:
        return admission.left()
    answer = {"code": 0, "msg": "ok", "tenant_access_token": issued.token, "expire": issued.expires_in}
    if app:
        answer["app_access_token"] = issued.token
    return JSON(answer)


def _failure(scope: Scope, error: Exception) -> Response:
    exchange = exchanges.of(scope)
    refusals.note(scope, error)
    exchange.code, msg = TABLE.row(error)
    kind = JSON if exchange.body_read else Refusal
    return kind({"code": exchange.code, "msg": msg}, headers=retry_header(error))
