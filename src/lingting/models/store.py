"""What is installed: a folder per model."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lingting.errors import ModelError
from lingting.models import own, record
from lingting.models.catalogue import Catalogue, Model, ModelFile, catalogue
from lingting.models.watch import SILENT, Watch

WORK = ".store"
"""Folder beside the models for locks, downloads that are not complete, and what is remembered about models."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CHUNK = 1 << 20


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

    @property
    def work(self) -> Path:
        """The folder for locks and unfinished downloads; it need not exist."""
        return self.root / WORK

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
            raise ModelError(f"the model {name} is not installed; install it with: lingting models pull {name}")
        if model is None:
            return folder
        for file in self._files(folder, model):
            actual = folder / file.path
            if not actual.is_file() or actual.stat().st_size != file.bytes:
                raise damaged(name, folder, f"{file.path} is missing or has the wrong size")
        for path in model.roles.values():
            if not (folder / path).exists():
                raise damaged(name, folder, f"{path} is missing")
        return folder

    def describe(self, name: str) -> Model:
        """What there is to know of a model: from the catalogue, or of a folder of the operator's own, from its files.

        Raises:
            ModelError: there is no such model, or its files do not say what it is.
        """
        return self.catalogue.models.get(name) or own.describe(self.path(name))

    def verify(self, name: str, watch: Watch = SILENT) -> Path:
        """Read every file of an installed model and compare its digest with the catalogue's, or with what was unpacked.

        Raises:
            ModelError: the model is absent, damaged, unreadable, or nothing is known that it could be compared with.
        """
        folder = self.path(name)
        if name not in self.catalogue.models:
            raise ModelError(
                f"{name} is a model of your own, so there is no digest to compare it with; "
                f"whether it works is told by: lingting models check {name}"
            )
        files = self._files(folder, self.catalogue.find(name))
        if not files:
            raise ModelError(
                f"nothing is known of the digests of {name} in {folder}, which was not unpacked by this command; "
                f"install it anew with: lingting models remove {name} && lingting models pull {name}"
            )
        watch.begin(f"verifying {name}", sum(file.bytes for file in files))
        for file in files:
            try:
                actual = digest(folder / file.path, watch)
            except OSError as error:
                raise ModelError(f"cannot read {error.filename}: {error.strerror}") from error
            if actual != file.sha256:
                raise damaged(name, folder, f"the digest of {file.path} is wrong")
        return folder

    def partial(self, name: str) -> Path:
        """Where downloads of a model grow, each under its digest; what is there after an interruption is used."""
        return self.work / "partial" / name

    def remove(self, name: str) -> Path:
        """Delete an installed model, or what an interrupted download left of one.

        Raises:
            ModelError: it is not there, a running server uses it, or it cannot be deleted.
        """
        folder = self.folder(name)
        if not folder.is_dir():
            if not self.partial(name).is_dir():
                raise ModelError(f"the model {name} is not installed in {self.root}")
            shutil.rmtree(self.partial(name), ignore_errors=True)
            return folder
        try:
            descriptor = _lock(folder, fcntl.LOCK_EX)
        except BlockingIOError as error:
            raise ModelError(
                f"the model {name} is in use by a running server; stop the server first, or let it use another one"
            ) from error
        try:
            if folder.is_symlink():
                folder.unlink()
            else:
                shutil.rmtree(folder)
        except OSError as error:
            raise ModelError(f"cannot delete {error.filename}: {error.strerror}") from error
        finally:
            os.close(descriptor)
        return folder

    @contextmanager
    def hold(self, name: str) -> Iterator[Path]:
        """The folder of an installed model, which cannot be removed inside the block, by no process.

        The system gives the hold up when the process ends, however it ends. Any number may hold a model.

        Raises:
            ModelError: the model is absent or damaged, or is just being removed.
        """
        folder = self.path(name)
        try:
            descriptor = _lock(folder, fcntl.LOCK_SH)
        except BlockingIOError as error:
            raise ModelError(f"the model {name} is just being removed; start again when that is done") from error
        try:
            yield folder
        finally:
            os.close(descriptor)

    def size(self, name: str) -> int:
        """Bytes on disk of the model of that name; where it is not installed, bytes to fetch."""
        folder = self.folder(name)
        if not folder.is_dir():
            return self.catalogue.find(name).bytes
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def _files(self, folder: Path, model: Model) -> tuple[ModelFile, ...]:
        """What its files must be: as they were unpacked, else as the catalogue says."""
        written = record.read(folder) if model.archive else None
        return written.files if written else model.files


def damaged(name: str, folder: Path, what: str) -> ModelError:
    """The error of an installed model that is not whole."""
    return ModelError(f"the model {name} in {folder} is damaged ({what}); mend it with: lingting models pull {name}")


def digest(path: Path, watch: Watch = SILENT) -> str:
    """SHA-256 of a file, in hexadecimal."""
    result = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            result.update(chunk)
            watch.advance(len(chunk))
    return result.hexdigest()


def _lock(folder: Path, how: int) -> int:
    """Lock a folder without waiting, until the descriptor is closed; file systems that cannot lock let everyone in.

    Raises:
        BlockingIOError: another process has it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        pass
    return descriptor
