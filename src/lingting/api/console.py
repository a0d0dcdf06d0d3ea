"""The page at `/`: its files, and what it asks the server besides the interfaces that everybody uses."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import html
import importlib.resources
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from lingting import __version__
from lingting.access.errors import AccessUnavailable
from lingting.access.principal import OPERATOR, Principal
from lingting.access.usage import Usage
from lingting.api.flash import errors as flash
from lingting.api.http import admission, models
from lingting.api.http import exchange as exchanges
from lingting.api.http.context import context_of, service_of
from lingting.api.http.render import JSON
from lingting.command_name import as_typed, typed
from lingting.errors import LingtingError
from lingting.models import Store
from lingting.models.advice import better_than
from lingting.operations.memory import available_memory
from lingting.operations.recent import WINDOW_SECONDS
from lingting.settings import Settings

PAGE_PATH = "/"
FILE_PATH = "/console/{name}"
SESSION_PATH = "/console/session"
STATUS_PATH = "/console/status"
SIGN_IN_PATH = "/console/sign-in"
_CODE_BYTES = 200

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
UNWATCHED = ("console", "health", "document", "other")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-cache",
}


async def page(request: Request) -> Response:
    """The page itself; what it shows comes only with a key."""
    return _file(request, "index.html")


async def file(request: Request) -> Response:
    """A style sheet, a script or the icon of the page."""
    return _file(request, request.path_params["name"])


async def session(request: Request) -> Response:
    """Whose key this is, what it may do, and the limits that the page must know."""
    _, answer = await _admitted(request)
    return answer


async def sign_in(request: Request) -> Response:
    """An API key for the code of a sign-in link; the code is the body."""
    exchanges.of(request.scope).interface = "console"
    code = b""
    async for chunk in request.stream():
        code += chunk
        if len(code) > _CODE_BYTES:
            break
    invitations = service_of(request).access.invitations
    try:
        address = admission.address_of(request)
        key = await asyncio.to_thread(invitations.redeem, code.decode("ascii", "replace").strip(), address)
    except AccessUnavailable as error:
        return flash.answer(request.scope, error)
    except LingtingError as error:
        return flash.flash_error(request.scope, 403, str(error))
    return JSON({"key": key})


async def status(request: Request) -> Response:
    """The state of the server, for keys with the scope `operator`."""
    principal, answer = await _admitted(request)
    if principal is None:
        return answer
    try:
        principal.require(OPERATOR)
        used = await _used(service_of(request).access.usage)
    except LingtingError as error:
        return flash.answer(request.scope, error)
    context = context_of(request)
    service, recent = context.service, context.recent
    why = await service.unready()
    better = None
    if service.model_memory:  # a door has no models
        better = await asyncio.to_thread(_better, service.settings, service.models.default)
    state = "draining" if context.lifecycle.stopping else "loading" if not service.ready else "ready"
    if state == "ready" and why:
        state = "unready"
    return JSON(
        {
            "version": __version__,
            "model": service.models.default,
            "state": state,
            "why": why,
            "models": [{"name": name, "memory_bytes": size} for name, size in service.model_memory.items()],
            "better_model": better,
            "recognised_seconds_ago": service.recognised_age,
            "engine_restarts": service.engine_restarts,
            "uptime_seconds": recent.uptime_seconds,
            "streams": [
                {
                    "tenant": state.owner.tenant_name,
                    "owner": state.owner.owner,
                    "credential": state.owner.credential_id,
                    "stream_id": state.stream_id,
                    "audio_seconds": state.audio_seconds,
                    "age_seconds": state.age_seconds,
                    "idle_seconds": state.idle_seconds,
                    "ending": state.ending,
                }
                for state in service.streams.overview()
            ],
            "queue": {"jobs": sum(service.queued.values()), "predicted_wait_seconds": service.predicted_wait},
            "window_seconds": WINDOW_SECONDS,
            "latency": [asdict(answers) for answers in recent.summary() if answers.interface not in UNWATCHED],
            "day": [asdict(quarter) for quarter in context.day.quarters()],
            "usage": used,
        }
    )


def _better(settings: Settings, used: str) -> dict[str, object] | None:
    """A better model for this machine than the one used, if the catalogue knows of one that fits."""
    advice = better_than(used, Store.at(settings.models_dir), available_memory())
    if advice is None or not advice.fits:
        return None
    commands = "; ".join(map(as_typed, advice.commands))
    return {"name": advice.model.name, "megabytes": advice.model.memory_mb, "commands": commands}


async def _used(usage: Usage) -> dict[str, object]:
    """What every tenant used today and this month."""
    today = datetime.now(UTC).date()
    return {
        "today": await usage.summary(today, today, ["tenant"]),
        "month": await usage.summary(today.replace(day=1), today, ["tenant"]),
    }


async def _admitted(request: Request) -> tuple[Principal | None, Response]:
    """Who sent the key, and the answer of `session`; or nobody, and the refusal."""
    exchanges.of(request.scope).interface = "console"
    try:
        principal = await admission.authenticate(request, admission.bearer(request))
    except LingtingError as error:
        return None, flash.answer(request.scope, error)
    service = service_of(request)
    settings = service.settings
    return principal, JSON(
        {
            "tenant": principal.tenant_name,
            "owner": principal.owner,
            "scopes": sorted(principal.scopes),
            "model": models.default_model(service, principal, "stream_recognize"),
            "models": models.usable(service, principal),
            "speakers": bool(settings.speaker_model),
            "version": __version__,
            "limits": {
                "stream_max_seconds": settings.stream_max_seconds,
                "flash_max_bytes": settings.flash_max_bytes,
                "flash_max_seconds": settings.flash_max_seconds,
            },
        }
    )


def _file(request: Request, name: str) -> Response:
    exchanges.of(request.scope).interface = "console"
    found = _files().get(name)
    if found is None:
        return flash.flash_error(request.scope, 404, "the page has no such file")
    content, media_type, etag = found
    headers = {**_HEADERS, "ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def _command() -> str:
    """The command that the page names: as it is typed beside the server, but no place on its disk."""
    name = typed()
    return html.escape("lingting" if name.startswith(("/", "'")) else name)


@functools.cache
def _files() -> Mapping[str, tuple[bytes, str, str]]:
    """Content, type and entity tag of every file of the page; read once."""
    files = {}
    for entry in importlib.resources.files("lingting.console").iterdir():
        media_type = _TYPES.get(entry.name.rpartition(".")[2])
        if media_type is not None:
            content = entry.read_bytes().replace(b'data-command="lingting"', f'data-command="{_command()}"'.encode())
            files[entry.name] = content, media_type, f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    return files
