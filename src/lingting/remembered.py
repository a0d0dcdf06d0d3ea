"""What ran at the last start of the server, so that a change is told and not only felt."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_FILE = "language_model"


def last_language_model(data_dir: Path) -> str:
    """The language model of the second pass at the last start; empty where none is known."""
    with suppress(OSError, UnicodeDecodeError):
        return (data_dir / _FILE).read_text(encoding="utf-8").strip()
    return ""


def remember_language_model(data_dir: Path, name: str) -> None:
    """Keep the name for the next start; where the folder cannot be written, nothing is kept."""
    with suppress(OSError):
        if last_language_model(data_dir) != name:
            (data_dir / _FILE).write_text(f"{name}\n", encoding="utf-8")
