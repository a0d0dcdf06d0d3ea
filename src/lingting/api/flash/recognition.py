"""Flash: a whole audio file in, sentences with times out. `POST /v1/audio/asr/flash`."""

from __future__ import annotations

import uuid
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from lingting.access.principal import FLASH, Principal
from lingting.api.flash.errors import FlashError, answer
from lingting.api.flash.parameters import FlashParameters, parse
from lingting.api.http import admission, body
from lingting.api.http import exchange as exchanges
from lingting.api.http.body import BodyLimits, ClientLeft
from lingting.api.http.connection import TimeLimit, while_connected
from lingting.api.http.context import context_of, service_of
from lingting.api.http.exchange import Exchange
from lingting.api.http.models import unserved
from lingting.api.http.render import JSON
from lingting.domain import RecognitionOptions, Transcript
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
        async with admission.admitted(request, principal, "flash"):
            return await _recognized(request, principal, exchange)
    except ClientLeft:
        return admission.left()
    except LingtingError as error:
        return answer(request.scope, error)


async def _recognized(request: Request, principal: Principal, exchange: Exchange) -> Response:
    service = service_of(request)
    settings = service.settings
    parameters = parse(request, convert_numbers=settings.convert_numbers)
    model = parameters.model or settings.model
    if model != settings.model:
        raise FlashError(404, f"{await unserved(model, settings)}; leave model out for the default", "model")
    exchange.model = model
    principal.may_use(model)
    admission.require_room(request, principal, decoded=False, most_bytes=settings.flash_max_bytes)
    limits = BodyLimits(settings.flash_max_bytes, settings.request_timeout_seconds)
    async with context_of(request).spool.file(body.chunks(request, limits)) as (path, size):
        if size == 0:
            raise FlashError(400, "the body is empty; send the audio file as the body")
        limit = TimeLimit.of(settings.flash_timeout_seconds)
        transcript = await while_connected(request, _transcript(request, principal, path, parameters), limit)
    exchange.audio_seconds = transcript.duration
    return JSON(_result(transcript, principal.owner))


async def _transcript(request: Request, principal: Principal, path: Path, parameters: FlashParameters) -> Transcript:
    service = service_of(request)
    options = RecognitionOptions(
        language=admission.language(service.settings),
        hot_words=merged(parameters.hot_words, principal.hot_words),
        convert_numbers=parameters.convert_numbers,
        max_sentence_silence=parameters.max_sentence_silence_ms / 1000,
    )
    with await service.decoder.decode(
        path,
        format=parameters.format,
        sample_rate=parameters.sample_rate,
        max_seconds=service.settings.flash_max_seconds,
        tenant=principal.tenant_id,
    ) as recording:
        async with admission.charged(request, principal, recording.duration):
            return await service.recognizer.recognize(recording, options, principal.account)


def _result(transcript: Transcript, owner: str) -> dict[str, object]:
    duration = round(transcript.duration * 1000)
    result: dict[str, object] = {
        "task_id": f"asr-{uuid.uuid4().hex}",
        "user": owner,
        "flash_result": {
            "duration": duration,
            "sentences": [
                {
                    "text": sentence.text,
                    "begin_time": max(0, round(sentence.start * 1000)),
                    "end_time": min(duration, round(sentence.end * 1000)),
                }
                for sentence in transcript.sentences
            ],
        },
    }
    if transcript.warning is not None:
        result["warnings"] = [transcript.warning]
    return result
