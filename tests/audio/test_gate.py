"""Speech passes the gate whole; silence and noise do not pass it at all."""

from __future__ import annotations

import numpy as np
import pytest

from lingting.audio.gate import GateConfig, LiveGate, Span, speech_spans, voiced
from lingting.audio.voice import FRAME, VoiceDetector, VoiceState
from tests.audio.sounds import at_level, buzz, noise, recordings

DETECTOR = VoiceDetector()


@pytest.mark.parametrize("kind", ["white", "pink", "hum", "hum60", "clicks"])
@pytest.mark.parametrize("level", [-60, -50, -40, -30, -20, -10])
def test_noise_is_never_speech_at_any_level(kind, level):
    sound = noise(kind, level)
    assert speech_spans(sound, DETECTOR.judge(sound)) == []


@pytest.mark.parametrize("kind", ["dither", "zero"])
def test_silence_is_never_speech(kind):
    sound = noise(kind, None)
    assert speech_spans(sound, DETECTOR.judge(sound)) == []


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 5000])
def test_every_frame_of_a_recording_is_judged_even_a_partial_last_one(size):
    assert len(DETECTOR.judge(np.zeros(size, np.float32))) == -(-size // FRAME)


def test_packets_of_any_size_are_judged_like_the_whole():
    sound = buzz(3.0)
    state, parts, start = VoiceState(), [], 0
    for size in [1, 700, 64, 511, 513, 3200, 9600] * 10:
        probabilities, state = DETECTOR.probabilities(sound[start : start + size], state)
        parts.append(probabilities)
        start += size
    whole = DETECTOR.judge(sound)
    joined = np.concatenate(parts)
    assert np.allclose(joined, whole[: len(joined)], atol=1e-4)


def test_three_confident_frames_make_a_padded_span_inside_the_file():
    sound = at_level(noise("white", -30, 2.0), -30)
    probabilities = np.zeros(-(-sound.size // FRAME), np.float32)
    probabilities[[0, 1, 2]] = 0.9
    assert speech_spans(sound, probabilities) == [Span(0, 3 * FRAME + 4000)]
    probabilities[2] = 0.0
    assert speech_spans(sound, probabilities) == []


def test_confident_frames_below_the_energy_floor_are_no_speech():
    sound = noise("white", -80, 2.0)
    assert speech_spans(sound, np.ones(-(-sound.size // FRAME), np.float32)) == []


def test_all_recordings_pass_and_keep_their_loud_syllables():
    for name, sound in recordings().items():
        spans = speech_spans(sound, DETECTOR.judge(sound))
        assert spans, name
        covered = np.zeros(sound.size, bool)
        for start, end in spans:
            covered[start:end] = True
        without_rumble = sound - np.convolve(sound, np.ones(161, np.float32) / 161, "same")
        energy = np.square(without_rumble, dtype=np.float64)
        assert energy[covered].sum() / energy.sum() > 0.985, name


def test_quiet_speech_passes_as_well():
    for name, sound in recordings().items():
        quiet = at_level(sound, -40)
        assert speech_spans(quiet, DETECTOR.judge(quiet)), name


def test_a_live_gate_finds_the_same_speech_as_the_file():
    config = GateConfig()
    for name, sound in list(recordings().items())[::8]:
        gate = LiveGate(DETECTOR, config)
        events = [event for at in range(0, sound.size, 3200) for event in gate.feed(sound[at : at + 3200])]
        events += gate.finish()
        starts = [event.sample for event in events if event.kind == "start"]
        ends = [event.sample for event in events if event.kind == "end"]
        merged: list[Span] = []
        for start, end in zip(starts, ends, strict=True):
            if merged and start <= merged[-1].end:
                merged[-1] = Span(merged[-1].start, end)
            else:
                merged.append(Span(start, end))
        spans = speech_spans(sound, DETECTOR.judge(sound), config)
        assert np.allclose(np.array(merged), np.array(spans), atol=2 * FRAME), name
        assert gate.received == sound.size


def test_a_live_gate_forgets_what_it_is_told_to_and_keeps_its_place():
    gate = LiveGate(DETECTOR)
    for _ in range(300):
        gate.feed(np.zeros(3200, np.float32))
        gate.forget(gate.received - 16_000)
        assert len(gate.probabilities) <= 16_000 // FRAME + 2
    assert gate.first_sample + len(gate.probabilities) * FRAME == gate.judged
    assert gate.silence == pytest.approx(60.0)
    assert not gate.in_speech


def test_what_is_voiced_has_no_padding_and_stops_at_the_ends():
    heard = np.array([0, 0, 0.9, 0.9, 0, 0, 0, 0, 0.4, 0.8, 0.1, 0.1, 0.9, 0], np.float32)
    assert voiced(heard, 0, 0, 14 * FRAME) == (Span(2 * FRAME, 4 * FRAME), Span(8 * FRAME, 13 * FRAME))
    assert voiced(heard, 10 * FRAME, 12 * FRAME + 100, 20 * FRAME) == (
        Span(12 * FRAME + 100, 14 * FRAME),
        Span(18 * FRAME, 20 * FRAME),
    )


def test_a_sound_that_is_hardly_voice_is_silence():
    assert voiced(np.array([0, 0.4, 0.45, 0.4, 0], np.float32), 0, 0, 5 * FRAME) == ()
    assert voiced(np.zeros(0, np.float32), 0, 0, 0) == ()
