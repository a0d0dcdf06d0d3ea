"""Lingting (聆听): self-hosted Chinese and English speech recognition."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lingting.domain import Sentence, Transcript, Word
    from lingting.transcriber import Stream, Transcriber, Update
    from lingting.transcriber.asynchronous import AsyncTranscriber

__all__ = [
    "AsyncTranscriber",
    "Sentence",
    "Stream",
    "Transcriber",
    "Transcript",
    "Update",
    "Word",
    "__version__",
]

try:
    __version__ = version("lingting")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0.0.0"

_FOUND_IN = {
    "AsyncTranscriber": "lingting.transcriber.asynchronous",
    "Sentence": "lingting.domain",
    "Stream": "lingting.transcriber",
    "Transcriber": "lingting.transcriber",
    "Transcript": "lingting.domain",
    "Update": "lingting.transcriber",
    "Word": "lingting.domain",
}


def __getattr__(name: str) -> Any:
    """The library's names, imported when they are first used, so that `import lingting` stays quick."""
    if name not in _FOUND_IN:
        raise AttributeError(f"module 'lingting' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_FOUND_IN[name]), name)


def __dir__() -> list[str]:
    """The library's names first of all, whether or not they are imported yet."""
    return sorted({*globals(), *__all__})
