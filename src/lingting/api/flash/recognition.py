"""Flash: a whole audio file in, sentences with times out. `POST /v1/audio/asr/flash`."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from lingting.access.principal import FLASH, Principal
from lingting.api.flash.errors import FlashError, answer, content_of
from lingting.api.flash.lines import MEDIA_TYPE, SentenceLines, timed
from lingting.api.flash.parameters import FlashParameters, parse
from lingting.api.http import admission, body, models
from lingting.api.http import exchange as exchanges
from lingting.api.http.body import BodyLimits, ClientLeft
from lingting.api.http.connection import TimeLimit, while_connected
from lingting.api.http.context import context_of, service_of
from lingting.api.http.exchange import Exchange
from lingting.api.http.render import JSON
from lingting.audio.recording import Recording
from lingting.domain import RecognitionOptions, Seconds, Sentence, Transcript
from lingting.errors import LingtingError
from lingting.hot_words import merged

FLASH_PATH = "/v1/audio/asr/flash"


async def flash(request: Request) -> Response:
    """Answer one request; every known error becomes its answer."""
    exchange = exchanges.of(request.scope)
    exchange.interface = "flash"
    try:
        principal = exchange.principal = await admission.authenticate(request, admission.bearer(request))
        principal.require(FLASH)
        async with contextlib.AsyncExitStack() as held:
            await held.enter_async_context(admission.admitted(request, principal, "flash"))
            response = await _recognized(request, principal, exchange, held)
            if isinstance(response, SentenceLines):
                response.hold(held.pop_all())
            return response
    except ClientLeft:
        return admission.left()
    except LingtingError as error:
        return answer(request.scope, error)


async def _recognized(
    request: Request, principal: Principal, exchange: Exchange, held: contextlib.AsyncExitStack
) -> Response:
    service = service_of(request)
    settings = service.settings
    parameters = parse(request, convert_numbers=settings.convert_numbers)
    model = await models.chosen(service, principal, exchange.interface, parameters.model or "")
    held.enter_context(models.held(request, model))
    admission.require_room(request, principal, decoded=False, most_bytes=settings.flash_max_bytes)
    if parameters.speakers is not None:
        service.recognizer.require_speakers()
    limits = BodyLimits.of(settings, settings.flash_max_bytes)
    spooled = context_of(request).spool.file(body.chunks(request, limits))
    path, size = await held.enter_async_context(spooled)
    if size == 0:
        raise FlashError(400, "the body is empty; send the audio file as the body")
    limit = TimeLimit.of(settings.flash_timeout_seconds)
    if MEDIA_TYPE in request.headers.get("accept", ""):
        return await _lines(request, principal, path, parameters, held=held, limit=limit)
    transcript = await while_connected(request, _transcript(request, principal, path, parameters), limit)
    exchange.audio_seconds = transcript.duration
    return JSON(_result(transcript.sentences, transcript.duration, transcript.warning, principal.owner))


async def _lines(
    request: Request,
    principal: Principal,
    path: Path,
    parameters: FlashParameters,
    *,
    held: contextlib.AsyncExitStack,
    limit: TimeLimit,
) -> SentenceLines:
    """Lines from the first sentence on, so that what fails before it still gets a status of its own."""
    recording = await while_connected(request, _decoded(request, principal, path, parameters), limit)
    held.callback(recording.close)
    await held.enter_async_context(admission.charged(request, principal, recording.duration))
    options = _options(request, principal, parameters)
    sentences = service_of(request).recognizer.sentences(recording, options, principal.account)
    held.push_async_callback(sentences.aclose)

    async def following() -> Sentence | None:
        return await anext(sentences, None)

    first = await while_connected(request, following(), limit)

    async def known() -> AsyncIterator[Sentence]:
        sentence = first
        while sentence is not None:
            yield sentence
            sentence = await limit.within(following())

    return SentenceLines(
        known(),
        recording,
        exchanges.of(request.scope),
        result=lambda found: _result(found, recording.duration, recording.warning, principal.owner),
        failed=content_of,
    )


async def _transcript(request: Request, principal: Principal, path: Path, parameters: FlashParameters) -> Transcript:
    options = _options(request, principal, parameters)
    with await _decoded(request, principal, path, parameters) as recording:
        async with admission.charged(request, principal, recording.duration):
            return await service_of(request).recognizer.recognize(recording, options, principal.account)


async def _decoded(request: Request, principal: Principal, path: Path, parameters: FlashParameters) -> Recording:
    service = service_of(request)
    return await service.decoder.decode(
        path,
        format=parameters.format,
        sample_rate=parameters.sample_rate,
        max_seconds=service.settings.flash_max_seconds,
        tenant=principal.tenant_id,
    )


def _options(request: Request, principal: Principal, parameters: FlashParameters) -> RecognitionOptions:
    return RecognitionOptions(
        model=exchanges.of(request.scope).model,
        language=parameters.language or admission.language(service_of(request).settings),
        hot_words=merged(parameters.hot_words, principal.hot_words),
        convert_numbers=parameters.convert_numbers,
        speakers=parameters.speakers,
        max_sentence_silence=parameters.max_sentence_silence_ms / 1000,
    )


def _result(sentences: Sequence[Sentence], seconds: Seconds, warning: str | None, owner: str) -> dict[str, object]:
    duration = round(seconds * 1000)
    result: dict[str, object] = {
        "task_id": f"asr-{uuid.uuid4().hex}",
        "user": owner,
        "flash_result": {
            "duration": duration,
            "sentences": [
                (shown := timed(sentence)) | {"end_time": min(duration, shown["end_time"])} for sentence in sentences
            ],
        },
    }
    if warning is not None:
        result["warnings"] = [warning]
    return result
