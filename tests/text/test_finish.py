"""All text rules together, as a reader sees their result."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingting.domain import Language, RawWord
from lingting.text import finish, finish_text, from_characters


def test_a_spoken_utterance_becomes_sentences_with_times() -> None:
    text = "會議改到下午三點你能來嗎"
    start = [index * 0.2 for index in range(len(text))]
    start[8:] = [second + 1.0 for second in start[8:]]
    end = [second + 0.2 for second in start]

    sentences = finish(from_characters(text, start, end, [0.9] * len(text)), "zh", convert_numbers=True)

    assert [sentence.text for sentence in sentences] == ["会议改到下午3点。", "你能来吗？"]
    assert [(round(s.start, 2), round(s.end, 2)) for s in sentences] == [(0.0, 1.6), (2.6, 3.4)]
    assert [word.text for word in sentences[0].words] == ["会", "议", "改", "到", "下", "午", "3", "点。"]
    assert sentences[0].language == "zh"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("買apple watch的不在意續航 別買iPhone十五", "买 apple watch 的不在意续航，别买 iPhone 15。"),
        ("我们用Python写,跑在Linux上.你呢", "我们用 Python 写，跑在 Linux 上。你呢？"),
        ("打开Call Me Maybe", "打开 Call Me Maybe。"),
        ("我的email是a.b@c.com", "我的 email 是 a.b@c.com。"),
        ("今天开了三次meeting, 都很long", "今天开了三次 meeting，都很 long。"),
        ("这个API返回百分之九十九点九的请求", "这个 API 返回99.9%的请求。"),
    ],
)
def test_mixed_sentences_read_well(raw: str, text: str) -> None:
    assert finish_text(raw, "zh", convert_numbers=True) == text


def test_numbers_stay_as_said_unless_asked() -> None:
    assert finish_text("裁员二千人", "zh") == "裁员二千人。"


def test_nothing_said_is_nothing_written() -> None:
    assert finish([], "zh") == []
    assert finish([RawWord("。", 0, 1), RawWord(" ", 1, 2)], "zh") == []
    assert finish_text(" ，。 ", "zh") == ""


CHARACTERS = "你我他的是在了吗呢吧什么没有因为但可所以一二三四五十百千万两零点分之年月号元米半几第上下午刻"


@given(st.text(alphabet=CHARACTERS + "aIGb 059.,?!'%，。？！、：“”…\n", max_size=30), st.booleans(), st.booleans())
def test_finished_chinese_finished_again_is_the_same(text: str, final: bool, convert: bool) -> None:
    once = finish_text(text, "zh", final=final, convert_numbers=convert)

    assert finish_text(once, "zh", final=final, convert_numbers=convert) == once


WORDS = [
    *("i", "I'm", "the", "twenty", "one", "hundred", "and", "point", "percent", "at", "five", "may", "first", "how"),
    *("are", "you", "p.m.", "Mr.", "so,", "what?", "end.", "5", ",", "-"),
]


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.booleans(), st.booleans())
def test_finished_english_finished_again_is_the_same(words: list[str], final: bool, convert: bool) -> None:
    once = finish_text(" ".join(words), "en", final=final, convert_numbers=convert)

    assert finish_text(once, "en", final=final, convert_numbers=convert) == once


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("今天天气很好，我们去公园吧", "zh", "今天天气很好，我们去公园吧"),
        ("你好,世界.", "zh", "你好，世界。"),
        ("we went home, then it rained", "en", "We went home, then it rained"),
    ],
)
def test_marks_of_an_engine_that_punctuates_are_kept_and_none_is_added(
    text: str, language: Language, expected: str
) -> None:
    assert finish_text(text, language, punctuated=True) == expected
    assert finish_text(text, language).rstrip("。.") == expected.rstrip("。.")
