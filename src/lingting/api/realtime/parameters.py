"""What a session of OpenAI's Realtime interface is asked to do, checked field by field, in both of its shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lingting.api.openai.errors import ParameterError
from lingting.api.openai.parameters import language_of, terms
from lingting.api.sockets.endpoints import endpoint
from lingting.api.sockets.live import LiveOptions
from lingting.api.sockets.sound import Encoding, Sound
from lingting.domain import Language, RecognitionOptions
from lingting.hot_words import MAX_LENGTH, merged
from lingting.recognition.endpoint import EndpointConfig
from lingting.served_models import ServedModels
from lingting.settings import Settings

RATES = (8_000, 16_000, 24_000, 48_000)
DEFAULT_RATE = 24_000
EAGERNESS_SECONDS = {"low": 2.0, "medium": 1.0, "high": 0.6, "auto": 1.0}
"""Silence that ends a turn of `semantic_vad`, which waits at most 8, 4 and 2 s at OpenAI."""

_G711: dict[str, Encoding] = {"audio/pcmu": "mulaw", "audio/pcma": "alaw"}
_BETA_FORMATS: dict[str, dict[str, Any]] = {
    "pcm16": {"type": "audio/pcm", "rate": DEFAULT_RATE},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
_BETA_FIELDS = {
    "input_audio_format": "format",
    "input_audio_transcription": "transcription",
    "input_audio_noise_reduction": "noise_reduction",
    "turn_detection": "turn_detection",
}
_INPUT = "session.audio.input"
MODEL = f"{_INPUT}.transcription.model"
_THEIR_NAMES = re.compile(r"whisper-1$|(chat)?gpt-")


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """The settings of a session, as they are echoed.

    Attributes:
        format: the sample format of what is appended.
        transcription: model, language, prompt and whatever else the client wrote there.
        noise_reduction: kept and echoed, not applied.
        turn_detection: when a turn ends; None leaves it to the client's commits.
        include: kept and echoed.
    """

    format: Mapping[str, Any]
    transcription: Mapping[str, Any]
    noise_reduction: Mapping[str, Any] | None
    turn_detection: Mapping[str, Any] | None
    include: tuple[str, ...] | None = None

    @property
    def sound(self) -> Sound:
        """The sample format."""
        kind = self.format["type"]
        return Sound(8_000, _G711[kind]) if kind in _G711 else Sound(self.format["rate"])

    def options(self, settings: Settings, hot_words: tuple[str, ...]) -> LiveOptions:
        """How what is said is recognised; `hot_words` are the caller's own."""
        asked = self.transcription
        words = (*_keywords(asked), *terms(asked.get("prompt") or ""))
        recognition = RecognitionOptions(
            language=_language(asked) or (None if settings.language == "auto" else settings.language),
            hot_words=merged(words, hot_words),
            convert_numbers=settings.convert_numbers,
            timestamps=False,
        )
        return LiveOptions(recognition, self._endpoint(settings))

    def _endpoint(self, settings: Settings) -> EndpointConfig | None:
        turns = self.turn_detection
        if turns is None:
            return endpoint(None, settings)
        if turns["type"] == "semantic_vad":
            return endpoint(EAGERNESS_SECONDS[turns["eagerness"]], settings)
        return endpoint(turns["silence_duration_ms"] / 1000, settings)


def default_config(settings: Settings, model: str = "") -> SessionConfig:
    """What a session does before it is told anything; `model` is what the client calls the model, empty for nothing."""
    return SessionConfig(
        format={"type": "audio/pcm", "rate": DEFAULT_RATE},
        transcription={"model": model},
        noise_reduction=None,
        turn_detection=_turns({"type": "server_vad"}, settings),
    )


def asked_model(config: SessionConfig, served: ServedModels) -> str:
    """The name of the model that is asked for; empty where none is, or one of OpenAI's own, which stand for ours."""
    name = config.transcription.get("model") or ""
    return "" if _THEIR_NAMES.match(name) and served.find(name) is None else name


def named(config: SessionConfig, model: str) -> SessionConfig:
    """The settings with the model named that answers, where the client calls it nothing."""
    if config.transcription.get("model"):
        return config
    return replace(config, transcription={**config.transcription, "model": model})


def updated(config: SessionConfig, session: Any, settings: Settings) -> SessionConfig:
    """The settings after an update, of which only the fields that are there count.

    Raises:
        ParameterError: a field is refused; nothing changes.
    """
    if not isinstance(session, Mapping):
        raise ParameterError("session must be an object", "session")
    if session.get("type", "transcription") != "transcription":
        raise ParameterError(
            f"this server only transcribes: session.type must be 'transcription', got {_shown(session['type'])}",
            "session.type",
        )
    given = _input(session)
    changes: dict[str, Any] = {}
    if "format" in given:
        changes["format"] = _format(given["format"])
    if "transcription" in given:
        changes["transcription"] = _transcription(given["transcription"], config, settings)
    if "noise_reduction" in given:
        changes["noise_reduction"] = _object(given["noise_reduction"], f"{_INPUT}.noise_reduction")
    if "turn_detection" in given:
        changes["turn_detection"] = _turns(given["turn_detection"], settings)
    if "include" in session:
        changes["include"] = _include(session["include"])
    return replace(config, **changes)


def ga_session(config: SessionConfig) -> dict[str, Any]:
    """The settings as the newer shape says them."""
    return {
        "type": "transcription",
        "audio": {
            "input": {
                "format": dict(config.format),
                "transcription": dict(config.transcription),
                "noise_reduction": config.noise_reduction,
                "turn_detection": config.turn_detection,
            }
        },
        "include": config.include,
    }


def beta_session(config: SessionConfig) -> dict[str, Any]:
    """The settings as the beta says them."""
    return {
        "input_audio_format": next(
            (name for name, known in _BETA_FORMATS.items() if known == dict(config.format)), "pcm16"
        ),
        "input_audio_transcription": dict(config.transcription),
        "input_audio_noise_reduction": config.noise_reduction,
        "turn_detection": config.turn_detection,
        "include": config.include,
    }


def _input(session: Mapping[str, Any]) -> dict[str, Any]:
    """What is said about the sound that comes in, by the names of the newer shape."""
    audio = session.get("audio")
    if audio is None:
        return {
            name: _BETA_FORMATS.get(session[beta], session[beta])
            if name == "format" and isinstance(session[beta], str)
            else session[beta]
            for beta, name in _BETA_FIELDS.items()
            if beta in session
        }
    given = audio.get("input", {}) if isinstance(audio, Mapping) else None
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ParameterError(f"{_INPUT} must be an object", _INPUT)
    return dict(given)


def _format(given: Any) -> Mapping[str, Any]:
    param = f"{_INPUT}.format"
    if given is None:
        return _BETA_FORMATS["pcm16"]
    kind = given.get("type") if isinstance(given, Mapping) else None
    if isinstance(kind, str) and kind in _G711:
        return {"type": kind}
    if kind != "audio/pcm":
        raise ParameterError(f"format must be of type audio/pcm, audio/pcmu or audio/pcma, got {_shown(given)}", param)
    rate = given.get("rate")
    if rate is None:
        rate = DEFAULT_RATE
    if isinstance(rate, bool) or rate not in RATES:
        rates = ", ".join(map(str, RATES))
        raise ParameterError(f"the rate of audio/pcm must be one of {rates}, got {_shown(rate)}", f"{param}.rate")
    return {"type": "audio/pcm", "rate": int(rate)}


def _transcription(given: Any, config: SessionConfig, settings: Settings) -> Mapping[str, Any]:
    param = f"{_INPUT}.transcription"
    fields = _object(given, param)
    if fields is None:
        return default_config(settings).transcription
    for name in ("model", "language", "prompt"):
        if not isinstance(fields.get(name, ""), str | None):
            raise ParameterError(f"{name} must be a string, got {_shown(fields[name])}", f"{param}.{name}")
    for name in ("languages", "keywords"):
        values = fields.get(name)
        if values is not None and not (isinstance(values, list) and all(isinstance(value, str) for value in values)):
            raise ParameterError(f"{name} must be a list of strings, got {_shown(values)}", f"{param}.{name}")
    return {**config.transcription, **fields}


def _turns(given: Any, settings: Settings) -> Mapping[str, Any] | None:
    param = f"{_INPUT}.turn_detection"
    fields = _object(given, param)
    if fields is None:
        return None
    match fields.get("type", "server_vad"):
        case "server_vad":
            return {
                "type": "server_vad",
                "threshold": _number(fields, "threshold", 0.5, param),
                "prefix_padding_ms": _number(fields, "prefix_padding_ms", 300, param),
                "silence_duration_ms": _number(fields, "silence_duration_ms", settings.endpoint_silence_ms, param),
            }
        case "semantic_vad":
            eagerness = fields.get("eagerness") or "auto"
            if not isinstance(eagerness, str) or eagerness not in EAGERNESS_SECONDS:
                raise ParameterError(
                    f"eagerness must be low, medium, high or auto, got {_shown(eagerness)}", f"{param}.eagerness"
                )
            return {"type": "semantic_vad", "eagerness": eagerness}
    raise ParameterError(
        f"turn_detection must be of type server_vad or semantic_vad, or null, got {_shown(fields['type'])}",
        f"{param}.type",
    )


def _number(fields: Mapping[str, Any], name: str, default: float, param: str) -> float:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 3_600_000:
        raise ParameterError(f"{name} must be a number of at least 0, got {_shown(value)}", f"{param}.{name}")
    return value


def _include(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ParameterError(f"include must be a list of strings, got {_shown(given)}", "session.include")
    return tuple(given)


def _object(given: Any, param: str) -> dict[str, Any] | None:
    if given is not None and not isinstance(given, dict):
        raise ParameterError(f"{param.rpartition('.')[2]} must be an object or null, got {_shown(given)}", param)
    return given


def _language(asked: Mapping[str, Any]) -> Language | None:
    """The language that is asked for; None for others than ours, of which we hear what we can."""
    single = language_of(asked.get("language") or "")
    several = {language_of(text) for text in asked.get("languages") or ()}
    return single or (several.pop() if len(several) == 1 else None)


def _keywords(asked: Mapping[str, Any]) -> list[str]:
    words = (word.strip() for word in asked.get("keywords") or ())
    return [word for word in words if word and len(word) <= MAX_LENGTH and word.isprintable()]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
