"""Raw PCM and plain WAV: what can be read without a decoder, in the server's own process."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lingting.audio.formats import PIPE_LENGTH, missing
from lingting.domain import SAMPLE_RATE, Samples, Seconds
from lingting.errors import AudioTooLong

TOLERANCE: Seconds = 0.1
"""How much longer than the limit audio may be: encoders pad their first and last frames."""

_HEADER_LIMIT = 64 * 1024


def pcm16_to_samples(data: bytes | bytearray | memoryview | NDArray[np.int16]) -> Samples:
    """16-bit samples, as an array of any shape or as little-endian bytes, as float32 in [-1, 1); half a sample at the
    end of bytes is dropped."""
    pcm = data if isinstance(data, np.ndarray) else np.frombuffer(data, "<i2", count=len(data) // 2)
    samples: Samples = pcm.astype(np.float32)
    samples *= np.float32(1 / 32768)
    return samples


def samples_to_pcm16(samples: Samples | NDArray[np.int16]) -> NDArray[np.int16]:
    """float32 in [-1, 1] as 16-bit samples, shape (n,); those that `pcm16_to_samples` made come back as they were.

    What is in 16 bits already is given back.
    """
    if samples.dtype == np.int16:
        return samples.astype(np.int16, copy=False)
    scaled: Samples = np.rint(samples * np.float32(32768))
    np.clip(scaled, -32768, 32767, out=scaled)
    return scaled.astype("<i2")


class PlainPcm(NamedTuple):
    """Where 16-bit mono samples at 16 kHz lie in a file.

    Attributes:
        offset: byte at which they begin.
        length: bytes of them, as far as the file reaches.
        missing: seconds of them that the file declares and does not hold.
    """

    offset: int
    length: int
    missing: Seconds = 0.0


def plain_pcm_range(file: BinaryIO) -> PlainPcm | None:
    """Where the samples lie in a 16 kHz mono 16-bit WAV file; None for any other file.

    A data length of 0 or of some 2 GB and more, as a writer to a pipe leaves it, means up to the end.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(_HEADER_LIMIT)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    plain = False
    position = 12
    while position + 8 <= len(head):
        name, length = head[position : position + 4], struct.unpack_from("<I", head, position + 4)[0]
        body = position + 8
        if name == b"fmt ":
            if length < 16 or body + 16 > len(head):
                return None
            plain = struct.unpack_from("<HHIIHH", head, body) == (1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
        elif name == b"data":
            if not plain:
                return None
            there = min(length or size, size - body)
            return PlainPcm(body, there, 0.0 if length >= PIPE_LENGTH else missing(there / 32_000, length / 32_000))
        position = body + length + length % 2
    return None


def too_long(max_seconds: Seconds) -> AudioTooLong:
    return AudioTooLong(f"the audio is longer than the limit of {max_seconds:g} seconds", max_seconds)
