"""The part of the OpenAPI document that describes what the live protocols answer over HTTP."""

from __future__ import annotations

from typing import Any

from lingting.api.deepgram import errors as deepgram_errors
from lingting.api.openapi import openai
from lingting.api.openapi.schemas import Document, json_content, reference
from lingting.api.realtime.secrets import DEFAULT_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS
from lingting.settings import Settings

_BEARER: list[dict[str, list[str]]] = [{"tenantAccessToken": []}, {"apiKey": []}]
_REQUEST_ID = "6f2c2f0e-59a5-4c0a-9d35-0b0a6b1f8f4e"


def _object(properties: Document, *optional: str) -> Document:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _text(description: str) -> Document:
    return {"type": "string", "description": description}


def _number(description: str) -> Document:
    return {"type": "number", "minimum": 0, "description": description}


def _list(items: Document) -> Document:
    return {"type": "array", "items": items}


_WORD = _object(
    {
        "word": _text("The word, small and without punctuation."),
        "punctuated_word": _text("The word as it is written, where `punctuate` asks for that."),
        "start": _number("Seconds from the start of the file."),
        "end": _number("Seconds from the start of the file."),
        "confidence": _number("Its probability."),
    },
    "punctuated_word",
)
_ALTERNATIVE = _object(
    {
        "transcript": _text("What was said; empty when nothing was."),
        "confidence": _number("Mean probability of its words."),
        "words": _list(_WORD),
        "languages": _list({"type": "string"}) | {"description": "With `language=multi`."},
    },
    "languages",
)
_UTTERANCE = _object(
    {
        "start": _number("Seconds from the start of the file."),
        "end": _number("Seconds from the start of the file."),
        "confidence": _number("Mean probability of its words."),
        "channel": {"type": "integer"},
        "transcript": _text("A sentence."),
        "words": _list(_WORD),
        "id": _text("Names it."),
    }
)
_NULLABLE_OBJECT: Document = {"type": ["object", "null"]}

LIVE_SCHEMAS: Document = {
    "DeepgramAnswer": _object(
        {
            "metadata": _object(
                {
                    "transaction_key": {"const": "deprecated", "type": "string"},
                    "request_id": _text("Names the request; also in the header `dg-request-id`."),
                    "sha256": _text("Of the body."),
                    "created": _text("When it came."),
                    "duration": _number("Length of the audio in seconds."),
                    "channels": {"type": "integer"},
                    "models": _list({"type": "string"}),
                    "model_info": {"type": "object"},
                    "warnings": _list({"type": "object"}) | {"description": "What is wrong with the file."},
                },
                "warnings",
            ),
            "results": _object(
                {
                    "channels": _list(
                        _object(
                            {
                                "alternatives": _list(_ALTERNATIVE),
                                "detected_language": {"type": ["string", "null"]},
                            },
                            "detected_language",
                        )
                    ),
                    "utterances": _list(_UTTERANCE) | {"description": "With `utterances=true`: its sentences."},
                },
                "utterances",
            ),
        }
    ),
    "DeepgramError": _object(
        {
            "err_code": _text("Which error."),
            "err_msg": _text("What is wrong and what to do; also in the header `dg-error`."),
            "request_id": _text("Names the request."),
        }
    ),
    "TranscriptionSession": {
        "type": "object",
        "description": "A session as `session.update` of `/v1/realtime` has it.",
    },
    "SecretRequest": _object(
        {
            "expires_after": _object(
                {
                    "anchor": {"const": "created_at", "type": "string"},
                    "seconds": {
                        "type": "integer",
                        "minimum": SHORTEST_SECONDS,
                        "maximum": LONGEST_SECONDS,
                        "default": DEFAULT_SECONDS,
                    },
                },
                "anchor",
                "seconds",
            ),
            "session": reference("TranscriptionSession"),
        },
        "expires_after",
        "session",
    ),
    "Secret": _object(
        {
            "value": _text("The key, `ek_…`."),
            "expires_at": {"type": "integer", "description": "Unix seconds."},
            "session": reference("TranscriptionSession"),
        }
    ),
    "BetaSecret": _object(
        {
            "id": _text("Names the session."),
            "object": {"const": "realtime.transcription_session", "type": "string"},
            "input_audio_format": {"type": "string"},
            "input_audio_transcription": _NULLABLE_OBJECT,
            "input_audio_noise_reduction": _NULLABLE_OBJECT,
            "turn_detection": _NULLABLE_OBJECT,
            "include": {"type": ["array", "null"]},
            "client_secret": _object(
                {"value": _text("The key, `ek_…`."), "expires_at": {"type": "integer", "description": "Unix seconds."}}
            ),
        }
    ),
}


def prerecorded(settings: Settings) -> Document:
    """`POST /v1/listen`."""
    said = {"transcript": "ever tried", "confidence": 0.91, "words": [_EXAMPLE_WORD]}
    metadata = {
        "transaction_key": "deprecated",
        "request_id": _REQUEST_ID,
        "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "created": "2026-11-21T08:00:00.000Z",
        "duration": 3.2,
        "channels": 1,
        "models": [_REQUEST_ID],
        "model_info": {_REQUEST_ID: {"name": settings.model, "version": "1", "arch": settings.model}},
    }
    example = {"metadata": metadata, "results": {"channels": [{"alternatives": [said]}]}}
    return {
        "tags": ["live"],
        "operationId": "deepgram_prerecorded",
        "summary": "Recognise an audio file, as Deepgram does",
        "description": (
            "The body is the audio file itself; its content decides the format. The same path takes a WebSocket for "
            f"live speech. At most {settings.flash_max_bytes} bytes and {settings.flash_max_seconds:g} s. "
            "`Authorization: Token KEY` does as well. Scope: `speech_to_text:speech`."
        ),
        "security": _BEARER,
        "parameters": [_query(*each) for each in _QUERY],
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("application/octet-stream", "audio/wav", "audio/mpeg")
            },
        },
        "responses": {
            "200": {
                "description": "What was said.",
                "headers": openai.answer_headers() | {"dg-request-id": _header("Names the request.")},
                "content": json_content("DeepgramAnswer", {"success": example}),
            },
            **_deepgram_errors(),
        },
    }


def client_secrets() -> Document:
    """`POST /v1/realtime/client_secrets`."""
    secret = {"value": "ek_0123456789abcdef", "expires_at": 1795281600, "session": {"type": "transcription"}}
    asked = {"expires_after": {"anchor": "created_at", "seconds": 600}, "session": {"type": "transcription"}}
    return _secret("create_client_secret", "SecretRequest", "Secret", asked, secret)


def transcription_sessions() -> Document:
    """`POST /v1/realtime/transcription_sessions`."""
    secret = {
        "id": "sess_0123456789abcdef",
        "object": "realtime.transcription_session",
        "input_audio_format": "pcm16",
        "input_audio_transcription": {"model": "whisper-1"},
        "input_audio_noise_reduction": None,
        "turn_detection": None,
        "include": None,
        "client_secret": {"value": "ek_0123456789abcdef", "expires_at": 1795281600},
    }
    asked = {"input_audio_format": "pcm16", "turn_detection": None}
    return _secret("create_transcription_session", "TranscriptionSession", "BetaSecret", asked, secret)


def _secret(name: str, request: str, answer: str, asked: Document, secret: Document) -> Document:
    beta = " in the words of the beta" if answer == "BetaSecret" else ""
    return {
        "tags": ["live"],
        "operationId": name,
        "summary": f"A short-lived key for the WebSocket `/v1/realtime`{beta}",
        "description": "It opens sessions until it expires, with these settings. Scope: `audio:transcriptions`.",
        "security": _BEARER,
        "requestBody": {"required": False, "content": json_content(request, {"asked": asked})},
        "responses": {
            "200": {
                "description": "The key.",
                "headers": openai.answer_headers(),
                "content": json_content(answer, {"success": secret}),
            },
            **openai.errors(400, 401, 403, 413, 415, 429, 500, 503),
        },
    }


def _deepgram_errors() -> Document:
    again = {
        "Retry-After": {"description": "Seconds until another request makes sense.", "schema": {"type": "integer"}}
    }
    named = {"dg-error": _header("The message."), "dg-request-id": _header("Names the request.")}
    return {
        str(status): {
            "description": meaning,
            "headers": openai.answer_headers() | named | (again if status in (429, 503) else {}),
            "content": json_content("DeepgramError", {"error": deepgram_errors.content(code, meaning, _REQUEST_ID)}),
        }
        for status, code, meaning in _ERRORS
    }


_ERRORS = (
    (400, "INVALID_QUERY_PARAMETER", "A parameter is malformed, or the body is no audio."),
    (401, "INVALID_AUTH", "No key, or an unknown or revoked one."),
    (403, "INSUFFICIENT_PERMISSIONS", "The key may not use this endpoint or model."),
    (413, "PAYLOAD_TOO_LARGE", "The file is over the limit of bytes or of length."),
    (415, "UNSUPPORTED_MEDIA_TYPE", "The body is compressed."),
    (429, "TOO_MANY_REQUESTS", "A limit of the tenant is reached."),
    (500, "INTERNAL_SERVER_ERROR", "The recognition failed: try again."),
    (503, "SERVICE_UNAVAILABLE", "The model loads, the queue is full, or the server stops: try again."),
)
_EXAMPLE_WORD: dict[str, Any] = {"word": "ever", "start": 0.07, "end": 0.4, "confidence": 0.93}
_FLAG: Document = {"type": "boolean", "default": False}
_QUERY: tuple[tuple[str, str, Document], ...] = (
    ("model", "Any name; the server's model answers.", {"type": "string"}),
    ("language", "`en…`: English only; `multi`: the answer names languages.", {"type": "string"}),
    ("punctuate", "Write punctuation.", _FLAG),
    ("smart_format", "Write punctuation and digits.", _FLAG),
    ("numerals", "Write spoken numbers as digits.", _FLAG),
    ("utterances", "List the sentences.", _FLAG),
    ("keyterm", "A name or term to listen for; may be repeated.", _list({"type": "string"})),
    ("encoding", "`linear16` for raw samples; else the file says what it is.", {"type": "string"}),
    ("sample_rate", "Of raw samples.", {"type": "integer", "minimum": 4000, "maximum": 192000}),
)


def _query(name: str, description: str, schema: Document) -> Document:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _header(description: str) -> Document:
    return {"description": description, "schema": {"type": "string"}}
