"""Segments hold all speech once, are short, and are cut where nobody speaks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingting.audio.gate import Span, speech_spans
from lingting.audio.segments import quietest_cut, utterances
from lingting.audio.voice import FRAME, VoiceDetector
from tests.audio.sounds import noise, recordings


def _judged(sound, quiet):
    probabilities = np.ones(-(-sound.size // FRAME), np.float32)
    for start, end in quiet:
        sound[start:end] *= 0.001
        probabilities[-(-start // FRAME) : end // FRAME] = 0
    return probabilities


def test_a_cut_lies_in_the_pause():
    sound = noise("white", -20, 10.0)
    probabilities = _judged(sound, [(80_000, 84_000)])
    assert 80_000 <= quietest_cut(sound, probabilities, 16_000, 150_000) < 84_000


def test_a_quiet_voiced_place_is_not_cut_when_a_louder_unvoiced_one_exists():
    sound = noise("white", -20, 4.0)
    sound[16_000:20_000] *= 0.01
    probabilities = np.ones(-(-sound.size // FRAME), np.float32)
    probabilities[80:90] = 0.1
    assert 80 * FRAME <= quietest_cut(sound, probabilities, 0, sound.size) < 90 * FRAME


@given(low=st.integers(0, 63_000), width=st.integers(1, 60_000))
@settings(max_examples=50, deadline=None)
def test_a_cut_is_inside_its_bounds(low, width):
    sound = noise("white", -30, 4.0)
    high = min(low + width, sound.size)
    assert low <= quietest_cut(sound, np.ones(125, np.float32), low, high) < high


@given(
    lengths=st.lists(st.tuples(st.integers(3000, 700_000), st.integers(1, 60_000)), max_size=8),
    limit=st.sampled_from([5.0, 15.0, 28.0]),
)
@settings(max_examples=30, deadline=None)
def test_segments_cover_every_span_once_and_keep_to_the_limit(lengths, limit):
    spans, at = [], 0
    for length, gap in lengths:
        spans.append(Span(at, at + length))
        at += length + gap
    sound = np.random.default_rng(1).standard_normal(at).astype(np.float32) * 0.1
    probabilities = np.random.default_rng(2).random(-(-at // FRAME)).astype(np.float32)
    segments = utterances(sound, probabilities, spans, limit)
    covered = np.zeros(at, np.int8)
    for start, end in segments:
        assert 0 < end - start <= limit * 16_000
        covered[start:end] += 1
    assert covered.max(initial=0) <= 1
    for start, end in spans:
        assert covered[start:end].all()


def test_a_long_silence_separates_segments():
    sound = noise("white", -30, 10.0)
    spans = [Span(0, 32_000), Span(70_000, 100_000)]
    assert len(utterances(sound, np.ones(313, np.float32), spans)) == 2


def test_neighbours_across_a_short_gap_go_together():
    sound = noise("white", -30, 10.0)
    spans = [Span(0, 32_000), Span(34_000, 60_000)]
    assert utterances(sound, np.ones(313, np.float32), spans) == [(0, 60_000)]


def test_a_limit_too_short_for_an_utterance_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        utterances(np.zeros(16_000, np.float32), np.zeros(32, np.float32), [], 1.0)


def test_long_recordings_are_cut_outside_voiced_frames():
    detector = VoiceDetector()
    for name, sound in recordings().items():
        if not name.startswith("long/"):
            continue
        probabilities = detector.judge(sound)
        segments = utterances(sound, probabilities, speech_spans(sound, probabilities))
        assert max(end - start for start, end in segments) <= 20 * 16_000
        for border in [border for segment in segments for border in segment]:
            assert border in (0, sound.size) or probabilities[min(border // FRAME, len(probabilities) - 1)] < 0.5, name
