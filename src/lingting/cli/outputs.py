"""What a batch of recordings reads and writes: found in folders, named without clashes, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lingting.errors import LingtingError

STDIN = "-"
RECORDINGS = (
    *(".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".aac", ".m4a", ".m4b", ".mp4", ".mpga", ".amr", ".webm"),
    *(".3ga", ".3gp", ".mka", ".mkv", ".mov", ".pcm"),
)
"""What counts as a recording in a folder; a file that is named is taken whatever it is called."""


class NotFound(LingtingError):
    """A recording or folder that was named is not there."""


@dataclass(frozen=True, slots=True)
class Source:
    """A recording and where its outputs go.

    Attributes:
        path: the file; None reads standard input.
        shown: what it is called in messages.
        outputs: a file for each format, in the order asked for; empty writes to standard output.
    """

    path: Path | None
    shown: str
    outputs: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the recording; 0 where they are not known."""
        try:
            return self.path.stat().st_size if self.path else 0
        except OSError:
            return 0

    @property
    def done(self) -> bool:
        """Whether all outputs are there and none is older than the recording."""
        if self.path is None or not self.outputs:
            return False
        try:
            recorded = self.path.stat().st_mtime
            return all(output.stat().st_mtime >= recorded for output in self.outputs)
        except OSError:
            return False


def plan(arguments: Sequence[str], formats: Sequence[str], folder: Path | None) -> list[Source]:
    """What to recognise, each recording once.

    One recording in one format without a `folder` goes to standard output. Otherwise outputs lie in `folder`, under
    the same sub-folders as below the argument, or else beside the recording. Recordings that differ only in their
    suffix keep it in the names of their outputs.

    Raises:
        NotFound: an argument is neither a file nor a folder nor `-`.
    """
    found: dict[Path | None, Path] = {}
    named_one = len(arguments) == 1
    for argument in arguments:
        if argument == STDIN:
            found.setdefault(None, Path("stdin"))
            continue
        path = Path(argument)
        if path.is_dir():
            named_one = False
            for recording in recordings(path):
                found.setdefault(recording, recording.relative_to(path))
        elif path.exists():
            found.setdefault(path, Path(path.name))
        else:
            raise NotFound(f"there is no file or folder {argument}")
    if folder is None and named_one and len(formats) == 1:
        return [Source(path, str(path or "standard input")) for path in found]
    targets = {path: _target(path, relative, folder) for path, relative in found.items()}
    stems = Counter(target.with_suffix("") for target in targets.values())
    return [
        Source(path, str(path or "standard input"), tuple(_named(target, form, stems) for form in formats))
        for path, target in targets.items()
    ]


def recordings(folder: Path) -> list[Path]:
    """The recordings below a folder in the order of their names; hidden files and folders are passed over."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in RECORDINGS:
                found.append(Path(parent) / name)
    return found


def write(path: Path, content: str) -> None:
    """Write a file whole or not at all, making its folder.

    Raises:
        LingtingError: it cannot be written.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as output:
            output.write(content)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        raise LingtingError(f"cannot write {path}: {error.strerror}; --output-dir names another folder") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def clashes(sources: Iterable[Source]) -> None:
    """Make sure that no two recordings write the same file.

    Raises:
        NotFound: two do, which happens when recordings of the same name come from several folders.
    """
    owners: dict[Path, Source] = {}
    for source in sources:
        for output in source.outputs:
            if output in owners:
                raise NotFound(f"{owners[output].shown} and {source.shown} would both write {output}; run them apart")
            owners[output] = source


def _target(path: Path | None, relative: Path, folder: Path | None) -> Path:
    if folder is not None:
        return folder / relative
    return path if path is not None else relative


def _named(target: Path, form: str, stems: Counter[Path]) -> Path:
    own = target.name if stems[target.with_suffix("")] > 1 else target.stem
    return target.with_name(f"{own}.{form}")


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
