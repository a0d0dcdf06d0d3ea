"""A long recording is recognised from its first segments on, beside everything that is live."""

from __future__ import annotations

import asyncio
import os
import threading

import numpy as np
import pytest

from lingting.audio.recording import Recording
from lingting.audio.voice import Probabilities, VoiceDetector, VoiceState
from lingting.domain import SAMPLE_RATE, RecognitionOptions, Samples, Sentence
from lingting.recognition.oneshot import Recognizer
from lingting.service import Recognition
from tests.recognition.conftest import Use
from tests.recordings import recording

pytestmark = pytest.mark.engine


class Counting(VoiceDetector):
    """The real voice activity; counts the samples that it was given."""

    def __init__(self) -> None:
        self.judged = 0
        self.begun = threading.Event()

    def probabilities(self, samples: Samples, state: VoiceState | None = None) -> tuple[Probabilities, VoiceState]:
        self.judged += len(samples)
        self.begun.set()
        return super().probabilities(samples, state)


def test_the_first_sentence_of_a_long_recording_does_not_wait_for_its_end(
    recognition: Recognition, use: Use[tuple[Sentence, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    speech = recording("asr_example").samples
    pause = np.zeros(2 * SAMPLE_RATE, np.float32)
    samples = np.concatenate([np.concatenate([speech, pause])] * 30)
    detector = Counting()
    monkeypatch.setattr(recognition.recognizer, "_detector", detector)

    async def first(recognizer: Recognizer) -> tuple[Sentence, int]:
        sentences = recognizer.sentences(Recording.of_samples(samples), RecognitionOptions())
        sentence = await anext(sentences)
        judged = detector.judged
        await sentences.aclose()
        return sentence, judged

    sentence, judged = use(first)
    assert sentence.start < len(speech) / SAMPLE_RATE
    assert judged < len(samples) / 2


def test_a_recording_that_nobody_waits_for_any_more_is_not_listened_to_further(
    recognition: Recognition, use: Use[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.zeros(3600 * SAMPLE_RATE, np.float32)
    detector = Counting()
    monkeypatch.setattr(recognition.recognizer, "_detector", detector)

    async def leave(recognizer: Recognizer) -> int:
        task = asyncio.create_task(recognizer.recognize(samples))
        assert await asyncio.to_thread(detector.begun.wait, 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return detector.judged

    assert use(leave) < len(samples) / 2


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="the system orders processes only")
def test_threads_that_listen_to_recordings_run_after_those_that_listen_to_streams(
    recognition: Recognition, use: Use[None]
) -> None:
    async def both(recognizer: Recognizer) -> None:
        session = recognizer.open_live()
        session.accept(np.zeros(SAMPLE_RATE, np.float32))
        await session.finish()
        await recognizer.recognize(np.zeros(SAMPLE_RATE, np.float32))

    use(both)
    niceness = {
        name: [
            os.getpriority(os.PRIO_PROCESS, thread.native_id or 0)
            for thread in threading.enumerate()
            if thread.name.startswith(name)
        ]
        for name in ("listen", "read")
    }
    assert niceness["listen"] and niceness["read"]
    assert min(niceness["read"]) > max(niceness["listen"])
