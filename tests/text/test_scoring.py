"""Errors are counted on what was said, not on how it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from lingting.text import ErrorCount, error_rate, normalise
from lingting.text.scoring import tokens


def test_normalised_text_has_no_case_width_script_punctuation_or_space() -> None:
    assert normalise("Ｈello, 世 界！Don’t說") == "hello世界dont说"
    assert normalise(" ，。") == ""


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "length"),
    [
        ("想听歌曲", "想聽歌曲。", 0, 4),
        ("想听歌曲call me maybe", "想听歌曲 Call me", 1, 7),
        ("ASK NOT what", "Ask not, what!", 0, 3),
        ("the cat", "the bat sat", 2, 2),
        ("你好", "", 2, 2),
        ("", "你好", 2, 0),
        ("", "", 0, 0),
    ],
)
def test_errors_count_han_characters_and_latin_words(reference: str, hypothesis: str, errors: int, length: int) -> None:
    assert error_rate(reference, hypothesis) == ErrorCount(errors, length)


def test_counts_add_up_to_a_rate() -> None:
    assert (ErrorCount(1, 4) + ErrorCount(2, 6)).rate == 0.3
    assert ErrorCount(0, 0).rate == 0
    assert ErrorCount(2, 0).rate == 1


@given(st.text(alphabet="你好世界a b", max_size=20), st.text(alphabet="你好世界a b", max_size=20))
def test_the_distance_is_levenshteins(first: str, second: str) -> None:
    assert error_rate(first, second).errors == Levenshtein.distance(tokens(first), tokens(second))
