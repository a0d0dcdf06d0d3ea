"""What is installed: a folder per model."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lingting.errors import ModelError
from lingting.models.catalogue import Catalogue, Model, catalogue

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CHUNK = 1 << 20

Progress = Callable[[int], None]
"""Is told how many more bytes are done."""


@dataclass(frozen=True, slots=True)
class Store:
    """The models under a folder. A folder that is not in the catalogue is a model of the operator's own.

    Attributes:
        root: the folder; it need not exist.
        catalogue: the models that are known.
    """

    root: Path
    catalogue: Catalogue

    @classmethod
    def at(cls, root: Path) -> Store:
        """The store in that folder with the packaged catalogue."""
        return cls(root, catalogue())

    def folder(self, name: str) -> Path:
        """Where the model of that name lies or would lie.

        Raises:
            ModelError: the name cannot be that of a folder.
        """
        if not _NAME.fullmatch(name):
            raise ModelError(f"{name!r} cannot be the name of a model; `lingting models list` shows the models")
        return self.root / name

    def installed(self) -> list[str]:
        """Names of the models that are there, in alphabetical order."""
        if not self.root.is_dir():
            return []
        return sorted(entry.name for entry in self.root.iterdir() if entry.is_dir() and _NAME.fullmatch(entry.name))

    def path(self, name: str) -> Path:
        """The folder of an installed model; sizes are checked, digests are not (see `verify`).

        Raises:
            ModelError: the model is absent or damaged; the message names the command that mends it.
        """
        folder = self.folder(name)
        model = self.catalogue.models.get(name)
        if not folder.is_dir():
            if model is None:
                raise ModelError(
                    f"there is no model {name!r} in {self.root}; "
                    "`lingting models list` shows those that can be installed"
                )
            raise ModelError(f"the model {name} is not installed; install it with: lingting models install {name}")
        for file in model.files if model else ():
            actual = folder / file.path
            if not actual.is_file() or actual.stat().st_size != file.bytes:
                raise damaged(name, folder, f"{file.path} is missing or has the wrong size")
        return folder

    def verify(self, name: str, progress: Progress = lambda _: None) -> Path:
        """Read every file of an installed model and compare its digest with the catalogue's.

        Raises:
            ModelError: the model is absent, damaged, unreadable or not in the catalogue.
        """
        folder = self.path(name)
        for file in self.catalogue.find(name).files:
            try:
                actual = digest(folder / file.path, progress)
            except OSError as error:
                raise ModelError(f"cannot read {error.filename}: {error.strerror}") from error
            if actual != file.sha256:
                raise damaged(name, folder, f"the digest of {file.path} is wrong")
        return folder

    def remove(self, name: str) -> Path:
        """Delete an installed model.

        Raises:
            ModelError: it is not there or cannot be deleted.
        """
        folder = self.folder(name)
        if not folder.is_dir():
            raise ModelError(f"the model {name} is not installed in {self.root}")
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise ModelError(f"cannot delete {error.filename}: {error.strerror}") from error
        return folder

    def size(self, name: str) -> int:
        """Bytes that the model of that name takes, or would take."""
        model: Model | None = self.catalogue.models.get(name)
        if model:
            return model.bytes
        return sum(path.stat().st_size for path in self.folder(name).rglob("*") if path.is_file())


def damaged(name: str, folder: Path, what: str) -> ModelError:
    """The error of an installed model that is not whole."""
    return ModelError(f"the model {name} in {folder} is damaged ({what}); mend it with: lingting models install {name}")


def digest(path: Path, progress: Progress = lambda _: None) -> str:
    """SHA-256 of a file, in hexadecimal."""
    result = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            result.update(chunk)
            progress(len(chunk))
    return result.hexdigest()
