"""Trying a model in a process of its own, with the real library: what would end a server ends only that process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lingting.errors import ModelError
from lingting.models import Model, Store, catalogue
from lingting.models.vetting import vet
from tests.engines.tiny import models as tiny
from tests.models.onnx_files import change


def ours(tmp_path: Path, kind: str) -> tuple[Store, Path]:
    """A folder of the operator's own with a tiny model that the library loads."""
    tiny.build(kind, tmp_path / "ours")
    return Store.at(tmp_path), tmp_path / "ours"


@pytest.mark.parametrize("kind", sorted(tiny.KINDS))
def test_a_good_model_of_each_kind_is_loaded_and_decodes(tmp_path: Path, kind: str) -> None:
    store, _ = ours(tmp_path, kind)
    assert vet(store, "ours").engine == kind


def test_what_was_tried_is_remembered_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, folder = ours(tmp_path, "sense_voice")
    started: list[object] = []
    run = subprocess.run

    def counted(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        started.append(arguments)
        return run(*arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", counted)
    for _ in range(3):
        vet(store, "ours")
    assert len(started) == 1
    os.utime(folder / "tokens.txt", (1, 1))
    vet(store, "ours")
    assert len(started) == 2


def test_a_failure_is_not_remembered(tmp_path: Path) -> None:
    store, folder = ours(tmp_path, "sense_voice")
    tokens = (folder / "tokens.txt").read_bytes()
    (folder / "tokens.txt").write_bytes(b"a 0\n")
    for _ in range(2):
        with pytest.raises(ModelError, match="tokens"):
            vet(store, "ours")
    (folder / "tokens.txt").write_bytes(tokens)
    vet(store, "ours")


def as_of_the_catalogue(tmp_path: Path, kind: str) -> tuple[Store, Path]:
    """The same under a name of the catalogue, whose headers are not looked at: what only the trial tells."""
    folder = tmp_path / "ours"
    roles = tiny.build(kind, folder)
    store = Store(tmp_path, type(catalogue())({"ours": Model(name="ours", engine=kind, roles=roles)}))
    return store, folder


@pytest.mark.parametrize(
    ("kind", "file", "metadata"),
    [
        ("transducer-streaming", "encoder.onnx", {"model_type": None}),
        ("transducer-streaming", "encoder.onnx", {"model_type": "unheard-of"}),
        ("transducer-streaming", "encoder.onnx", {"decode_chunk_len": None}),
        ("transducer-streaming", "encoder.onnx", {"num_encoder_layers": "3"}),
        ("sense_voice", "model.onnx", {"with_itn": None}),
        ("paraformer", "model.onnx", {"lfr_window_size": "x"}),
        ("fire_red_ctc", "model.onnx", {"cmvn_mean": "0"}),
    ],
)
def test_what_ends_the_process_is_an_error_in_words(
    tmp_path: Path, kind: str, file: str, metadata: dict[str, str | None]
) -> None:
    store, folder = as_of_the_catalogue(tmp_path, kind)
    change(folder / file, **metadata)
    with pytest.raises(ModelError, match=r"ended the process that tried to load it \((exit code|signal) \d+\)"):
        vet(store, "ours")


@pytest.mark.parametrize("kind", ["transducer-streaming", "sense_voice"])
def test_what_the_library_refuses_is_an_error_in_words(tmp_path: Path, kind: str) -> None:
    store, folder = as_of_the_catalogue(tmp_path, kind)
    damaged = next(folder.glob("*.onnx"))
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(ModelError, match="ours"):
        vet(store, "ours")


def test_a_whisper_is_not_tried_since_its_library_raises_errors(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    for name in ("model.bin", "config.json"):
        (tmp_path / "ours" / name).touch()
    assert vet(Store.at(tmp_path), "ours").engine == "whisper-ctranslate2"


def test_a_store_that_cannot_be_written_is_tried_each_time(tmp_path: Path) -> None:
    store, _ = ours(tmp_path, "fire_red_ctc")
    store.work.write_text("a file where the folder should be")
    assert vet(store, "ours").engine == "fire_red_ctc"
