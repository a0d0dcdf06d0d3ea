"""The part of the OpenAPI document that describes OpenAI's audio interface."""

from __future__ import annotations

from typing import Any

from lingting.api.flash.parameters import MAX_HOT_WORDS
from lingting.api.openai.parameters import GRANULARITIES, MAX_PROMPT_CHARACTERS, RESPONSE_FORMATS
from lingting.api.openai.render import WARNING_HEADER
from lingting.api.openapi.schemas import HEADERS, Document, json_content, reference
from lingting.settings import Settings

_ERRORS: dict[int, tuple[str, str, str | None]] = {
    400: ("No form, no file, a bad field, or a file that is not audio.", "invalid_value", "language"),
    401: ("No key, or an unknown or revoked one.", "invalid_api_key", None),
    403: ("The key may not use this endpoint or model.", "missing_scope", None),
    404: ("There is no such model here.", "model_not_found", "model"),
    413: ("The file is over the limit of bytes or of length.", "file_too_large", "file"),
    415: ("The body is compressed.", "unsupported_encoding", None),
    429: ("A limit of the tenant is reached.", "rate_limit_exceeded", None),
    500: ("The recognition failed: try again.", "server_error", None),
    503: ("The model loads, the queue is full, or the server stops: try again.", "server_overloaded", None),
}
_TYPES = ("invalid_request_error", "authentication_error", "permission_error", "rate_limit_error", "server_error")
_KINDS = {401: _TYPES[1], 403: _TYPES[2], 429: _TYPES[3], 500: _TYPES[4], 503: _TYPES[4]}
_SECONDS: Document = {"type": "number", "minimum": 0, "description": "Seconds from the start of the file."}


def _object(properties: Document, *optional: str) -> Document:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def _text(description: str, **more: Any) -> Document:
    return {"type": "string", "description": description, **more}


def _list(items: Document) -> Document:
    return {"type": "array", "items": items}


def _number(description: str) -> Document:
    return {"type": "number", "description": description}


_USAGE = _object({"type": {"const": "duration", "type": "string"}, "seconds": _number("Length of the audio.")})

OPENAI_SCHEMAS: Document = {
    "TranscriptionForm": _object(
        {
            "file": _text("The audio file, in any known format.", format="binary"),
            "model": _text("`whisper-1`, another of OpenAI's names, or the name of a model that the server lists."),
            "language": _text("`zh`, `en` or a variant of them; recognised for each utterance when it is left out."),
            "prompt": _text(
                "Names and terms to listen for, separated by commas, or by spaces where there are no commas; at most "
                f"{MAX_HOT_WORDS}.",
                maxLength=MAX_PROMPT_CHARACTERS,
            ),
            "response_format": {"type": "string", "enum": list(RESPONSE_FORMATS), "default": "json"},
            "temperature": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "description": "Accepted for compatibility; the recognition does not sample.",
            },
            "timestamp_granularities[]": _list({"type": "string", "enum": list(GRANULARITIES)})
            | {"description": "What has times in verbose_json: sentences, unless told otherwise."},
            "stream": {
                "type": "boolean",
                "default": False,
                "description": "Send the text as server-sent events while recognition goes on; json and text only.",
            },
        },
        *("model", "language", "prompt", "response_format", "temperature", "timestamp_granularities[]", "stream"),
    ),
    "Transcription": _object({"text": _text("What was said; empty when nothing was."), "usage": _USAGE}),
    "DiarizedTranscription": _object(
        {
            "task": {"const": "transcribe", "type": "string"},
            "duration": _number("Length of the audio in seconds."),
            "text": _text("What was said."),
            "segments": _list(
                _object(
                    {
                        "type": {"const": "transcript.text.segment", "type": "string"},
                        "id": _text("Names the segment."),
                        "start": _SECONDS,
                        "end": _SECONDS,
                        "text": _text("A sentence, or the part of one that one speaker says."),
                        "speaker": _text("Who says it: A, B and so on."),
                    }
                )
            ),
            "usage": _USAGE,
        }
    ),
    "VerboseTranscription": _object(
        {
            "task": {"const": "transcribe", "type": "string"},
            "language": {"type": "string", "enum": ["chinese", "english"]},
            "duration": _number("Length of the audio in seconds."),
            "text": _text("What was said."),
            "usage": _USAGE,
            "warnings": _list(_text("What is wrong with the file, such as an end that is missing.")),
            "words": _list(_object({"word": _text("The word."), "start": _SECONDS, "end": _SECONDS})),
            "segments": _list(
                _object(
                    {
                        "id": {"type": "integer", "minimum": 0},
                        "seek": {"type": "integer", "minimum": 0, "description": "`start` in hundredths of a second."},
                        "start": _SECONDS,
                        "end": _SECONDS,
                        "text": _text("A sentence."),
                        "tokens": _list({"type": "integer"}) | {"description": "Always empty."},
                        "temperature": _number("Always 0."),
                        "avg_logprob": _number("Mean log probability of its words."),
                        "compression_ratio": _number("Bytes of the text by those of it compressed."),
                        "no_speech_prob": _number("Always 0: what is not speech is dropped before."),
                    }
                )
            ),
        },
        "warnings",
        "words",
        "segments",
    ),
    "OpenAIModel": _object(
        {
            "id": _text("The name of the model."),
            "object": {"const": "model", "type": "string"},
            "created": {"type": "integer", "description": "When it was installed, in Unix seconds."},
            "owned_by": {"const": "lingting", "type": "string"},
        }
    ),
    "OpenAIModels": _object({"object": {"const": "list", "type": "string"}, "data": _list(reference("OpenAIModel"))}),
    "OpenAIError": _object(
        {
            "error": _object(
                {
                    "message": _text("What is wrong and what to do."),
                    "type": {"type": "string", "enum": list(_TYPES)},
                    "param": {"type": ["string", "null"], "description": "The field at fault."},
                    "code": {"type": ["string", "null"], "description": "Which error."},
                }
            )
        }
    ),
}


def transcriptions(settings: Settings) -> Document:
    """`POST /v1/audio/transcriptions`."""
    text = "Ever tried. Ever failed."
    usage = {"type": "duration", "seconds": 3.2}
    segment = {
        "id": 0,
        "seek": 7,
        "start": 0.07,
        "end": 2.9,
        "text": text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": -0.15,
        "compression_ratio": 0.9,
        "no_speech_prob": 0.0,
    }
    verbose = {"task": "transcribe", "language": "english", "duration": 3.2, "text": text, "usage": usage}
    examples = {"json": {"text": text, "usage": usage}, "verbose_json": verbose | {"segments": [segment]}}
    delta = {"type": "transcript.text.delta", "delta": text}
    done = {"type": "transcript.text.done", "text": text, "usage": usage}
    schema = {"anyOf": [reference(f"{kind}Transcription") for kind in ("", "Verbose", "Diarized")]}
    plain = {"schema": {"type": "string"}}
    return {
        "tags": ["openai"],
        "operationId": "create_transcription",
        "summary": "Recognise an audio file, as OpenAI does",
        "description": (
            f"At most {settings.flash_max_bytes} bytes and {settings.flash_max_seconds:g} s; "
            f"{settings.transcription_requests_per_second} requests a second for a tenant. With `stream=true` each "
            "sentence is an event `transcript.text.delta`, and `transcript.text.done` has the whole text; an error "
            "after the first event is an event `error` with the error object. Fields of other models are passed over, "
            "except those that ask for names of speakers or word probabilities. Scope: `audio:transcriptions`."
        ),
        "security": [{"tenantAccessToken": []}, {"apiKey": []}],
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": reference("TranscriptionForm")}},
        },
        "responses": {
            "200": {
                "description": "What was said, in the format that was asked for.",
                "headers": answer_headers()
                | {
                    WARNING_HEADER: {
                        "description": "What is wrong with the file, where something is.",
                        "schema": {"type": "string"},
                    }
                },
                "content": {
                    "application/json": {
                        "schema": schema,
                        "examples": {name: {"value": value} for name, value in examples.items()},
                    },
                    "text/plain": plain | {"example": "1\n00:00:00,070 --> 00:00:02,900\nEver tried. Ever failed.\n"},
                    "text/event-stream": plain | {"example": f"data: {delta}\n\ndata: {done}\n\n".replace("'", '"')},
                },
            },
            **errors(*_ERRORS),
        },
    }


def models() -> Document:
    """`GET /v1/models`."""
    example = {"object": "list", "data": [_MODEL]}
    return _get("list_models", "The models that the caller may use", "OpenAIModels", example, errors(401, 403))


def model() -> Document:
    """`GET /v1/models/{model}`."""
    operation = _get("retrieve_model", "One model", "OpenAIModel", _MODEL, errors(401, 403, 404))
    parameter = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}, "example": "whisper-1"}
    return operation | {"parameters": [parameter]}


_MODEL = {"id": "whisper-base", "object": "model", "created": 1763700000, "owned_by": "lingting"}


def _get(name: str, summary: str, schema: str, example: Document, errors: Document) -> Document:
    success = {
        "description": "What there is.",
        "headers": answer_headers(),
        "content": json_content(schema, {"success": example}),
    }
    return {
        "tags": ["openai"],
        "operationId": name,
        "summary": summary,
        "description": "Scope: `audio:transcriptions`.",
        "security": [{"tenantAccessToken": []}, {"apiKey": []}],
        "responses": {"200": success, **errors},
    }


def errors(*statuses: int) -> Document:
    """The error answers of these statuses, in OpenAI's envelope."""
    responses = {}
    for status in statuses:
        meaning, code, param = _ERRORS[status]
        error = {"message": meaning, "type": _KINDS.get(status, _TYPES[0]), "param": param, "code": code}
        again = {"description": "Seconds until another request makes sense.", "schema": {"type": "integer"}}
        responses[str(status)] = {
            "description": meaning,
            "headers": answer_headers() | ({"Retry-After": again} if status in (429, 503) else {}),
            "content": json_content("OpenAIError", {"error": {"error": error}}),
        }
    return responses


def answer_headers() -> Document:
    """The headers that every answer has."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS}
