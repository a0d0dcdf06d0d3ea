"""What the catalogue says of its models and what the library takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lingting.engines.sherpa.loaders import LOADERS, call_of
from lingting.models.catalogue import Model, catalogue

OTHERS = {"whisper-ctranslate2", "punctuation"}


@pytest.mark.parametrize("model", catalogue().models.values(), ids=lambda model: model.name)
def test_the_library_takes_the_arguments_of_every_model_of_the_catalogue(model: Model, tmp_path: Path) -> None:
    if model.engine in OTHERS:
        assert model.engine not in LOADERS
        return
    for path in model.roles.values():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    factory, arguments = call_of(model.engine, tmp_path, model.roles, model.options)
    assert callable(factory)
    assert arguments["num_threads"] == 1
    assert {str(tmp_path / path) for role, path in model.roles.items() if role != "bpe"} <= set(arguments.values())


def test_a_model_is_streaming_by_its_loader_where_the_catalogue_says_so() -> None:
    for model in catalogue().models.values():
        if model.engine in LOADERS:
            assert LOADERS[model.engine].streaming == model.streaming
