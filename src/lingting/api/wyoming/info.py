"""What `describe` is answered with."""

from __future__ import annotations

from typing import Any

from lingting import __version__
from lingting.api.wyoming.events import Event
from lingting.settings import Settings

LANGUAGES = ("zh", "zh-CN", "zh-TW", "zh-HK", "en", "en-US", "en-GB")
"""Home Assistant matches languages as locales, and greys out an engine that has not its own."""

_ATTRIBUTION = {"name": "Lingting", "url": "https://pypi.org/project/lingting/"}


def info(settings: Settings) -> Event:
    """The server and its model."""
    model = {
        "name": settings.model,
        "description": f"{settings.model}, Chinese and English",
        "version": __version__,
        "installed": True,
        "attribution": _ATTRIBUTION,
        "languages": list(LANGUAGES),
    }
    program: dict[str, Any] = {
        "name": "lingting",
        "description": "Lingting: speech recognition for Chinese and English",
        "version": __version__,
        "installed": True,
        "attribution": _ATTRIBUTION,
        "models": [model],
        "supports_transcript_streaming": True,
        "requires_external_vad": not settings.wyoming_ends_turns,
        "prefers_auto_gain_enabled": True,
        "prefers_noise_reduction_enabled": True,
    }
    others: dict[str, list[Any]] = {name: [] for name in ("tts", "handle", "intent", "wake", "mic", "snd")}
    return Event("info", {"asr": [program], **others})
