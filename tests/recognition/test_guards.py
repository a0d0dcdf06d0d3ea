from __future__ import annotations

import pytest

from lingting.recognition.guards import better, cut_loop, loops, nobody_spoke
from tests.recognition.fakes import says


@pytest.mark.parametrize(
    "text",
    [
        "ten of clubs, ten of clubs, ten of clubs, ten of clubs, ten of clubs",
        "患癌率比一般妇女高六有高六有高六有高六有高六有",
        "谢谢大家谢谢大家谢谢大家谢谢大家",
        "a" * 200,
    ],
)
def test_a_unit_said_again_and_again_is_a_loop(text: str) -> None:
    assert loops(text, 5.0)
    assert cut_loop(text) < len(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "好好学习天天向上",
        "一三一二零八二零二九七",
        "0000 0000 0000 0000",
        "不不不不",
        "哈哈哈哈哈",
        "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.",
        "承运人有权要求托运人填写航空货运单托运人有权要求承运人接受该航空货运单",
    ],
)
def test_speech_that_repeats_a_little_is_no_loop(text: str) -> None:
    assert not loops(text, 10.0)
    assert cut_loop(text) == len(text)


def test_more_text_than_anyone_says_in_the_time_is_a_loop() -> None:
    assert loops("今天天气真不错我们去公园里看花吧好不好呀你觉得怎么样呢我想听听你的看法再决定去哪里", 0.5)


def test_an_answer_without_a_loop_is_better_than_a_likelier_one_with() -> None:
    looping, plain = says("是的是的是的是的是的", average=-0.1), says("是的", average=-0.9)
    assert better(looping, plain, 3.0) is plain
    assert better(plain, looping, 3.0) is plain


def test_nobody_spoke_only_where_silence_is_likely_and_the_text_is_poor() -> None:
    assert nobody_spoke(says("谢谢观看", average=-1.2, no_speech=0.8))
    assert not nobody_spoke(says("谢谢观看", average=-0.3, no_speech=0.8))
    assert not nobody_spoke(says("谢谢观看", average=-1.2, no_speech=0.2))
