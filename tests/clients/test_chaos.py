"""The chaos command, in its short form: a real server that is killed and frozen while streams play."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lingting.samples import TEXT

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from faults import texts  # noqa: E402


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_streams_lose_nothing_while_their_server_is_killed_and_frozen() -> None:
    command = [sys.executable, ROOT / "scripts" / "chaos.py", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "3 kills" in done.stdout and "1 freezes" in done.stdout
    repeated = re.search(r"(\d+) were sent again", done.stdout)
    assert repeated and int(repeated[1]) > 0, "the faults were felt"


def test_it_tells_lost_sound_from_other_words() -> None:
    said = texts.units(TEXT)
    assert texts.missing(said, texts.units(TEXT)) == ""
    assert texts.missing(said, texts.units("购买骑车并不一定更好的结局问题的办法")) == ""
    assert texts.missing(said, texts.units("购买汽车并不一定")) == "是更好的解决问题的办法"
    assert texts.differing(said, texts.units("购买骑车并不一定是更好的解决问题的办法。")) == 1
