"""Unpacks the wanted files of an archive, and nothing that could reach outside the folder or fill the disk."""

from __future__ import annotations

import bz2
import fnmatch
import gzip
import hashlib
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from lingting.errors import ModelError
from lingting.models.watch import SILENT, Watch

_CHUNK = 1 << 20
_SLACK = 1 << 20
_NOTES = ("LICENSE*", "LICENCE*", "NOTICE*", "README*", "COPYING*")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may hold.

    Attributes:
        entries: files and folders in it.
        bytes: of all its files together, unpacked.
        ratio: how many times its own size they may be together.
    """

    entries: int = 10_000
    bytes: int = 20_000_000_000
    ratio: int = 50


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A file that was unpacked.

    Attributes:
        path: in the target folder, with slashes.
        bytes, sha256: what it is.
    """

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of an archive: `content` is None for a folder, `odd` says what else it is if neither."""

    name: str
    size: int
    content: Callable[[], IO[bytes]] | None
    odd: str = ""


def unpack(
    archive: Path,
    folder: str,
    wanted: set[str],
    target: Path,
    *,
    watch: Watch = SILENT,
    limits: Limits = Limits(),
) -> list[Unpacked]:
    """Write the wanted files of a tar (plain, gzip, bzip2, xz) or zip into `target`, and tell what they are.

    Args:
        archive: the file.
        folder: the folder in it whose files are wanted; "" for the top.
        wanted: paths in that folder, of files and of whole folders. Licences and notes at its top are taken too.
        target: where they go; it must be there and empty.
        watch: is told of the bytes written.
        limits: what the archive may hold.

    Raises:
        ModelError: it is no archive, is damaged, or holds something that no model has; nothing of it should be used.
        OSError: `target` cannot be written.
    """
    done: list[Unpacked] = []
    most = min(limits.bytes, archive.stat().st_size * limits.ratio + _SLACK)
    total = 0
    with ExitStack() as stack:
        with _reading(archive):
            entries = stack.enter_context(_open(archive, most))
        for number, entry in enumerate(_each(archive, entries), 1):
            if number > limits.entries:
                raise _refused(archive, f"it has more than {limits.entries} entries")
            path = _inside(archive, entry.name, folder)
            total += entry.size
            if total > most:
                raise _bomb(archive, most)
            if path is None or not _is_wanted(path, wanted):
                continue
            if entry.odd:
                raise _refused(archive, f"{entry.name} is {entry.odd}")
            if entry.content is not None:
                done.append(_write(archive, entry, path, target, watch))
    return done


def _write(archive: Path, entry: _Entry, path: PurePosixPath, target: Path, watch: Watch) -> Unpacked:
    place = target / path
    assert entry.content is not None
    result = hashlib.sha256()
    written = 0
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        output = place.open("xb")
    except (FileExistsError, NotADirectoryError):
        raise _refused(archive, f"{entry.name} is in it twice") from None
    with output, ExitStack() as stack:
        with _reading(archive):
            source = stack.enter_context(entry.content())
        while chunk := _read(archive, source, min(_CHUNK, entry.size - written + 1)):
            written += len(chunk)
            if written > entry.size:
                break
            result.update(chunk)
            output.write(chunk)
            watch.advance(len(chunk))
        output.flush()
        os.fsync(output.fileno())
    if written != entry.size:
        raise _refused(archive, f"{entry.name} is not as long as it says")
    return Unpacked(path.as_posix(), written, result.hexdigest())


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Whatever the libraries raise over a damaged archive, which is more than they document, it is refused."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise _refused(archive, f"it is damaged: {error}") from error


def _each(archive: Path, entries: Iterator[_Entry]) -> Iterator[_Entry]:
    while True:
        with _reading(archive):
            entry = next(entries, None)
        if entry is None:
            return
        yield entry


def _read(archive: Path, source: IO[bytes], size: int) -> bytes:
    with _reading(archive):
        return source.read(size)


def _inside(archive: Path, name: str, folder: str) -> PurePosixPath | None:
    """The entry's path in the wanted folder, None if it is elsewhere in the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if not name or "\0" in name or path.is_absolute() or ".." in path.parts:
        raise _refused(archive, f"{name!r} leads outside")
    top = PurePosixPath(folder)
    return path.relative_to(top) if path.is_relative_to(top) else None


def _is_wanted(path: PurePosixPath, wanted: set[str]) -> bool:
    name = path.as_posix()
    if len(path.parts) == 1 and any(fnmatch.fnmatchcase(name.upper(), pattern) for pattern in _NOTES):
        return True
    return any(name == each or name.startswith(each + "/") for each in wanted)


@contextmanager
def _open(archive: Path, most: int) -> Iterator[Iterator[_Entry]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as source:
            yield _zip_entries(source)
    else:
        # read front to back, so that a header at the end costs no second pass and nothing is kept in memory
        with (
            _decompressed(archive) as stream,
            tarfile.open(fileobj=_Bounded(archive, stream, most), mode="r|") as bundle,
        ):
            yield _tar_entries(bundle)


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than `most` bytes, whatever the headers in it say."""

    def __init__(self, archive: Path, stream: IO[bytes], most: int) -> None:
        self._archive, self._stream, self._most = archive, stream, most
        self._left = most

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise _bomb(self._archive, self._most)
        return chunk


@contextmanager
def _decompressed(archive: Path) -> Iterator[IO[bytes]]:
    with archive.open("rb") as source:
        start = source.read(6)
        source.seek(0)
        if start.startswith(b"BZh"):
            with bz2.open(source) as stream:
                yield stream
        elif start.startswith(b"\x1f\x8b"):
            with gzip.open(source) as unzipped:
                yield cast("IO[bytes]", unzipped)
        elif start.startswith(b"\xfd7zXZ\0"):
            with lzma.open(source) as stream:
                yield stream
        else:
            yield source


def _tar_entries(bundle: tarfile.TarFile) -> Iterator[_Entry]:
    for member in bundle:
        if member.isdir():
            yield _Entry(member.name, 0, None)
        elif member.isreg() and not member.issparse():
            yield _Entry(member.name, member.size, _opener(bundle, member))
        else:
            odd = "a link" if member.issym() or member.islnk() else "neither a file nor a folder"
            yield _Entry(member.name, member.size, None, odd)


def _opener(bundle: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def content() -> IO[bytes]:
        opened = bundle.extractfile(member)
        assert opened is not None
        return opened

    return content


def _zip_entries(source: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in source.infolist():
        mode = info.external_attr >> 16
        if info.is_dir():
            yield _Entry(info.filename, 0, None)
        elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
            yield _Entry(info.filename, info.file_size, lambda info=info: source.open(info))  # type: ignore[misc]
        else:
            odd = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
            yield _Entry(info.filename, info.file_size, None, odd)


def _refused(archive: Path, why: str) -> ModelError:
    return ModelError(f"{archive.name} cannot be unpacked: {why}; nothing was installed")


def _bomb(archive: Path, most: int) -> ModelError:
    return _refused(archive, f"it unpacks to more than {most / 1e6:.0f} MB")
