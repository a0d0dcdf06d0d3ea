"""One-shot and live recognition with the real model on real speech, silence and noise."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import numpy as np
import pytest

from lingting.domain import SAMPLE_RATE, RecognitionOptions, Samples, Transcript
from lingting.errors import Overloaded
from lingting.recognition.oneshot import Recognizer
from lingting.text import error_rate, normalise
from lingting.text.scoring import ErrorCount
from tests.recognition.conftest import Use
from tests.recordings import recording, speech_dir

pytestmark = pytest.mark.engine


def noises() -> dict[str, Samples]:
    generator = np.random.default_rng(7)
    count = 10 * SAMPLE_RATE
    white = generator.standard_normal(count).astype(np.float32)
    spectrum = np.fft.rfft(white)
    pink = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), count).astype(np.float32)
    time = np.arange(count) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * 50 * harmonic * time) / harmonic for harmonic in (1, 2, 3)).astype(np.float32)
    clicks = np.zeros(count, np.float32)
    for start in generator.integers(0, count - 200, 60):
        clicks[start : start + 160] += (generator.standard_normal(160) * np.exp(-np.arange(160) / 20)).astype(
            np.float32
        )
    return {
        "silence": np.zeros(count, np.float32),
        "white": white * np.float32(0.05),
        "loud white": np.clip(white * np.float32(0.3), -1, 1),
        "pink": pink / np.float32(np.abs(pink).max()) * np.float32(0.3),
        "hum": hum * np.float32(0.2),
        "clicks": clicks / np.float32(np.abs(clicks).max()) * np.float32(0.5),
    }


@pytest.mark.parametrize("name", list(noises()))
def test_where_nobody_speaks_there_is_no_text(use: Use[tuple[str, str]], name: str) -> None:
    samples = noises()[name]

    async def work(recognizer: Recognizer) -> tuple[str, str]:
        session = recognizer.open_live()
        for start in range(0, len(samples), 3200):
            session.accept(samples[start : start + 3200])
        return (await recognizer.recognize(samples)).text, (await session.finish()).text

    assert use(work) == ("", "")


@pytest.mark.parametrize("name", ["asr_example", "vad_example", "two_cities", "beckett"])
def test_a_recording_is_recognised_with_times_inside_it(use: Use[Transcript], name: str) -> None:
    spoken = recording(name)
    transcript = use(lambda recognizer: recognizer.recognize(spoken.samples))
    for phrase in spoken.phrases:
        assert normalise(phrase) in normalise(transcript.text)
    assert transcript.language == spoken.language
    clock = 0.0
    for sentence in transcript.sentences:
        assert clock <= sentence.start < sentence.end <= transcript.duration
        clock = sentence.end
        word_clock = sentence.start
        for word in sentence.words:
            assert word_clock <= word.start < word.end <= sentence.end
            word_clock = word.end


def test_languages_take_turns_in_one_recording_and_nothing_is_lost(use: Use[Transcript]) -> None:
    gap = np.zeros(SAMPLE_RATE, np.float32)
    zh, en = recording("asr_example").samples, recording("beckett").samples[: 4 * SAMPLE_RATE]
    transcript = use(lambda recognizer: recognizer.recognize(np.concatenate([en, gap, zh, gap, en, gap, zh])))
    text = normalise(transcript.text)
    assert text.count("几乎") == 2
    assert text.count("ever") >= 2
    assert {sentence.language for sentence in transcript.sentences} == {"zh", "en"}


def test_a_forced_language_is_obeyed(use: Use[Transcript]) -> None:
    samples = recording("beckett").samples
    transcript = use(lambda recognizer: recognizer.recognize(samples, RecognitionOptions(language="zh")))
    assert transcript.language == "zh"


def test_a_long_silence_ends_a_sentence_only_past_the_limit(use: Use[tuple[Transcript, Transcript]]) -> None:
    zh = recording("asr_example").samples
    samples = np.concatenate([zh, np.zeros(SAMPLE_RATE, np.float32), zh])

    async def work(recognizer: Recognizer) -> tuple[Transcript, Transcript]:
        short = await recognizer.recognize(samples, RecognitionOptions(max_sentence_silence=0.3))
        return short, await recognizer.recognize(samples)

    short, _ = use(work)
    middle = len(zh) / SAMPLE_RATE + 0.5
    assert all(sentence.end < middle or sentence.start > middle for sentence in short.sentences)


def test_new_work_is_refused_when_the_wait_would_be_too_long(recognition, use: Use[None], monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(recognition.scheduler, "predicted_wait", lambda *_, **__: 60.0)

    async def work(recognizer: Recognizer) -> None:
        with pytest.raises(Overloaded) as refused:
            await recognizer.recognize(np.zeros(SAMPLE_RATE, np.float32))
        assert refused.value.retry_after == 50.0
        with pytest.raises(Overloaded):
            recognizer.open_live()

    use(work)


def test_the_windows_fit_how_audio_is_cut() -> None:
    from lingting.audio.segments import WINDOW_COST
    from lingting.engines.whisper.engine import SPARE, WINDOWS

    assert [window - SPARE for window in WINDOWS] == pytest.approx(list(WINDOW_COST))


@pytest.mark.slow
def test_error_rates_on_recorded_speech(use: Use[dict[str, ErrorCount]]) -> None:
    clips = [clip for clip in speech_dir() if clip.path.parent.name in ("zh", "en", "noisy")]

    async def work(recognizer: Recognizer) -> dict[str, ErrorCount]:
        counts: dict[str, ErrorCount] = defaultdict(lambda: ErrorCount(0, 0))
        for start in range(0, len(clips), 8):
            batch = clips[start : start + 8]  # which are decoded together
            heard = await asyncio.gather(*(recognizer.recognize(clip.samples) for clip in batch))
            for clip, transcript in zip(batch, heard, strict=True):
                counts[clip.path.parent.name] += error_rate(clip.reference, transcript.text)
        return counts

    counts = use(work)
    rates = {name: round(100 * count.rate, 2) for name, count in counts.items()}
    print(f"error rates, percent: {rates}")
    assert rates["zh"] <= 20.0
    assert rates["en"] <= 12.0
    assert rates["noisy"] <= 20.0
