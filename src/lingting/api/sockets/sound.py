"""Bytes of sound as they come over a socket, made into samples: sample formats, rates, and samples cut in half."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

from lingting.audio.pcm import pcm16_to_samples
from lingting.domain import SAMPLE_RATE, Samples

Encoding: TypeAlias = Literal["s16", "f32", "mulaw", "alaw"]
_WIDTHS: dict[Encoding, int] = {"s16": 2, "f32": 4, "mulaw": 1, "alaw": 1}
MAX_CHANNELS = 8
MIN_RATE, MAX_RATE = 4_000, 192_000
_HEAD_BYTES = 65_536
"""A WAV header that is longer is not waited for."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A sample format: `encoding` of one sample, samples a second, and interleaved channels, which are mixed."""

    rate: int = SAMPLE_RATE
    encoding: Encoding = "s16"
    channels: int = 1

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return _WIDTHS[self.encoding] * self.channels


class SoundError(Exception):
    """The bytes are not what they should be; the message says what to send instead."""


class Intake:
    """Makes 16 kHz mono of raw sound that comes in pieces of any length. One owner at a time.

    Args:
        sound: the format of what comes.
    """

    def __init__(self, sound: Sound) -> None:
        self.sound = sound
        self._rest = b""
        self._resampler: soxr.ResampleStream | None = None

    def take(self, data: bytes) -> Samples:
        """The samples that these bytes complete; what is left of a sample waits for the next bytes."""
        if self._rest:
            data = self._rest + data
        whole = len(data) - len(data) % self.sound.frame_bytes
        self._rest = data[whole:]
        return self._resampled(_decoded(data[:whole], self.sound), last=False)

    def finish(self) -> Samples:
        """What the resampler still holds. Sound that comes later begins anew, behind half a sample that waits."""
        samples = self._resampled(np.empty(0, np.float32), last=True)
        self._resampler = None
        return samples

    def _resampled(self, samples: Samples, *, last: bool) -> Samples:
        if self.sound.rate == SAMPLE_RATE or (last and self._resampler is None):
            return samples
        if self._resampler is None:
            if not len(samples):
                return samples
            self._resampler = soxr.ResampleStream(self.sound.rate, SAMPLE_RATE, 1, dtype="float32")
        out: Samples = self._resampler.resample_chunk(samples, last=last)
        return out


class WavHead:
    """Finds the samples behind the header of a WAV file that comes in pieces.

    Attributes:
        sound: the format that the header names, once it is known; None before, and where the file is none that can
            be read without a decoder.
    """

    def __init__(self) -> None:
        self.sound: Sound | None = None
        self._head = b""

    def take(self, data: bytes) -> bytes | None:
        """The bytes behind the header, None while it is not complete.

        Raises:
            SoundError: the header is broken, or names a format that needs a decoder.
        """
        self._head += data
        found = wav_header(self._head)
        if found is None:
            if len(self._head) > _HEAD_BYTES:
                raise SoundError("the WAV header has no end")
            return None
        self.sound, start = found
        data, self._head = self._head[start:], b""
        return data


def is_wav(data: bytes) -> bool:
    """Whether sound begins with the header of a WAV file."""
    return data[:4] == b"RIFF" and data[8:12] == b"WAVE"


def wav_header(head: bytes) -> tuple[Sound, int] | None:
    """The format of a WAV file and where its samples begin; None while its header is not complete.

    Raises:
        SoundError: it is no WAV file, or its samples are in a format that needs a decoder.
    """
    if not is_wav(head):
        raise SoundError("the bytes are no WAV file")
    sound, position = None, 12
    while position + 8 <= len(head):
        name, length = head[position : position + 4], struct.unpack_from("<I", head, position + 4)[0]
        body = position + 8
        if name == b"data":
            if sound is None:
                raise SoundError("the WAV header names no format")
            return sound, body
        if name == b"fmt ":
            if body + 16 > len(head):
                return None
            sound = _wav_sound(*struct.unpack_from("<HHIIHH", head, body))
        position = body + length + length % 2
    return None


def _wav_sound(tag: int, channels: int, rate: int, _: int, __: int, bits: int) -> Sound:
    encodings: dict[tuple[int, int], Encoding] = {(1, 16): "s16", (3, 32): "f32", (6, 8): "alaw", (7, 8): "mulaw"}
    encoding = encodings.get((tag, bits))
    if encoding is None or not 1 <= channels <= MAX_CHANNELS or not MIN_RATE <= rate <= MAX_RATE:
        raise SoundError(f"WAV of format {tag} with {bits} bits, {channels} channels at {rate} Hz is not taken live")
    return Sound(rate, encoding, channels)


def _decoded(data: bytes, sound: Sound) -> Samples:
    match sound.encoding:
        case "s16":
            samples = pcm16_to_samples(data)
        case "f32":
            samples = np.nan_to_num(np.frombuffer(data, "<f4"), posinf=0.0, neginf=0.0).clip(-1, 1).astype(np.float32)
        case "mulaw":
            samples = _MULAW[np.frombuffer(data, np.uint8)]
        case "alaw":
            samples = _ALAW[np.frombuffer(data, np.uint8)]
    if sound.channels > 1:
        samples = samples.reshape(-1, sound.channels).mean(axis=1, dtype=np.float32)
    return samples


def _mulaw_table() -> NDArray[np.float32]:
    """The sample of each byte in μ-law (ITU-T G.711)."""
    code = ~np.arange(256, dtype=np.uint8)
    magnitude = (((code & 0x0F).astype(np.int32) << 3) + 0x84) << ((code & 0x70) >> 4).astype(np.int32)
    linear = np.where(code & 0x80, 0x84 - magnitude, magnitude - 0x84)
    return (linear / 32768).astype(np.float32)


def _alaw_table() -> NDArray[np.float32]:
    """The sample of each byte in A-law (ITU-T G.711)."""
    code = np.arange(256, dtype=np.uint8) ^ np.uint8(0x55)
    exponent = ((code & 0x70) >> 4).astype(np.int32)
    mantissa = ((code & 0x0F).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent == 0, mantissa, (mantissa + 0x100) << np.maximum(exponent - 1, 0))
    return (np.where(code & 0x80, magnitude, -magnitude) / 32768).astype(np.float32)


_MULAW = _mulaw_table()
_ALAW = _alaw_table()
