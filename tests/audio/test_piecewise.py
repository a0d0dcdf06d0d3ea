"""Compressed sound in pieces: what comes out, when it does, and what is no sound."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from functools import cache
from typing import Any

import av
import numpy as np
import pytest

from lingting.audio.decode import Decoder
from lingting.audio.formats import sniff
from lingting.domain import Samples
from lingting.errors import Overloaded, UndecodableAudio

SECONDS = 4.0
KINDS: dict[str, tuple[str, str, int, dict[str, str], float]] = {
    "ogg": ("ogg", "libopus", 48_000, {"page_duration": "60000"}, 0.5),
    "webm": ("webm", "libopus", 48_000, {"live": "1", "cluster_time_limit": "200"}, 0.5),
    "mp3": ("mp3", "libmp3lame", 22_050, {}, 1.5),
    "flac": ("flac", "flac", 44_100, {}, 2.0),
    "aac": ("adts", "aac", 16_000, {}, 1.5),
    "mp4": ("mp4", "aac", 44_100, {"movflags": "frag_keyframe+empty_moov", "frag_duration": "200000"}, 1.0),
    "wav": ("wav", "pcm_s24le", 16_000, {}, 2.0),
}
"""Container, codec, samples a second, options of the container, and how many seconds text may wait for the sound."""


def tone(seconds: float) -> Samples:
    return (0.3 * np.sin(np.arange(round(seconds * 16_000)) / 5)).astype(np.float32)


@cache
def encoded(kind: str) -> bytes:
    container, codec, rate, options, _ = KINDS[kind]
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=options) as target:
        stream: Any = target.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray((tone(SECONDS) * 32767).astype("<i2").reshape(1, -1), "s16", "mono")
        frame.sample_rate = 16_000
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, "mono", rate, context.frame_size)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    return out.getvalue()


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    with asyncio.Runner() as runner:
        made = Decoder()
        made.runner = runner  # type: ignore[attr-defined]
        yield made
        runner.run(made.close())


def run(decoder: Decoder, work: Any) -> Any:
    return decoder.runner.run(asyncio.wait_for(work, 60))  # type: ignore[attr-defined]


async def heard(decoder: Decoder, demuxer: str, pieces: list[bytes], max_seconds: float = 60) -> list[float]:
    """Seconds that are there after each piece, and at the end."""
    seconds, found = 0.0, []
    async with decoder.piecewise(demuxer, max_seconds=max_seconds) as file:
        for piece in pieces:
            async for samples in file.take(piece):
                seconds += len(samples) / 16_000
            found.append(seconds)
        async for samples in file.finish():
            seconds += len(samples) / 16_000
    return [*found, seconds]


def cut(data: bytes, parts: int = 40) -> list[bytes]:
    size = len(data) // parts + 1
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_every_container_is_heard_while_it_comes(decoder: Decoder) -> None:
    for kind, (*_, wait) in KINDS.items():
        data = encoded(kind)
        demuxer = sniff(io.BytesIO(data[:2000]))
        assert demuxer is not None, kind
        found = run(decoder, heard(decoder, demuxer, cut(data)))
        assert found[-1] == pytest.approx(SECONDS, abs=0.15), kind
        spoken = [SECONDS * (number + 1) / (len(found) - 1) for number in range(len(found) - 1)]
        assert all(there > at - wait for there, at in zip(found, spoken, strict=False)), (kind, found)


def test_a_whole_file_at_once_is_heard_like_its_pieces(decoder: Decoder) -> None:
    data = encoded("ogg")
    whole, pieces = (run(decoder, heard(decoder, "ogg", each)) for each in ([data], cut(data)))
    assert whole[-1] == pytest.approx(pieces[-1])


@pytest.mark.parametrize("data", [b"OggS" + bytes(5000), encoded("webm")[:40] + b"\xff" * 9000])
def test_what_is_no_sound_is_said_so_and_costs_no_other_its_process(decoder: Decoder, data: bytes) -> None:
    demuxer = sniff(io.BytesIO(data))
    assert demuxer is not None
    with pytest.raises(UndecodableAudio, match="cannot be decoded"):
        run(decoder, heard(decoder, demuxer, cut(data, 3)))
    assert run(decoder, heard(decoder, "ogg", [encoded("ogg")]))[-1] == pytest.approx(SECONDS, abs=0.1)
    assert decoder.replaced == 0


def test_sound_that_is_longer_than_allowed_is_refused(decoder: Decoder) -> None:
    with pytest.raises(UndecodableAudio, match="too_long"):
        run(decoder, heard(decoder, "mp3", cut(encoded("mp3")), max_seconds=1))


def test_one_more_than_there_is_room_for_is_told_to_send_raw_samples(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingting.audio.decode._MOST_PIECEWISE", 1)

    async def both() -> None:
        async with decoder.piecewise("ogg", max_seconds=60), decoder.piecewise("ogg", max_seconds=60):
            pass

    with pytest.raises(Overloaded, match="send raw samples"):
        run(decoder, both())
    assert run(decoder, heard(decoder, "ogg", [encoded("ogg")]))[-1] == pytest.approx(SECONDS, abs=0.1)
