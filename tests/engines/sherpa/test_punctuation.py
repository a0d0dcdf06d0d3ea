"""A punctuation model behind models that write no marks, by the real library with tiny models."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from lingting import service
from lingting.domain import Samples
from lingting.engines.sherpa.punctuation import Punctuation
from lingting.errors import ModelError
from lingting.recognition.engine import CharacterTimes, Heard
from lingting.settings import Settings
from tests.engines.tiny import models as tiny
from tests.engines.tiny.served import ByEnergy, utterance


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("punctuation")
    tiny.build("transducer", folder / "models" / "offline")
    tiny.build("transducer-streaming", folder / "models" / "streaming")
    tiny.build_punctuation(folder / "models" / "marks")
    return folder


@pytest.fixture(scope="module")
def punctuation(models: Path) -> Punctuation:
    return Punctuation(models / "models" / "marks" / "model.onnx")


def heard(text: str, *, borders: tuple[int, ...] = ()) -> Heard:
    start = np.arange(len(text), dtype=np.float32)
    return Heard(text, "zh", CharacterTimes(start, start + 1, np.full(len(text), 0.5, np.float32)), borders)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("你好世界", "你好，世界。"),
        ("hello world", "hello world?"),
        ("你好 hello world 你好世界", "你好， hello world? 你好，世界。"),
        ("天地", "天地。"),
        ("", ""),
    ],
)
def test_marks_are_written_into_a_text_whose_letters_stay(punctuation: Punctuation, said: str, written: str) -> None:
    assert punctuation.mark(heard(said)).text == written


def test_a_mark_has_the_time_of_the_character_before_it(punctuation: Punctuation) -> None:
    marked = punctuation.mark(heard("你好世界", borders=(2, 4)))
    assert marked.punctuated
    assert marked.times is not None
    assert marked.times.start.tolist() == [0, 1, 1, 2, 3, 3]
    assert [marked.text[:border] for border in marked.borders] == ["你好，", "你好，世界。"]


@pytest.mark.parametrize("model", ["offline", "streaming"])
def test_finished_text_of_a_model_without_marks_has_those_of_the_punctuation_model(
    models: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingting.audio.voice._model", ByEnergy)
    settings = Settings(data_dir=models, model=model, punctuation_model="marks", phonetics="off", compute_threads=1)

    async def text(recognition: service.Recognition, samples: Samples) -> str:
        return (await recognition.recognizer.recognize(samples)).text

    recognition = service.Recognition(settings)
    try:
        assert asyncio.run(text(recognition, utterance())) == "你好，世界。"
    finally:
        recognition.close()


def test_a_model_that_does_not_punctuate_is_no_punctuation_model(models: Path) -> None:
    with pytest.raises(ModelError, match="LINGTING_PUNCTUATION_MODEL needs punctuation"):
        service.Recognition(Settings(data_dir=models, model="offline", punctuation_model="streaming", phonetics="off"))
