"""`/openapi.json`: every interface, described in full, with examples and every error answer."""

from __future__ import annotations

import functools
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from lingting import __version__
from lingting.api.deepgram.routes import LISTEN_PATH
from lingting.api.feishu.auth import APP_TOKEN_PATH, TENANT_TOKEN_PATH
from lingting.api.feishu.speech import CONFIRMED_HEADER, CONFIRMED_MS_HEADER, FILE_PATH, STREAM_PATH
from lingting.api.flash.recognition import FLASH_PATH
from lingting.api.health import HEALTH_PATH, METRICS_PATH, READY_PATH
from lingting.api.http import exchange as exchanges
from lingting.api.http.context import service_of
from lingting.api.http.render import JSON
from lingting.api.openai.transcriptions import MODELS_PATH, TRANSCRIPTIONS_PATH
from lingting.api.openapi import live
from lingting.api.openapi import openai as openapi_openai
from lingting.api.openapi.schemas import (
    FLASH_PARAMETERS,
    HEADERS,
    SCHEMAS,
    flash_responses,
    gateway_responses,
    json_content,
    reference,
)
from lingting.api.realtime.routes import BETA_SESSIONS_PATH, CLIENT_SECRETS_PATH
from lingting.settings import Settings

OPENAPI_PATH = "/openapi.json"

Document = dict[str, Any]


async def openapi_json(request: Request) -> Response:
    """The document, with the limits of this server in it."""
    exchanges.of(request.scope).interface = "document"
    return JSON(document(service_of(request).settings))


@functools.lru_cache(maxsize=4)
def document(settings: Settings) -> Document:
    """The OpenAPI 3.1 document of a server with these settings."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lingting",
            "version": __version__,
            "summary": "Speech recognition for Chinese and English.",
            "description": (
                "A self-hosted server behind the interfaces of Feishu (file, stream), Flash ASR, OpenAI and Deepgram. "
                "Every answer carries `X-Tt-Logid`; the access log names it."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server."}],
        "tags": [
            {"name": "tokens", "description": "Tenant access tokens for apps."},
            {"name": "speech", "description": "Feishu's speech recognition: a short file, or a stream of packets."},
            {"name": "flash", "description": "Flash ASR: a whole audio file in, sentences with times out."},
            {"name": "openai", "description": "OpenAI's audio transcriptions, for its own clients."},
            {"name": "live", "description": "What the live protocols of Deepgram and OpenAI answer over HTTP."},
            {"name": "operations", "description": "For those who watch the server."},
        ],
        "paths": {
            TENANT_TOKEN_PATH: {"post": _token("tenant_access_token", "TenantToken")},
            APP_TOKEN_PATH: {"post": _token("app_access_token", "AppToken")},
            FILE_PATH: {"post": _file(settings)},
            STREAM_PATH: {"post": _stream(settings)},
            FLASH_PATH: {"post": _flash(settings)},
            TRANSCRIPTIONS_PATH: {"post": openapi_openai.transcriptions(settings)},
            MODELS_PATH: {"get": openapi_openai.models()},
            "/v1/models/{model}": {"get": openapi_openai.model()},
            LISTEN_PATH: {"post": live.prerecorded(settings)},
            CLIENT_SECRETS_PATH: {"post": live.client_secrets()},
            BETA_SESSIONS_PATH: {"post": live.transcription_sessions()},
            HEALTH_PATH: {"get": _status("The process answers", "health", {200: "ok"})},
            READY_PATH: {
                "get": _status("The server takes requests", "readiness", {200: "ready", 503: "loading or draining"})
            },
            METRICS_PATH: {"get": _metrics()},
            OPENAPI_PATH: {"get": _document()},
        },
        "components": {
            "schemas": SCHEMAS | openapi_openai.OPENAI_SCHEMAS | live.LIVE_SCHEMAS,
            "headers": HEADERS,
            "securitySchemes": {
                "tenantAccessToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A tenant access token (`t-…`) from the token endpoint.",
                },
                "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key of this server."},
            },
        },
    }


_BOTH: list[dict[str, list[str]]] = [{"tenantAccessToken": []}, {"apiKey": []}]


def _token(kind: str, schema: str) -> Document:
    names = ["tenant_access_token"] if schema == "TenantToken" else ["tenant_access_token", "app_access_token"]
    token = "t-7f1bcd13fc57d46bac21793a18e560"  # noqa: S105
    success = {"code": 0, "msg": "ok", **dict.fromkeys(names, token), "expire": 7200}
    return {
        "tags": ["tokens"],
        "operationId": f"get_{kind}",
        "summary": f"Get the {kind} of an app",
        "description": (
            "While 30 minutes or more of a token remain, the same token comes back. Failures are answered with HTTP "
            "200 and a `code` other than 0: 10003 unknown app or malformed body, 10014 wrong secret, 99991400 too many "
            "failed logins. The path may end in a slash. The body is read as JSON whatever its Content-Type says."
        ),
        "security": [],
        "requestBody": {
            "required": True,
            "content": json_content(
                "Login", {"login": {"app_id": "cli_0123456789abcdef", "app_secret": "the secret of the app"}}
            ),
        },
        "responses": {
            "200": {
                "description": "A token, or why there is none.",
                "headers": _answer_headers(),
                "content": {
                    "application/json": {
                        "schema": {"oneOf": [reference(schema), reference("TokenFailure")]},
                        "examples": {
                            "success": {"value": success},
                            "unknown_app": {"value": {"code": 10003, "msg": "invalid param"}},
                            "wrong_secret": {"value": {"code": 10014, "msg": "app secret invalid"}},
                            "too_many_failures": {
                                "value": {"code": 99991400, "msg": "request trigger frequency limit"}
                            },
                        },
                    }
                },
            }
        },
    }


def _file(settings: Settings) -> Document:
    example = {
        "speech": {"speech": "PdmrfE267Cd/Z9KpmNFh71A2PSJZxSp7+8upCg=="},
        "config": {"file_id": "qwe12dd34567890w", "format": "pcm", "engine_type": "16k_auto"},
    }
    return {
        "tags": ["speech"],
        "operationId": "file_recognize",
        "summary": "Recognise a short recording",
        "description": (
            f"At most {settings.file_max_seconds:g} s of audio. {settings.file_requests_per_second} requests a second "
            "for a tenant, shared by its apps. Silence is success with an empty text. "
            "Scope: `speech_to_text:speech`."
        ),
        "security": _BOTH,
        "requestBody": {"required": True, "content": json_content("FileRequest", {"pcm": example})},
        "responses": {
            "200": {
                "description": "What was said.",
                "headers": _answer_headers(),
                "content": json_content(
                    "FileAnswer",
                    {"success": {"code": 0, "msg": "success", "data": {"recognition_text": "你好，使用飞书吧"}}},
                ),
            },
            **gateway_responses("config.file_id"),
        },
    }


_CONFIRMED = {
    CONFIRMED_HEADER: {
        "description": "How many characters of recognition_text, from its beginning, will not change any more.",
        "schema": {"type": "integer", "minimum": 0},
    },
    CONFIRMED_MS_HEADER: {
        "description": "How many milliseconds of the stream's audio, from its beginning, those characters cover.",
        "schema": {"type": "integer", "minimum": 0},
    },
}


def _stream(settings: Settings) -> Document:
    def example(sequence_id: int, action: int, speech: str) -> Document:
        return {
            "speech": {"speech": speech},
            "config": {
                "stream_id": "asd1234567890ddd",
                "sequence_id": sequence_id,
                "action": action,
                "format": "pcm",
                "engine_type": "16k_auto",
            },
        }

    answer = {"stream_id": "asd1234567890ddd", "sequence_id": 1, "recognition_text": "你好，尝试使用一下飞书吧"}
    return {
        "tags": ["speech"],
        "operationId": "stream_recognize",
        "summary": "Send one packet of a stream",
        "description": (
            "A stream begins with action 1 and number 0 or 1, goes on with action 0, and ends with action 2, which "
            "waits for the final text, or with action 3, which drops it. Packets of 100 to 200 ms are best. "
            "`recognition_text` is the whole text of the stream so far. A packet sent again with the same number and "
            f"content is counted once; packets may overtake each other by {settings.stream_window}. "
            f"{settings.stream_idle_seconds:g} s without a packet end a stream; it may last "
            f"{settings.stream_max_seconds:g} s. {settings.streams_per_tenant} streams at once for a tenant. "
            "Scope: `speech_to_text:speech`."
        ),
        "security": _BOTH,
        "requestBody": {
            "required": True,
            "content": json_content(
                "StreamRequest",
                {
                    "first": example(0, 1, "PdmrfE267Cd/Z9KpmNFh71A2PSJZxSp7+8upCg=="),
                    "next": example(1, 0, "PdmrfE267Cd/Z9KpmNFh71A2PSJZxSp7+8upCg=="),
                    "last": example(2, 2, ""),
                    "abort": example(2, 3, ""),
                },
            ),
        },
        "responses": {
            "200": {
                "description": "The text so far, or the final text.",
                "headers": _answer_headers() | _CONFIRMED,
                "content": json_content("StreamAnswer", {"success": {"code": 0, "msg": "success", "data": answer}}),
            },
            **gateway_responses("config.stream_id"),
        },
    }


def _flash(settings: Settings) -> Document:
    sentences = [
        {"text": "今天天气真不错", "begin_time": 0, "end_time": 2500},
        {"text": "我很开心", "begin_time": 3000, "end_time": 5600},
    ]
    example = {
        "task_id": "asr-0f8fad5bd9cb469fa16570867728950e",
        "user": "user-123",
        "flash_result": {"duration": 5600, "sentences": sentences},
    }
    return {
        "tags": ["flash"],
        "operationId": "flash",
        "summary": "Recognise an audio file",
        "description": (
            "The body is the audio file itself, whatever its Content-Type; its content decides the format unless it is "
            "raw PCM. Parameters are request headers; the same names with hyphens, or as query parameters, do as well. "
            f"At most {settings.flash_max_bytes} bytes and {settings.flash_max_seconds:g} s. Scope: `audio:flash`."
        ),
        "security": _BOTH,
        "parameters": FLASH_PARAMETERS,
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("application/octet-stream", "audio/wav", "audio/mpeg", "application/x-www-form-urlencoded")
            },
        },
        "responses": {
            "200": {
                "description": "What was said, sentence by sentence. Silence has no sentences.",
                "headers": _answer_headers(),
                "content": json_content("FlashAnswer", {"success": example}),
            },
            **flash_responses(),
        },
    }


def _status(summary: str, name: str, statuses: dict[int, str]) -> Document:
    return {
        "tags": ["operations"],
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {
            str(status): {
                "description": meaning,
                "headers": _answer_headers(),
                "content": json_content("Status", {"example": {"status": meaning.split()[0]}}),
            }
            for status, meaning in statuses.items()
        },
    }


def _metrics() -> Document:
    return {
        "tags": ["operations"],
        "operationId": "metrics",
        "summary": "Counts and durations for Prometheus",
        "description": "To this machine only, unless LINGTING_METRICS_PUBLIC is true.",
        "security": [],
        "responses": {
            "200": {
                "description": "The metrics.",
                "headers": _answer_headers(),
                "content": {
                    "text/plain": {"schema": {"type": "string"}, "example": "lingting_live_streams 0.0\n"},
                    "application/openmetrics-text": {"schema": {"type": "string"}},
                },
            },
            "403": flash_responses()["403"],
        },
    }


def _document() -> Document:
    return {
        "tags": ["operations"],
        "operationId": "openapi",
        "summary": "This document",
        "security": [],
        "responses": {
            "200": {
                "description": "The OpenAPI document.",
                "headers": _answer_headers(),
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
    }


def _answer_headers() -> Document:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Tt-Logid", "X-Request-Id")}
