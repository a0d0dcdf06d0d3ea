"""A small model to install: its bytes, its catalogue entry, and watches that tell what they were told."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from pathlib import Path

from lingting.models import Archive, Catalogue, Model, ModelFile, Store, Watch

WEIGHTS = random.Random(0).randbytes(1_024_000)
CONFIG = b"{}"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def store(tmp_path: Path, *models: Model) -> Store:
    return Store(tmp_path / "models", Catalogue({model.name: model for model in models or (packaged(),)}))


def packaged() -> Model:
    """It comes in two Python packages."""
    weights = ModelFile(
        path="model.bin",
        bytes=len(WEIGHTS),
        sha256=sha256(WEIGHTS),
        parts=("small_part1:data/model.bin.part1", "small_part2:data/model.bin.part2"),
    )
    config = ModelFile(path="config.json", bytes=2, sha256=sha256(CONFIG), parts=("small_part1:data/config.json",))
    return Model(name="small", engine="whisper-ctranslate2", files=(weights, config))


def downloaded(*sources: str) -> Model:
    """It is fetched file by file."""
    files = tuple(
        ModelFile(path=path, bytes=len(content), sha256=sha256(content))
        for path, content in (("config.json", CONFIG), ("model.bin", WEIGHTS))
    )
    return Model(name="small", engine="whisper-ctranslate2", sources=sources, files=files)


def bundle(files: dict[str, bytes], compression: str = "bz2") -> bytes:
    """A tar archive."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode=f"w:{compression}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return output.getvalue()


PUBLISHED = {
    "top/model.int8.onnx": WEIGHTS,
    "top/tokens.txt": b"a 0\n",
    "top/tokenizer/vocab.json": b"{}",
    "top/LICENSE": b"Apache-2.0",
    "top/test_wavs/0.wav": b"sound",
    "top/model.onnx": b"float32",
}
KEPT = ["LICENSE", "model.int8.onnx", "tokenizer/vocab.json", "tokens.txt"]


def archived(content: bytes, *urls: str) -> Model:
    """It is fetched in an archive."""
    archive = Archive(urls=urls, folder="top", bytes=len(content), sha256=sha256(content), unpacked=len(WEIGHTS) + 100)
    roles = {"model": "model.int8.onnx", "tokens": "tokens.txt", "tokenizer": "tokenizer"}
    return Model(name="small", engine="sense_voice", roles=roles, archive=archive)


def files_of(folder: Path) -> list[str]:
    """Paths of all files that are not hidden."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )


def nothing_is_there(of: Store) -> bool:
    """Neither the model nor a half-written folder; what was downloaded of it may be kept."""
    left = {path.relative_to(of.root).parts[:2] for path in of.root.rglob("*")} if of.root.exists() else set()
    made = [path for path in (of.work / "new", of.work / "old") if path.exists() and any(path.iterdir())]
    return not made and {part[0] for part in left} <= {".store"}


class Told(Watch):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int, int]] = []
        self.advanced = 0

    def begin(self, what: str, total: int, done: int = 0) -> None:
        self.begun.append((what, total, done))

    def advance(self, count: int) -> None:
        self.advanced += count
