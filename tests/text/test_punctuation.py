"""Punctuation stands where a person would put it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingting.domain import Language, RawWord
from lingting.text import from_text, normalise, split_units
from lingting.text.punctuation import restore
from lingting.text.spacing import join


def spoken(text: str, pauses: Sequence[float] = (), *, each: float = 0.2) -> list[RawWord]:
    """Words of `text` that take `each` seconds; ‹|› is a segment border and ‹_› takes the next of `pauses`."""
    words: list[RawWord] = []
    clock = 0.0
    waits = iter(pauses)
    for piece in text.replace("_", " _ ").replace("|", " | ").split():
        if piece == "_":
            clock += next(waits)
        elif piece == "|":
            last = words[-1]
            words[-1] = RawWord(last.text, last.start, last.end, border=True)
        else:
            for unit in split_units(piece):
                words.append(RawWord(unit, clock, clock + each))
                clock += each
    return words


def read(words: Sequence[RawWord], language: Language = "zh", *, final: bool = True) -> str:
    return join(word.text for word in restore(words, language, final=final))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("你好,我是小明.很高兴认识你", "你好，我是小明。很高兴认识你。"),
        ("你好吗?我很好!", "你好吗？我很好！"),
        ("价格是3.5元,涨了1,000元", "价格是3.5元，涨了1,000元。"),
        ("OK, let's go", "OK, let's go."),
        ("他说OK, let's go, 然后走了", "他说 OK, let's go，然后走了。"),
        ("我在用iPhone 15,还不错", "我在用 iPhone 15，还不错。"),
        (",,你好,,。。", "你好。"),
        ("你好，，。再见", "你好。再见。"),
        ("真的？！", "真的？"),
        ("等等...", "等等……"),
        ("苹果、梨、香蕉", "苹果、梨、香蕉。"),
        ("他说“你好”。", "他说“你好”。"),
        ("他说“你好。”", "他说“你好。”"),
        ("你好，", "你好。"),
        ("12点:三件事", "12点：三件事。"),
        ("13120820297", "13120820297。"),
    ],
)
def test_what_the_engine_wrote_is_kept_in_the_form_of_chinese(written: str, text: str) -> None:
    assert read(from_text(written)) == text


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("你好吗我很好", "你好吗？我很好。"),
        ("这样可以吗", "这样可以吗？"),
        ("你呢", "你呢？"),
        ("他在干什么呢", "他在干什么呢？"),
        ("我还在等呢", "我还在等呢。"),
        ("我们走吧", "我们走吧。"),
        ("你明天来对吧", "你明天来对吧？"),
        ("你叫什么名字", "你叫什么名字？"),
        ("是不是明天开会", "是不是明天开会？"),
        ("有没有人知道", "有没有人知道？"),
        ("为什么会这样", "为什么会这样？"),
        ("洗手间在哪里", "洗手间在哪里？"),
        ("这个多少钱", "这个多少钱？"),
        ("谁来负责", "谁来负责？"),
        ("现在几点", "现在几点？"),
        ("你好吗。", "你好吗？"),
        ("不知道他什么时候回来", "不知道他什么时候回来。"),
        ("告诉我怎么走", "告诉我怎么走。"),
        ("谁都知道", "谁都知道。"),
        ("没什么问题", "没什么问题。"),
        ("无论怎么说都不行", "无论怎么说都不行。"),
        ("想什么就说什么", "想什么就说什么。"),
        ("十几个人", "十几个人。"),
        ("我要一杯咖啡吗啡不要", "我要一杯咖啡吗啡不要。"),
        ("今天天气不错", "今天天气不错。"),
        ("娱乐频道", "娱乐频道。"),
    ],
)
def test_words_tell_a_question_from_a_statement(written: str, text: str) -> None:
    assert read(from_text(written)) == text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (spoken("今天天气很好_我们出去走走", [0.4]), "今天天气很好，我们出去走走。"),
        (spoken("今天天气很好_我们出去走走", [0.9]), "今天天气很好。我们出去走走。"),
        (spoken("今天天气很好_我们出去走走", [0.2]), "今天天气很好我们出去走走。"),
        (spoken("你吃饭了吗_我还没有", [0.9]), "你吃饭了吗？我还没有。"),
        (spoken("这是我_的书", [0.5]), "这是我的书。"),
        (spoken("我在_北京工作", [0.5]), "我在北京工作。"),
        (spoken("我的目的_就是这个", [0.5]), "我的目的，就是这个。"),
        (spoken("一三一_二零八_二零二", [0.5, 1.0]), "一三一二零八二零二。"),
        (spoken("嗯_好的", [0.9]), "嗯，好的。"),
    ],
)
def test_pauses_make_commas_and_full_stops(words: list[RawWord], text: str) -> None:
    assert read(words) == text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (spoken("到北方访问|看到成片的高粱正晒红米|在秋阳下摇曳"), "到北方访问看到成片的高粱正晒红米，在秋阳下摇曳。"),
        (spoken("购买汽车并不一定是|更好的解决办法"), "购买汽车并不一定是更好的解决办法。"),
        (spoken("安徽铜陵结束了|当地的补贴政策"), "安徽铜陵结束了当地的补贴政策。"),
        (spoken("腰部以上特别肥胖者|_腰围差别不大者", [0.6]), "腰部以上特别肥胖者。腰围差别不大者。"),
        (spoken("那天下午放晴|可是到了晚上又下雨"), "那天下午放晴，可是到了晚上又下雨。"),
        (spoken("应是很严格很慎重的因为用错就很难挽回"), "应是很严格很慎重的，因为用错就很难挽回。"),
        (spoken("那是因为下雨"), "那是因为下雨。"),
    ],
)
def test_segment_borders_and_conjunctions_make_commas_where_one_can_stand(words: list[RawWord], text: str) -> None:
    assert read(words) == text


def test_silence_that_an_aligner_hid_in_a_long_word_counts_as_pause() -> None:
    words = [RawWord(c, i * 0.2, i * 0.2 + 0.2) for i, c in enumerate("今天很好")]
    words[3] = RawWord("好", 0.6, 2.0)
    words += [RawWord(c, 2.0 + i * 0.2, 2.2 + i * 0.2) for i, c in enumerate("我们走走")]

    with_speech = restore(words, "zh", speech=[(0.0, 0.9), (1.9, 3.0)])

    assert join(word.text for word in with_speech) == "今天很好。我们走走。"
    assert read(words) == "今天很好我们走走。"


def test_a_pause_is_as_long_as_nobody_is_heard() -> None:
    words = [RawWord(c, i * 0.3, i * 0.3 + 0.3) for i, c in enumerate("今天很好我们走走")]

    def heard(pause: float) -> str:
        return join(w.text for w in restore(words, "zh", speech=[(0.0, 1.0), (1.0 + pause, 2.4)]))

    assert heard(0.3) == "今天很好我们走走。"
    assert heard(0.4) == "今天很好，我们走走。"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (spoken("那天很冷可是_我们去了", [0.5]), "那天很冷可是我们去了。"),
        (spoken("那天很冷可是_我们去了", [1.0]), "那天很冷可是，我们去了。"),
        (spoken("你叫他们_走过来吧", [0.5]), "你叫他们走过来吧。"),
        (spoken("你叫他们_走过来吧", [1.0]), "你叫他们。走过来吧。"),
    ],
)
def test_whoever_stops_behind_a_word_that_opens_a_clause_is_looking_for_words(words: list[RawWord], text: str) -> None:
    assert read(words) == text


def test_a_comma_never_splits_a_word() -> None:
    words = spoken("实行全口_径统计", [0.4])

    assert read(words) == "实行全口，径统计。"
    kept = restore(words, "zh", is_word={"口径", "统计"}.__contains__)
    assert join(word.text for word in kept) == "实行全口径统计。"


def test_a_comma_stays_where_a_word_ends_and_another_begins_though_a_third_lies_across() -> None:
    words = spoken("运行时即可_不要用它来", [0.4])
    kept = restore(words, "zh", is_word={"即可", "可不", "不要"}.__contains__)
    assert join(word.text for word in kept) == "运行时即可，不要用它来。"


def test_a_guess_that_goes_on_gets_no_full_stop() -> None:
    assert read(from_text("今天天气"), final=False) == "今天天气"
    assert read(from_text("so this is"), "en", final=False) == "So this is"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("hello，world。", "Hello, world."),
        ("i think i'm fine. and you", "I think I'm fine. And you."),
        ("what time is it", "What time is it?"),
        ("how are you", "How are you?"),
        ("can you help me", "Can you help me?"),
        ("it's cold, isn't it", "It's cold, isn't it?"),
        ("what you said is right", "What you said is right."),
        ("the dog ran", "The dog ran."),
        ("iPhone sales rose", "iPhone sales rose."),
        ("mr. smith went home", "Mr. smith went home."),
        ("we met Mr. Smith at 5 p.m.", "We met Mr. Smith at 5 p.m."),
        ("wait... what?", "Wait... What?"),
        ("ASK NOT! What your country can do", "Ask not! What your country can do."),
        ("IT WAS THE FIRST GREAT SORROW OF HIS LIFE", "It was the first great sorrow of his life."),
        ("I THINK I'M FINE. HE IS TOO", "I think I'm fine. He is too."),
        ("AT 5 P.M. IN THE U.S. IT RAINS", "At 5 P.M. in the U.S. it rains."),
        ("NASA, ESA, JAXA", "NASA, ESA, JAXA."),
        ("NASA said no", "NASA said no."),
        ("NOT", "NOT."),
    ],
)
def test_english_gets_capitals_and_an_end(written: str, text: str) -> None:
    assert read(from_text(written), "en") == text


def test_english_that_the_engine_left_bare_is_marked_by_pauses() -> None:
    assert read(spoken("so_we went home_are you there", [0.7, 1.5]), "en") == "So, we went home. Are you there?"
    assert read(spoken("so, we went_home", [1.5]), "en") == "So, we went home."


@given(
    st.text(alphabet="你我好的是在吗呢什么没有因为但是三aIx ,.。，？?!…“”'5", max_size=30),
    st.lists(st.floats(min_value=0, max_value=2), max_size=30),
    st.sampled_from(["zh", "en"]),
)
def test_nothing_that_was_said_changes(text: str, starts: list[float], language: Language) -> None:
    said = [RawWord(w.text, s, s + 0.1, border=s > 1) for w, s in zip(from_text(text), sorted(starts), strict=False)]

    marked = restore(said, language)

    assert normalise(join(w.text for w in marked)) == normalise(join(w.text for w in said))
    heard = [w for w in said if normalise(w.text)]
    assert [(w.start, w.end) for w in marked if normalise(w.text)] == [(w.start, w.end) for w in heard]
