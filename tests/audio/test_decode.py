"""Every format decodes to the same sound; everything else costs one clear error and leaves nothing behind."""

from __future__ import annotations

import asyncio
import random
import signal
import struct
from contextlib import asynccontextmanager

import numpy as np
import psutil
import pytest

from lingting.audio.decode import Decoder
from lingting.audio.pcm import pcm16_to_samples
from lingting.audio.process import DecodingProcess
from lingting.errors import AudioError, AudioTooLong, EmptyAudio, LingtingError, UndecodableAudio
from tests.audio.sounds import buzz, encode

SOUND = buzz(6.0)

FORMATS = {
    "wav-16k": ("a.wav", "pcm_s16le", 16_000, "mono", {}),
    "wav-8bit": ("a.wav", "pcm_u8", 8_000, "mono", {}),
    "wav-24bit": ("a.wav", "pcm_s24le", 44_100, "stereo", {}),
    "wav-float": ("a.wav", "pcm_f32le", 96_000, "mono", {}),
    "wav-alaw": ("a.wav", "pcm_alaw", 8_000, "mono", {}),
    "mp3": ("a.mp3", "libmp3lame", 44_100, "stereo", {}),
    "mp3-8k": ("a.mp3", "libmp3lame", 8_000, "mono", {}),
    "flac-5.1": ("a.flac", "flac", 48_000, "5.1", {}),
    "flac-96k": ("a.flac", "flac", 96_000, "mono", {}),
    "ogg-opus": ("a.ogg", "libopus", 48_000, "stereo", {}),
    "opus": ("a.opus", "libopus", 16_000, "mono", {}),
    "aac": ("a.aac", "aac", 44_100, "mono", {"container": "adts"}),
    "m4a-moov-at-the-end": ("a.m4a", "aac", 48_000, "stereo", {"container": "ipod"}),
    "mp4-moov-in-front": ("a.mp4", "aac", 44_100, "mono", {"movflags": "+faststart"}),
    "webm": ("a.webm", "libopus", 48_000, "mono", {}),
    "amr-nb": ("a.amr", "libopencore_amrnb", 8_000, "mono", {}),
}


def _encode(folder, name):
    file, codec, rate, layout, options = FORMATS[name]
    return encode(folder / file, SOUND, codec, rate, layout, **options)


async def _decode(decoder, path, format=None, sample_rate=16_000, max_seconds=60.0):
    with await decoder.decode(
        path, format=format or path.suffix[1:], sample_rate=sample_rate, max_seconds=max_seconds
    ) as recording:
        return recording.window(0, recording.size)


@asynccontextmanager
async def _decoder(**options):
    decoder = Decoder(2, **options)
    try:
        yield decoder
    finally:
        await decoder.close()


def _once(path, format=None, *, sample_rate=16_000, max_seconds=60.0, **options):
    async def main():
        async with _decoder(**options) as decoder:
            return await _decode(decoder, path, format, sample_rate, max_seconds)

    return asyncio.run(main())


def _workers():
    """The decoding processes of this test process, and none of its other children."""
    return [child for child in psutil.Process().children() if "lingting.audio.worker" in child.cmdline()]


def _likeness(sound, reference):
    size = 1 << 18
    product = np.fft.rfft(reference, size) * np.conj(np.fft.rfft(sound, size))
    peak = np.fft.irfft(product, size).max()
    return peak / (np.linalg.norm(sound) * np.linalg.norm(reference))


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_decodes_to_the_sound_that_was_encoded(tmp_path, name):
    decoded = _once(_encode(tmp_path, name))
    assert decoded.dtype == np.float32
    assert abs(decoded.size - SOUND.size) < 2000
    if name == "amr-nb":  # keeps the sound, not the wave
        size = min(decoded.size, SOUND.size) // 800 * 800
        loudness = [np.sqrt(np.square(wave[:size]).reshape(-1, 800).mean(axis=1)) for wave in (decoded, SOUND)]
        assert np.corrcoef(loudness)[0, 1] > 0.9
    else:
        assert _likeness(decoded, SOUND) > 0.95
    assert np.abs(decoded).max() <= 1


@pytest.mark.parametrize("declared", ["wav", "mp3", "pcm"])
def test_the_content_decides_over_the_declared_format(tmp_path, declared):
    decoded = _once(_encode(tmp_path, "flac-96k"), declared)
    assert _likeness(decoded, SOUND) > 0.95


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_raw_pcm_is_read_at_its_declared_rate(tmp_path, rate):
    path = tmp_path / "a.pcm"
    path.write_bytes((buzz(2.0, rate) * 32767).astype("<i2").tobytes())
    decoded = _once(path, sample_rate=rate)
    assert abs(decoded.size - 32_000) < 20
    assert _likeness(decoded, buzz(2.0)) > 0.98


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFFF])
@pytest.mark.parametrize("rate", [16_000, 8_000])
def test_a_wav_with_the_data_length_of_a_pipe_is_read_to_its_end(tmp_path, length, rate):
    data = (buzz(2.0, rate) * 32767).astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", length) + b"WAVE" + form + struct.pack("<4sI", b"data", length) + data)
    assert abs(_once(path).size - 32_000) < 20


def test_an_mp3_with_a_large_id3_tag_is_found(tmp_path):
    path = _encode(tmp_path, "mp3")
    size = 100_000
    tag = b"ID3\x04\x00\x00" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + bytes(size)
    path.write_bytes(tag + path.read_bytes())
    assert _likeness(_once(path, "wav"), SOUND) > 0.95


def test_loud_stereo_does_not_clip_when_mixed(tmp_path):
    path = encode(tmp_path / "a.wav", np.clip(SOUND * 6, -0.99, 0.99), "pcm_s16le", 16_000, "stereo")
    decoded = _once(path)
    assert np.mean(np.abs(decoded) > 0.999) == 0


def test_16_bit_samples_become_floats():
    assert pcm16_to_samples(b"\x00\x80\xff\x7f\x00\x00\x01").tolist() == [-1.0, 32767 / 32768, 0.0]


@pytest.mark.parametrize("declared", ["wav", "mp3", "aac", "pcm"])
def test_an_empty_file_is_empty_audio(tmp_path, declared):
    path = tmp_path / "a"
    path.write_bytes(b"")
    with pytest.raises(EmptyAudio):
        _once(path, declared)


@pytest.mark.parametrize("rate", [16_000, 8_000])
def test_a_wav_without_samples_is_empty_audio(tmp_path, rate):
    path = tmp_path / "a.wav"
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    path.write_bytes(b"RIFF" + struct.pack("<I", 36) + b"WAVE" + form + struct.pack("<4sI", b"data", 0))
    with pytest.raises(EmptyAudio):
        _once(path)


@pytest.mark.parametrize("declared", ["wav", "mp3", "flac", "ogg", "opus", "aac", "m4a", "mp4", "amr", "webm"])
def test_garbage_is_undecodable(tmp_path, declared):
    path = tmp_path / "a"
    path.write_bytes(random.Random(3).randbytes(50_000))
    with pytest.raises(UndecodableAudio):
        _once(path, declared)


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"<!DOCTYPE html>",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
    ],
)
def test_playlists_and_pages_are_refused(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(UndecodableAudio):
        _once(path, "mp3")


def test_an_unknown_format_is_named(tmp_path):
    with pytest.raises(UndecodableAudio, match="'exe'"):
        _once(_encode(tmp_path, "mp3"), "exe")


@pytest.mark.parametrize("name", ["wav-16k", "wav-24bit", "mp3", "flac-96k", "m4a-moov-at-the-end", "webm", "amr-nb"])
def test_audio_over_the_limit_is_refused(tmp_path, name):
    with pytest.raises(AudioTooLong) as caught:
        _once(_encode(tmp_path, name), max_seconds=3.0)
    assert caught.value.limit_seconds == 3.0


def test_a_small_file_that_expands_to_hours_stops_at_the_limit(tmp_path):
    silence = np.zeros(16_000 * 1200, np.float32)
    path = encode(tmp_path / "a.flac", silence, "flac", 16_000)
    content = bytearray(path.read_bytes())
    content[21:26] = bytes([content[21] & 0xF0, 0, 0, 0, 0])  # the header no longer tells its length
    path.write_bytes(content)
    assert len(content) < 600_000
    with pytest.raises(AudioTooLong):
        _once(path, max_seconds=60.0)


@pytest.mark.parametrize("name", [name for name in FORMATS if not name.startswith("m")])
def test_a_truncated_file_gives_what_is_there(tmp_path, name):
    path = _encode(tmp_path, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 16_000 < _once(path).size < SOUND.size


def _missing(path, format=None):
    async def main():
        async with _decoder() as decoder:
            with await decoder.decode(
                path, format=format or path.suffix[1:], sample_rate=16_000, max_seconds=60.0
            ) as recording:
                return recording.missing, recording.duration, recording.warning

    return asyncio.run(main())


DECLARING = ["wav-16k", "wav-24bit", "wav-float", "flac-5.1", "flac-96k", "mp4-moov-in-front", "webm"]


@pytest.mark.parametrize("name", DECLARING)
def test_a_file_that_breaks_off_says_how_much_is_missing_where_it_declares_its_length(tmp_path, name):
    path = _encode(tmp_path, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    missing, duration, warning = _missing(path)
    assert missing + duration == pytest.approx(6.0, abs=0.15)
    assert warning == f"the file ends after {duration:.1f} s of the {missing + duration:.1f} s that it declares"


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_missing_in_a_whole_file(tmp_path, name):
    missing, _, warning = _missing(_encode(tmp_path, name))
    assert (missing, warning) == (0.0, None)


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000])
@pytest.mark.parametrize("rate", [16_000, 8_000])
def test_the_length_that_a_writer_to_a_pipe_puts_into_a_wav_promises_nothing(tmp_path, length, rate):
    data = (buzz(2.0, rate) * 32767).astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", length) + b"WAVE" + form + struct.pack("<4sI", b"data", length) + data)
    assert _missing(path)[0] == 0.0


def test_truncations_and_mutations_cost_one_audio_error_at_most(tmp_path):
    generator = random.Random(11)

    async def main():
        tried = 0
        async with _decoder() as decoder:
            for name in FORMATS:
                path = _encode(tmp_path, name)
                whole = path.read_bytes()
                for _ in range(8):
                    content = bytearray(whole[: generator.randrange(1, len(whole) + 1)])
                    for _ in range(generator.choice([0, 1, 20, 500])):
                        content[generator.randrange(len(content))] = generator.randrange(256)
                    path.write_bytes(content)
                    tried += 1
                    try:
                        samples = await _decode(decoder, path)
                    except AudioError as error:
                        assert str(error)
                    else:
                        assert samples.size
                        assert np.isfinite(samples).all()
                        assert np.abs(samples).max() <= 1
        return tried

    assert asyncio.run(main()) == 8 * len(FORMATS)


def test_a_decoder_that_runs_out_of_memory_or_time_costs_one_error(tmp_path):
    path = _encode(tmp_path, "mp3")
    with pytest.raises(UndecodableAudio, match="memory"):
        _once(path, memory_bytes=1_000_000)
    with pytest.raises(UndecodableAudio, match="longer than"):
        _once(path, base_seconds=0.0, seconds_per_second=0.0)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_killed_or_stopped_costs_a_delay_and_no_file(tmp_path, blow):
    path = _encode(tmp_path, "mp3")

    async def main():
        async with _decoder() as decoder:
            undisturbed = await _decode(decoder, path)
            for worker in _workers():
                worker.send_signal(blow)
            again = await _decode(decoder, path)
            assert decoder.replaced == 1
            np.testing.assert_array_equal(again, undisturbed)

    asyncio.run(main())


def test_a_file_over_which_every_process_is_killed_is_an_error_that_says_so(tmp_path, monkeypatch):
    path = _encode(tmp_path, "mp3")
    ask = DecodingProcess.ask

    async def killed(process, *arguments):
        for worker in _workers():
            worker.kill()
        return await ask(process, *arguments)

    monkeypatch.setattr(DecodingProcess, "ask", killed)
    with pytest.raises(UndecodableAudio, match="killed twice"):
        _once(path)


def test_nothing_is_left_after_success_failure_and_cancellation(tmp_path):
    good, bad = _encode(tmp_path, "mp3"), tmp_path / "bad.flac"
    bad.write_bytes(b"fLaC" + bytes(1000))
    before = sorted(tmp_path.iterdir())
    me = psutil.Process()

    async def main():
        async with _decoder() as decoder:
            await _decode(decoder, good)
            with pytest.raises(UndecodableAudio):
                await _decode(decoder, bad)
            for steps in range(12):
                task = asyncio.create_task(_decode(decoder, good))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert (await _decode(decoder, good)).size
        with pytest.raises(LingtingError):
            await _decode(decoder, good)

    asyncio.run(main())
    descriptors = me.num_fds()
    asyncio.run(main())
    assert not _workers()
    assert sorted(tmp_path.iterdir()) == before
    assert me.num_fds() <= descriptors


def test_closing_ends_work_that_goes_on(tmp_path):
    good = _encode(tmp_path, "mp3")

    async def main():
        decoder = Decoder(1)
        task = asyncio.create_task(_decode(decoder, good))
        await asyncio.sleep(0)
        await decoder.close()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        assert isinstance(result, (np.ndarray, LingtingError))

    asyncio.run(main())
    assert not _workers()
