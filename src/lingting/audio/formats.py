"""Which format a file really has, from its first bytes; imports nothing but the standard library."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import BinaryIO, TypeAlias

DECLARED = {
    "wav": "wav",
    "mp3": "mp3",
    "flac": "flac",
    "ogg": "ogg",
    "opus": "ogg",
    "aac": "aac",
    "m4a": "mov",
    "mp4": "mov",
    "amr": "amr",
    "webm": "matroska",
    "pcm": "pcm",
}
"""Names a caller may give, and the FFmpeg demuxer of each; `pcm` is raw and has none."""

PIPE_LENGTH = 0x7FFF0000
"""Bytes of samples from which on a header does not mean it: writers to a pipe put such a length there."""

REPORT = struct.Struct("<QI")
"""What stands before the samples that a file in pieces gave: how many of its bytes were read, and how many follow."""

_SNIFFED = 64 * 1024
_MP4_ATOMS = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}
_MPEG_RATES = (44100, 48000, 32000)
_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_FrameLength: TypeAlias = Callable[[bytes, int], int]


def sniff(file: BinaryIO) -> str | None:
    """The FFmpeg demuxer for the content, or None where it is no container that is understood (raw PCM looks so).

    MPEG and ADTS frames have no magic number, so three in a row are asked for, or as many as fit the file.
    """
    offset, tagged = 0, False
    for _ in range(4):
        file.seek(offset)
        head = file.read(_SNIFFED)
        if head[:3] == b"ID3" and len(head) >= 10 and not any(byte & 0x80 for byte in head[6:10]):
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            offset += 10 + size + (10 if head[5] & 0x10 else 0)
            tagged = True
            continue
        break
    return _magic(head) or _frames(head) or ("mp3" if tagged else None)


def wav_seconds(file: BinaryIO) -> float:
    """Seconds that the header of a WAV file promises; 0 where it promises nothing, as that of a pipe."""
    file.seek(0)
    head = file.read(_SNIFFED)
    position, bytes_per_second = 12, 0
    while position + 8 <= len(head):
        name, length = head[position : position + 4], int.from_bytes(head[position + 4 : position + 8], "little")
        if name == b"fmt ":
            bytes_per_second = int.from_bytes(head[position + 16 : position + 20], "little")
        elif name == b"data":
            return length / bytes_per_second if bytes_per_second and length < PIPE_LENGTH else 0.0
        position += 8 + length + length % 2
    return 0.0


def missing(there: float, declared: float) -> float:
    """Seconds that a file lacks of those that it declares; 0 where the difference is that of padded frames."""
    lacking = declared - there
    return lacking if lacking > max(0.5, 0.01 * declared) else 0.0


def _magic(head: bytes) -> str | None:
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[4:8] in _MP4_ATOMS:
        return "mov"
    for magic, demuxer in (
        (b"fLaC", "flac"),
        (b"OggS", "ogg"),
        (b"#!AMR", "amr"),
        (b"\x1a\x45\xdf\xa3", "matroska"),
    ):
        if head.startswith(magic):
            return demuxer
    return None


def _frames(head: bytes) -> str | None:
    for demuxer, length_of in (("aac", _adts_length), ("mp3", _mpeg_length)):
        position = seen = 0
        while seen < 3:
            length = length_of(head, position)
            if not length:
                break
            seen += 1
            position += length
            if position >= len(head):
                break
        if seen == 3 or (seen and position >= len(head)):
            return demuxer
    return None


def _adts_length(data: bytes, at: int) -> int:
    if at + 7 > len(data) or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0 or data[at + 2] >> 2 & 15 > 12:
        return 0
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return length if length > 7 else 0


def _mpeg_length(data: bytes, at: int) -> int:
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return 0
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    bitrate, rate, padding = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == 1 or layer == 4 or not 0 < bitrate < 15 or rate == 3:
        return 0
    first = version == 3
    bits = 1000 * _BITRATES[(1 if first else 2, layer)][bitrate - 1]
    hertz = _MPEG_RATES[rate] >> (0 if first else 1 if version == 2 else 2)
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    return (72 if layer == 3 and not first else 144) * bits // hertz + padding
