"""Simplified or traditional, one character for one."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingting.text.script import Script, convert


@pytest.mark.parametrize(
    ("text", "script", "converted"),
    [
        ("實行統計和動態監測", "simplified", "实行统计和动态监测"),
        ("乾淨的後天，皇后", "simplified", "干净的后天，皇后"),
        ("干净的头发", "traditional", "乾淨的頭髮"),
        ("實行统计", "as-is", "實行统计"),
        ("hello", "traditional", "hello"),
        ("", "simplified", ""),
    ],
)
def test_text_is_written_in_the_script_asked_for(text: str, script: Script, converted: str) -> None:
    assert convert(text, script) == converted


@given(st.text(alphabet=st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), max_size=30))
def test_every_character_stays_one_character(text: str) -> None:
    for script in get_args(Script):
        assert len(convert(text, script)) == len(text)
