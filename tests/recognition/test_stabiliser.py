from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingting.recognition.stabiliser import stabilise
from lingting.text.scoring import normalise


@pytest.mark.parametrize(
    ("shown", "previous", "newest", "expected"),
    [
        ("", "", "当地", "当地"),
        ("当地四家", "当地四家", "当地四家相关", "当地四家相关"),
        ("当地四家相关", "当地四家相关", "当第四家相关职能", "当地四家相关职能"),
        ("当地四家相关职能", "当第四家相关职能", "当第四家相关职能部门", "当第四家相关职能部门"),
        ("想听歌取", "想听歌取", "想听歌曲兄弟", "想听歌曲兄弟"),
        (
            "the loss of the coming of",
            "",
            "the loss of the cotton itself but the dreams",
            "the loss of the cotton itself but the dreams",
        ),
        (
            "Sunday is the best part",
            "Sunday is the best part",
            "Some day is the best party",
            "Sunday is the best party",
        ),
    ],
)
def test_what_is_shown_changes_inside_only_when_two_guesses_agree(
    shown: str, previous: str, newest: str, expected: str
) -> None:
    assert stabilise(shown, previous, newest) == expected


words = st.text(alphabet="天地玄黄宇宙，ab ", max_size=20)


@given(words, words, words)
def test_a_guess_that_comes_twice_is_shown(shown: str, previous: str, newest: str) -> None:
    assert normalise(stabilise(stabilise(shown, previous, newest), newest, newest)) == normalise(newest)
