"""OpenAI's audio interface: `POST /v1/audio/transcriptions`, `GET /v1/models`, `GET /v1/models/{model}`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from lingting.access.principal import TRANSCRIPTIONS, Principal
from lingting.api.http import admission
from lingting.api.http import exchange as exchanges
from lingting.api.http import models as served
from lingting.api.http.body import BodyLimits, ClientLeft
from lingting.api.http.connection import TimeLimit, while_connected
from lingting.api.http.context import Backend, context_of, service_of
from lingting.api.http.exchange import Exchange
from lingting.api.http.render import JSON
from lingting.api.openai import form as openai_form
from lingting.api.openai import render as openai_render
from lingting.api.openai.errors import answer, content_of
from lingting.api.openai.parameters import DIARIZING, is_their_name, parse
from lingting.api.openai.stream import TextEvents
from lingting.audio.recording import Recording
from lingting.domain import SAMPLE_RATE, RecognitionOptions, Sentence
from lingting.errors import LingtingError
from lingting.hot_words import merged
from lingting.settings import Settings

TRANSCRIPTIONS_PATH = "/v1/audio/transcriptions"
MODELS_PATH = "/v1/models"
MODEL_PATH = "/v1/models/{model:path}"


async def transcriptions(request: Request) -> Response:
    """Answer one request; every known error becomes its answer."""
    exchange = exchanges.of(request.scope)
    exchange.interface = "transcriptions"
    try:
        principal = exchange.principal = await _caller(request)
        async with contextlib.AsyncExitStack() as held:
            await held.enter_async_context(admission.admitted(request, principal, "transcriptions"))
            response = await _answered(request, principal, exchange, held)
            if isinstance(response, TextEvents):
                response.hold(held.pop_all())
            return response
    except ClientLeft:
        return admission.left()
    except LingtingError as error:
        return answer(request.scope, error)


async def models(request: Request) -> Response:
    """The models that the caller may use."""
    exchange = exchanges.of(request.scope)
    exchange.interface = "models"
    try:
        principal = await _caller(request)
    except LingtingError as error:
        return answer(request.scope, error)
    service = service_of(request)
    found = [await _described(name, service.settings) for name in served.usable(service, principal)]
    return JSON({"object": "list", "data": found})


async def model(request: Request) -> Response:
    """One model; OpenAI's own names stand for the default one."""
    exchange = exchanges.of(request.scope)
    exchange.interface = "models"
    try:
        principal = await _caller(request)
        name = await _chosen(service_of(request), principal, request.path_params["model"])
    except LingtingError as error:
        return answer(request.scope, error)
    return JSON(await _described(name, service_of(request).settings))


async def _caller(request: Request) -> Principal:
    principal = await admission.authenticate(request, admission.bearer(request))
    principal.require(TRANSCRIPTIONS)
    return principal


async def _answered(
    request: Request, principal: Principal, exchange: Exchange, held: contextlib.AsyncExitStack
) -> Response:
    service = service_of(request)
    settings = service.settings
    admission.require_room(request, principal, decoded=False, most_bytes=settings.flash_max_bytes)
    limits = BodyLimits.of(settings, settings.flash_max_bytes)
    async with openai_form.received(request, limits, context_of(request).spool) as form:
        parameters = parse(form.fields, form.filename)
        if parameters.tells_speakers:
            service.recognizer.require_speakers()
        held.enter_context(served.held(request, await _chosen(service, principal, parameters.model)))
        limit = TimeLimit.of(settings.flash_timeout_seconds)
        decoding = _recording(request, principal, form.file, parameters.format, held)
        recording = await while_connected(request, decoding, limit)
    options = RecognitionOptions(
        language=parameters.language or admission.language(settings),
        hot_words=merged(parameters.hot_words, principal.hot_words),
        model=exchange.model,
        speakers=0 if parameters.tells_speakers else None,
    )
    async with admission.charged(request, principal, recording.duration):
        if parameters.stream:
            sentences = service.recognizer.sentences(recording, options, principal.account)
            held.push_async_callback(sentences.aclose)
            return await _streamed(request, sentences, recording, exchange=exchange, limit=limit)
        transcript = await while_connected(
            request, service.recognizer.recognize(recording, options, principal.account), limit
        )
    exchange.audio_seconds = transcript.duration
    content = openai_render.content(transcript, parameters.response_format, parameters.granularities)
    headers = openai_render.warning(recording)
    return PlainTextResponse(content, headers=headers) if isinstance(content, str) else JSON(content, headers=headers)


async def _recording(
    request: Request, principal: Principal, path: Path, form: str, held: contextlib.AsyncExitStack
) -> Recording:
    """The recording in a file; `held` closes it."""
    service = service_of(request)
    recording = await service.decoder.decode(
        path,
        format=form,
        sample_rate=SAMPLE_RATE,
        max_seconds=service.settings.flash_max_seconds,
        tenant=principal.tenant_id,
    )
    held.callback(recording.close)
    return recording


async def _streamed(
    request: Request,
    sentences: AsyncIterator[Sentence],
    recording: Recording,
    *,
    exchange: Exchange,
    limit: TimeLimit,
) -> TextEvents:
    """Events from the first sentence on, so that what fails before it still gets a status of its own."""
    first = await while_connected(request, _next(sentences), limit)

    async def rest() -> AsyncIterator[Sentence]:
        sentence = first
        while sentence is not None:
            yield sentence
            sentence = await limit.within(_next(sentences))

    return TextEvents(rest(), recording, exchange, content_of)


async def _next(sentences: AsyncIterator[Sentence]) -> Sentence | None:
    return await anext(sentences, None)


async def _chosen(service: Backend, principal: Principal, name: str) -> str:
    """The model of a name; OpenAI's own names stand for the default one."""
    theirs = is_their_name(name) or name == DIARIZING
    asked = "" if theirs and service.models.find(name) is None else name
    return await served.chosen(service, principal, "transcriptions", asked)


async def _described(name: str, settings: Settings) -> dict[str, object]:
    def installed_at() -> int:
        with contextlib.suppress(OSError):
            return int((settings.models_dir / name).stat().st_mtime)
        return 0

    created = await asyncio.to_thread(installed_at)
    return {"id": name, "object": "model", "created": created, "owned_by": "lingting"}
