"""One rule for spaces."""

from __future__ import annotations

import pytest

from lingting.text import split_units
from lingting.text.spacing import join


@pytest.mark.parametrize(
    ("text", "spaced"),
    [
        ("你 好 世 界", "你好世界"),
        ("我在用iPhone手机", "我在用 iPhone 手机"),
        ("买apple watch的不在意续航", "买 apple watch 的不在意续航"),
        ("2024 年 5 月 1 日", "2024年5月1日"),
        ("涨了 50% 左右", "涨了50%左右"),
        ("支持5G网络", "支持 5G 网络"),
        ("iPhone15发布", "iPhone15 发布"),
        ("hello   world", "hello world"),
        ("OK，好", "OK，好"),
        ("好，OK", "好，OK"),
        ("OK, let's go", "OK, let's go"),
        ("他说“Hello”。", "他说“Hello”。"),
        ("《战争与和平》的作者", "《战争与和平》的作者"),
        ("room 101", "room 101"),
        ("“Hello” she said.", "“Hello” she said."),
        ("‘Yes,’ he said, “no.” “Why?”", "‘Yes,’ he said, “no.” “Why?”"),
        ("'Yes,' he said", "'Yes,' he said"),
        ("the students’ books, the students' books", "the students’ books, the students' books"),
        ("rock ’n’ roll of the ’90s", "rock ’n’ roll of the ’90s"),
        ("Well… I think", "Well… I think"),
        ("他说“OK” 然后走了", "他说“OK”然后走了"),
        ("用iPhone “拍照”", "用 iPhone“拍照”"),
        ("他说…OK", "他说…OK"),
    ],
)
def test_spaces_stand_where_the_rule_says(text: str, spaced: str) -> None:
    assert join(split_units(text)) == spaced


def test_no_units_are_no_text() -> None:
    assert join([]) == join(["", ""]) == ""
