from __future__ import annotations

from lingting.domain import RawWord
from lingting.text import from_characters
from lingting.text.long_sentences import LONGEST, shorten


def spoken(text: str, pauses: dict[int, float] | None = None) -> list[RawWord]:
    """Words of a quarter of a second each; `pauses` by offset of the character before them."""
    clock, start = 0.0, []
    for offset in range(len(text)):
        start.append(clock)
        clock += 0.25 + (pauses or {}).get(offset, 0.0)
    return from_characters(text, start, [time + 0.25 for time in start], [1.0] * len(text))


def written(words: list[RawWord]) -> str:
    return "".join(word.text for word in words)


CLAUSE = "天地玄黄宇宙洪荒日月盈昃，"


def test_a_long_sentence_ends_where_the_speaker_paused_longest() -> None:
    text = CLAUSE * 4 + "辰宿列张寒来暑往秋收冬藏。"
    pause = 2 * len(CLAUSE) - 1
    result = written(shorten(spoken(text, {pause: 0.4})))
    assert result[pause] == "。"
    assert result.replace("。", "，") == text.replace("。", "，")


def test_every_part_of_a_very_long_sentence_is_short_enough() -> None:
    result = written(shorten(spoken(CLAUSE * 20 + "完。")))
    assert max(len(part) for part in result.split("。")) <= LONGEST + result.count("，")
    assert all(len(part) >= 10 for part in result.split("。")[:-2])


def test_short_sentences_and_those_without_a_comma_stay_whole() -> None:
    for text in (CLAUSE + "辰宿列张。", "天" * 80 + "。", CLAUSE * 3 + "好吗？" + CLAUSE):
        assert written(shorten(spoken(text))) == text


def test_nothing_is_cut_in_the_few_words_at_either_end() -> None:
    text = "好的，" + "天" * 60 + "，好的。"
    assert written(shorten(spoken(text))) == text
