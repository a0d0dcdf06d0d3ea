from __future__ import annotations

from pathlib import Path

import pytest

from lingting.remembered import last_language_model, remember_language_model
from tests.conftest import start_server


def test_what_is_remembered_is_there_at_the_next_start(tmp_path: Path) -> None:
    assert last_language_model(tmp_path) == ""
    remember_language_model(tmp_path, "compact")
    assert last_language_model(tmp_path) == "compact"


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    remember_language_model(tmp_path / "missing", "compact")
    assert last_language_model(tmp_path / "missing") == ""


@pytest.mark.engine
def test_a_server_says_that_its_language_model_is_another_than_at_the_last_start(
    tmp_path: Path, model_dir: Path
) -> None:
    remember_language_model(tmp_path, "compact")
    server = start_server(tmp_path, model_dir, drain_seconds="1")
    server.stop()
    assert "compact at the last start, now kenlm:zh_CN.lm" in server.output
    assert last_language_model(tmp_path) == "kenlm:zh_CN.lm", "which is what the next start compares with"
