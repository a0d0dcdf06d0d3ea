"""What is installed, and the words that say what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lingting.errors import ModelError
from lingting.models import Store, catalogue


def test_an_absent_model_names_the_command_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="lingting models install whisper-base"):
        Store.at(tmp_path / "absent").path("whisper-base")


def test_an_unknown_model_points_at_the_list(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model 'whisper-huge'.*lingting models list"):
        Store.at(tmp_path).path("whisper-huge")


@pytest.mark.parametrize("name", ["..", "../secrets", "/etc", "", ".hidden", "a/b", "a\0b"])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be the name of a model"):
        Store.at(tmp_path).path(name)


def test_a_model_of_ones_own_is_found_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "model.bin").write_bytes(b"12345")
    store = Store.at(tmp_path)
    assert store.path("ours") == tmp_path / "ours"
    assert store.installed() == ["ours"]
    assert store.size("ours") == 5


def test_a_model_is_removed_once(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    store = Store.at(tmp_path)
    store.remove("ours")
    assert store.installed() == []
    with pytest.raises(ModelError, match="not installed"):
        store.remove("ours")


def test_every_file_of_the_catalogue_has_a_digest_and_exactly_one_origin() -> None:
    for model in catalogue().models.values():
        for file in model.files:
            assert len(file.sha256) == 64
            assert file.bytes > 0
            assert bool(file.parts) != bool(file.url)
