"""The library: recognition without a server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import requests
import soxr

from lingting import AsyncTranscriber, Transcriber, Update
from lingting.domain import SAMPLE_RATE
from lingting.errors import EmptyAudio, LingtingError, ModelError, UndecodableAudio
from tests.conftest import LiveServer
from tests.recordings import recording

engine = pytest.mark.engine


@pytest.fixture(scope="module")
def transcriber(model_dir: Path) -> Iterator[Transcriber]:
    with Transcriber(data_dir=model_dir.parents[1]) as made:
        yield made


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, lingting\nprint(sorted({'numpy', 'ctranslate2', 'sqlalchemy', 'av'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_model_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model 'whisper-none'"):
        Transcriber("whisper-none", tmp_path)


def test_a_wrong_language_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="language must be 'zh', 'en' or None, got 'fr'"):
        Transcriber(data_dir=tmp_path, language="fr")  # type: ignore[arg-type]


@engine
def test_a_file_its_bytes_and_its_samples_say_the_same(transcriber: Transcriber) -> None:
    spoken = recording("beckett")
    of_file = transcriber.transcribe(spoken.path)
    assert of_file.text.lower().startswith("ever tried")
    assert of_file.duration == pytest.approx(spoken.seconds, abs=0.01)
    assert of_file.sentences[0].words
    assert transcriber.transcribe(str(spoken.path)) == of_file
    assert transcriber.transcribe(spoken.path.read_bytes()) == of_file
    samples = transcriber.samples(spoken.path)
    assert (samples.dtype, samples.ndim) == (np.float32, 1)
    assert transcriber.transcribe(samples) == of_file
    assert transcriber.transcribe((samples * 32768).astype(np.int16)).text == of_file.text


@engine
def test_the_text_is_the_servers(transcriber: Transcriber, live_server: LiveServer) -> None:
    spoken = recording("asr_example")
    answer = requests.post(
        f"{live_server.url}/v1/audio/asr/flash",
        headers={"Authorization": f"Bearer {live_server.key}"},
        data=spoken.path.read_bytes(),
        timeout=60,
    )
    served = [sentence["text"] for sentence in answer.json()["flash_result"]["sentences"]]
    assert [sentence.text for sentence in transcriber.transcribe(spoken.path).sentences] == served


@engine
def test_samples_of_another_rate_are_resampled(transcriber: Transcriber) -> None:
    spoken = recording("asr_example")
    wide = soxr.resample(spoken.samples, SAMPLE_RATE, 44_100)
    transcript = transcriber.transcribe(wide, sample_rate=44_100)
    assert transcript.duration == pytest.approx(spoken.seconds, abs=0.01)
    assert any(phrase in transcript.text for phrase in spoken.phrases)


@engine
def test_sentences_come_one_by_one_and_may_be_left_early(transcriber: Transcriber) -> None:
    spoken = recording("two_cities").samples[: 21 * SAMPLE_RATE]
    first_two = list(islice(transcriber.sentences(spoken), 2))
    whole = transcriber.transcribe(spoken)
    assert len(whole.sentences) > 2
    assert tuple(first_two) == whole.sentences[:2]
    assert tuple(transcriber.sentences(spoken)) == whole.sentences


@engine
def test_a_stream_takes_bytes_that_split_samples_and_shows_text_as_it_grows(transcriber: Transcriber) -> None:
    spoken = recording("asr_example")
    with transcriber.stream(language="zh") as stream:
        for start in range(0, len(spoken.pcm), 6401):
            stream.accept(spoken.pcm[start : start + 6401])
        while not stream.text:
            assert stream.wait(30)
        assert stream.text == stream.confirmed + stream.guess
        transcript = stream.finish()
    assert any(phrase in transcript.text for phrase in spoken.phrases)
    assert (stream.text, stream.confirmed, stream.guess) == (transcript.text, transcript.text, "")
    assert stream.duration == transcript.duration == pytest.approx(spoken.seconds, abs=0.01)


def packets(name: str) -> Iterator[bytes]:
    """A recording in packets of 200 ms, as fast as they are taken."""
    pcm = recording(name).pcm
    for start in range(0, len(pcm), 6400):
        yield pcm[start : start + 6400]


@engine
def test_a_generator_of_packets_becomes_finals_and_partials(transcriber: Transcriber) -> None:
    updates: list[Update] = []

    def spoken() -> Iterator[bytes]:
        for number, packet in enumerate(packets("beckett")):
            yield packet
            while number == 12 and not updates:
                yield b""  # whoever listens is shown something before the rest is spoken
                time.sleep(0.01)

    for update in transcriber.stream(spoken(), language="en"):
        updates.append(update)
    text = "".join(update.text for update in updates if update.is_final)
    assert "try again" in text.lower()
    assert updates[-1].is_final
    assert not updates[0].is_final or len(updates) > 1


@engine
def test_the_async_twin_hears_the_same_and_leaves_the_loop_free(model_dir: Path, transcriber: Transcriber) -> None:
    async def live() -> AsyncIterator[bytes]:
        for packet in packets("asr_example"):
            yield packet

    async def work() -> None:
        spoken = recording("asr_example")
        async with AsyncTranscriber(data_dir=model_dir.parents[1]) as ours:
            asking = asyncio.create_task(ours.transcribe(spoken.path))
            turns = 0
            while not asking.done():
                await asyncio.sleep(0)
                turns += 1
            assert turns > 10
            assert (await asking) == transcriber.transcribe(spoken.path)
            sentences = [sentence async for sentence in ours.sentences(spoken.path)]
            assert tuple(sentences) == (await asking).sentences
            updates = [update async for update in ours.stream(live(), language="zh")]
            text = "".join(update.text for update in updates if update.is_final)
            assert any(phrase in text for phrase in spoken.phrases)
            with pytest.raises(FileNotFoundError):
                await ours.transcribe("missing.wav")

    asyncio.run(work())


@engine
def test_times_are_whole_milliseconds(transcriber: Transcriber) -> None:
    transcript = transcriber.transcribe(recording("beckett").path)
    times = [transcript.duration]
    for sentence in transcript.sentences:
        times += [sentence.start, sentence.end, *(time for word in sentence.words for time in (word.start, word.end))]
    assert len(times) > 10
    assert times == [round(time, 3) for time in times]


def test_the_library_lists_its_names() -> None:
    import lingting

    assert {"AsyncTranscriber", "Transcriber", "Update"} <= set(dir(lingting))
    assert all(getattr(lingting, name) for name in lingting.__all__)


@engine
def test_a_stream_of_another_rate_is_resampled(transcriber: Transcriber) -> None:
    spoken = recording("asr_example")
    wide = soxr.resample(spoken.samples, SAMPLE_RATE, 48_000)
    with transcriber.stream(sample_rate=48_000) as stream:
        for start in range(0, len(wide), 9600):
            stream.accept(wide[start : start + 9600])
        transcript = stream.finish()
    assert transcript.duration == pytest.approx(spoken.seconds, abs=0.01)
    assert any(phrase in transcript.text for phrase in spoken.phrases)


@engine
def test_a_stream_that_ended_says_so(transcriber: Transcriber) -> None:
    with transcriber.stream() as stream:
        stream.accept(b"\0\0" * 16)
    with pytest.raises(LingtingError, match="this stream has ended"):
        stream.accept(b"\0\0")
    with pytest.raises(LingtingError, match="this stream has ended"):
        stream.finish()


@engine
def test_bad_audio_is_an_error_and_the_next_call_works(transcriber: Transcriber, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(EmptyAudio):
        transcriber.transcribe(tmp_path / "empty.wav")
    with pytest.raises(UndecodableAudio):
        transcriber.transcribe(b"this is no audio at all")
    with pytest.raises(FileNotFoundError):
        transcriber.transcribe(tmp_path / "missing.wav")
    with pytest.raises(ValueError, match="one channel"):
        transcriber.transcribe(np.zeros((10, 2), np.float32))
    with pytest.raises(ValueError, match="float32 or int16"):
        transcriber.transcribe(np.zeros(10, np.int64))  # type: ignore[arg-type]
    assert transcriber.transcribe(np.zeros(SAMPLE_RATE, np.float32)).text == ""


@engine
def test_a_closed_transcriber_says_so(model_dir: Path) -> None:
    made = Transcriber(data_dir=model_dir.parents[1], threads=1)
    stream = made.stream()
    made.close()
    made.close()
    with pytest.raises(LingtingError, match="closed"):
        made.transcribe(np.zeros(100, np.float32))
    stream.abort()
