"""Spans and segments of a whole recording at once: what the incremental ones must be equal to, to the sample."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lingting.audio.gate import GateConfig, Span, _Machine, _samples, audible
from lingting.audio.segments import (
    _CUT_COST,
    _FORCED_COST,
    _FORCED_EVERY,
    _FREE_PAUSE,
    _LONG_PAUSE,
    _PADDING,
    _VOICED,
    _window_cost,
    quietest_cut,
)
from lingting.audio.voice import FRAME, Probabilities
from lingting.domain import SAMPLE_RATE, Samples, Seconds


class Segment(NamedTuple):
    start: int
    end: int


def speech_spans(samples: Samples, probabilities: Probabilities, config: GateConfig | None = None) -> list[Span]:
    """The speech of a whole recording: padded, merged, in order, inside the file.

    Args:
        probabilities: of every frame of `samples`, as `VoiceDetector.judge` gives them.
    """
    config = config or GateConfig()
    machine = _Machine(config)
    voiced: list[Span] = []
    for probability in audible(samples, probabilities, config).tolist():
        machine.step(probability)
        if machine.ended:
            voiced.append(Span(machine.start, machine.last_voice))
    if machine.in_speech:
        voiced.append(Span(machine.start, machine.last_voice))
    return _padded(voiced, samples.size, config)


def _padded(voiced: Iterable[Span], size: int, config: GateConfig) -> list[Span]:
    before, after = _samples(config.before), _samples(config.after)
    spans: list[Span] = []
    for span in voiced:
        start, end = max(0, span.start - before), min(size, span.end + after)
        if spans and start <= spans[-1].end:
            spans[-1] = Span(spans[-1].start, end)
        else:
            spans.append(Span(start, end))
    return spans


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
