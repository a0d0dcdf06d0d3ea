from __future__ import annotations

import logging

import pytest

from lingting.domain import Hypothesis
from lingting.phonetics import Corrector
from lingting.recognition.rescoring import SecondPass, corrections

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
