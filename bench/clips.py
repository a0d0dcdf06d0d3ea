"""The recordings that are measured, by set, and the silence and noise in which nobody speaks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.recordings import NoRecordings, Recording, recording, speech_dir
from lingting.domain import SAMPLE_RATE, Samples

SETS = ("zh", "en", "mixed", "noisy")
ALL_SETS = (*SETS, "long")
_IN_WHEELS = {"asr_example": "zh", "vad_example": "zh", "two_cities": "en", "beckett": "en"}
_NAMES = {"mix": "mixed"}


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A recording.

    Attributes:
        reference: what is said; empty where there is no exact transcript.
        samples: float32 mono at 16 kHz.
    """

    set: str
    name: str
    reference: str
    samples: Samples = field(repr=False)

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


def load(sets: Sequence[str], at_most: int | None = None) -> list[Clip]:
    """The clips of these sets, those of `LINGTING_SPEECH_DIR` where it is set, else those of the two wheels.

    Args:
        at_most: how many clips in all, taken from every set alike and from all over it; None takes all.

    Raises:
        NoRecordings: none of the sets has a recording, or they cannot be downloaded.
    """
    if os.environ.get("LINGTING_SPEECH_DIR"):
        named = [(_set_of(each), each) for each in speech_dir()]
    else:
        named = [(name, recording(each)) for each, name in _IN_WHEELS.items() if name in sets]
    by_set = {name: [each for of, each in named if of == name] for name in sets}
    present = {name: recordings for name, recordings in by_set.items() if recordings}
    if not present:
        raise NoRecordings(f"there are no recordings of {', '.join(sets)}")
    chosen: list[Clip] = []
    shares = _shares(at_most, {name: len(recordings) for name, recordings in present.items()})
    for name, recordings in present.items():
        for index in np.linspace(0, len(recordings) - 1, shares[name]).round().astype(int).tolist():
            each = recordings[index]
            chosen.append(Clip(name, each.name, each.reference, each.samples))
    return chosen


def pcm(samples: Samples) -> bytes:
    """16-bit little-endian PCM."""
    return (np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes()


def nobody_speaks(seconds: float) -> dict[str, Samples]:
    """Ten recordings without speech, `seconds` long each, the same on every run."""
    random = np.random.default_rng(1)
    count = round(seconds * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    white = random.standard_normal(count)
    spectrum = np.fft.rfft(white)
    steps = np.maximum(np.fft.rfftfreq(count, 1 / SAMPLE_RATE), 20)
    pink, brown = (np.fft.irfft(spectrum / steps**power, count) for power in (0.5, 1.0))
    hum = sum(np.sin(2 * np.pi * 50 * harmonic * time) / harmonic for harmonic in (1, 2, 3, 5, 7))
    swelling = white * (0.5 + 0.5 * np.sin(2 * np.pi * 0.1 * time))
    return {
        "digital silence": np.zeros(count, np.float32),
        "white noise -60 dB": _at(white, -60),
        "white noise -40 dB": _at(white, -40),
        "white noise -20 dB": _at(white, -20),
        "pink noise -40 dB": _at(pink, -40),
        "pink noise -25 dB": _at(pink, -25),
        "brown noise -30 dB": _at(brown, -30),
        "hum 50 Hz -30 dB": _at(np.asarray(hum), -30),
        "swelling noise -30 dB": _at(swelling, -30),
        "keyboard clicks": _clicks(count, random),
    }


def _set_of(each: Recording) -> str:
    first = Path(each.name).parts[0]
    return _NAMES.get(first, first)


def _shares(at_most: int | None, sizes: dict[str, int]) -> dict[str, int]:
    if at_most is None:
        return sizes
    edges = np.linspace(0, at_most, len(sizes) + 1).round().astype(int).tolist()
    return {
        name: min(size, max(1, end - start))
        for (name, size), (start, end) in zip(sizes.items(), pairwise(edges), strict=True)
    }


def _at(signal: np.ndarray[tuple[int], np.dtype[np.float64]], dbfs: float) -> Samples:
    level = 10 ** (dbfs / 20) / np.sqrt(np.mean(signal**2))
    return np.asarray(np.clip(signal * level, -1, 1), np.float32)


def _clicks(count: int, random: np.random.Generator) -> Samples:
    signal = _at(random.standard_normal(count), -65).copy()
    length = SAMPLE_RATE // 50
    decay = np.exp(-np.arange(length) / (length / 6))
    for start in np.cumsum(random.uniform(0.08, 0.4, count // SAMPLE_RATE * 4) * SAMPLE_RATE).astype(int).tolist():
        if start + length < count:
            click = random.standard_normal(length) * decay * random.uniform(0.05, 0.3)
            signal[start : start + length] += click.astype(np.float32)
    return np.asarray(np.clip(signal, -1, 1), np.float32)
