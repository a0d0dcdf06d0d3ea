"""The process that decodes untrusted audio: one job at a time over a socket, bounded in memory and processor time.

It opens no path: each job brings the file to read and the file to write as descriptors, and before the first it gives
up everything else (`sandbox`). It imports PyAV, soxr and numpy and nothing of the server, so that it starts fast and
has nothing to steal.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import json
import os
import pkgutil
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from lingting.audio.formats import REPORT, missing, wav_seconds
from lingting.sandbox import confine

RATE = 16_000
_CODECS = frozenset(
    {
        "aac",
        "aac_latm",
        "mp2",
        "mp2float",
        "mp3",
        "mp3float",
        "flac",
        "opus",
        "libopus",
        "vorbis",
        "alac",
        "amrnb",
        "amrwb",
        "libopencore_amrnb",
        "libopencore_amrwb",
        "adpcm_ima_wav",
        "adpcm_ms",
        "gsm_ms",
        "pcm_alaw",
        "pcm_mulaw",
        "pcm_u8",
        "pcm_s16le",
        "pcm_s16be",
        "pcm_s24le",
        "pcm_s24be",
        "pcm_s32le",
        "pcm_s32be",
        "pcm_f32le",
        "pcm_f32be",
        "pcm_f64le",
        "pcm_f64be",
    }
)
_TRUSTED_DURATION = {"mov", "flac", "matroska", "ogg"}  # the others estimate it, or copy a length that may be false
_DECLARED_DURATION = {"mov", "flac", "matroska"}  # of Ogg it is that of the pages that are there
_WEIGHTS = {"LFE": 0.0, "LFE2": 0.0, "FC": 1.0, "FL": 0.7071, "FR": 0.7071}
_OTHER_WEIGHT = 0.5
_MAX_CHANNELS = 64
_MAX_RATE = 768_000
_BLOCK = RATE  # samples gathered before they are resampled
_ROOM = 1 << 20  # bytes that are asked for at a time
_PIECE = 4096  # bytes of a file in pieces that are read at a time
_EARLY = {"probesize": "2048", "analyzeduration": "0"}  # so that decoding begins with the first second of it


class _Refused(Exception):
    def __init__(self, kind: str, message: str = "") -> None:
        super().__init__(message)
        self.kind = kind


def main(descriptor: int) -> None:
    """Serve jobs from the socket until its other end closes."""
    connection = socket.socket(fileno=descriptor)
    av.logging.set_level(None)
    _warm_up()
    connection.sendall(" ".join(["ready", *confine()]).encode() + b"\n")

    def room(size: int) -> bool:
        connection.sendall(json.dumps({"room": size}).encode() + b"\n")
        return connection.recv(1) == b"y"

    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, 65_536, 2)
        if not message:
            return
        source, target = descriptors
        try:
            reply = _serve(json.loads(message), source, target, room)
        finally:
            os.close(source)
            os.close(target)
        connection.sendall(json.dumps(reply).encode() + b"\n")


def _warm_up() -> None:
    """Load what the libraries load late: a job may not open files, and would wait for it."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    soxr.ResampleStream(48_000, RATE, 1, dtype="float32").resample_chunk(np.zeros(480, np.float32), last=True)


def _serve(job: dict[str, Any], source: int, target: int, room: Callable[[int], bool]) -> dict[str, Any]:
    declared = 0.0
    try:
        seconds = float(job["max_seconds"]) + float(job["tolerance"])
        _limit(int(job["memory_bytes"]), float(job["cpu_seconds"]), int(2 * RATE * (seconds + 1)))
        if job.get("piecewise"):
            return {"samples": _decode_pieces(source, job["demuxer"], seconds)}
        with os.fdopen(os.dup(source), "rb") as file, os.fdopen(os.dup(target), "wb") as output:
            file.seek(0)
            sink = _Sink(output, seconds, room)
            if job["demuxer"] == "pcm":
                _decode_raw(file, int(job["sample_rate"]), sink)
            else:
                declared = _decode(file, job["demuxer"], bool(job["certain"]), sink)
            sink.close()
            if not sink.written:
                raise _Refused("empty")
    except _Refused as refused:
        return {"error": refused.kind, "message": str(refused)}
    except MemoryError:
        return {"error": "undecodable", "message": "decoding it takes too much memory"}
    except Exception as error:
        scarce = isinstance(error, OSError) and error.errno == errno.ENOMEM
        message = "decoding it takes too much memory" if scarce else f"the decoder failed with {type(error).__name__}"
        return {"error": "undecodable", "message": message}
    return {"samples": sink.written, "missing": missing(sink.written / RATE, declared)}


def _limit(memory_bytes: int, cpu_seconds: float, file_bytes: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = used.ru_utime + used.ru_stime
    for name, soft in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_CPU, int(spent + cpu_seconds) + 1),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_FSIZE, file_bytes),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(name, (soft, resource.getrlimit(name)[1]))


class _Sink:
    """Takes mono float32 at any rate, writes 16-bit samples at 16 kHz, and stops at the limit.

    Args:
        room: asks for so many bytes in all, before they are written; false where there are none.
    """

    def __init__(self, output: BinaryIO, max_seconds: float, room: Callable[[int], bool]) -> None:
        self.written = 0
        self._output = output
        self._ask = room
        self._room = 0
        self._limit = int(max_seconds * RATE)
        self._rate = 0
        self._stream: Any = None
        self._blocks: list[NDArray[np.float32]] = []
        self._gathered = 0

    def expect(self, seconds: float) -> None:
        """Ask for the room of a recording that declares its length; refused where it is too long."""
        if seconds * RATE > self._limit + RATE:
            raise _Refused("too_long")
        self._reserve(int(2 * RATE * seconds))

    def put(self, mono: NDArray[np.float32], rate: int) -> None:
        if rate != self._rate:
            self._flush(last=True)
            if not 1000 <= rate <= _MAX_RATE:
                raise _Refused("undecodable", f"its sample rate of {rate} Hz is outside 1000 to {_MAX_RATE}")
            self._rate = rate
            self._stream = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
        self._blocks.append(mono)
        self._gathered += mono.size
        if self._gathered >= _BLOCK:
            self._flush(last=False)

    def flush(self) -> None:
        """Write what was gathered, but for what the resampler needs of what comes next."""
        self._flush(last=False)

    def close(self) -> None:
        self._flush(last=True)

    def _flush(self, *, last: bool) -> None:
        if not self._blocks and not (last and self._stream):
            return
        block = np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.float32)
        self._blocks, self._gathered = [], 0
        if self._stream is not None:
            # soxr's output is written in pieces so that one large frame cannot take memory without bound
            for start in range(0, max(1, block.size), 8 * _BLOCK):
                piece = block[start : start + 8 * _BLOCK]
                self._write(self._stream.resample_chunk(piece, last=last and start + piece.size >= block.size))
            if last:
                self._stream = None
                self._rate = 0
        else:
            self._write(block)

    def _write(self, samples: NDArray[np.float32]) -> None:
        if self.written + samples.size > self._limit:
            raise _Refused("too_long")
        clean = np.clip(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), -1, 1)
        pcm = np.minimum(np.rint(clean * np.float32(32768)), np.float32(32767)).astype("<i2")
        if 2 * (self.written + samples.size) > self._room:
            self._reserve(2 * (self.written + samples.size) + _ROOM)
        self._output.write(pcm.tobytes())
        self.written += samples.size

    def _reserve(self, size: int) -> None:
        size = min(size, 2 * self._limit)
        if size > self._room:
            if not self._ask(size):
                raise _Refused("no_room")
            self._room = size


def _decode_raw(file: BinaryIO, rate: int, sink: _Sink) -> None:
    while data := file.read(1 << 20):
        sink.put(np.frombuffer(data, "<i2", count=len(data) // 2).astype(np.float32) * np.float32(1 / 32768), rate)


class _Pieces:
    """A file that comes in pieces over a socket: says before each wait what has been read, and what came of it."""

    def __init__(self, connection: int) -> None:
        self.sink: _Sink | None = None
        self.samples = io.BytesIO()
        self._connection = connection
        self._read = 0

    def read(self, size: int) -> bytes:
        """The next bytes, as few as there are."""
        self.report()
        data = os.read(self._connection, size)
        self._read += len(data)
        return data

    def report(self) -> None:
        """Send how much has been read, and the samples since the last time."""
        if self.sink is not None:
            self.sink.flush()
        pcm = self.samples.getvalue()
        self.samples.seek(0)
        self.samples.truncate()
        message = memoryview(REPORT.pack(self._read, len(pcm)) + pcm)
        while message:
            message = message[os.write(self._connection, message) :]


def _decode_pieces(connection: int, demuxer: str, seconds: float) -> int:
    """Decode what comes over a socket, and send the samples back on it; how many there were."""
    pieces = _Pieces(connection)
    pieces.sink = sink = _Sink(pieces.samples, seconds, lambda _: True)
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more
        _decode(pieces, demuxer, True, sink, whole=False)
        sink.close()
        pieces.report()
    return sink.written


def _decode(file: Any, demuxer: str, certain: bool, sink: _Sink, *, whole: bool = True) -> float:
    """Decode into the sink; the seconds that the file declares, 0 where it doesn't, or comes in pieces."""
    try:
        container: Any = av.open(
            file,
            format=demuxer,
            container_options={
                "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm," + demuxer,
                "codec_whitelist": ",".join(sorted(_CODECS)),
                "protocol_whitelist": "none",
                **({} if whole else _EARLY),
            },
            buffer_size=32_768 if whole else _PIECE,
            metadata_errors="replace",
        )
    except av.error.MemoryError as error:
        raise MemoryError from error
    except (av.error.FFmpegError, ValueError) as error:
        raise _Refused("undecodable", "its header is damaged or not that of audio") from error
    with container:
        if not container.streams.audio:
            raise _Refused("undecodable", "it has no audio track")
        stream = container.streams.audio[0]
        if stream.codec_context is None or stream.codec_context.name not in _CODECS:
            raise _Refused("undecodable", "its audio track has a codec that is not supported")
        if demuxer in _TRUSTED_DURATION:
            sink.expect((container.duration or 0) / 1_000_000)
        stream.codec_context.thread_count = 1
        good = bad = 0
        for frame in _frames(container, stream):
            if frame is None:
                bad += 1
            elif frame.samples:
                good += 1
                sink.put(_mono(frame), frame.sample_rate)
        if (bad and not good) or (not certain and (good < 3 or bad > good)):
            raise _Refused("undecodable", "no part of it decodes as audio")
        if not whole:
            return 0.0
        if demuxer == "wav":
            return wav_seconds(file)
        return _declared(container, stream) if demuxer in _DECLARED_DURATION else 0.0


def _declared(container: Any, stream: Any) -> float:
    """Seconds of audio that the header promises; 0 where it makes no promise about the audio alone."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1_000_000 if len(container.streams) == 1 else 0.0


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames; None for each packet that is damaged. Ends quietly where the file breaks off."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.MemoryError as error:
            raise MemoryError from error
        except av.error.FFmpegError:
            yield None
            return
        try:
            yield from packet.decode()
        except av.error.MemoryError as error:
            raise MemoryError from error
        except av.error.FFmpegError:
            yield None


def _mono(frame: Any) -> NDArray[np.float32]:
    """A frame's channels mixed so that nothing can clip: weights as in ITU-R BS.775, scaled to a sum of one."""
    channels = frame.layout.nb_channels
    if not 1 <= channels <= _MAX_CHANNELS:
        raise _Refused("undecodable", f"it has {channels} channels, more than {_MAX_CHANNELS}")
    data = frame.to_ndarray()
    planes = data if frame.format.is_planar else data.reshape(-1, channels).T
    kind = planes.dtype
    mono: NDArray[np.float32]
    if channels == 1:
        mono = planes[0].astype(np.float32)
    elif channels == 2:
        mono = (planes[0].astype(np.float32) + planes[1].astype(np.float32)) * np.float32(0.5)
    else:
        weights = np.array([_WEIGHTS.get(channel.name, _OTHER_WEIGHT) for channel in frame.layout.channels], np.float32)
        if len(weights) != channels or not weights.any():
            weights = np.ones(channels, np.float32)
        mono = (weights / weights.sum()) @ planes.astype(np.float32)
    if kind == np.uint8:
        mono = (mono - np.float32(128)) * np.float32(1 / 128)
    elif kind.kind == "i":
        mono = mono * np.float32(1 / 2 ** (8 * kind.itemsize - 1))
    return mono


if __name__ == "__main__":
    main(int(sys.argv[1]))
