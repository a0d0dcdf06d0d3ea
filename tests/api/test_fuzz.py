"""The fuzz command, in its short form, against a real server with the real model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_malformed_requests_and_mutated_files_leave_the_server_well() -> None:
    command = [sys.executable, ROOT / "scripts" / "fuzz.py", "--short"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "malformed requests: 800" in done.stdout
    assert "mutated audio files: 80" in done.stdout
    assert "wrong messages: 24" in done.stdout
    assert "wrong Wyoming events: 8" in done.stdout
