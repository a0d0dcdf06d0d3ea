from __future__ import annotations

import logging

import pytest

from lingting.domain import RecognitionOptions
from lingting.phonetics import Corrector
from lingting.recognition.engine import EngineHypothesis
from lingting.recognition.utterance import Writing, corrections

HEARD = EngineHypothesis("国家众典扶植行業", (), -8.0, -0.5)


@pytest.fixture(scope="module")
def corrector() -> Corrector:
    return Corrector.load()


def test_text_is_corrected_by_sound_in_simplified_characters(corrector: Corrector) -> None:
    assert Writing(corrector=corrector).chooser(RecognitionOptions())([HEARD], "zh", ()) == (0, "国家重点扶植行业")


def test_without_the_second_pass_the_engines_own_text_stays() -> None:
    assert Writing().chooser(RecognitionOptions())([HEARD], "zh", ()) == (0, HEARD.text)


def test_script_as_is_keeps_the_engines_own_characters(corrector: Corrector) -> None:
    assert Writing(script="as-is", corrector=corrector).chooser(RecognitionOptions())([HEARD], "zh", ()) == (
        0,
        HEARD.text,
    )


def test_what_was_changed_is_told_only_when_it_is_asked_for(
    corrector: Corrector, caplog: pytest.LogCaptureFixture
) -> None:
    choose = Writing(corrector=corrector).chooser(RecognitionOptions())
    with caplog.at_level(logging.DEBUG):
        choose([HEARD], "zh", ())
    assert caplog.text == ""
    with caplog.at_level(logging.DEBUG, logger=corrections.name):
        choose([HEARD], "zh", ())
    assert "众典 -> 重点" in caplog.text
