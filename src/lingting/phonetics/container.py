"""The file of the compact language model: named arrays behind a JSON header, mapped into memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingting.errors import ModelError

MAGIC = b"LTPHON01"
_ALIGNMENT = 16


def write(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `arrays` and the JSON-able `meta` to `path`; the same input gives the same bytes."""
    layout = {}
    offset = 0
    for name, array in arrays.items():
        layout[name] = {"dtype": array.dtype.str, "shape": array.shape, "offset": offset}
        offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    header = json.dumps({"meta": meta, "arrays": layout}, ensure_ascii=False).encode()
    header += b" " * (-(len(MAGIC) + 4 + len(header)) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(MAGIC + len(header).to_bytes(4, "little") + header)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).tobytes())
            file.write(bytes(-array.nbytes % _ALIGNMENT))


def read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The meta values and the arrays of a file; the arrays are read-only views of the mapped file.

    Raises:
        ModelError: the file is missing or damaged.
    """
    try:
        raw: NDArray[np.uint8] = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
        size = int.from_bytes(raw[len(MAGIC) : len(MAGIC) + 4].tobytes(), "little")
        if raw[: len(MAGIC)].tobytes() != MAGIC:
            raise ValueError("it does not start as such a file does")
        start = len(MAGIC) + 4 + size
        header = json.loads(raw[len(MAGIC) + 4 : start].tobytes())
        arrays: dict[str, NDArray[Any]] = {}
        for name, entry in header["arrays"].items():
            shape = tuple(entry["shape"])
            dtype = np.dtype(entry["dtype"])
            count = int(np.prod(shape))
            begin = start + entry["offset"]
            arrays[name] = raw[begin : begin + count * dtype.itemsize].view(dtype).reshape(shape)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"the phonetic model {path} cannot be read ({error}); install lingting again") from error
    return header["meta"], arrays
