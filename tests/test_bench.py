"""The benchmark as `make bench` runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recordings import recording

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.engine
def test_the_benchmark_measures_errors_and_speed(tmp_path: Path, model_dir: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "whisper-base").symlink_to(model_dir)
    recording("two_cities")
    environment = {**os.environ, "LINGTING_DATA_DIR": str(tmp_path)}
    environment.pop("LINGTING_SPEECH_DIR", None)
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "bench.py"), "--json"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = json.loads(done.stdout)
    assert rows["two_cities"]["errors"] / rows["two_cities"]["units"] < 0.1
    assert rows["asr_example"]["errors"] <= 2
    assert rows["vad_example"]["audio_seconds"] > 70
