from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from lingting.domain import Hypothesis, RawWord, RecognitionOptions
from lingting.phonetics import Corrector
from lingting.recognition.rescoring import SecondPass, corrections
from lingting.recognition.utterance import Writing
from lingting.service import Recognition

HEARD = Hypothesis("国家众典扶植行業", -8.0)


@pytest.fixture(scope="module")
def corrector() -> Corrector:
    return Corrector.load()


def test_text_is_corrected_by_sound_in_simplified_characters(corrector: Corrector) -> None:
    assert SecondPass(corrector).rescore([HEARD], "zh", before="", hot_words=()) == (0, "国家重点扶植行业")


def test_what_was_changed_is_told_only_when_it_is_asked_for(
    corrector: Corrector, caplog: pytest.LogCaptureFixture
) -> None:
    second_pass = SecondPass(corrector)
    with caplog.at_level(logging.DEBUG):
        second_pass.rescore([HEARD], "zh", before="", hot_words=())
    assert caplog.text == ""
    with caplog.at_level(logging.DEBUG, logger=corrections.name):
        second_pass.rescore([HEARD], "zh", before="", hot_words=())
    assert "众典 -> 重点" in caplog.text


def test_no_comma_is_put_into_a_word_of_the_lexicon(corrector: Corrector) -> None:
    said = [RawWord(character, at, at + 0.2) for character, at in _spoken("实行全口_径统计今天_他们不来", gap=0.4)]
    writing = Writing(is_word=corrector.is_word)
    (sentence,) = writing.sentences(said, "zh", RecognitionOptions(), speech=(), duration=9.0)
    assert sentence.text == "实行全口径统计今天，他们不来。"


def test_the_service_knows_the_words_of_the_lexicon(recognition: Recognition) -> None:
    is_word = recognition.recognizer._writing.is_word
    assert is_word is not None
    assert [is_word(text) for text in ("口径", "统计", "径统", "径", "Mac")] == [True, True, False, False, False]


def _spoken(text: str, gap: float) -> Iterator[tuple[str, float]]:
    """Characters and when each begins, a fifth of a second each, with a pause where _ stands."""
    at = 0.0
    for character in text:
        if character == "_":
            at += gap
        else:
            yield character, at
            at += 0.2
