"""Hot words: found by their sound, silent where they were not said, limited."""

from __future__ import annotations

import pytest

from lingting.domain import Hypothesis
from lingting.phonetics import Corrector, HotWordsError

Rows = list[dict[str, str]]


def written(corrector: Corrector, text: str, hot_words: list[str]) -> str:
    return corrector.correct([Hypothesis(text, -5.0)], hot_words=hot_words).text


def test_recall_of_names_brands_and_terms_at_least_doubles(corrector: Corrector, sentences: Rows) -> None:
    words = [row["hot"] for row in sentences]
    without = sum(row["hot"] in written(corrector, row["heard"], []) for row in sentences)
    with_list = sum(row["hot"] in written(corrector, row["heard"], words) for row in sentences)
    assert len(sentences) >= 60
    assert with_list >= 2 * without
    assert with_list >= 0.9 * len(sentences)


def test_no_hot_word_is_written_where_another_was_said(corrector: Corrector, sentences: Rows) -> None:
    words = [row["hot"] for row in sentences]
    for row in sentences:
        others = [word for word in words if word not in row["said"]]
        text = written(corrector, row["said"], others)
        assert not [word for word in others if word in text]


def test_the_rest_of_the_sentence_is_as_without_hot_words(corrector: Corrector, sentences: Rows) -> None:
    words = [row["hot"] for row in sentences]
    wrong = {True: 0, False: 0}
    for row in sentences:
        inside = range(row["said"].index(row["hot"]), row["said"].index(row["hot"]) + len(row["hot"]))
        for hot in (True, False):
            text = written(corrector, row["heard"], words if hot else [])
            wrong[hot] += sum(
                text[place] != row["said"][place] for place in range(len(row["said"])) if place not in inside
            )
    assert wrong[True] <= wrong[False]


def test_a_hot_word_is_told_as_the_reason(corrector: Corrector) -> None:
    (change,) = corrector.correct([Hypothesis("我想联系章为一下", -5.0)], hot_words=["张伟"]).changes
    assert (change.position, change.before, change.after, change.reason) == (4, "章为", "张伟", "hot word")


@pytest.mark.parametrize(
    ("heard", "word", "said"),
    [
        ("床运人有权要求托运人填写航空货运单", "承运人", "承运人有权要求托运人填写航空货运单"),
        ("永远的死瞎先死主演的电影", "紫霞仙子", "永远的紫霞仙子主演的电影"),
    ],
)
def test_a_word_is_found_where_initials_of_one_place_or_nasal_finals_were_mixed_up(
    corrector: Corrector, heard: str, word: str, said: str
) -> None:
    assert word not in written(corrector, heard, [])
    assert written(corrector, heard, [word]) == said


@pytest.mark.parametrize(
    ("heard", "word"), [("他说时间到了", "四件"), ("我们都很高兴", "豪情"), ("死瞎先死", "紫霸天王")]
)
def test_sounds_that_are_only_alike_do_not_make_short_words_nor_most_of_one(
    corrector: Corrector, heard: str, word: str
) -> None:
    assert word not in written(corrector, heard, [word])


@pytest.mark.parametrize("words", [["风"], ["Kubernetes"], ["", "  "], ["卡拉OK"]])
def test_words_that_cannot_be_found_by_sound_change_nothing(corrector: Corrector, words: list[str]) -> None:
    assert written(corrector, "今天的天气很好", words) == "今天的天气很好"


def test_a_full_list_is_taken(corrector: Corrector, sentences: Rows) -> None:
    words = [row["hot"] for row in sentences] + [f"word{number}" for number in range(500 - len(sentences))]
    assert written(corrector, "请打开零听服务器的控制台", words) == "请打开聆听服务器的控制台"


def test_one_word_more_than_the_limit_is_refused_in_words_that_say_the_limit(corrector: Corrector) -> None:
    with pytest.raises(HotWordsError, match="500"):
        written(corrector, "今天", ["你好"] * 501)


def test_a_word_over_the_length_limit_is_refused_in_words_that_say_both_lengths(corrector: Corrector) -> None:
    with pytest.raises(HotWordsError, match=r"64.*65"):
        written(corrector, "今天", ["长" * 65])


def test_the_limits_hold_for_text_without_chinese_too(corrector: Corrector) -> None:
    with pytest.raises(HotWordsError):
        written(corrector, "Good morning", ["你好"] * 501)
