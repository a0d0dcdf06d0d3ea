"""What a live stream keeps of its sound: what an utterance still needs, however long someone goes on."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingting.audio.gate import speech_spans
from lingting.audio.voice import FRAME, Probabilities, VoiceDetector, VoiceState
from lingting.domain import SAMPLE_RATE, Samples
from lingting.recognition.buffer import AudioBuffer
from lingting.recognition.endpoint import Ended, EndpointConfig, Endpointer, Paused
from tests.recordings import recording


class AlwaysVoiced(VoiceDetector):
    """Hears a voice in every frame, as in a choir, and costs nothing."""

    def probabilities(self, samples: Samples, state: VoiceState | None = None) -> tuple[Probabilities, VoiceState]:
        whole = np.concatenate([(state or VoiceState()).remainder, samples])
        frames = whole.size // FRAME
        return np.full(frames, 0.99, np.float32), VoiceState(remainder=whole[frames * FRAME :].copy())


def test_an_hour_of_sound_without_a_pause_keeps_no_more_than_its_last_minute() -> None:
    packet = recording("asr_example").samples[: SAMPLE_RATE // 2]
    endpointer = Endpointer(AlwaysVoiced(), EndpointConfig())
    cuts = 0
    tracemalloc.start()
    try:
        for _ in range(2 * 3600):
            cuts += sum(isinstance(event, Ended) and event.cut for event in endpointer.feed(packet))
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cuts > 3600 / 20
    assert kept < 60 * 2 * SAMPLE_RATE
    assert most < 8_000_000


def test_a_slice_takes_memory_for_what_it_returns_and_nothing_else() -> None:
    buffer = AudioBuffer()
    for _ in range(200):
        buffer.append(np.zeros(SAMPLE_RATE, np.float32))
    tracemalloc.start()
    try:
        buffer.slice(100 * SAMPLE_RATE, 101 * SAMPLE_RATE)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5 * SAMPLE_RATE


@given(
    sizes=st.lists(st.integers(0, 40_000), max_size=12),
    trims=st.lists(st.integers(0, 200_000), max_size=12),
    first=st.integers(0, 250_000),
    length=st.integers(-100, 250_000),
)
def test_a_slice_is_what_was_said_there_as_far_as_it_is_kept(
    sizes: list[int], trims: list[int], first: int, length: int
) -> None:
    buffer, said = AudioBuffer(), np.random.default_rng(1).integers(-32768, 32768, sum(sizes))
    samples = said.astype(np.float32) / 32768
    at, floor = 0, 0
    for number, size in enumerate(sizes):
        buffer.append(samples[at : at + size])
        at += size
        if number < len(trims):
            buffer.trim(trims[number])
            floor = max(floor, min(trims[number], at))
    assert (buffer.start, buffer.end) == (floor, at)
    last = first + length
    np.testing.assert_array_equal(buffer.slice(first, last), samples[max(first, floor) : max(last, 0)])


@pytest.mark.parametrize("packet", [1600, 3200, 5000])
@pytest.mark.parametrize("name", ["asr_example", "beckett"])
@pytest.mark.parametrize("behind", [0.0, 1.0])
def test_an_utterance_is_the_very_sound_that_a_file_of_it_has_and_so_is_its_early_decode(
    name: str, packet: int, behind: float
) -> None:
    said = np.concatenate((recording(name).samples, np.zeros(round(behind * SAMPLE_RATE), np.float32)))
    detector = VoiceDetector()
    endpointer = Endpointer(detector, EndpointConfig(silence=10.0, long_silence=10.0))
    events = [event for at in range(0, len(said), packet) for event in endpointer.feed(said[at : at + packet])]
    events += endpointer.finish()
    (ended,) = (event for event in events if isinstance(event, Ended))
    spans = speech_spans(said, detector.judge(said))
    assert (ended.start, ended.end) == (spans[0].start, spans[-1].end)
    early = [event.end for event in events if isinstance(event, Paused)]
    assert not behind or early[-1] == ended.end
