"""What a caller of flash asks for: headers with underscores or hyphens, or query parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request

from lingting import hot_words
from lingting.api.flash.errors import FlashError
from lingting.domain import Language

FORMATS = ("wav", "mp3", "pcm", "flac", "ogg", "opus", "aac", "m4a", "mp4", "amr", "webm")
SAMPLE_RATES = (4000, 192_000)
SENTENCE_SILENCES_MS = (100, 60_000)
DEFAULT_SENTENCE_SILENCE_MS = 3000
MAX_SPEAKERS = 50
MAX_HOT_WORDS = hot_words.MAX_COUNT
MAX_HOT_WORD_LENGTH = hot_words.MAX_LENGTH
LANGUAGES: dict[str, Language | None] = {"": None, "auto": None, "zh": "zh", "en": "en"}

_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class FlashParameters:
    """The checked parameters of one request; `model` is None for the default, `language` for
    the server's, and `speakers` where they are not wanted."""

    format: str = "wav"
    sample_rate: int = 16_000
    max_sentence_silence_ms: int = DEFAULT_SENTENCE_SILENCE_MS
    model: str | None = None
    language: Language | None = None
    hot_words: tuple[str, ...] = ()
    convert_numbers: bool = False
    speakers: int | None = None


def parse(request: Request, *, convert_numbers: bool = False) -> FlashParameters:
    """The parameters of a request; `convert_numbers` is what holds when the request does not say.

    Raises:
        FlashError: one is malformed, out of range, or names something unknown.
    """
    form = _value(request, "format") or "wav"
    if form.lower().lstrip(".") not in FORMATS:
        raise FlashError(415, f"unknown format {_shown(form)}; the formats are {', '.join(FORMATS)}", "format")
    table = _value(request, "hot_words_table_id")
    if table:
        raise FlashError(
            400, f"there is no hot word table {_shown(table)}; send the words in hot_words", "hot_words_table_id"
        )
    return FlashParameters(
        format=form.lower().lstrip("."),
        sample_rate=_number(request, "sample_rate", 16_000, SAMPLE_RATES, "Hz"),
        max_sentence_silence_ms=_number(
            request, "max_sentence_silence", DEFAULT_SENTENCE_SILENCE_MS, SENTENCE_SILENCES_MS, "ms"
        ),
        model=_value(request, "model") or None,
        language=_language(request),
        hot_words=_hot_words(request),
        convert_numbers=_boolean(request, "convert_numbers", convert_numbers),
        speakers=_speakers(request),
    )


def _header(request: Request, name: str) -> str:
    for header in (name, name.replace("_", "-")):
        value = request.headers.get(header)
        if value is not None and value.strip():
            return value.strip()
    return ""


def _value(request: Request, name: str) -> str:
    return _header(request, name) or request.query_params.get(name, "").strip()


def _number(request: Request, name: str, default: int, bounds: tuple[int, int], unit: str) -> int:
    text = _value(request, name)
    if not text:
        return default
    if not _NUMBER.fullmatch(text):
        raise FlashError(400, f"{name} must be a whole number of {unit}, got {_shown(text)}", name)
    number = int(text)
    if not bounds[0] <= number <= bounds[1]:
        raise FlashError(400, f"{name} must be from {bounds[0]} to {bounds[1]} {unit}, got {number}", name)
    return number


def _boolean(request: Request, name: str, default: bool) -> bool:
    text = _value(request, name).lower()
    if text in ("", "true", "false", "1", "0"):
        return text in ("true", "1") if text else default
    raise FlashError(400, f"{name} must be true or false, got {_shown(text)}", name)


def _language(request: Request) -> Language | None:
    text = _value(request, "language").lower()
    if text not in LANGUAGES:
        raise FlashError(400, f"language must be zh, en or auto, got {_shown(text)}", "language")
    return LANGUAGES[text]


def _speakers(request: Request) -> int | None:
    """How many speakers to tell apart, 0 for as many as there are; None where that is not wanted."""
    text = _value(request, "speakers").lower()
    if text in ("", "false", "0"):
        return None
    if text == "true":
        return 0
    if text.isdecimal() and text.isascii() and int(text[:4]) <= MAX_SPEAKERS:
        return int(text)
    raise FlashError(
        400, f"speakers must be true, false or a number up to {MAX_SPEAKERS}, got {_shown(text)}", "speakers"
    )


def _hot_words(request: Request) -> tuple[str, ...]:
    try:
        encoded = _header(request, "hot_words")
        return hot_words.of_header(encoded) if encoded else hot_words.of_query(_value(request, "hot_words"))
    except hot_words.HotWordsError as error:
        raise FlashError(400, str(error), "hot_words") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
