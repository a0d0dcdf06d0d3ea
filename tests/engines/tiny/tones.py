"""Tokens as tones: what the tiny models of these tests hear, and how it is said to them.

Each token is a sine in one bin of the log-mel features that sherpa-onnx computes (80 bins from 20 to 7600 Hz, Kaldi's
mel scale). The energy of the bin is the token's score, so a model that reads it needs no training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lingting.domain import SAMPLE_RATE, Samples, Seconds

TOKENS = (
    "<blk>",
    "<sos/eos>",
    "<unk>",
    "你",
    "好",
    "世",
    "界",
    "测",
    "试",
    "▁HE",
    "LLO",
    "▁WORLD",
    "，",
    "元",
    "圆",
    "園",
)
"""元 and 圆 are the same tone, as words that sound alike are; 圆 is what a model writes by itself."""

BINS = {**{token: 14 + 5 * place for place, token in enumerate(TOKENS[3:13])}, "元": 64, "圆": 64, "園": 69}
BLANK = 0

LEAD: Seconds = 0.2
TONE: Seconds = 0.16
GAP: Seconds = 0.12
_RAMP: Seconds = 0.005


def say(tokens: Sequence[str], *, amplitude: float = 0.3, gap: Seconds = GAP, lead: Seconds = LEAD) -> Samples:
    """The tones of `tokens` with silence before the first and behind each: float32, 16 kHz.

    Token number i begins at `lead + i * (TONE + gap)` seconds.
    """
    pieces = [np.zeros(round(lead * SAMPLE_RATE), np.float32)]
    for token in tokens:
        pieces += [_tone(BINS[token], amplitude), np.zeros(round(gap * SAMPLE_RATE), np.float32)]
    return np.concatenate(pieces)


def _tone(band: int, amplitude: float) -> Samples:
    time = np.arange(round(TONE * SAMPLE_RATE)) / SAMPLE_RATE
    ramp = np.minimum(1.0, np.minimum(time, time[::-1]) / _RAMP)
    return (amplitude * ramp * np.sin(2 * math.pi * frequency(band) * time)).astype(np.float32)


def frequency(band: int) -> float:
    """Hz in the middle of a bin."""
    low, high = (1127.0 * math.log1p(hz / 700.0) for hz in (20.0, 7600.0))
    return 700.0 * math.expm1((low + (band + 1) * (high - low) / 81.0) / 1127.0)
