"""Segments hold all speech once, are short, and are cut where nobody speaks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingting.audio.gate import GateConfig, Span, audible, speech_spans, voiced
from lingting.audio.segments import Segment, Segmenter, quietest_cut
from lingting.audio.voice import FRAME, VoiceDetector
from tests.audio import whole
from tests.audio.sounds import noise, recordings


def _fed(sound, probabilities, pieces, longest=28.0):
    """Segments of a recording of which voice activity is told piece by piece, and what each piece settled."""
    segmenter = Segmenter(lambda start, end: sound[start:end], sound.size, longest=longest)
    heard = audible(sound, probabilities, GateConfig())
    settled, at = [], 0
    for frames in pieces:
        settled.append(segmenter.feed(probabilities[at : at + frames], heard[at : at + frames]))
        at += frames
    return [*settled, segmenter.feed(probabilities[at:], heard[at:]) + segmenter.finish()]


def _at_once(sound, probabilities, longest=28.0):
    return [segment for part in _fed(sound, probabilities, [], longest) for segment in part]


def _voice(turns, count):
    """Probabilities in turns of (frames, kind), over and over up to `count` frames: silent, voiced, or in doubt."""
    generator = np.random.default_rng(len(turns))
    parts = [
        generator.uniform(*{"silent": (0, 0.3), "voiced": (0.5, 1), "doubt": (0.2, 0.8)}[kind], frames)
        for frames, kind in turns
    ]
    return np.resize(np.concatenate(parts).astype(np.float32), count)


@given(
    turns=st.lists(
        st.tuples(st.integers(1, 900), st.sampled_from(["silent", "voiced", "doubt"])), min_size=1, max_size=12
    ),
    size=st.integers(1, 300 * 16_000),
    pieces=st.lists(st.integers(0, 2000), max_size=30),
    longest=st.sampled_from([5.0, 15.0, 28.0]),
)
@settings(max_examples=60, deadline=None)
def test_however_a_recording_is_fed_its_segments_are_those_of_the_whole(turns, size, pieces, longest):
    sound = np.random.default_rng(size).standard_normal(size).astype(np.float32) * np.float32(0.1)
    probabilities = _voice(turns, -(-size // FRAME))
    spans = whole.speech_spans(sound, probabilities)
    assert speech_spans(sound, probabilities) == spans
    segments = [segment for part in _fed(sound, probabilities, pieces, longest) for segment in part]
    expected = whole.utterances(sound, probabilities, spans, longest)
    assert [(segment.start, segment.end) for segment in segments] == [tuple(segment) for segment in expected]
    for segment in segments:
        inside = [(max(start, segment.start), min(end, segment.end)) for start, end in spans]
        heard = audible(sound, probabilities, GateConfig())
        assert list(segment.speech) == [part for start, end in inside for part in voiced(heard, 0, start, end)]


def test_the_segments_of_recordings_are_those_of_the_whole_and_come_while_it_is_heard():
    detector = VoiceDetector()
    sound = np.concatenate([sound for name, sound in recordings().items() if name.startswith("long/")])
    probabilities = detector.judge(sound)
    fed = _fed(sound, probabilities, [512] * (len(probabilities) // 512))
    expected = whole.utterances(sound, probabilities, whole.speech_spans(sound, probabilities))
    assert [tuple(segment[:2]) for part in fed for segment in part] == [tuple(segment) for segment in expected]
    known, behind = 0, []
    for number, part in enumerate(fed[:-1], 1):
        known = part[-1].end if part else known
        behind.append(number * 512 * FRAME - known)
    assert max(behind) < 60 * 16_000


def test_the_segment_before_a_long_silence_does_not_wait_for_its_end():
    sound = noise("white", -30, 600.0)
    probabilities = np.zeros(-(-sound.size // FRAME), np.float32)
    probabilities[10:100] = 0.9
    fed = _fed(sound, probabilities, [512, 512])
    assert [len(part) for part in fed] == [1, 0, 0]


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
    turns=st.lists(st.tuples(st.integers(1, 900), st.sampled_from(["silent", "voiced"])), max_size=8),
    longest=st.sampled_from([5.0, 15.0, 28.0]),
)
@settings(max_examples=30, deadline=None)
def test_segments_cover_every_span_once_and_keep_to_the_limit(turns, longest):
    sound = noise("white", -20, 200.0)
    probabilities = _voice([*turns, (1, "silent")], -(-sound.size // FRAME))
    covered = np.zeros(sound.size, np.int8)
    for start, end, _ in _at_once(sound, probabilities, longest):
        assert 0 < end - start <= longest * 16_000
        covered[start:end] += 1
    assert covered.max(initial=0) <= 1
    for start, end in speech_spans(sound, probabilities):
        assert covered[start:end].all()


def test_a_long_silence_separates_segments():
    sound = noise("white", -30, 10.0)
    assert len(_at_once(sound, _voice([(60, "voiced"), (60, "silent")], 313))) == 3


def test_neighbours_across_a_short_gap_go_together():
    sound = noise("white", -30, 10.0)
    probabilities = np.zeros(313, np.float32)
    probabilities[10:60] = probabilities[80:120] = 0.9
    spans = (Span(10 * FRAME - 4000, 60 * FRAME + 4000), Span(80 * FRAME - 4000, 120 * FRAME + 4000))
    heard = (Span(10 * FRAME, 60 * FRAME), Span(80 * FRAME, 120 * FRAME))
    assert _at_once(sound, probabilities) == [Segment(spans[0].start, spans[1].end, heard)]


def test_a_limit_too_short_for_an_utterance_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        _at_once(np.zeros(16_000, np.float32), np.zeros(32, np.float32), 1.0)


def test_long_recordings_are_cut_outside_voiced_frames():
    detector = VoiceDetector()
    for name, sound in recordings().items():
        if not name.startswith("long/"):
            continue
        probabilities = detector.judge(sound)
        segments = _at_once(sound, probabilities)
        assert max(end - start for start, end, _ in segments) <= 20 * 16_000
        for border in [border for segment in segments for border in segment[:2]]:
            assert border in (0, sound.size) or probabilities[min(border // FRAME, len(probabilities) - 1)] < 0.5, name
