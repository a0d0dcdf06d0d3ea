"""A Whisper model without the tokens that Chinese and English never need.

Each step of the decoder gives a score to every token it could write, and reads a vector for each: of the 51,865 tokens
of a multilingual model most are words of other languages. Those that Chinese and English need are in `tokens.txt`
(made by `scripts/whisper/tokens.py`); with only these a step of Whisper base takes 0.6 to 0.75 times the time. What is
left out can still be written, in shorter pieces: every single byte is a token.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lingting.errors import ModelError

_FORMAT = 6
"""Of CTranslate2's `model.bin`: version, name and revision of the specification; variables, each with name, shape, type
and bytes; other names of variables. Numbers are little-endian, names end in a zero that their length counts."""


@cache
def used_tokens() -> frozenset[str]:
    """The text tokens that Chinese and English need, as a tokenizer spells them."""
    text = resources.files(__package__).joinpath("tokens.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("# "))


@contextmanager
def trimmed(folder: Path, kept: Sequence[int]) -> Iterator[Path]:
    """A model in CTranslate2's format with only the tokens `kept`, which are numbered anew in that order: a folder that
    is there while the context is open. It lies in memory where the system has files there, its weights without a name,
    so that a kill leaves nothing large behind and nothing is written to a disk.

    Args:
        kept: ids of tokens, ascending.

    Raises:
        ModelError: a file is missing, or is none that is known.
    """
    with tempfile.TemporaryDirectory(prefix="lingting-", dir=_in_memory()) as scratch, _nameless_file() as weights:
        place = Path(scratch)
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            tokens = _tokens(folder)
            number = {token: number for number, token in enumerate(kept)}
            for name in ("lang_ids", "suppress_ids", "suppress_ids_begin"):
                if name in config:
                    config[name] = [number[token] for token in config[name] if token in number]
            (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
            (place / "vocabulary.json").write_text(json.dumps([tokens[token] for token in kept]), encoding="utf-8")
            weights.writelines(_weights(folder / "model.bin", len(tokens), np.asarray(kept)))
        except (OSError, ValueError, LookupError, TypeError, struct.error) as error:
            raise ModelError(f"the model in {folder} cannot be loaded: {error}") from error
        weights.seek(0)
        (place / "model.bin").symlink_to(f"/dev/fd/{weights.fileno()}")
        yield place


def _in_memory() -> str | None:
    """The folder of files in memory; None where the system has none."""
    folder = "/dev/shm"  # noqa: S108 - a folder of its own is made in it
    return folder if os.access(folder, os.W_OK) else None


def _nameless_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("lingting-model"), "w+b")
    return tempfile.TemporaryFile()


def _tokens(folder: Path) -> list[str]:
    listed = folder / "vocabulary.json"
    if listed.exists():
        return [str(token) for token in json.loads(listed.read_text(encoding="utf-8"))]
    return (folder / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _weights(file: Path, tokens: int, kept: NDArray[np.int64]) -> Iterator[bytes | memoryview]:
    """The parts of a `model.bin` of so many tokens, of which only some are kept."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        version = struct.unpack_from("<I", mapped)[0]
        if version != _FORMAT:
            raise ValueError(f"model.bin has format {version} and not {_FORMAT}: convert it with CTranslate2 4")
        at = _behind_name(mapped, 4) + 4
        (count,) = struct.unpack_from("<I", mapped, at)
        at += 4
        yield mapped[:at]
        for _ in range(count):
            named = _behind_name(mapped, at)
            rank = mapped[named]
            shape = struct.unpack_from(f"<{rank}I", mapped, named + 1)
            kind, size = struct.unpack_from("<BI", mapped, named + 1 + 4 * rank)
            first = named + 6 + 4 * rank
            whole = mapped[first : first + size]
            if shape and shape[0] == tokens:
                rows = np.frombuffer(whole, np.uint8).reshape(tokens, -1)[kept]
                shape, whole = (len(kept), *shape[1:]), rows.tobytes()
            yield mapped[at : named + 1] + struct.pack(f"<{rank}IBI", *shape, kind, len(whole)) + whole
            at = first + size
        yield mapped[at:]


def _behind_name(mapped: mmap.mmap, at: int) -> int:
    return at + 2 + int(struct.unpack_from("<H", mapped, at)[0])
