"""Speech, noise and encoded files for the tests of audio."""

from __future__ import annotations

import csv
import os
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import soxr

from lingting.domain import Samples


def read(path: Path) -> Samples:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", 16_000)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().ravel() for frame in frames])


@cache
def recordings() -> dict[str, Samples]:
    folder = os.environ.get("LINGTING_SPEECH_DIR")
    if not folder:
        pytest.skip("LINGTING_SPEECH_DIR is not set")
    with (Path(folder) / "manifest.tsv").open(encoding="utf-8") as file:
        return {row["path"]: read(Path(folder) / row["path"]) for row in csv.DictReader(file, delimiter="\t")}


def buzz(seconds: float, rate: int = 16_000) -> Samples:
    """A voice-like sound: pulses of a gliding pitch under a slow rhythm, band-limited to 3.4 kHz."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * (140 * time + 4 * np.sin(2 * np.pi * 1.3 * time))
    wave = sum(np.sin(k * phase) / k for k in range(1, 18)) * (0.55 + 0.45 * np.sin(2 * np.pi * 3.1 * time))
    return (0.2 * wave).astype(np.float32)


def noise(kind: str, level_dbfs: float | None, seconds: float = 20.0) -> Samples:
    generator = np.random.default_rng(7)
    count = int(seconds * 16_000)
    time = np.arange(count) / 16_000
    white = generator.standard_normal(count)
    match kind:
        case "white":
            sound = white
        case "pink":
            spectrum = np.fft.rfft(white)
            sound = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(spectrum.size))), count)
        case "hum":
            sound = sum(np.sin(2 * np.pi * 50 * k * time + k) / k for k in (1, 2, 3, 5, 7))
        case "hum60":
            sound = sum(np.sin(2 * np.pi * 60 * k * time + k) / k for k in (1, 2, 3, 5, 7))
        case "clicks":
            sound = 1e-5 * white
            for start in np.cumsum(generator.uniform(0.06, 0.4, 400) * 16_000).astype(int):
                length = int(generator.uniform(50, 480))
                if start + length < count:
                    decay = np.exp(-4 * np.arange(length) / length)
                    sound[start : start + length] += generator.standard_normal(length) * decay
        case "dither":
            return ((generator.random(count) + generator.random(count) - 1) / 32768).astype(np.float32)
        case _:
            return np.zeros(count, np.float32)
    assert level_dbfs is not None
    return at_level(sound, level_dbfs)


def at_level(sound: np.ndarray, level_dbfs: float) -> Samples:
    scaled = sound * (10 ** (level_dbfs / 20) / np.sqrt(np.mean(np.square(sound))))
    return np.clip(scaled, -1, 1).astype(np.float32)


def encode(
    path: Path,
    samples: Samples,
    codec: str,
    rate: int,
    layout: str = "mono",
    container: str | None = None,
    **options: str,
) -> Path:
    """Write 16 kHz mono samples in another format, rate and channel layout."""
    other = soxr.resample(samples, 16_000, rate).astype(np.float32)
    with av.open(str(path), "w", format=container, container_options=options) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate, frame_size=size)
        frame = av.AudioFrame.from_ndarray(other.reshape(1, -1), format="flt", layout="mono")
        frame.sample_rate = rate
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return path
