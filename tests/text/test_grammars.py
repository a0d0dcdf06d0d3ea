"""The grammars of numbers are loaded once, and never by a thread that must not wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import wetext

from lingting.domain import RecognitionOptions
from lingting.recognition.utterance import Writing
from lingting.service import Recognition
from lingting.settings import Settings
from lingting.text import grammars

OPTIONS = RecognitionOptions(convert_numbers=True)


@pytest.fixture
def loaders(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[threading.Thread]]:
    """The threads that load a grammar during the test, in a process that has loaded none."""
    found: list[threading.Thread] = []
    real = wetext.Normalizer

    def load(**given: str) -> object:
        found.append(threading.current_thread())
        return real(**given)

    monkeypatch.setattr(wetext, "Normalizer", load)
    monkeypatch.setattr(grammars, "_grammars", {})
    monkeypatch.setattr(grammars, "_loading", [])
    yield found
    for thread in found:
        if thread is not threading.current_thread():
            thread.join()


def test_a_guess_does_not_wait_for_the_grammar_and_the_next_has_numbers(loaders: list[threading.Thread]) -> None:
    writing = Writing()
    assert writing.guess("二零二四年五月", "zh", OPTIONS) == "二零二四年五月"
    (loading,) = grammars._loading
    loading.join()
    assert writing.guess("二零二四年五月", "zh", OPTIONS) == "2024年5月"
    assert loaders == [loading, loading]


def test_a_guess_without_numbers_loads_nothing(loaders: list[threading.Thread]) -> None:
    Writing().guess("二零二四年五月", "zh", RecognitionOptions())
    assert not grammars._loading and not loaders


@pytest.mark.engine
def test_where_numbers_are_always_written_the_grammar_is_loaded_at_the_start(
    loaders: list[threading.Thread], model_dir: Path
) -> None:
    Recognition(Settings(data_dir=model_dir.parent.parent, convert_numbers=True)).close()
    assert grammars.loaded()
    assert Writing().guess("二零二四年五月", "zh", OPTIONS) == "2024年5月"
    assert len(loaders) == 2
