"""The models that can be installed by name: what they are good for, where they come from, and every digest.

They are written down in `catalogue.toml`, for people to read.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from lingting.errors import ModelError


class ModelFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a model.

    Attributes:
        path: its path in the model's folder.
        bytes: its size.
        sha256: its digest, in hexadecimal.
        parts: `package:path` of the pieces that joined make the file, where Python packages carry it.
    """

    path: str
    bytes: int
    sha256: str
    parts: tuple[str, ...] = ()


class Archive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A download that holds all files of a model.

    Attributes:
        urls: where it is, in the order to try.
        folder: the folder inside that holds the files.
        bytes, sha256: of the archive.
        unpacked: about how many bytes the files take that are kept of it.
    """

    urls: tuple[str, ...]
    folder: str
    bytes: int
    sha256: str
    unpacked: int

    @property
    def filename(self) -> str:
        """The name under which it is published."""
        return self.urls[0].rsplit("/", 1)[-1]


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Accuracy as others measured it.

    Attributes:
        values: corpora and figures.
        source: who measured what, and how.
    """

    values: str
    source: str


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model: one that can be installed by name, or what a folder of the operator's own says of itself.

    Attributes:
        engine: the kind of loader, such as `whisper-ctranslate2` or `transducer-streaming`.
        description: what it is good for.
        languages: what it writes; empty where nobody says.
        licence: of its weights.
        memory_mb: about how much memory it needs, in MB; 0 where nobody knows.
        punctuates: whether its text has punctuation already.
        published: accuracy as others measured it.
        better: the model to take instead for Chinese and English, where its memory allows; empty where there is none.
        roles: which file or folder the loader takes for what, as paths in the model's folder.
        options: what the loader is told beside the files.
        sources: addresses of folders that hold `files`, in the order to try.
        files: its files, where they can be had one by one.
        archive: its files in one download.
    """

    name: str
    engine: str
    description: str = ""
    languages: tuple[str, ...] = ("zh", "en")
    licence: str = ""
    memory_mb: int = 0
    punctuates: bool = False
    published: Published | None = None
    better: str = ""
    roles: dict[str, str] = {}
    options: dict[str, str | int | float | bool] = {}
    sources: tuple[str, ...] = ()
    files: tuple[ModelFile, ...] = ()
    archive: Archive | None = None

    @property
    def bytes(self) -> int:
        """What is downloaded, or joined from packages, to install it."""
        sizes = [sum(file.bytes for file in self.files)] if self.files else []
        return min([*sizes, *([self.archive.bytes] if self.archive else [])], default=0)

    @property
    def embedded(self) -> bool:
        """Whether Python packages carry the model, so that installing it needs no network."""
        return bool(self.files) and all(file.parts for file in self.files)

    @property
    def streaming(self) -> bool:
        """Whether it listens along and writes while someone speaks, rather than a finished utterance."""
        return self.engine.endswith("-streaming")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All models that are known, by name."""

    models: dict[str, Model]

    def find(self, name: str) -> Model:
        """The model of that name.

        Raises:
            ModelError: there is none.
        """
        if name not in self.models:
            raise ModelError(f"unknown model {name!r}; `lingting models list` shows those that can be installed")
        return self.models[name]


@cache
def catalogue() -> Catalogue:
    """The catalogue that comes with the package."""
    content: dict[str, dict[str, Any]] = tomllib.loads(
        files("lingting.models").joinpath("catalogue.toml").read_text(encoding="utf-8")
    )
    return Catalogue({name: msgspec.convert({"name": name, **entry}, Model) for name, entry in content.items()})
