"""Audio as callers of the library give it, and transcripts as they get them."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

from lingting.audio.pcm import pcm16_to_samples
from lingting.audio.recording import Recording
from lingting.domain import SAMPLE_RATE, Samples, Sentence, Transcript

Audio: TypeAlias = str | PathLike[str] | bytes | NDArray[np.float32] | NDArray[np.int16] | Recording
"""A recording: the path of an audio file, its content, samples of one channel, or what `Transcriber.recording` gave."""

Packet: TypeAlias = bytes | NDArray[np.float32] | NDArray[np.int16]
"""Live audio as it comes: samples, or bytes of 16-bit little-endian ones."""


def mono(audio: NDArray[Any]) -> Samples:
    """What is given as float32.

    Raises:
        ValueError: it is neither float nor int16, or has more than one channel.
    """
    if audio.ndim != 1:
        raise ValueError(f"audio must have one channel, shape (samples,), got shape {audio.shape}")
    if audio.dtype == np.int16:
        return pcm16_to_samples(audio)
    if audio.dtype.kind == "f":
        return np.ascontiguousarray(audio, np.float32)
    raise ValueError(f"audio must be float32 or int16, got {audio.dtype}")


def resampled(samples: Samples, sample_rate: int) -> Samples:
    """A whole recording at 16 kHz."""
    if sample_rate == SAMPLE_RATE or not samples.size:
        return samples
    at_16_khz: Samples = soxr.resample(samples, sample_rate, SAMPLE_RATE)
    return at_16_khz


def rounded(sentence: Sentence) -> Sentence:
    """A sentence with its times in whole milliseconds; more digits say nothing."""
    words = tuple(replace(word, start=round(word.start, 3), end=round(word.end, 3)) for word in sentence.words)
    return replace(sentence, start=round(sentence.start, 3), end=round(sentence.end, 3), words=words)


def in_milliseconds(transcript: Transcript) -> Transcript:
    """A transcript with its times in whole milliseconds."""
    sentences = tuple(rounded(sentence) for sentence in transcript.sentences)
    return replace(transcript, duration=round(transcript.duration, 3), sentences=sentences)
