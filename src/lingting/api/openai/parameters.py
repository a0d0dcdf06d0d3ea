"""What a caller of the OpenAI transcription interface asks for, checked field by field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, TypeAlias, get_args

from lingting.api.flash.parameters import FORMATS, MAX_HOT_WORD_LENGTH, MAX_HOT_WORDS
from lingting.api.openai.errors import ParameterError
from lingting.domain import Language

ResponseFormat: TypeAlias = Literal["json", "text", "srt", "vtt", "verbose_json", "diarized_json"]
Granularity: TypeAlias = Literal["word", "segment"]
RESPONSE_FORMATS: tuple[ResponseFormat, ...] = get_args(ResponseFormat)
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
DIARIZING = "gpt-4o-transcribe-diarize"
"""OpenAI's model that tells speakers apart; here it stands for the default one, with speakers."""
STREAMED_FORMATS = ("json", "text")
MAX_PROMPT_CHARACTERS = 8000

_THEIR_NAMES = re.compile(r"whisper-1|(gpt-4o(-mini)?|gpt)-transcribe(-\d{4}-\d{2}-\d{2})?")
_CHINESE = re.compile(r"(zh|zho|chi|cmn|chinese|mandarin)([-_][a-z]+)*")
_ENGLISH = re.compile(r"(en|eng|english)([-_][a-z]+)*")
_SEPARATORS = re.compile(r"[,，、;；\n\r\t]+")
_AROUND = " .。!！?？:：\"'“”‘’()（）"
_WORDS_OF_A_TERM = 5


@dataclass(frozen=True, slots=True)
class Parameters:
    """The checked fields of one request; `model` is empty for the server's own, `format` is what the file name says."""

    model: str = ""
    language: Language | None = None
    hot_words: tuple[str, ...] = ()
    response_format: ResponseFormat = "json"
    granularities: frozenset[Granularity] = frozenset({"segment"})
    stream: bool = False
    format: str = "wav"

    @property
    def tells_speakers(self) -> bool:
        """Whether the speakers are to be told apart."""
        return self.response_format == "diarized_json" or self.model == DIARIZING


def parse(fields: Sequence[tuple[str, str]], filename: str) -> Parameters:
    """The fields of a form; fields that nobody knows are passed over, as are those that only shape other models.

    Raises:
        ParameterError: a field is malformed, out of range, or asks for what there is not.
    """
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name.removesuffix("[]"), []).append(value)
    for name in ("model", "language", "prompt", "response_format", "temperature", "stream"):
        if len(values.get(name, ())) > 1:
            raise ParameterError(f"{name} is given more than once", name)
    _temperature(_one(values, "temperature"))
    _not_offered(values)
    stream = _boolean(values, "stream")
    response_format = _response_format(_one(values, "response_format"), stream=stream)
    return Parameters(
        model=_one(values, "model"),
        language=_language(values),
        hot_words=_hot_words(values),
        response_format=response_format,
        granularities=_granularities(values.get("timestamp_granularities", []), response_format),
        stream=stream,
        format=_format(filename),
    )


def is_their_name(model: str) -> bool:
    """Whether a model's name is one of OpenAI's own for transcription, which stand for the server's model."""
    return _THEIR_NAMES.fullmatch(model) is not None


def language_of(text: str) -> Language | None:
    """The language that a code or an English name means: `zh`, `zh-CN`, `cmn`, `Chinese`, `en-US`; None for others."""
    lowered = text.strip().lower()
    if _CHINESE.fullmatch(lowered):
        return "zh"
    return "en" if _ENGLISH.fullmatch(lowered) else None


def terms(prompt: str) -> tuple[str, ...]:
    """The names and terms in a prompt, each once: between commas, or where there are none, between spaces.

    What lies between commas and is more than a few words long is a sentence and counts as its words. A word of more
    than 64 characters is no term.
    """
    found: dict[str, None] = {}
    pieces = [piece.strip(_AROUND) for piece in _SEPARATORS.split(prompt)]
    listed = len(pieces) > 1
    for piece in pieces:
        words = piece.split()
        whole = listed and len(words) <= _WORDS_OF_A_TERM and len(piece) <= MAX_HOT_WORD_LENGTH
        for word in [piece] if whole else [word.strip(_AROUND) for word in words]:
            if word and len(word) <= MAX_HOT_WORD_LENGTH and word.isprintable():
                found[word] = None
    return tuple(found)


def _one(values: dict[str, list[str]], name: str) -> str:
    return values.get(name, [""])[0].strip()


def _temperature(text: str) -> None:
    if not text:
        return
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ParameterError(f"temperature must be a number from 0 to 1, got {_shown(text)}", "temperature")


def _not_offered(values: dict[str, list[str]]) -> None:
    for name in ("known_speaker_names", "known_speaker_references"):
        if name in values:
            raise ParameterError(f"{name} is not supported: speakers are told apart, and not known by name", name)
    if any(_filled(values, "include")):
        raise ParameterError("include is not supported; word probabilities are not returned here", "include")


def _response_format(text: str, *, stream: bool) -> ResponseFormat:
    for known in RESPONSE_FORMATS:
        if text == known:
            if stream and known not in STREAMED_FORMATS:
                raise ParameterError(
                    f"stream=true takes the response_format {' or '.join(STREAMED_FORMATS)}, got {known!r}",
                    "response_format",
                )
            return known
    if text:
        raise ParameterError(
            f"response_format must be one of {', '.join(RESPONSE_FORMATS)}, got {_shown(text)}", "response_format"
        )
    return "json"


def _granularities(texts: Iterable[str], response_format: ResponseFormat) -> frozenset[Granularity]:
    name = "timestamp_granularities"
    chosen: set[Granularity] = set()
    for text in texts:
        known = next((known for known in GRANULARITIES if known == text.strip()), None)
        if known is None:
            raise ParameterError(f"{name} must be {' or '.join(GRANULARITIES)}, got {_shown(text)}", name)
        chosen.add(known)
    if chosen and response_format != "verbose_json":
        raise ParameterError(f"{name} needs response_format verbose_json, got {response_format!r}", name)
    return frozenset(chosen or {"segment"})


def _language(values: dict[str, list[str]]) -> Language | None:
    single = _one(values, "language")
    if single and single.lower() != "auto":
        return _known_language(single, "language")
    several = {_known_language(text, "languages") for text in _filled(values, "languages")}
    return several.pop() if len(several) == 1 else None


def _known_language(text: str, name: str) -> Language:
    language = language_of(text)
    if language is None:
        raise ParameterError(
            f"the language {_shown(text)} is not supported; use zh or en, or leave {name} out to have it recognised",
            name,
        )
    return language


def _hot_words(values: dict[str, list[str]]) -> tuple[str, ...]:
    prompt = _one(values, "prompt")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise ParameterError(f"prompt may have {MAX_PROMPT_CHARACTERS} characters, got {len(prompt)}", "prompt")
    keywords = _filled(values, "keywords")
    for keyword in keywords:
        if len(keyword) > MAX_HOT_WORD_LENGTH or not keyword.isprintable():
            raise ParameterError(f"a keyword may have {MAX_HOT_WORD_LENGTH} printable characters", "keywords")
    words = tuple(dict.fromkeys((*keywords, *terms(prompt))))
    if len(words) > MAX_HOT_WORDS:
        name = "keywords" if len(keywords) > MAX_HOT_WORDS else "prompt"
        raise ParameterError(f"{name} may hold {MAX_HOT_WORDS} terms, got {len(words)}", name)
    return words


def _filled(values: dict[str, list[str]], name: str) -> list[str]:
    return [text.strip() for text in values.get(name, []) if text.strip()]


def _boolean(values: dict[str, list[str]], name: str) -> bool:
    text = _one(values, name).lower()
    if text in ("", "true", "false", "1", "0"):
        return text in ("true", "1")
    raise ParameterError(f"{name} must be true or false, got {_shown(text)}", name)


def _format(filename: str) -> str:
    suffix = PurePath(filename.replace("\\", "/")).suffix.lower().lstrip(".")
    return suffix if suffix in FORMATS else "wav"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
