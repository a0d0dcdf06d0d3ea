"""A recording is read in windows, takes room while it is open, and gives it back when it is closed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingting.audio.budget import AudioBudget
from lingting.audio.decode import Decoder
from lingting.audio.recording import Recording, nameless_file
from lingting.errors import AudioTooLong, LingtingError, Overloaded
from tests.audio.sounds import buzz, encode

SAMPLES = (np.random.default_rng(3).integers(-32768, 32768, 5000) / 32768).astype(np.float32)
PCM = (SAMPLES * 32768).astype("<i2").tobytes()


def _in_file():
    descriptor = nameless_file()
    os.write(descriptor, b"head" + PCM)
    return Recording.of_file(descriptor, len(SAMPLES), offset=4)


KINDS = {
    "array": lambda: Recording.of_samples(SAMPLES),
    "bytes": lambda: Recording.of_pcm16(PCM + b"\x01"),
    "file": _in_file,
}


@pytest.mark.parametrize("kind", KINDS)
@given(start=st.integers(-10, 6000), length=st.integers(-10, 6000))
def test_a_window_holds_the_samples_there_as_far_as_the_recording_reaches(kind, start, length):
    with KINDS[kind]() as recording:
        assert recording.size == len(SAMPLES)
        assert recording.duration == len(SAMPLES) / 16_000
        window = recording.window(start, start + length)
        np.testing.assert_array_equal(window, SAMPLES[max(0, start) : max(0, start + length)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_recording_refuses_to_be_read_and_may_be_closed_again(kind):
    recording = KINDS[kind]()
    recording.close()
    recording.close()
    with pytest.raises(LingtingError, match="closed"):
        recording.window(0, 10)


def test_a_file_that_somebody_cuts_meanwhile_reads_as_silence_where_nothing_is_left():
    descriptor = nameless_file()
    os.write(descriptor, PCM)
    with Recording.of_file(descriptor, len(SAMPLES)) as recording:
        os.ftruncate(descriptor, 2000)
        window = recording.window(0, 5000)
    np.testing.assert_array_equal(window[:1000], SAMPLES[:1000])
    assert not window[1000:].any()


def test_a_recording_that_is_closed_while_it_is_read_never_reads_another_file():
    for _ in range(200):
        recording = _in_file()
        reading = threading.Thread(target=_suppressed, args=(recording,))
        reading.start()
        recording.close()
        reading.join()


def _suppressed(recording):
    with contextlib.suppress(LingtingError):
        np.testing.assert_array_equal(recording.window(0, 5000), SAMPLES)


def _decode(decoder, path, max_seconds=60.0):
    return decoder.decode(path, format="flac", sample_rate=16_000, max_seconds=max_seconds)


def _run(work, **options):
    async def main():
        decoder = Decoder(1, **options)
        try:
            return await work(decoder)
        finally:
            await decoder.close()

    return asyncio.run(main())


def test_what_is_decoded_takes_room_until_it_is_closed_and_more_is_refused_meanwhile(tmp_path):
    path = encode(tmp_path / "a.flac", buzz(6.0), "flac", 16_000)
    budget = AudioBudget(7 * 32_000)

    async def work(decoder):
        first = await _decode(decoder, path)
        assert budget.spent == 2 * first.size
        with pytest.raises(Overloaded):
            await _decode(decoder, path)
        with pytest.raises(Overloaded):
            decoder.pcm16(bytes(2 * 32_000))
        assert budget.spent == 2 * first.size
        first.close()
        assert budget.spent == 0
        with await _decode(decoder, path) as second, decoder.pcm16(bytes(16_000)):
            assert budget.spent == 2 * second.size + 16_000

    _run(work, budget=budget)
    assert budget.spent == 0


def test_room_is_refused_before_it_is_taken_where_a_file_does_not_say_how_long_it_is(tmp_path):
    path = encode(tmp_path / "a.flac", np.zeros(16_000 * 1200, np.float32), "flac", 16_000)
    content = bytearray(path.read_bytes())
    content[21:26] = bytes([content[21] & 0xF0, 0, 0, 0, 0])  # the header no longer tells its length
    path.write_bytes(content)
    budget = AudioBudget(1000 * 32_000)
    held = budget.reserve(400 * 32_000)

    async def work(decoder):
        with pytest.raises(Overloaded):
            await _decode(decoder, path, 7200.0)
        assert budget.spent == held.size
        held.release()
        with pytest.raises(AudioTooLong) as caught:
            await _decode(decoder, path, 7200.0)
        assert caught.value.limit_seconds == 1000

    _run(work, budget=budget)
    assert budget.spent == 0


def test_nothing_is_held_after_damage_cancellation_and_a_process_that_dies(tmp_path):
    path = encode(tmp_path / "a.flac", buzz(6.0), "flac", 16_000)
    damaged = tmp_path / "b.flac"
    damaged.write_bytes(path.read_bytes()[:60] + bytes(5000))
    plain = encode(tmp_path / "c.wav", buzz(1.0), "pcm_s16le", 16_000)
    budget = AudioBudget()

    async def work(decoder):
        for _ in range(2):
            with pytest.raises(LingtingError):
                await _decode(decoder, damaged)
            for file in (path, plain):
                for steps in range(10):
                    task = asyncio.create_task(_decode(decoder, file))
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    task.cancel()
                    for outcome in await asyncio.gather(task, return_exceptions=True):
                        if isinstance(outcome, Recording):
                            outcome.close()
                (await _decode(decoder, file)).close()
            assert budget.spent == 0

    _run(work, budget=budget)
    before = psutil.Process().num_fds()
    _run(work, budget=budget)
    assert psutil.Process().num_fds() <= before
