"""The OpenAPI document."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from lingting.api.render import JSON

OPENAPI_PATH = "/openapi.json"


async def openapi_json(request: Request) -> Response:
    return JSON({})
