"""The bodies of file_recognize and stream_recognize: JSON in, checked values out, every wrong field named.

All functions are pure and may run in any thread.
"""

from __future__ import annotations

import binascii
import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec
from msgspec import Raw

from lingting import hot_words
from lingting.api.feishu.errors import InvalidParam, violation
from lingting.domain import Language, RecognitionOptions
from lingting.streams.packets import StreamPacket

BYTES_PER_SECOND = 32_000
FORMAT = "pcm"
ENGINE_TYPE = "16k_auto"

_ABSENT = Raw(b"null")
_NO_AUDIO = Raw(b"{}")
_ID = re.compile(r"[A-Za-z0-9_]{16}")
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]{0,17})")
_KINDS = {
    "n": "null",
    '"': "a string",
    "{": "an object",
    "[": "a list",
    "t": "a boolean",
    "f": "a boolean",
}

Violations = list[dict[str, str]]

_LANGUAGES: dict[str, Language] = {"zh": "zh", "en": "en"}


class _Body(msgspec.Struct):
    speech: Raw = _ABSENT
    config: Raw = _ABSENT


class _Speech(msgspec.Struct):
    speech: Raw = _ABSENT


class _Config(msgspec.Struct):
    file_id: Raw = _ABSENT
    stream_id: Raw = _ABSENT
    sequence_id: Raw = _ABSENT
    action: Raw = _ABSENT
    format: Raw = _ABSENT
    engine_type: Raw = _ABSENT


_body = msgspec.json.Decoder(_Body)
_speech = msgspec.json.Decoder(_Speech)
_config = msgspec.json.Decoder(_Config)
_string = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class FileAudio:
    """What file_recognize was sent: its id, and 16 kHz 16-bit little-endian mono PCM."""

    file_id: str
    pcm: bytes


def parse_file(body: bytes, max_seconds: float) -> FileAudio:
    """The body of file_recognize.

    Raises:
        InvalidParam: it is not JSON, or a field is missing or wrong; names every such field.
    """
    with _json():
        return _file(body, max_seconds)


def _file(body: bytes, max_seconds: float) -> FileAudio:
    speech, config, wrong = _parts(body, speech_required=True)
    file_id = _name(config.file_id, "config.file_id", wrong)
    _constants(config, wrong)
    pcm = _audio(speech, int(max_seconds * BYTES_PER_SECOND), max_seconds, wrong)
    if not _names(wrong, "speech"):
        if not pcm:
            wrong.append(violation("speech.speech", "", "there is no audio; send base64 of 16 kHz 16-bit mono PCM"))
        elif len(pcm) % 2:
            wrong.append(
                violation("speech.speech", "", f"{len(pcm)} bytes are not whole 16-bit samples; send an even number")
            )
    if wrong:
        raise InvalidParam(wrong)
    return FileAudio(file_id, pcm)


def parse_packet(body: bytes, max_seconds: float) -> StreamPacket:
    """The body of stream_recognize; `max_seconds` is the longest stream.

    Raises:
        InvalidParam: it is not JSON, or a field is missing or wrong; names every such field.
    """
    with _json():
        return _packet(body, max_seconds)


def parse_options(headers: Mapping[str, str], options: RecognitionOptions) -> RecognitionOptions:
    """The options of a stream whose first packet has these headers: `hot-words` and `language` add to `options`.

    Raises:
        InvalidParam: a header is wrong.
    """
    language = headers.get("language", "").strip().lower()
    if language not in ("", "auto", *_LANGUAGES):
        raise InvalidParam([violation("language", language, "must be zh, en or auto")])
    try:
        words = hot_words.of_header(headers.get("hot-words", ""))
    except hot_words.HotWordsError as error:
        raise InvalidParam([violation("hot-words", "", str(error))]) from None
    return replace(
        options,
        language=_LANGUAGES.get(language, options.language),
        hot_words=hot_words.merged(words, options.hot_words),
    )


def _packet(body: bytes, max_seconds: float) -> StreamPacket:
    speech, config, wrong = _parts(body, speech_required=False)
    stream_id = _name(config.stream_id, "config.stream_id", wrong)
    sequence_id = _number(config.sequence_id, "config.sequence_id", wrong)
    action = _number(config.action, "config.action", wrong)
    if sequence_id < 0:
        wrong.append(violation("config.sequence_id", str(sequence_id), "must be 0 or more"))
    if action not in (0, 1, 2, 3):
        wrong.append(
            violation(
                "config.action",
                str(action),
                "must be 1 for the first packet, 0 for those between, 2 for the last, or 3 to abort",
            )
        )
    _constants(config, wrong)
    if _absent(speech) and action in (0, 1) and not _names(wrong, "speech"):
        wrong.append(violation("speech", "", 'is required; an object like {"speech": "<base64>"}'))
    audio = b"" if _names(wrong, "speech") else _audio(speech, int(max_seconds * BYTES_PER_SECOND), max_seconds, wrong)
    if wrong:
        raise InvalidParam(wrong)
    return StreamPacket.of(stream_id, sequence_id, action, audio)


@contextlib.contextmanager
def _json() -> Iterator[None]:
    """Turns what the decoder says about a body into an InvalidParam."""
    try:
        yield
    except msgspec.ValidationError:
        problem = "the body must be a JSON object with speech and config"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = f"the body is not valid JSON in UTF-8: {error}"
    except RecursionError:
        problem = "the JSON is nested too deeply"
    else:
        return
    raise InvalidParam([violation("body", "", problem)])


def _parts(body: bytes, *, speech_required: bool) -> tuple[Raw, _Config, Violations]:
    if not body.strip():
        raise InvalidParam([violation("body", "", "the body is empty; send a JSON object with speech and config")])
    top = _body.decode(body)
    if not speech_required and bytes(memoryview(top.speech)[:3]) == b'""':
        top.speech = _NO_AUDIO
    wrong: Violations = []
    if speech_required and _absent(top.speech):
        wrong.append(violation("speech", "", 'is required; an object like {"speech": "<base64>"}'))
    elif not _absent(top.speech) and _kind(top.speech) != "an object":
        wrong.append(
            violation("speech", "", f'must be an object like {{"speech": "<base64>"}}, got {_kind(top.speech)}')
        )
    config = _Config()
    if _absent(top.config):
        wrong.append(violation("config", "", "is required; an object"))
    elif _kind(top.config) != "an object":
        wrong.append(violation("config", _shown(top.config), f"must be an object, got {_kind(top.config)}"))
    else:
        config = _config.decode(top.config)
    return top.speech, config, wrong


def _constants(config: _Config, wrong: Violations) -> None:
    for field, raw, only in (
        ("config.format", config.format, FORMAT),
        ("config.engine_type", config.engine_type, ENGINE_TYPE),
    ):
        value = _text(raw, field, wrong)
        if value is not None and value != only:
            wrong.append(violation(field, value, f"must be {only}, the only value supported"))


def _name(raw: Raw, field: str, wrong: Violations) -> str:
    value = _text(raw, field, wrong)
    if value is not None and not _ID.fullmatch(value):
        wrong.append(
            violation(field, value, f"must be 16 characters, letters, digits and underscores only; got {len(value)}")
        )
    return value or ""


def _text(raw: Raw, field: str, wrong: Violations) -> str | None:
    if _names(wrong, "config", exact=True):
        return None
    if _absent(raw):
        wrong.append(violation(field, "", "is required"))
        return None
    if _kind(raw) != "a string":
        wrong.append(violation(field, _shown(raw), f"must be a string, got {_kind(raw)}"))
        return None
    return _string.decode(raw)


def _number(raw: Raw, field: str, wrong: Violations) -> int:
    """The whole number of a field; 0, which no check complains about, when it is missing or wrong."""
    if _names(wrong, "config", exact=True):
        return 0
    if _absent(raw):
        wrong.append(violation(field, "", "is required"))
        return 0
    text = bytes(raw)
    if not _INTEGER.fullmatch(text):
        kind = _kind(raw)
        got = "another or a larger number" if kind == "a number" else kind
        wrong.append(violation(field, _shown(raw), f"must be a whole number, got {got}"))
        return 0
    return int(text)


def _audio(speech: Raw, max_bytes: int, max_seconds: float, wrong: Violations) -> bytes:
    if _absent(speech) or _names(wrong, "speech"):
        return b""
    raw = _speech.decode(speech).speech
    if _absent(raw):
        return b""
    if _kind(raw) != "a string":
        wrong.append(violation("speech.speech", "", f"must be a string of base64, got {_kind(raw)}"))
        return b""
    encoded = _string.decode(raw)
    problem = f"the audio is longer than the limit of {max_seconds:g} s"
    if len(encoded) <= (max_bytes + 2) // 3 * 4:
        try:
            decoded = binascii.a2b_base64(encoded, strict_mode=True)
        except ValueError as error:
            reason = _reason(error)
            problem = f"is not base64 ({reason}); use the standard alphabet with padding, in one line"
        else:
            if len(decoded) <= max_bytes:
                return decoded
    wrong.append(violation("speech.speech", "", problem))
    return b""


def _reason(error: ValueError) -> str:
    return str(error) if isinstance(error, binascii.Error) else "it has characters outside ASCII"


def _absent(raw: Raw) -> bool:
    return len(raw) == 4 and bytes(raw) == b"null"


def _kind(raw: Raw) -> str:
    return _KINDS.get(chr(memoryview(raw)[0]), "a number")


def _shown(raw: Raw) -> str:
    return bytes(memoryview(raw)[:80]).decode("utf-8", "replace")


def _names(wrong: Violations, field: str, *, exact: bool = False) -> bool:
    """Whether something was already found wrong with a field or, unless `exact`, with one inside it."""
    return any(v["field"] == field or (not exact and v["field"].startswith(field + ".")) for v in wrong)
