"""Two hours of audio in a file of a megabyte or two: what the server takes for it."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest
import requests

from lingting.domain import SAMPLE_RATE
from tests.conftest import start_server
from tests.recordings import recording

HOURS = 2


def _flac(path: Path, minutes: int, spoken: set[int]) -> Path:
    """Silence, with speech at the start of some of its minutes."""
    speech = (recording("asr_example").samples * 32767).astype(np.int16)
    silent = np.zeros(60 * SAMPLE_RATE, np.int16)
    speaking = np.concatenate([speech, silent[len(speech) :]])
    with av.open(str(path), "w") as output:
        stream = output.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        for minute in range(minutes):
            sound = speaking if minute in spoken else silent
            for start in range(0, len(sound), SAMPLE_RATE):
                frame = av.AudioFrame.from_ndarray(sound[None, start : start + SAMPLE_RATE], "s16", "mono")
                frame.sample_rate = SAMPLE_RATE
                output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def _megabytes(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert found
    return int(found[1]) / 1000


@pytest.mark.engine
@pytest.mark.slow
def test_two_hours_of_audio_take_less_than_250_megabytes_more_than_minutes_do(tmp_path: Path, model_dir: Path) -> None:
    minutes = 60 * HOURS
    path = _flac(tmp_path / "long.flac", minutes, {0, minutes // 2, minutes - 1})
    warming = _flac(tmp_path / "short.flac", 6, set(range(6)))
    server = start_server(tmp_path / "data", model_dir)
    try:
        pid = server.process.pid
        headers = {"Authorization": f"Bearer {server.key}", "format": "flac"}
        url = f"{server.url}/v1/audio/asr/flash"
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # forgets the peak of loading the model
        except OSError:
            pytest.skip("the peak of a process's memory cannot be read here")
        requests.post(url, warming.read_bytes(), headers=headers, timeout=100).raise_for_status()
        before = _megabytes(pid, "VmHWM")
        answer = requests.post(url, path.read_bytes(), headers=headers, timeout=250)
        result = answer.json()["flash_result"]
        assert result["duration"] == HOURS * 3600 * 1000
        assert {sentence["begin_time"] // 60_000 for sentence in result["sentences"]} == {0, 60, 119}
        in_file = HOURS * 3600 * SAMPLE_RATE * 2 / 1e6
        print(f"minutes {before:.0f} MB, hours {_megabytes(pid, 'VmHWM'):.0f} MB, audio {in_file:.0f} MB")
        assert _megabytes(pid, "VmHWM") - before + in_file < 250
    finally:
        server.stop()
