"""What the benchmark plays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.clips import load, nobody_speaks
from bench.player import bodies
from bench.recordings import NoRecordings
from lingting.api.feishu.parameters import parse_packet
from tests.recordings import recording


@pytest.fixture
def speech(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    source = recording("asr_example").path.read_bytes()
    rows = ["path\tlanguage\tseconds\treference"]
    for folder, count in (("zh", 8), ("mix", 3)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            (tmp_path / folder / f"{number}.wav").write_bytes(source)
            rows.append(f"{folder}/{number}.wav\tzh\t4.2\t甚至")
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    monkeypatch.setenv("LINGTING_SPEECH_DIR", str(tmp_path))
    return tmp_path


def test_a_few_clips_come_from_every_set_alike_and_from_all_over_it(speech: Path) -> None:
    names = [clip.name for clip in load(("zh", "mixed"), 6)]
    assert names == ["zh/0.wav", "zh/4.wav", "zh/7.wav", "mix/0.wav", "mix/1.wav", "mix/2.wav"]


def test_all_clips_of_the_sets_asked_for_are_taken_and_no_others(speech: Path) -> None:
    assert {clip.set for clip in load(("mixed",))} == {"mixed"}
    assert len(load(("zh", "mixed"))) == 11


def test_a_set_that_has_no_recordings_is_said(speech: Path) -> None:
    with pytest.raises(NoRecordings, match="noisy"):
        load(("noisy",))


def test_recordings_without_speech_are_the_same_every_time_and_loud_as_named() -> None:
    first, second = nobody_speaks(2.0), nobody_speaks(2.0)
    assert len(first) == 10
    for name, samples in first.items():
        np.testing.assert_array_equal(samples, second[name])
        assert samples.dtype == np.float32 and samples.shape == (32_000,)
    level = 20 * np.log10(np.sqrt(np.mean(first["white noise -40 dB"] ** 2)))
    assert level == pytest.approx(-40, abs=0.1)


def test_a_stream_is_packets_of_200_ms_that_the_server_understands() -> None:
    audio = bytes(range(250)) * 64
    packets = [parse_packet(body, 60) for body in bodies(audio, "0123456789abcdef")]
    assert [packet.sequence_id for packet in packets] == [0, 1, 2]
    assert [int(packet.action) for packet in packets] == [1, 0, 2]
    assert b"".join(packet.audio for packet in packets) == audio
    assert {len(packet.audio) for packet in packets[:-1]} == {6400}
