from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingting.domain import SAMPLE_RATE, Samples
from lingting.recognition.engine import CharacterTimes
from lingting.recognition.loops import cut, impossible, loops
from lingting.recognition.oneshot import Recognizer
from lingting.text import normalise
from tests.recognition.conftest import Use
from tests.recordings import recording


def rounds_at(text: str, unit: str, begins: list[float], end: float) -> CharacterTimes:
    """Times of `text`, which starts with rounds of `unit` that begin at `begins`; what follows them fills the rest."""
    start = [float(x) for a, b in pairwise([*begins, end]) for x in np.linspace(a, b, len(unit) + 1)[:-1]]
    behind = np.linspace(end, end + 1, len(text) - len(start) + 1).tolist()
    times = np.array([*start, *(behind if len(behind) > 1 else [end])], np.float32)
    return CharacterTimes(times[:-1], times[1:], np.ones(len(text), np.float32))


@pytest.mark.parametrize(
    "text",
    [
        "ten of clubs, ten of clubs, ten of clubs, ten of clubs, ten of clubs",
        "患癌率比一般妇女高六有高六有高六有高六有高六有",
        "谢谢大家谢谢大家谢谢大家谢谢大家",
        "市场里的海鲜鲜鲜鲜鲜价格上涨",
        "a" * 200,
    ],
)
def test_a_unit_written_again_and_again_is_worth_a_second_try(text: str) -> None:
    assert loops(text, 5.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "好好学习天天向上",
        "一三一二零八二零二九七",
        "0000 0000 0000 0000",
        "不不不不",
        "哈哈哈哈哈",
        "他说对对对对你讲得没错",
        "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.",
        "承运人有权要求托运人填写航空货运单托运人有权要求承运人接受该航空货运单",
    ],
)
def test_speech_that_repeats_a_little_is_no_loop(text: str) -> None:
    assert not loops(text, 10.0)


def test_more_text_than_anyone_says_in_the_time_is_worth_a_second_try() -> None:
    assert loops("今天天气真不错我们去公园里看花吧好不好呀你觉得怎么样呢我想听听你的看法再决定去哪里", 0.5)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("好的，好的，好的，好的，那我们下周三见", 3.5),
        ("no no no no no, wait for me", 2.2),
        ("对对对对对对对对，就是这个意思", 2.6),
        ("No matter, no matter, no matter, no matter, no matter, try again, fail again.", 7.4),
    ],
)
def test_what_a_speaker_can_have_said_in_the_time_stays(text: str, seconds: float) -> None:
    assert not impossible(text, seconds)
    assert cut(text, seconds).text == text


def test_rounds_with_time_of_their_own_stay_even_in_a_hurry() -> None:
    text = "好的，好的，好的，好的，那我们下周三见"
    times = rounds_at(text, "好的，", [0.0, 0.3, 0.55, 0.8], 1.05)
    assert cut(text, 3.5, times).text == text


@pytest.mark.parametrize(
    ("unit", "begins", "end", "kept"),
    [
        ("seven of clubs, ", [0.0, 0.86, 0.94, 0.96, 1.1, 1.1, 1.12, 1.12], 1.54, 1),
        ("洗肌病咬伤了其住人", [0.0, 2.56, 2.56, 2.9], 2.93, 1),
        ("5, ", [0.0, 0.74, 1.12, *[1.52] * 13], 1.54, 2),
        ("这五个点 ", [0.0, 0.76, 1.36, 2.36, 2.9, 3.5, *np.linspace(5.4, 6.0, 11).tolist()], 6.3, 6),
    ],
)
def test_rounds_of_an_engine_for_which_there_is_no_time_are_gone(
    unit: str, begins: list[float], end: float, kept: int
) -> None:
    text = unit * len(begins)
    assert cut(text, end, rounds_at(text, unit, begins, end), truncated=True).text == unit * kept


def test_what_is_said_behind_a_loop_stays_with_its_times_and_borders() -> None:
    unit, behind = "谢谢大家", "我们下周三见"
    text = unit * 6 + behind
    times = rounds_at(text, unit, [0.0, 1.0, 1.02, 1.02, 1.04, 1.06], 1.1)
    kept = cut(text, 2.5, times)
    assert kept.text == unit + behind
    assert kept.times(times).start.tolist() == pytest.approx([*times.start[:4], *times.start[-6:]])
    assert kept.borders((4, 8, len(unit) * 6, len(text))) == (4, 10)


def test_a_beginning_of_the_next_round_at_the_end_goes_with_the_loop() -> None:
    assert cut("大家出小区很不方便,大家出小区很不方便,大家出小区很不方便,大家出小区很不方便,大家出小", 2.9).text == (
        "大家出小区很不方便," * 2
    )


def test_without_times_a_loop_on_which_the_engine_spent_its_budget_is_one_round() -> None:
    assert cut("我们走吧" + "哈哈" * 40, 30.0, truncated=True).text == "我们走吧" + "哈"
    assert cut("我们走吧" + "哈哈" * 40, 30.0).text == "我们走吧" + "哈哈" * 40


@given(st.text(st.sampled_from("好的，no 5"), max_size=60), st.floats(0.1, 8.0), st.booleans())
def test_what_stays_stands_where_its_places_say(text: str, seconds: float, truncated: bool) -> None:
    kept = cut(text, seconds, truncated=truncated)
    assert kept.text == "".join(text[place] for place in kept.places)
    assert sorted(set(kept.places.tolist())) == kept.places.tolist()


def said_again(name: str, phrase: tuple[float, float], rest: tuple[float, float], times: int, pause: float) -> Samples:
    """A passage of a recording that is said `times` times with pauses between, then another passage (both in s)."""
    whole = recording(name).samples
    noise = np.random.default_rng(3)

    def passage(first: float, last: float) -> Samples:
        found = whole[int(first * SAMPLE_RATE) : int(last * SAMPLE_RATE)].copy()
        ramp = np.linspace(0, 1, SAMPLE_RATE // 50, dtype=np.float32)
        found[: len(ramp)] *= ramp
        found[-len(ramp) :] *= ramp[::-1]
        return found

    def quiet(seconds: float) -> Samples:
        return (noise.standard_normal(int(seconds * SAMPLE_RATE)) * 1e-4).astype(np.float32)

    parts = [quiet(0.25)]
    for _ in range(times):
        parts += [passage(*phrase), quiet(pause)]
    return np.concatenate([*parts, passage(*rest), quiet(0.4)])


@pytest.mark.engine
@pytest.mark.parametrize(
    ("name", "phrase", "rest", "times", "pause", "said", "behind"),
    [
        ("beckett", (3.1, 4.02), (4.6, 7.3), 4, 0.12, "nomatter", "tryagain"),
        ("beckett", (3.1, 4.02), (4.6, 7.3), 6, 0.35, "nomatter", "tryagain"),
        ("vad_example", (64.15, 64.72), (64.7, 66.5), 4, 0.12, "非常感谢", "老师"),
        ("vad_example", (64.15, 64.72), (64.7, 66.5), 6, 0.12, "非常感谢", "老师"),
        ("vad_example", (20.4, 20.82), (20.8, 23.3), 6, 0.35, "五个点", "不行"),
    ],
)
def test_a_phrase_that_a_speaker_repeats_is_written_as_often_and_so_is_what_follows(
    use: Use[str],
    name: str,
    phrase: tuple[float, float],
    rest: tuple[float, float],
    times: int,
    pause: float,
    said: str,
    behind: str,
) -> None:
    samples = said_again(name, phrase, rest, times, pause)

    async def work(recognizer: Recognizer) -> str:
        return normalise((await recognizer.recognize(samples)).text)

    text = use(work)
    assert times - 1 <= text.count(said) <= times + 2
    assert behind in text
