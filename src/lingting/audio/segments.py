"""Speech cut into segments for an engine: at pauses where there are any, in the quietest place where there are none.

The encoder's cost grows with its window (20 or 30 s) faster than in proportion, so the cuts are chosen by
dynamic programming: the cheapest windows, with a price on every cut that is not in a real pause.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lingting.audio.gate import GateConfig, Span, SpanFinder, voiced
from lingting.audio.voice import FRAME, Probabilities
from lingting.domain import SAMPLE_RATE, Samples, Seconds

WINDOW_COST: dict[Seconds, float] = {19.6: 0.30, 29.6: 0.70}
"""Seconds of compute to encode so many seconds of speech in the next window, measured on two cores."""

_HOP = 160
_SMOOTH = 5  # hops either side: a cut needs about 100 ms of quiet
_MARGIN = (_SMOOTH + 1) * _HOP
_VOICED = GateConfig().off
_SEGMENT_COST = 0.03
_LONG_PAUSE: Seconds = 0.6
_PADDING: Seconds = GateConfig().before
_FREE_PAUSE: Seconds = 0.6
_CUT_COST = 0.12
_FORCED_COST = 0.25
_FORCED_EVERY: Seconds = 9.0


class Segment(NamedTuple):
    """Samples [start, end) of a recording that go to the engine together.

    Attributes:
        speech: where somebody is heard inside, in order, without padding.
    """

    start: int
    end: int
    speech: tuple[Span, ...] = ()


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
    begin = max(0, low - _MARGIN)
    piece = samples[begin : high + _MARGIN].astype(np.float64)
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


class Segmenter:
    """Groups the speech of a recording into segments that cost the engine least, each given as soon as it is settled.

    Neighbouring spans are joined over short gaps; a gap of more than 0.6 s always separates; spans too long for a cheap
    window are cut at an inner pause, or in the quietest place where there is none. Together the segments cover every
    sample of the spans once; they are in order and do not overlap. They are the same however the recording is fed.

    Args:
        window: gives samples [start, end) of the recording, as `Recording.window` does.
        size: samples of the recording.
        longest: seconds that a segment has at most.

    Raises:
        ValueError: `longest` is under 2.
    """

    def __init__(
        self,
        window: Callable[[int, int], Samples],
        size: int,
        config: GateConfig | None = None,
        longest: Seconds = 28.0,
    ) -> None:
        if longest < 2:
            raise ValueError(f"longest must be at least 2, not {longest}")
        self._limit = round(longest * SAMPLE_RATE)
        self._finder = SpanFinder(size, config)
        self._config = config or GateConfig()
        self._frames = _Frames(window, size)
        self._span: _Span | None = None
        self._group = _Group(self._limit)
        self._spans: deque[Span] = deque()

    def feed(self, probabilities: Probabilities, heard: Probabilities) -> list[Segment]:
        """Take what voice activity says of the next frames; the segments that it settles, in order.

        Args:
            probabilities: one for each frame.
            heard: the same, zero where a frame is too quiet, as `audible` gives them.
        """
        self._frames.add(probabilities, heard)
        settled = self._finder.feed(heard)
        segments = self._closed(settled)
        if (opened := self._finder.open) is not None:
            segments += self._cut(opened)
        end = self._group.end
        if opened is None and end is not None and self._finder.clear_to - end > _LONG_PAUSE * SAMPLE_RATE:
            segments += self._group.finish()
        return self._told(segments, opened)

    def finish(self) -> list[Segment]:
        """The segments that are left when every frame is fed."""
        return self._told(self._closed(self._finder.finish()) + self._group.finish(), None)

    def _closed(self, spans: Sequence[Span]) -> list[Segment]:
        segments: list[Segment] = []
        for span in spans:
            segments += self._cut(span, closed=True)
            self._spans.append(span)
            self._span = None
        return segments

    def _cut(self, span: Span, *, closed: bool = False) -> list[Segment]:
        """Cut a span into pieces as far as it is known, and give the segments that become certain by them."""
        segments: list[Segment] = []
        if self._span is None:
            end = self._group.end
            if end is not None and span.start - end > _LONG_PAUSE * SAMPLE_RATE:
                segments += self._group.finish()
            self._group.pause((span.start - end) / SAMPLE_RATE if end is not None else 0.0)
            self._span = _Span(span.start, self._frames, self._limit)
        for piece in self._span.reach(span.end, closed=closed):
            segments += self._group.add(piece)
        return segments

    def _told(self, segments: Sequence[Segment], opened: Span | None) -> list[Segment]:
        """The segments with where somebody is heard in them."""
        result: list[Segment] = []
        for segment in segments:
            while self._spans and self._spans[0].end <= segment.start:
                self._spans.popleft()
            near = [*self._spans, *([opened] if opened is not None else [])]
            inside = [Span(max(span.start, segment.start), min(span.end, segment.end)) for span in near]
            parts = [voiced(self._frames.heard, 0, *span, self._config) for span in inside if span.start < span.end]
            result.append(segment._replace(speech=tuple(part for heard in parts for part in heard)))
        return result


class _Frames:
    """The probabilities of a recording so far, and its samples."""

    def __init__(self, window: Callable[[int, int], Samples], size: int) -> None:
        self.count = 0
        self.whole = math.ceil(size / FRAME)
        self._window = window
        self._size = size
        self._probabilities = np.empty(self.whole, np.float32)
        self.heard = np.zeros(self.whole, np.float32)

    def add(self, probabilities: Probabilities, heard: Probabilities) -> None:
        self._probabilities[self.count : self.count + len(probabilities)] = probabilities
        self.heard[self.count : self.count + len(heard)] = heard
        self.count += len(probabilities)

    def quiet(self, frame: int) -> bool:
        return bool(self._probabilities[frame] < _VOICED)

    def quietest_cut(self, low: int, high: int) -> int:
        """`quietest_cut` between two samples of the recording, reading what it needs and no more."""
        first = max(0, low - _MARGIN) // FRAME
        base = first * FRAME
        samples = self._window(base, min(self._size, high + _MARGIN))
        known = self._probabilities[first : min(self.count, math.ceil(high / FRAME))]
        return base + quietest_cut(samples, known, low - base, high - base)


class _Piece(NamedTuple):
    start: int
    end: int
    cut_cost: float
    """Price of ending a segment behind this piece."""


def _price(pause: Seconds) -> float:
    return _CUT_COST * max(0.0, 1.0 - pause / _FREE_PAUSE)


class _Span:
    """One span on its way into pieces that are each short enough: cut at its pauses, of at least three frames in a row
    that are not voiced, and where those are too far apart in the quietest place."""

    def __init__(self, start: int, frames: _Frames, limit: int) -> None:
        self._frames = frames
        self._every = min(round(_FORCED_EVERY * SAMPLE_RATE), limit // 2)
        self._start = self._last = start
        self._first = self._next = start // FRAME
        self._quiet_from: int | None = None

    def reach(self, end: int, *, closed: bool) -> list[_Piece]:
        """The pieces that are certain now that the span is known to reach sample `end`, or to end there."""
        pieces: list[_Piece] = []
        if end - self._start <= self._every:
            return [_Piece(self._start, end, 0.0)] if closed else pieces
        frames = self._frames
        for frame in range(self._next, min(math.ceil(end / FRAME), frames.count)):
            self._next = frame + 1
            if frames.quiet(frame):
                if self._quiet_from is None:
                    self._quiet_from = frame
            elif self._quiet_from is not None:
                begin, self._quiet_from = self._quiet_from, None
                if frame - begin >= 3 and begin > self._first:
                    cut = frames.quietest_cut(begin * FRAME, frame * FRAME)
                    self._cut(cut, _price((frame - begin) * FRAME / SAMPLE_RATE), pieces)
        if closed:
            self._cut(end, 0.0, pieces)
        else:
            ahead = (self._next if self._quiet_from is None else self._quiet_from) * FRAME
            self._force(min(ahead, end), pieces)
        return pieces

    def _cut(self, cut: int, price: float, pieces: list[_Piece]) -> None:
        every = self._every
        while cut - self._last > every:
            last = self._last
            forced = self._frames.quietest_cut(last + every // 2, min(last + every, cut - every // 4))
            self._put(forced, _FORCED_COST, pieces)
        self._put(cut, price, pieces)

    def _force(self, next_cut: int, pieces: list[_Piece]) -> None:
        """Cut where the next pause, which is not before `next_cut`, is too far to matter."""
        while next_cut - self._every // 4 >= self._last + self._every:
            forced = self._frames.quietest_cut(self._last + self._every // 2, self._last + self._every)
            self._put(forced, _FORCED_COST, pieces)

    def _put(self, cut: int, price: float, pieces: list[_Piece]) -> None:
        if cut > self._last:
            pieces.append(_Piece(self._last, cut, price))
        self._last = cut


class _Group:
    """Pieces that may share segments: the partition with the least encoder time plus price of cuts, as it settles.

    The cheapest partition of the pieces up to a place is known once the price of a cut there is; what the cheapest
    partitions of all places from which a later segment may begin have in common is settled (as in Viterbi decoding).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._clear()

    @property
    def end(self) -> int | None:
        """Where the last piece ends; None where there is none."""
        return self._pieces[-1].end if self._pieces else None

    def pause(self, seconds: Seconds) -> None:
        """The next piece begins another span, `seconds` behind the one before."""
        if self._pieces:
            self._pieces[-1] = self._pieces[-1]._replace(cut_cost=_price(seconds + 2 * _PADDING))

    def add(self, piece: _Piece) -> list[Segment]:
        """Take the next piece; the segments that are settled by it."""
        if self._pieces:
            self._step(self._pieces[-1].cut_cost)
        self._pieces.append(piece)
        last = len(self._pieces) - 1
        places = {last}
        for begin in range(last - 1, self._given - 1, -1):
            if piece.end - self._pieces[begin].start > self._limit:
                break
            places.add(begin)
        while len(places) > 1:
            latest = max(places)
            places.remove(latest)
            places.add(self._begin_of[latest])
        return self._give(places.pop())

    def finish(self) -> list[Segment]:
        """The segments that are left when no piece follows; the group is empty afterwards."""
        if not self._pieces:
            return []
        self._step(0.0)
        segments = self._give(len(self._pieces))
        self._clear()
        return segments

    def _clear(self) -> None:
        self._pieces: list[_Piece] = []
        self._best = [0.0]
        self._begin_of = [0]
        self._given = 0

    def _step(self, price: float) -> None:
        """Find the cheapest partition of all pieces so far, when a cut behind the last costs `price`."""
        pieces = self._pieces
        stop = len(pieces)
        end = pieces[stop - 1].end
        best, begin_of = math.inf, 0
        for begin in range(stop - 1, self._given - 1, -1):
            length = end - pieces[begin].start
            if length > self._limit and begin < stop - 1:
                break
            cost = self._best[begin] + _window_cost(length / SAMPLE_RATE) + price
            if cost < best:
                best, begin_of = cost, begin
        self._best.append(best)
        self._begin_of.append(begin_of)

    def _give(self, place: int) -> list[Segment]:
        """The segments of the cheapest partition up to a place that were not given before."""
        segments: list[Segment] = []
        stop = place
        while stop > self._given:
            begin = self._begin_of[stop]
            segments.append(Segment(self._pieces[begin].start, self._pieces[stop - 1].end))
            stop = begin
        self._given = max(self._given, place)
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
