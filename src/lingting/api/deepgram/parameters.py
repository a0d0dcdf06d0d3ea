"""What a caller of Deepgram's interface asks for in the query; what we have not is passed over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lingting.api.deepgram.errors import QueryError
from lingting.api.openai.parameters import language_of
from lingting.api.sockets.endpoints import endpoint
from lingting.api.sockets.live import LiveOptions
from lingting.api.sockets.sound import MAX_CHANNELS, MAX_RATE, MIN_RATE, Encoding, Sound
from lingting.domain import Language, RecognitionOptions, Seconds
from lingting.hot_words import MAX_LENGTH, merged
from lingting.settings import Settings

SHORTEST_ENDPOINT: Seconds = 0.3
"""Deepgram ends a stretch after 10 ms without speech unless told otherwise; text gets poor when it is cut so short."""
SHORTEST_UTTERANCE_END: Seconds = 1.0

_ENCODINGS: dict[str, Encoding] = {"linear16": "s16", "linear32": "f32", "mulaw": "mulaw", "alaw": "alaw"}
_TELEPHONE = ("mulaw", "alaw")
_CONTAINED = ("opus", "ogg-opus", "flac", "amr-nb", "amr-wb")
"""Encodings whose sound says itself what it is: `opus` is Ogg Opus at Deepgram."""


@dataclass(frozen=True, slots=True)
class Query:
    """A checked query.

    Attributes:
        sound: the sample format; None where it is to be found in the sound itself.
        language: the language of all speech; None decides by utterance.
        multilingual: whether results name their languages.
        interim: whether results that may change are wanted.
        endpointing: silence after which speech is over; None takes the server's own, infinity says that it never is.
        utterance_end: a gap between words of this length is reported; None: is not.
        vad_events: whether the start of speech is reported.
        punctuate: whether the text has punctuation.
        numerals: whether spoken numbers become digits.
        hot_words: names and terms to listen for.
        utterances: whether a recording's result lists its utterances.
        diarize: whether words of a recording say who speaks them, where this server can tell.
    """

    sound: Sound | None = None
    language: Language | None = None
    multilingual: bool = False
    interim: bool = False
    endpointing: Seconds | None = None
    utterance_end: Seconds | None = None
    vad_events: bool = False
    punctuate: bool = False
    numerals: bool = False
    hot_words: tuple[str, ...] = ()
    utterances: bool = False
    diarize: bool = False

    def recognition(self, settings: Settings, hot_words: tuple[str, ...]) -> RecognitionOptions:
        """How speech is recognised; `hot_words` are the caller's own."""
        return RecognitionOptions(
            language=self.language or (None if settings.language == "auto" else settings.language),
            hot_words=merged(self.hot_words, hot_words),
            convert_numbers=self.numerals or settings.convert_numbers,
            speakers=0 if self.diarize and settings.speaker_model else None,
        )

    def options(self, settings: Settings, hot_words: tuple[str, ...]) -> LiveOptions:
        """The same for a live session."""
        asked = self.endpointing
        own = asked is None or math.isinf(asked)
        return LiveOptions(self.recognition(settings, hot_words), None if own else endpoint(asked, settings))


def parse(items: Sequence[tuple[str, str]], *, live: bool) -> Query:
    """The parameters of a query, in any order, some of them repeated.

    Raises:
        QueryError: one of ours is malformed or asks for what there is not.
    """
    values: dict[str, list[str]] = {}
    for name, value in items:
        values.setdefault(name.lower(), []).append(value)
    code = _one(values, "language").lower()
    smart = _flag(values, "smart_format")
    return Query(
        sound=_sound(values) if live else None,
        language="en" if language_of(code) == "en" else None,
        multilingual=code == "multi" or _flag(values, "detect_language"),
        interim=_flag(values, "interim_results"),
        endpointing=_endpointing(values),
        utterance_end=_utterance_end(values),
        vad_events=_flag(values, "vad_events"),
        punctuate=smart or _flag(values, "punctuate") or _flag(values, "dictation"),
        numerals=smart or _flag(values, "numerals"),
        hot_words=hot_words([*values.get("keyterm", ()), *map(_unboosted, values.get("keywords", ()))]),
        utterances=_flag(values, "utterances"),
        diarize=not live and _flag(values, "diarize"),
    )


def hot_words(terms: Sequence[str]) -> tuple[str, ...]:
    """Key terms as hot words; what cannot be one is passed over."""
    stripped = (term.strip() for term in terms)
    return merged(term for term in stripped if term and len(term) <= MAX_LENGTH and term.isprintable())


def _sound(values: dict[str, list[str]]) -> Sound | None:
    name = _one(values, "encoding").lower()
    if not name or name in _CONTAINED:
        return None
    encoding = _ENCODINGS.get(name)
    if encoding is None:
        raise QueryError(
            f"encoding={name[:30]} is not taken live; use {', '.join((*_ENCODINGS, *_CONTAINED))}, or leave it out and "
            "send a file, such as WebM or MP3"
        )
    rate = _number(values, "sample_rate")
    if rate is None and name in _TELEPHONE:
        rate = 8000
    if rate is None or not MIN_RATE <= rate <= MAX_RATE:
        raise QueryError(f"encoding={name} needs a sample_rate from {MIN_RATE} to {MAX_RATE}")
    channels = _number(values, "channels") or 1
    if not 1 <= channels <= MAX_CHANNELS:
        raise QueryError(f"channels must be from 1 to {MAX_CHANNELS}")
    return Sound(int(rate), encoding, int(channels))


def _endpointing(values: dict[str, list[str]]) -> Seconds | None:
    text = _one(values, "endpointing").lower()
    if text == "false":
        return math.inf
    if text in ("", "true"):
        return None
    milliseconds = _number(values, "endpointing")
    return None if milliseconds is None else max(SHORTEST_ENDPOINT, milliseconds / 1000)


def _utterance_end(values: dict[str, list[str]]) -> Seconds | None:
    milliseconds = _number(values, "utterance_end_ms")
    return None if milliseconds is None else max(SHORTEST_UTTERANCE_END, milliseconds / 1000)


def _number(values: dict[str, list[str]], name: str) -> float | None:
    text = _one(values, name)
    if not text or text.lower() in ("true", "false"):
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1e9:
        raise QueryError(f"{name} must be a number of at least 0, got {text[:30]!r}")
    return number


def _flag(values: dict[str, list[str]], name: str) -> bool:
    return _one(values, name).lower() in ("true", "1")


def _one(values: dict[str, list[str]], name: str) -> str:
    return values.get(name, [""])[-1].strip()


def _unboosted(keyword: str) -> str:
    """`word:2` and `word:-1.5` without their boost."""
    word, _, boost = keyword.rpartition(":")
    try:
        float(boost)
    except ValueError:
        return keyword
    return word
