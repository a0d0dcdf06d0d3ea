"""file_recognize and stream_recognize: `/open-apis/speech_to_text/v1/speech/…`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from lingting.access.principal import SPEECH, Principal
from lingting.api.feishu import errors as feishu_errors
from lingting.api.feishu.parameters import BYTES_PER_SECOND, parse_file, parse_options, parse_packet
from lingting.api.http import admission, body, models
from lingting.api.http import exchange as exchanges
from lingting.api.http.body import BodyLimits, ClientLeft
from lingting.api.http.connection import TimeLimit, while_connected
from lingting.api.http.context import service_of
from lingting.api.http.exchange import Exchange
from lingting.api.http.render import JSON
from lingting.domain import RecognitionOptions
from lingting.errors import LingtingError
from lingting.settings import Settings
from lingting.streams.packets import Action

FILE_PATH = "/open-apis/speech_to_text/v1/speech/file_recognize"
STREAM_PATH = "/open-apis/speech_to_text/v1/speech/stream_recognize"
CONFIRMED_HEADER = "X-Lingting-Confirmed"
CONFIRMED_MS_HEADER = "X-Lingting-Confirmed-Ms"

_SMALL_BODY = 65_536

T = TypeVar("T")
Handler = Callable[[Request, Principal, Exchange], Awaitable[Response]]


async def file_recognize(request: Request) -> Response:
    """The text of one short recording."""
    return await _answered(request, "file_recognize", _file)


async def stream_recognize(request: Request) -> Response:
    """One packet of a stream."""
    return await _answered(request, "stream_recognize", _packet)


async def _answered(request: Request, interface: str, handler: Handler) -> Response:
    """Authentication, then the handler; every known error becomes its answer."""
    exchange = exchanges.of(request.scope)
    exchange.interface = interface
    service = service_of(request)
    try:
        principal = exchange.principal = await admission.authenticate(request, _token(request))
        principal.require(SPEECH)
        exchange.model = await models.chosen(service, principal, interface)
        return await handler(request, principal, exchange)
    except ClientLeft:
        return admission.left()
    except LingtingError as error:
        return feishu_errors.answer(request.scope, error)


def _token(request: Request) -> str:
    return admission.bearer(request, "tenant_access_token", exact=True)


async def _file(request: Request, principal: Principal, exchange: Exchange) -> Response:
    service = service_of(request)
    settings = service.settings
    async with contextlib.AsyncExitStack() as held:
        await held.enter_async_context(admission.admitted(request, principal, "file"))
        held.enter_context(models.held(request, exchange.model))
        most_bytes = file_max_bytes(settings.file_max_seconds)
        admission.require_room(request, principal, decoded=True, most_bytes=most_bytes)
        content = await body.read(request, BodyLimits.of(settings, most_bytes))
        audio = await _off_loop(content, lambda: parse_file(content, settings.file_max_seconds))
        with service.decoder.pcm16(audio.pcm) as recording:
            async with admission.charged(request, principal, recording.duration):
                transcript = await while_connected(
                    request,
                    service.recognizer.recognize(
                        recording, _options(settings, principal, exchange.model), principal.account
                    ),
                    TimeLimit.of(settings.file_timeout_seconds),
                )
        exchange.audio_seconds = transcript.duration
    return JSON({"code": 0, "msg": "success", "data": {"recognition_text": transcript.text}})


async def _packet(request: Request, principal: Principal, exchange: Exchange) -> Response:
    with await service_of(request).access.limits.acquire_packet(principal):
        return await _taken(request, principal, exchange)


async def _taken(request: Request, principal: Principal, exchange: Exchange) -> Response:
    service = service_of(request)
    settings = service.settings
    content = await body.read(request, BodyLimits.of(settings, settings.stream_packet_max_bytes))
    packet = await _off_loop(content, partial(parse_packet, content, settings.stream_max_seconds))
    options = _options(settings, principal, exchange.model)
    if packet.action is Action.START:
        if not service.streams.has(principal, packet.stream_id):
            admission.require_room_live(service, principal, exchange.model)
        options = parse_options(request.headers, options)
    with await service.access.limits.reserve_audio(
        principal,
        len(packet.audio) / BYTES_PER_SECOND,
        interface=exchange.interface,
        model=exchange.model,
        always=packet.action in (Action.END, Action.ABORT),
    ) as reservation:
        reply = await service.streams.packet(principal, packet, options, reservation.charge)
    exchange.audio_seconds = reply.audio_seconds
    return JSON(
        {
            "code": 0,
            "msg": "success",
            "data": {
                "stream_id": packet.stream_id,
                "sequence_id": packet.sequence_id,
                "recognition_text": reply.text,
            },
        },
        headers={
            CONFIRMED_HEADER: str(reply.confirmed),
            CONFIRMED_MS_HEADER: str(round(reply.confirmed_seconds * 1000)),
        },
    )


def file_max_bytes(max_seconds: float) -> int:
    """Largest body of file_recognize: base64 of the longest audio, a quarter more, and some for the rest."""
    return int(max_seconds * BYTES_PER_SECOND * 4 / 3 * 1.25) + _SMALL_BODY


async def _off_loop(content: bytes, work: Callable[[], T]) -> T:
    """Does the work at once for small bodies and in a thread for large ones."""
    if len(content) <= _SMALL_BODY:
        return work()
    return await asyncio.to_thread(work)


def _options(settings: Settings, principal: Principal, model: str) -> RecognitionOptions:
    return RecognitionOptions(
        language=admission.language(settings),
        hot_words=principal.hot_words,
        convert_numbers=settings.convert_numbers,
        timestamps=False,
        model=model,
    )
