"""The parts of the OpenAPI document: schemas, headers, parameters and error answers."""

from __future__ import annotations

from typing import Any

from lingting.access.errors import InvalidCredential, LimitExceeded, MissingScope, UserToken
from lingting.access.principal import SPEECH
from lingting.api.feishu import errors as feishu_errors
from lingting.api.feishu.errors import InvalidParam, violation
from lingting.api.flash import errors as flash_errors
from lingting.api.flash.parameters import (
    DEFAULT_SENTENCE_SILENCE_MS,
    FORMATS,
    MAX_HOT_WORD_LENGTH,
    MAX_HOT_WORDS,
    SAMPLE_RATES,
    SENTENCE_SILENCES_MS,
)
from lingting.api.http.admission import MissingBearer
from lingting.api.http.body import BodyTooLarge
from lingting.errors import LingtingError, RecognitionFailed

Document = dict[str, Any]

LOG_ID = "2026112104274145f0c6a1cfca69c55956"
_LOG_ID_PATTERN = "^[0-9]{14}[0-9a-f]{20}$"


def reference(schema: str) -> Document:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{schema}"}


def json_content(schema: str, examples: dict[str, Any]) -> Document:
    """JSON of a schema, with named examples."""
    return {
        "application/json": {
            "schema": reference(schema),
            "examples": {name: {"value": value} for name, value in examples.items()},
        }
    }


def _object(properties: Document, *, required: list[str] | None = None, description: str = "") -> Document:
    names = list(properties) if required is None else required
    schema: Document = {"type": "object", "properties": properties}
    if names:
        schema["required"] = names
    return schema | ({"description": description} if description else {})


def _text(description: str, **more: Any) -> Document:
    return {"type": "string", "description": description, **more}


def _integer(description: str, **more: Any) -> Document:
    return {"type": "integer", "description": description, **more}


_ID = {"pattern": "^[A-Za-z0-9_]{16}$", "minLength": 16, "maxLength": 16}
_FORMAT = {"type": "string", "enum": ["pcm"], "description": "16 kHz 16-bit little-endian mono samples."}
_ENGINE = {"type": "string", "enum": ["16k_auto"], "description": "Chinese and English, mixed."}
_SPEECH = _text("Standard base64, padded, in one line.", contentEncoding="base64")
_SUCCESS = {"code": {"const": 0, "type": "integer"}, "msg": {"const": "success", "type": "string"}}

SCHEMAS: Document = {
    "Login": _object({"app_id": _text("The id of the app, `cli_…`."), "app_secret": _text("The secret of the app.")}),
    "TenantToken": _object(
        {
            "code": {"const": 0, "type": "integer"},
            "msg": {"const": "ok", "type": "string"},
            "tenant_access_token": _text("The token.", pattern="^t-"),
            "expire": _integer("Seconds for which it is valid.", minimum=1, maximum=7200),
        }
    ),
    "AppToken": _object(
        {
            "code": {"const": 0, "type": "integer"},
            "msg": {"const": "ok", "type": "string"},
            "tenant_access_token": _text("The token.", pattern="^t-"),
            "app_access_token": _text("The same token.", pattern="^t-"),
            "expire": _integer("Seconds for which it is valid.", minimum=1, maximum=7200),
        }
    ),
    "TokenFailure": _object(
        {"code": {"type": "integer", "enum": [10003, 10014, 99991400, 1040102]}, "msg": _text("What is wrong.")}
    ),
    "FileRequest": _object(
        {
            "speech": _object({"speech": _SPEECH}, required=[], description="The recording."),
            "config": _object(
                {"file_id": _text("A name for the file, made by the caller.", **_ID), "format": _FORMAT}
                | {"engine_type": _ENGINE}
            ),
        }
    ),
    "FileAnswer": _object(
        _SUCCESS | {"data": _object({"recognition_text": _text("What was said; empty when nothing was.")})}
    ),
    "StreamRequest": _object(
        {
            "speech": _object({"speech": _SPEECH}, required=[], description="The audio of the packet; may be empty."),
            "config": _object(
                {
                    "stream_id": _text("A name for the stream, made by the caller.", **_ID),
                    "sequence_id": _integer("The number of the packet, in steps of 1 from 0 or 1.", minimum=0),
                    "action": {
                        "type": "integer",
                        "enum": [0, 1, 2, 3],
                        "description": "1 first packet, 0 between, 2 last packet, 3 abort.",
                    },
                    "format": _FORMAT,
                    "engine_type": _ENGINE,
                }
            ),
        }
    ),
    "StreamAnswer": _object(
        _SUCCESS
        | {
            "data": _object(
                {
                    "stream_id": _text("That of the packet."),
                    "sequence_id": _integer("That of the packet."),
                    "recognition_text": _text("The whole text of the stream so far; after action 2 its final text."),
                }
            )
        }
    ),
    "GatewayError": _object(
        {
            "code": _integer("Which error; never 0."),
            "msg": _text("The error in the words of the interface."),
            "error": _object(
                {
                    "log_id": _text("The id of this answer.", pattern=_LOG_ID_PATTERN),
                    "message": _text("What is wrong and what to do."),
                    "field_violations": {
                        "type": "array",
                        "items": _object(
                            {
                                "field": _text("The field, such as `config.stream_id`."),
                                "value": _text("What it held, shortened; never audio."),
                                "description": _text("What is wrong with it."),
                            }
                        ),
                    },
                    "permission_violations": {
                        "type": "array",
                        "items": _object(
                            {"type": _text("What kind of permission is missing."), "subject": _text("Which one.")}
                        ),
                    },
                }
            ),
        }
    ),
    "FlashAnswer": _object(
        {
            "task_id": _text("Unique.", pattern="^asr-"),
            "user": _text("The owner of the key."),
            "flash_result": _object(
                {
                    "duration": _integer("Length of the audio in milliseconds.", minimum=0),
                    "sentences": {
                        "type": "array",
                        "items": _object(
                            {
                                "text": _text("What was said."),
                                "begin_time": _integer("Milliseconds from the start of the file.", minimum=0),
                                "end_time": _integer("Milliseconds from the start of the file.", minimum=0),
                                "speaker": _text("Who says it: A, B and so on, where speakers were asked for."),
                            },
                            required=["text", "begin_time", "end_time"],
                        ),
                    },
                }
            ),
            "warnings": {
                "type": "array",
                "items": {"type": "string"},
                "description": "What is wrong with the file, such as an end that is missing. Left out otherwise.",
            },
        },
        required=["task_id", "user", "flash_result"],
    ),
    "FlashError": _object(
        {
            "error": _object(
                {
                    "message": _text("What is wrong and what to do."),
                    "type": {"type": "string", "enum": sorted(flash_errors.TYPES.values())},
                    "param": {"type": ["string", "null"], "description": "The parameter at fault."},
                    "code": _text("The HTTP status."),
                    "httpCode": _integer("The HTTP status."),
                }
            )
        }
    ),
    "Status": _object({"status": {"type": "string", "enum": ["ok", "ready", "loading", "draining"]}}),
}

HEADERS: Document = {
    "X-Tt-Logid": {"description": "The id of this answer.", "schema": {"type": "string", "pattern": _LOG_ID_PATTERN}},
    "X-Request-Id": {"description": "The same id.", "schema": {"type": "string", "pattern": _LOG_ID_PATTERN}},
}

FLASH_PARAMETERS: list[Document] = [
    {"name": name, "in": "header", "required": False, "description": description, "schema": schema, "example": example}
    for name, description, schema, example in (
        (
            "format",
            "Format of the audio; it decides only for raw PCM.",
            {"type": "string", "enum": list(FORMATS), "default": "wav"},
            "wav",
        ),
        (
            "sample_rate",
            "Samples per second of raw PCM.",
            {"type": "integer", "default": 16_000, "minimum": SAMPLE_RATES[0], "maximum": SAMPLE_RATES[1]},
            16_000,
        ),
        (
            "max_sentence_silence",
            "A silence longer than this, in milliseconds, always ends a sentence.",
            {
                "type": "integer",
                "default": DEFAULT_SENTENCE_SILENCE_MS,
                "minimum": SENTENCE_SILENCES_MS[0],
                "maximum": SENTENCE_SILENCES_MS[1],
            },
            2000,
        ),
        ("model", "The model to use; the default one when unset.", {"type": "string"}, "whisper-base"),
        (
            "language",
            "The language of all speech, where it is known.",
            {"type": "string", "enum": ["auto", "zh", "en"], "default": "auto"},
            "auto",
        ),
        (
            "hot_words",
            f"Words to listen for, URL-encoded, separated by commas; at most {MAX_HOT_WORDS} of "
            f"{MAX_HOT_WORD_LENGTH} characters.",
            {"type": "string"},
            "%E8%81%86%E5%90%AC,Lingting",
        ),
        (
            "hot_words_table_id",
            "There are no tables on this server: leave it empty.",
            {"type": "string", "maxLength": 0},
            "",
        ),
        ("convert_numbers", "Write spoken numbers as digits.", {"type": "boolean", "default": False}, False),
        (
            "speakers",
            "Tell speakers apart: true, or how many there are.",
            {"type": "string", "default": "false"},
            "false",
        ),
    )
]


def _gateway_example(error: LingtingError) -> Document:
    return feishu_errors.content(feishu_errors.TABLE.row(error), str(error), LOG_ID)


def gateway_responses(field: str) -> Document:
    """The error answers of an interface under `/open-apis`; `field` is one to show an error of."""
    bad_request = {
        "missing_token": _gateway_example(MissingBearer("tenant_access_token")),
        "invalid_token": _gateway_example(InvalidCredential("")),
        "user_token": _gateway_example(UserToken("user tokens are not accepted here")),
        "missing_scope": _gateway_example(MissingScope(SPEECH)),
        "bad_parameter": _gateway_example(InvalidParam([violation(field, "", "is required")])),
    }
    too_large = _gateway_example(BodyTooLarge(2_000_000))
    too_frequent = _gateway_example(LimitExceeded(20, 1.0, "file requests per second for the tenant"))
    failed = _gateway_example(RecognitionFailed())
    limits = {
        "x-ogw-ratelimit-limit": _header("The limit that was reached."),
        "x-ogw-ratelimit-reset": _header("Seconds until another request makes sense."),
        "Retry-After": _header("The same seconds."),
    }
    return {
        "400": _error("No token, a wrong token, no permission, or a bad field.", "GatewayError", bad_request),
        "413": _error("The body is over the limit.", "GatewayError", {"too_large": too_large}),
        "429": _error("A limit of the tenant is reached.", "GatewayError", {"too_frequent": too_frequent}, limits),
        "500": _error("The recognition failed, or is overloaded: try again.", "GatewayError", {"failed": failed}),
    }


def flash_responses() -> Document:
    """The error answers of flash."""
    meanings = {
        400: "An empty body, or a parameter that is malformed or out of range.",
        401: "No key, or an unknown or revoked one.",
        403: "The key may not use this endpoint or model.",
        404: "The model is not served here.",
        413: "The file is over the limit of bytes or of length.",
        415: "An unknown format name, or bytes that are not audio.",
        429: "A limit of the tenant is reached.",
        500: "The recognition failed: try again.",
        503: "The model loads, the queue is full, or the server stops: try again.",
    }
    responses = {}
    for status, meaning in meanings.items():
        again = {"Retry-After": _header("Seconds until another request makes sense.")} if status in (429, 503) else {}
        responses[str(status)] = _error(meaning, "FlashError", {"error": flash_errors.content(status, meaning)}, again)
    return responses


def _header(description: str) -> Document:
    return {"description": description, "schema": {"type": "integer", "minimum": 1}}


def _error(description: str, schema: str, examples: dict[str, Any], headers: Document | None = None) -> Document:
    own = {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS}
    return {
        "description": description,
        "headers": own | (headers or {}),
        "content": json_content(schema, examples),
    }
