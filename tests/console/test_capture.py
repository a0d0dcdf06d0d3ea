"""The resampler of the page, in the browser that runs it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from playwright.sync_api import Browser

from tests.api.serving import Running
from tests.console.conftest import visit

RESAMPLE = """async ([rate, tone, seconds, piece]) => {
  const { Resampler } = await import("/console/resampler.js");
  const resampler = new Resampler(rate, 16000);
  const input = Float32Array.from({ length: rate * seconds }, (_, i) => 0.5 * Math.sin(2 * Math.PI * tone * i / rate));
  const output = [];
  for (let i = 0; i < input.length; i += piece) output.push(...resampler.push(input.subarray(i, i + piece)));
  output.push(...resampler.flush());
  return output;
}"""


def resampled(served: Running, browser: Browser, *, rate: int, tone: float, piece: int = 128) -> np.ndarray:
    """What half a second of a tone becomes at 16 kHz."""
    with visit(browser, served.url) as seen:
        output: Sequence[float] = seen.page.evaluate(RESAMPLE, [rate, tone, 0.5, piece])
    return np.array(output)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_voice_passes_untouched_and_in_time(served: Running, browser: Browser, rate: int) -> None:
    tone = 3000.0
    output = resampled(served, browser, rate=rate, tone=tone)
    assert abs(output.size - 8000) <= 1
    inner = np.arange(400, 7600)
    wanted = 0.5 * np.sin(2 * np.pi * tone * inner / 16_000)
    assert np.abs(output[inner] - wanted).max() < 1e-3


@pytest.mark.parametrize("tone", [8800.0, 10_000.0, 13_000.0, 15_000.0])
def test_what_16_khz_cannot_hold_does_not_fold_back(served: Running, browser: Browser, tone: float) -> None:
    output = resampled(served, browser, rate=48_000, tone=tone)
    decibels = 20 * np.log10(np.abs(output[400:7600]).max() / 0.5)
    assert decibels < -70


def test_the_pieces_the_audio_comes_in_do_not_matter(served: Running, browser: Browser) -> None:
    whole = resampled(served, browser, rate=44_100, tone=1000.0, piece=30_000)
    for piece in (1, 97, 128):
        assert np.array_equal(resampled(served, browser, rate=44_100, tone=1000.0, piece=piece), whole)
