"""The sample recording that comes with the package, and the requests made of it that the first start shows."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import wave
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lingting.errors import SettingsError

TEXT = "购买汽车并不一定是更好的解决问题的办法"
"""What is said in the sample: clip BAC009S0150W0320 of AISHELL-1 (Apache-2.0), 5.8 seconds."""

_EXCERPT = slice(8_000, 35_200)
_EXCERPT_TEXT = "购买汽车并不"

PACKET_BYTES = 32_000
FILE_ID = "sample0000000000"
STREAM_ID = "samplestream0000"


def write(folder: Path) -> Path:
    """Put the sample and its requests into `folder`, where they are not there already, and return it.

    `sample.wav` and `sample.pcm` are 16 kHz 16-bit mono; `file.json` is a body of file_recognize, `stream-0.json` and
    so on are the packets of one stream, a second of audio each.

    Raises:
        SettingsError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents().items():
            _write(folder / name, content)
    except OSError as error:
        raise SettingsError(
            f"cannot write {error.filename or folder}: {error.strerror}; LINGTING_DATA_DIR names another data folder"
        ) from error
    return folder


def excerpt() -> tuple[NDArray[np.float32], str]:
    """The first words of the sample, shape (27200,), float32 at 16 kHz, and what is said in them."""
    return whole()[0][_EXCERPT], _EXCERPT_TEXT


def whole() -> tuple[NDArray[np.float32], str]:
    """The sample, shape (n,), float32 at 16 kHz, and what is said in it."""
    return np.frombuffer(_pcm(), "<i2").astype(np.float32) * np.float32(1 / 32768), TEXT


def contents() -> dict[str, bytes]:
    """The sample's files by name."""
    source, pcm = files("lingting.samples").joinpath("sample.wav"), _pcm()
    result = {"sample.wav": source.read_bytes(), "sample.pcm": pcm, "file.json": _json(_file_request(pcm))}
    packets = [pcm[start : start + PACKET_BYTES] for start in range(0, len(pcm), PACKET_BYTES)]
    for number, packet in enumerate(packets):
        action = 1 if number == 0 else 2 if number == len(packets) - 1 else 0
        result[f"stream-{number}.json"] = _json(_stream_request(packet, number, action))
    return result


def _pcm() -> bytes:
    with as_file(files("lingting.samples").joinpath("sample.wav")) as path, wave.open(str(path), "rb") as recording:
        return recording.readframes(recording.getnframes())


def _file_request(pcm: bytes) -> dict[str, object]:
    return {
        "speech": {"speech": base64.b64encode(pcm).decode()},
        "config": {"file_id": FILE_ID, "format": "pcm", "engine_type": "16k_auto"},
    }


def _stream_request(pcm: bytes, number: int, action: int) -> dict[str, object]:
    config = {"stream_id": STREAM_ID, "sequence_id": number, "action": action}
    return {
        "speech": {"speech": base64.b64encode(pcm).decode()},
        "config": {**config, "format": "pcm", "engine_type": "16k_auto"},
    }


def _json(value: dict[str, object]) -> bytes:
    return json.dumps(value).encode()


def _write(path: Path, content: bytes) -> None:
    if path.is_file() and path.stat().st_size == len(content):
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as output:
            output.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
