from __future__ import annotations

from lingting.recognition.guards import better, nobody_spoke
from tests.recognition.fakes import says


def test_an_answer_that_can_have_been_said_is_better_than_a_likelier_one_that_cannot() -> None:
    looping, plain = says("是的" * 20, average=-0.1), says("是的", average=-0.9)
    assert better(looping, plain, 3.0) is plain
    assert better(plain, looping, 3.0) is plain


def test_a_repetition_that_there_was_time_for_is_not_given_up_for_a_worse_answer_without() -> None:
    repeating, short = says("非常感谢非常感谢非常感谢非常感谢", average=-0.5), says("非常感谢", average=-1.1)
    assert better(repeating, short, 5.0) is repeating


def test_nobody_spoke_only_where_silence_is_likely_and_the_text_is_poor() -> None:
    assert nobody_spoke(says("谢谢观看", average=-1.2, no_speech=0.8))
    assert not nobody_spoke(says("谢谢观看", average=-0.3, no_speech=0.8))
    assert not nobody_spoke(says("谢谢观看", average=-1.2, no_speech=0.2))
