"""Text is cut into units, and units of text get their times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingting.domain import RawWord
from lingting.text import from_characters, normalise, split_units
from lingting.text.spacing import join
from lingting.text.words import core, from_text, one_unit_each, tail


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("你好，世界。", ["你", "好，", "世", "界。"]),
        ("我在用iPhone 15,还不错。", ["我", "在", "用", "iPhone", "15,", "还", "不", "错。"]),
        ("don't worry, it's well-known.", ["don't", "worry,", "it's", "well-known."]),
        ("价格是3.5元，涨了50%。", ["价", "格", "是", "3.5", "元，", "涨", "了", "50%。"]),
        ("发到a.b@c.com吧", ["发", "到", "a.b@c.com", "吧"]),
        ("at 5 p.m. Mr. Smith left...", ["at", "5", "p.m.", "Mr.", "Smith", "left..."]),
        ("他说“你好”。", ["他", "说", "“你", "好”。"]),
        ('"hello there" he said', ['"hello', 'there"', "he", "said"]),
        ("1,000人 9:15", ["1,000", "人", "9:15"]),
        ("C++和C#都行", ["C++", "和", "C#", "都", "行"]),
        ("好 ，行", ["好，", "行"]),
        ("", []),
        ("  \n ", []),
    ],
)
def test_a_unit_is_a_han_character_or_a_latin_word_with_its_punctuation(text: str, units: list[str]) -> None:
    assert split_units(text) == units


@pytest.mark.parametrize(
    ("unit", "said", "behind"),
    [
        ("好。", "好", "。"),
        ("p.m.", "p.m.", ""),
        ("p.m.,", "p.m.", ","),
        ("3.5", "3.5", ""),
        ("left...", "left", "..."),
    ],
)
def test_the_punctuation_behind_a_unit_is_told_from_what_was_said(unit: str, said: str, behind: str) -> None:
    assert (core(unit), tail(unit)) == (said, behind)


@given(st.text(alphabet="你好世界abIX 059.,!?'，。？“”—%", max_size=40))
def test_units_joined_and_split_again_are_the_same_text(text: str) -> None:
    units = split_units(text)

    assert normalise(join(units)) == normalise(text)
    assert join(split_units(join(units))) == join(units)


def test_words_of_timed_characters_span_their_characters_and_know_the_engines_borders() -> None:
    text = "你好 OK，再见"
    start = [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 1.0, 1.2]
    end = [0.2, 0.4, 0.4, 0.6, 0.7, 0.7, 1.2, 1.5]

    words = from_characters(text, start, end, [0.5, 0.5, 0.0, 1.0, 0.5, 0.0, 1.0, 1.0], borders=[6, 8])

    assert [word.text for word in words] == ["你", "好", "OK，", "再", "见"]
    assert words[2] == RawWord("OK，", 0.5, 0.7, 0.75, border=True)
    assert [word.border for word in words] == [False, False, True, False, False]


def test_a_space_between_han_characters_is_a_border() -> None:
    assert [word.border for word in from_text("战争 中的OK 人")] == [False, True, False, False, False, False]
    timed = from_characters("战 中", [0.0, 0.1, 0.2], [0.1, 0.2, 0.3], [1.0, 1.0, 1.0])
    assert [word.border for word in timed] == [True, False]


def test_a_word_of_several_units_shares_its_time() -> None:
    words = one_unit_each(
        [RawWord("你好", 1.0, 2.0, 0.5, border=True), RawWord("，", 2.0, 2.1), RawWord(" ", 2.1, 2.2)]
    )

    assert words == [RawWord("你", 1.0, 1.5, 0.5), RawWord("好，", 1.5, 2.0, 0.5, border=True)]


def test_punctuation_before_all_words_falls_away() -> None:
    assert [word.text for word in one_unit_each([RawWord("，。", 0, 1), RawWord("。好", 1, 2)])] == ["好"]
