"""What a FunASR client asks for in its text frames."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import msgspec

from lingting.api.sockets.live import LiveOptions
from lingting.api.sockets.sound import MAX_RATE, MIN_RATE
from lingting.domain import SAMPLE_RATE, Language, RecognitionOptions
from lingting.hot_words import MAX_LENGTH, merged
from lingting.settings import Settings

Mode: TypeAlias = Literal["2pass", "online", "offline"]
_MODES: dict[str, Mode] = {"2pass": "2pass", "online": "online", "offline": "offline"}
_LANGUAGES: dict[str, Language] = {"zh": "zh", "en": "en"}
_WEIGHTED = re.compile(r"^(.*\S)\s+-?\d+(\.\d+)?$")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for one input; each text frame may change some of it.

    Attributes:
        mode: which text is wanted: growing and then whole sentences, only growing, or only all of it at the end.
        name: echoed in every reply.
        container: the bytes are a file of this kind; empty for raw samples.
        rate: samples a second of raw samples.
        hot_words: names and terms to listen for.
        numerals: whether spoken numbers become digits.
        language: the language of all speech; None decides by sentence.
    """

    mode: Mode = "2pass"
    name: str = ""
    container: str = ""
    rate: int = SAMPLE_RATE
    hot_words: tuple[str, ...] = ()
    numerals: bool = True
    language: Language | None = None

    def options(self, settings: Settings, hot_words: tuple[str, ...]) -> LiveOptions:
        """How what is said is recognised; `hot_words` are the caller's own."""
        return LiveOptions(
            RecognitionOptions(
                language=self.language or (None if settings.language == "auto" else settings.language),
                hot_words=merged(self.hot_words, hot_words),
                convert_numbers=self.numerals or settings.convert_numbers,
            )
        )


def changed(asked: Asked, message: Mapping[str, Any]) -> Asked:
    """What is asked for after a text frame; fields that are absent, null or nonsense change nothing."""
    changes: dict[str, Any] = {}
    mode, name, form = message.get("mode"), message.get("wav_name"), message.get("wav_format")
    rate, words, itn = message.get("audio_fs"), message.get("hotwords"), message.get("itn")
    if isinstance(mode, str) and mode in _MODES:
        changes["mode"] = _MODES[mode]
    if isinstance(name, str):
        changes["name"] = name[:1000]
    if isinstance(form, str):
        changes["container"] = "" if form.lower() in ("", "pcm") else form.lower()[:20]
    if isinstance(rate, int) and not isinstance(rate, bool) and MIN_RATE <= rate <= MAX_RATE:
        changes["rate"] = rate
    if isinstance(words, str):
        changes["hot_words"] = hot_words(words)
    if isinstance(itn, bool):
        changes["numerals"] = itn
    if isinstance(message.get("svs_lang"), str):
        changes["language"] = _LANGUAGES.get(message["svs_lang"].lower())
    return replace(asked, **changes)


def hot_words(text: str) -> tuple[str, ...]:
    """The words of `hotwords`: a JSON object of word and weight, lines of the same, or words between commas or spaces.

    Weights are passed over, and so is what cannot be a hot word.
    """
    try:
        weighted = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        weighted = None
    if isinstance(weighted, dict):
        words = [str(word) for word in weighted]
    elif "\n" in text or _WEIGHTED.match(text.strip()):
        lines = (line.strip() for line in text.splitlines())
        words = [found[1] if (found := _WEIGHTED.match(line)) else line for line in lines]
    else:
        words = re.split(r"[,，]" if re.search(r"[,，]", text) else r"\s+", text)
    stripped = (word.strip() for word in words)
    return merged(word for word in stripped if word and len(word) <= MAX_LENGTH and word.isprintable())
