"""Text by sound: what is rewritten, what is left alone, and what a caller is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from lingting.errors import ModelError
from lingting.phonetics import Corrector, HotWordsError
from lingting.recognition.types import Hypothesis


@pytest.fixture(scope="module")
def corrector() -> Corrector:
    from lingting.phonetics.corrector import Tuning
    from lingting.phonetics.lexicon import Lexicon
    from lingting.phonetics.models import CompactModel

    lexicon = Lexicon()
    tuning = Tuning()
    return Corrector(lexicon, CompactModel(lexicon, tuning.border), tuning)


def guesses(*texts: str) -> list[Hypothesis]:
    return [Hypothesis(text, -4.0 - index) for index, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("甚至出现交易几乎停制的情况", "甚至出现交易几乎停滞的情况"),
        ("望子成龙望女成缝", "望子成龙望女成凤"),
        ("国家统计局的数剧显示", "国家统计局的数据显示"),
    ],
)
def test_a_word_that_only_sounds_right_becomes_the_word(corrector: Corrector, heard: str, meant: str) -> None:
    assert corrector.correct(guesses(heard)).text == meant


@pytest.mark.parametrize("text", ["今天天气很好", "我们明天开会讨论这个项目", "国家统计局的数据显示"])
def test_a_sentence_that_is_right_stays_as_it_is(corrector: Corrector, text: str) -> None:
    correction = corrector.correct(guesses(text))
    assert correction.text == text
    assert correction.changes == ()


def test_only_han_characters_are_touched_and_each_keeps_its_place(corrector: Corrector) -> None:
    text = "OK，2024年 GDP 的数剧显示 3.5%!"
    assert corrector.correct(guesses(text)).text == "OK，2024年 GDP 的数据显示 3.5%!"


def test_what_was_changed_and_why_is_told(corrector: Corrector) -> None:
    correction = corrector.correct(guesses("GDP 的数剧显示"))
    (change,) = correction.changes
    assert (correction.text[change.position :][: len(change.after)], len(change.before)) == (
        change.after,
        len(change.after),
    )
    assert "数据" in correction.explain()


def test_a_hot_word_is_found_by_its_sound(corrector: Corrector) -> None:
    text = "我想联系章为一下"
    assert corrector.correct(guesses(text), hot_words=["张伟"]).text == "我想联系张伟一下"


def test_too_many_hot_words_are_refused_with_the_limit(corrector: Corrector) -> None:
    with pytest.raises(HotWordsError, match="500"):
        corrector.correct(guesses("今天"), hot_words=["你好"] * 501)


def test_a_named_language_model_that_does_not_exist_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing\.lm"):
        Corrector.load(tmp_path / "missing.lm")
