"""Log-mel features as Whisper was trained on them.

Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), section 2.2; Slaney's mel
scale as in the Auditory Toolbox (1998).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from lingting.domain import SAMPLE_RATE, Samples

FFT = 400
HOP = 160
FRAMES_PER_SECOND = SAMPLE_RATE // HOP
_DYNAMIC_RANGE = 8.0
_ROWS = 10
"""Frames in a matrix product. OpenBLAS shares larger ones (above 2^18 multiplications) among threads of its own, and
each of these then spins for some 25 ms: measured, that took 1.3 to 1.9 times the time of a whole encoding."""


def log_mel(samples: Samples, window: int, mels: int = 80) -> NDArray[np.float32]:
    """Features of `samples` followed by silence up to `window` seconds: shape (1, mels, 100 * window), float32.

    Args:
        mels: mel bands of the model: 80, or 128 from large-v3 on.
    """
    length = min(len(samples), window * SAMPLE_RATE)
    frames = window * FRAMES_PER_SECOND
    voiced = min(frames, _ROWS * -(-(length // HOP + FFT // HOP + 1) // _ROWS))
    padded = np.zeros(voiced * HOP + FFT, np.float32)
    padded[FFT // 2 : FFT // 2 + length] = samples[:length]
    reflected = padded[FFT // 2 + 1 : FFT + 1][::-1]
    padded[: FFT // 2] = reflected
    pieces = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP][:voiced]
    spectrum = np.fft.rfft(pieces * _hann(), axis=1)
    power = np.square(spectrum.real, dtype=np.float32) + np.square(spectrum.imag, dtype=np.float32)
    mel = (power.reshape(-1, _ROWS, power.shape[1]) @ _filters(mels)).reshape(voiced, mels)
    mel = np.log10(np.maximum(mel, 1e-10))
    floor = mel.max(initial=-10.0) - _DYNAMIC_RANGE
    features = np.full((1, mels, frames), (max(floor, -10.0) + 4.0) / 4.0, np.float32)
    features[0, :, :voiced] = ((np.maximum(mel, floor) + 4.0) / 4.0).T
    return features


@cache
def _hann() -> NDArray[np.float32]:
    return np.hanning(FFT + 1)[:-1].astype(np.float32)


@cache
def _filters(mels: int) -> NDArray[np.float32]:
    """Triangular mel filters of equal area, shape (201, mels)."""
    bins = np.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1)
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(SAMPLE_RATE / 2), mels + 2))
    widths = np.diff(edges)
    ramps = edges[:, None] - bins[None, :]
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    areas = 2.0 / (edges[2:] - edges[:-2])
    return np.ascontiguousarray((triangles * areas[:, None]).T.astype(np.float32))


_LINEAR_HZ = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    return float(hz / _LINEAR_HZ if hz < _BREAK_HZ else _BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ, _BREAK_HZ * np.exp((mel - _BREAK_MEL) * _LOG_STEP))
