"""What was unpacked of an archive, written down in the model's folder, so that it can be verified later."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lingting.models.catalogue import ModelFile

NAME = ".lingting.json"


class Record(msgspec.Struct, frozen=True):
    """What an installed model was made of.

    Attributes:
        archive: SHA-256 of the archive that its files came from.
        files: its files as they were unpacked.
    """

    archive: str
    files: tuple[ModelFile, ...]


def read(folder: Path) -> Record | None:
    """The record in a model's folder; None if there is none, or it cannot be read."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None


def write(folder: Path, record: Record) -> None:
    """Put the record into a model's folder.

    Raises:
        OSError: it cannot be written.
    """
    (folder / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
