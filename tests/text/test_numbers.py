"""Spoken numbers become digits, and nothing else changes."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingting.domain import Language, RawWord
from lingting.text import from_text, numbers
from lingting.text.spacing import join


def converted(text: str, language: Language = "zh") -> str:
    return join(word.text for word in numbers.convert(from_text(text), language))


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        # dates and clock times
        ("二零二四年五月一日上午九点", "2024年5月1日上午9点"),
        ("一九四九年十月一日", "1949年10月1日"),
        ("今天是二零二三年十二月二十五号星期一", "今天是2023年12月25号星期一"),
        ("两千零八年奥运会", "2008年奥运会"),
        ("会发现一九九零年后出生的人口急剧减少", "会发现1990年后出生的人口急剧减少"),
        ("公布了一零月天象", "公布了10月天象"),
        ("八月该剧场", "8月该剧场"),
        ("公元前二二一年", "公元前221年"),
        ("九零后和九八年", "90后和98年"),
        ("二十一世纪八十年代", "21世纪80年代"),
        ("下午三点半开会", "下午3点半开会"),
        ("晚上十一点二十", "晚上11点20"),
        ("三点四十五分", "3点45分"),
        ("晚上九点零五分", "晚上9点05分"),
        ("十二点整", "12点整"),
        ("九点到十点", "9点到10点"),
        ("下午三点五个人开会", "下午3点五个人开会"),
        ("等十分钟", "等10分钟"),
        # amounts
        ("裁员二千人", "裁员2000人"),
        ("二十五个失学儿童", "25个失学儿童"),
        ("一万二千三百四十五", "12345"),
        ("三万五", "35000"),
        ("一百零五", "105"),
        ("两千零一", "2001"),
        ("一千零五十", "1050"),
        ("一亿三千万", "1亿3000万"),
        ("两万", "2万"),
        ("十三亿人", "13亿人"),
        ("一百多个", "100多个"),
        ("第二十三条", "第23条"),
        ("二十到三十人", "20到30人"),
        ("得了八十分", "得了80分"),
        ("一百二十平米", "120平米"),
        ("三点五公里", "3.5公里"),
        ("五公斤", "5公斤"),
        ("一米八", "1米8"),
        ("零下五度", "零下5度"),
        ("体温三十七度五", "体温37度5"),
        ("一点五倍", "1.5倍"),
        ("三点一四一五九", "3.14159"),
        ("两百五十元", "250元"),
        ("一千三百块钱", "1300块钱"),
        ("五美元", "5美元"),
        ("三块五", "3块5"),
        ("百分之五十", "50%"),
        ("百分之三点五", "3.5%"),
        ("百分之百", "100%"),
        ("三分之二的人", "2/3的人"),
        # rows of digits
        ("我的电话是一三一二零八二零二九七", "我的电话是13120820297"),
        ("一三一二零八", "131208"),
        ("幺三八零零一三八零零零", "13800138000"),
        ("打一二零", "打120"),
        ("房间号八零三", "房间号803"),
        # beside Latin
        ("五G网络", "5G 网络"),
        ("iPhone十五", "iPhone 15"),
        ("T三航站楼", "T3 航站楼"),
        ("一共二十，剩下三十。", "一共20，剩下30。"),
    ],
)
def test_chinese_numbers_become_digits(spoken: str, written: str) -> None:
    assert converted(spoken) == written


@pytest.mark.parametrize(
    "text",
    [
        "一心一意",
        "三三两两",
        "七上八下",
        "十全十美",
        "九牛一毛",
        "一五一十",
        "七七八八",
        "不管三七二十一",
        "等一下",
        "一个人",
        "两个人",
        "一些",
        "一样",
        "有一天",
        "一点专业精神",
        "一点一点来",
        "三点建议",
        "十分好",
        "万一用错药",
        "千万别来",
        "四川",
        "五道口",
        "三里屯",
        "九寨沟",
        "十字路口",
        "双十一",
        "五四运动",
        "九一八",
        "农历八月十五",
        "二三十个",
        "两三百人",
        "十几岁",
        "二十几岁",
        "几十年",
        "数十人",
        "几百万",
        "百分之几",
        "百分百",
        "三个月",
        "四家公司",
        "六倍",
        "一元二次方程",
        "一千零一夜",
        "二百五",
        "一二三四五",
        "第一名",
        "三年级",
        "2000人",
        "没有数字。",
    ],
)
def test_idioms_approximations_and_prose_stay(text: str) -> None:
    assert converted(text) == text


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("twenty three dollars", "$23"),
        ("it costs five dollars", "it costs $5"),
        ("nineteen ninety three", "1993"),
        ("nineteen oh five", "1905"),
        ("in twenty twenty four", "in 2024"),
        ("in two thousand and eight", "in 2008"),
        ("one hundred and twenty five people", "125 people"),
        ("one thousand two hundred", "1200"),
        ("fifteen hundred", "1500"),
        ("two million people", "2 million people"),
        ("fifty percent", "50%"),
        ("fifty per cent.", "50%."),
        ("ninety nine point nine percent", "99.9%"),
        ("zero point five", "0.5"),
        ("the twenty first century", "the 21st century"),
        ("twenty-five years old", "25 years old"),
        ("forty-two", "42"),
        ("meet me at nine fifteen", "meet me at 9:15"),
        ("seven thirty in the morning", "7:30 in the morning"),
        ("five p.m.", "5 p.m."),
        ("on february twenty third", "on february 23"),
        ("june twenty-first", "june 21"),
        ("on may first", "on may 1"),
        ("call nine one one", "call 911"),
        ("one three one two zero eight", "131208"),
        ("chapter twelve, page thirty", "chapter 12, page 30"),
    ],
)
def test_english_numbers_become_digits(spoken: str, written: str) -> None:
    assert converted(spoken, "en") == written


@pytest.mark.parametrize(
    "text",
    [
        "ten of clubs",
        "eight of spades, four of clubs, seven of hearts",
        "five five",
        "one of them",
        "no one",
        "the first great sorrow",
        "second place",
        "you may first want to",
        "a hundred times",
        "hundreds of people",
        "one two three four",
        "two to three days",
        "half past ten",
        "in the eighties",
        "room 12 twenty",
    ],
)
def test_english_prose_stays(text: str) -> None:
    assert converted(text, "en") == text


def test_a_number_is_one_word_from_its_first_start_to_its_last_end_and_its_neighbours_stay() -> None:
    said = [RawWord(c, i * 0.2, i * 0.2 + 0.2, 0.5) for i, c in enumerate("在二零二四年")]
    said[4] = RawWord("四", 0.8, 1.1, 1.0)
    said.append(RawWord("百", 1.2, 1.3))

    words = numbers.convert(said, "zh")

    assert words == [said[0], RawWord("2024", 0.2, 1.1, 0.625), said[5], said[6]]


def test_punctuation_and_quotes_round_a_number_stay() -> None:
    assert converted("他说“二十”，三十。") == "他说“20”，30。"
    assert converted("二十，三") == "20，三"


def test_a_border_behind_a_number_stays() -> None:
    words = numbers.convert([RawWord("二", 0, 1), RawWord("十", 1, 2, border=True), RawWord("人", 2, 3)], "zh")

    assert [(word.text, word.border) for word in words] == [("20", True), ("人", False)]


@pytest.mark.parametrize("answer", ["", "十五", "15p.m.", "2024/05/01"])
def test_what_is_no_number_is_refused(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers.numbers_zh._number.cache_clear()
    monkeypatch.setattr(numbers.numbers_zh, "digits", lambda cardinal, language: answer)

    assert converted("等了十五天") == "等了十五天"

    numbers.numbers_zh._number.cache_clear()


def test_the_grammars_come_without_a_network() -> None:
    script = (
        "import socket\n"
        "def refuse(*_): raise OSError('no network')\n"
        "socket.socket.connect = refuse\n"
        "socket.getaddrinfo = refuse\n"
        "from lingting.text import finish_text\n"
        "assert finish_text('二十三', 'zh', convert_numbers=True) == '23。'\n"
        "assert finish_text('twenty three', 'en', convert_numbers=True) == '23.'\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_many_threads_may_convert_at_once() -> None:
    texts = [f"买了{tens}十{ones}个" for tens in "二三四五六七八九" for ones in "一二三四五六七八九"] * 4

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(converted, texts))

    assert together == [f"买了{tens}{ones}个" for tens in range(2, 10) for ones in range(1, 10)] * 4


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("今天是二零二", 3),
        ("今天是二零二四年", 5),
        ("二零二四年的今天天气", 0),
        ("涨了百分之五", 4),
        ("今天天气很好", 0),
        ("", 0),
        ("on may twenty", 2),
    ],
)
def test_a_number_at_the_end_may_still_change(text: str, count: int) -> None:
    assert numbers.open_tail(from_text(text)) == count


@given(
    st.text(alphabet="今天是有一二三十百千万零点分之年月号元米你我好", max_size=16),
    st.text(alphabet="今天是有一二三十百千万零点分之年月号元米你我好", max_size=8),
)
def test_what_is_before_the_open_tail_stays_when_more_is_said(said: str, more: str) -> None:
    words = from_text(said)
    settled = words[: len(words) - numbers.open_tail(words)]

    alone = join(word.text for word in numbers.convert(settled, "zh"))

    assert converted(said + more).startswith(alone)


@given(st.text(alphabet="一二三四五六七八九十百千万亿两零点分之年月日号元块米第几下午半个，。aG 5", max_size=20))
def test_only_numerals_change_and_a_second_time_changes_nothing(text: str) -> None:
    spoken = "一二三四五六七八九十百千万亿两零点分之0123456789%/. "
    text = "好" + text
    once = converted(text)

    assert "".join(c for c in once if c not in spoken) == "".join(c for c in text if c not in spoken)
    assert converted(once) == once
