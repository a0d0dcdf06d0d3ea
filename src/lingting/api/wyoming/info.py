"""What `describe` is answered with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lingting import __version__
from lingting.api.wyoming.events import Event
from lingting.settings import Settings

LANGUAGES = ("zh", "zh-CN", "zh-TW", "zh-HK", "en", "en-US", "en-GB")
"""Home Assistant matches languages as locales, and greys out an engine that has not its own."""

_ATTRIBUTION = {"name": "Lingting", "url": "https://pypi.org/project/lingting/"}


def info(settings: Settings, models: Sequence[str]) -> Event:
    """The server and its models, the default one first."""
    described = [
        {
            "name": name,
            "description": f"{name}, Chinese and English",
            "version": __version__,
            "installed": True,
            "attribution": _ATTRIBUTION,
            "languages": list(LANGUAGES),
        }
        for name in models
    ]
    program: dict[str, Any] = {
        "name": "lingting",
        "description": "Lingting: speech recognition for Chinese and English",
        "version": __version__,
        "installed": True,
        "attribution": _ATTRIBUTION,
        "models": described,
        "supports_transcript_streaming": True,
        "requires_external_vad": not settings.wyoming_ends_turns,
        "prefers_auto_gain_enabled": True,
        "prefers_noise_reduction_enabled": True,
    }
    others: dict[str, list[Any]] = {name: [] for name in ("tts", "handle", "intent", "wake", "mic", "snd")}
    return Event("info", {"asr": [program], **others})
