"""Speech cut into segments for an engine: at pauses where there are any, in the quietest place where there are none.

The encoder's cost grows with its window (20 or 30 s) faster than in proportion, so the cuts are chosen by
dynamic programming: the cheapest windows, with a price on every cut that is not in a real pause.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lingting.audio.gate import GateConfig, Span
from lingting.audio.voice import FRAME, Probabilities
from lingting.domain import SAMPLE_RATE, Samples, Seconds

WINDOW_COST: dict[Seconds, float] = {19.6: 0.30, 29.6: 0.70}
"""Seconds of compute to encode so many seconds of speech in the next window, measured on two cores."""

_HOP = 160
_SMOOTH = 5  # hops either side: a cut needs about 100 ms of quiet
_VOICED = GateConfig().off
_SEGMENT_COST = 0.03
_LONG_PAUSE: Seconds = 0.6
_PADDING: Seconds = GateConfig().before
_FREE_PAUSE: Seconds = 0.6
_CUT_COST = 0.12
_FORCED_COST = 0.25
_FORCED_EVERY: Seconds = 9.0


class Segment(NamedTuple):
    """Samples [start, end) of a recording that go to the engine together."""

    start: int
    end: int


def quietest_cut(samples: Samples, probabilities: Probabilities, low: int, high: int) -> int:
    """The sample in [low, high) at which a cut does the least harm.

    Frames that are not voiced come first; among them, or among all where every frame is voiced, the energy smoothed
    over 100 ms decides. In a stretch of equal quiet the middle of the longest one is taken.

    Args:
        probabilities: of the frames of `samples`, the first at sample 0.
    """
    low, high = max(0, low), min(high, samples.size)
    if high - low <= _HOP:
        return max(0, (low + high) // 2)
    margin = (_SMOOTH + 1) * _HOP
    begin = max(0, low - margin)
    piece = samples[begin : high + margin].astype(np.float64)
    hops = piece.size // _HOP
    power = piece[: hops * _HOP].reshape(hops, _HOP).var(axis=1)
    width = min(2 * _SMOOTH + 1, hops)
    weights = np.hanning(width + 2)[1:-1]
    smooth = np.convolve(power, weights, "same") / np.convolve(np.ones(hops), weights, "same")
    middles = begin + _HOP * np.arange(hops) + _HOP // 2
    inside = np.flatnonzero((middles >= low) & (middles < high))
    if not inside.size:
        return (low + high) // 2
    middles, cost = middles[inside], 10 * np.log10(np.maximum(smooth[inside], 1e-9))
    if len(probabilities):
        voice = probabilities[np.minimum(middles // FRAME, len(probabilities) - 1)]
        cost = cost + 200 * (voice >= _VOICED) + 10 * voice
    return int(middles[_middle_of_longest(cost <= cost.min() + 1.0)])


def utterances(
    samples: Samples, probabilities: Probabilities, spans: Sequence[Span], max_seconds: Seconds = 28.0
) -> list[Segment]:
    """Group speech into segments of at most `max_seconds` that cost the engine least.

    Neighbouring spans are joined over short gaps; a gap of more than 0.6 s always separates; spans too long for a cheap
    window are cut at an inner pause, or in the quietest place where there is none. Together the segments cover every
    sample of the spans once; they are in order and do not overlap. Time is linear in the length of the recording.

    Args:
        probabilities: of every frame of `samples`, as `VoiceDetector.judge` gives them.
        spans: as `speech_spans` gives them.

    Raises:
        ValueError: `max_seconds` is under 2.
    """
    if max_seconds < 2:
        raise ValueError(f"max_seconds must be at least 2, not {max_seconds}")
    limit = round(max_seconds * SAMPLE_RATE)
    segments: list[Segment] = []
    group: list[_Piece] = []
    for span in spans:
        if group and span.start - group[-1].end > _LONG_PAUSE * SAMPLE_RATE:
            segments.extend(_cheapest(group, limit))
            group = []
        pieces = _pieces(samples, probabilities, span, limit)
        if group:
            group[-1] = group[-1]._replace(cut_cost=_price((span.start - group[-1].end) / SAMPLE_RATE + 2 * _PADDING))
        group.extend(pieces)
    segments.extend(_cheapest(group, limit))
    return segments


class _Piece(NamedTuple):
    start: int
    end: int
    cut_cost: float
    """Price of ending a segment behind this piece."""


def _price(pause: Seconds) -> float:
    return _CUT_COST * max(0.0, 1.0 - pause / _FREE_PAUSE)


def _pieces(samples: Samples, probabilities: Probabilities, span: Span, limit: int) -> list[_Piece]:
    """A span in pieces that are each short enough, cut at its pauses and, where those are too far apart, elsewhere."""
    every = min(round(_FORCED_EVERY * SAMPLE_RATE), limit // 2)
    if span.end - span.start <= every:
        return [_Piece(span.start, span.end, 0.0)]
    cuts: list[tuple[int, float]] = []
    last = span.start
    for cut, price in [*_pauses(samples, probabilities, span), (span.end, 0.0)]:
        while cut - last > every:
            forced = quietest_cut(samples, probabilities, last + every // 2, min(last + every, cut - every // 4))
            cuts.append((forced, _FORCED_COST))
            last = forced
        cuts.append((cut, price))
        last = cut
    starts = [span.start, *(cut for cut, _ in cuts[:-1])]
    return [_Piece(start, end, price) for start, (end, price) in zip(starts, cuts, strict=True) if end > start]


def _pauses(samples: Samples, probabilities: Probabilities, span: Span) -> list[tuple[int, float]]:
    """Places inside a span where at least three frames in a row are not voiced, each with the price of a cut there."""
    first, last = span.start // FRAME, min(math.ceil(span.end / FRAME), len(probabilities))
    quiet = np.concatenate(([False], probabilities[first:last] < _VOICED, [False]))
    edges = np.flatnonzero(np.diff(quiet.astype(np.int8))).reshape(-1, 2) + first
    pauses: list[tuple[int, float]] = []
    for begin, end in edges.tolist():
        if end - begin >= 3 and begin > first and end < last:
            cut = quietest_cut(samples, probabilities, begin * FRAME, end * FRAME)
            pauses.append((cut, _price((end - begin) * FRAME / SAMPLE_RATE)))
    return pauses


def _cheapest(pieces: Sequence[_Piece], limit: int) -> list[Segment]:
    """The partition of neighbouring pieces into segments with the least encoder time plus price of cuts."""
    best = [0.0] + [math.inf] * len(pieces)
    begin_of = [0] * (len(pieces) + 1)
    for stop in range(1, len(pieces) + 1):
        end = pieces[stop - 1].end
        price = pieces[stop - 1].cut_cost if stop < len(pieces) else 0.0
        for begin in range(stop - 1, -1, -1):
            length = end - pieces[begin].start
            if length > limit and begin < stop - 1:
                break
            cost = best[begin] + _window_cost(length / SAMPLE_RATE) + price
            if cost < best[stop]:
                best[stop], begin_of[stop] = cost, begin
    segments: list[Segment] = []
    stop = len(pieces)
    while stop:
        begin = begin_of[stop]
        segments.append(Segment(pieces[begin].start, pieces[stop - 1].end))
        stop = begin
    return segments[::-1]


def _window_cost(seconds: Seconds) -> float:
    for window, cost in WINDOW_COST.items():
        if seconds <= window:
            return cost + _SEGMENT_COST
    return 2 * WINDOW_COST[29.6]


def _middle_of_longest(chosen: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(np.int8))).reshape(-1, 2)
    begin, end = edges[int(np.argmax(edges[:, 1] - edges[:, 0]))]
    return int(begin + end - 1) // 2
