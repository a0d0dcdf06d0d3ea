"""Where sentences end and when they were said."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lingting.domain import RawWord
from lingting.text.sentences import split


def words(*timed: tuple[str, float, float]) -> list[RawWord]:
    return [RawWord(text, start, end) for text, start, end in timed]


def test_final_punctuation_ends_a_sentence_and_a_comma_does_not() -> None:
    sentences = split(words(("好，", 0, 0.2), ("吗？", 0.2, 0.4), ("是！”", 0.5, 0.7), ("OK", 0.8, 1.0)), "zh", 3.0)

    assert [s.text for s in sentences] == ["好，吗？", "是！”", "OK"]
    assert [(s.start, s.end) for s in sentences] == [(0, 0.4), (0.5, 0.7), (0.8, 1.0)]
    assert [w.text for w in sentences[0].words] == ["好，", "吗？"]


def test_a_silence_longer_than_asked_always_ends_a_sentence() -> None:
    spoken = words(("一", 0, 0.2), ("二", 1.2, 1.4), ("三", 3.0, 3.2))

    assert [s.text for s in split(spoken, "zh", 1.1)] == ["一二", "三"]
    assert [s.text for s in split(spoken, "zh", 0.5)] == ["一", "二", "三"]
    assert [s.text for s in split(spoken, "zh", 3.0)] == ["一二三"]


def test_an_abbreviation_ends_no_sentence() -> None:
    spoken = words(("Mr.", 0, 0.2), ("Smith", 0.2, 0.5), ("left.", 0.5, 0.9))

    assert [s.text for s in split(spoken, "en", 3.0)] == ["Mr. Smith left."]


def test_times_are_clipped_to_speech_with_a_margin_for_what_voice_activity_misses() -> None:
    spoken = words(("你", 0.0, 0.6), ("好", 0.6, 2.5), ("吗", 5.0, 5.2))

    sentences = split(spoken, "zh", 9.0, speech=[(0.5, 1.5), (2.25, 2.5)])

    assert [(w.start, w.end) for w in sentences[0].words] == [(0.25, 0.6), (0.6, 1.75), (5.0, 5.2)]


def test_no_words_make_no_sentence() -> None:
    assert split([], "zh", 3.0) == []


times = st.floats(min_value=-1, max_value=12, allow_nan=False)


@given(
    st.lists(st.tuples(st.sampled_from(["你", "好。", "OK,", "吗？"]), times, times), max_size=20),
    st.floats(min_value=0.1, max_value=5),
    st.lists(times, max_size=6),
    st.floats(min_value=1, max_value=10),
)
def test_times_increase_do_not_overlap_have_length_and_stay_in_the_recording(
    spoken: list[tuple[str, float, float]], silence: float, borders: list[float], duration: float
) -> None:
    ordered = sorted(abs(border) for border in borders)
    speech = list(zip(ordered[::2], ordered[1::2], strict=False))

    sentences = split(words(*spoken), "zh", silence, speech, duration)

    assert sum(len(s.words) for s in sentences) == len(spoken)
    flat = [word for s in sentences for word in s.words]
    for first, second in itertools.pairwise(flat):
        assert first.end <= second.start
    for item in [*flat, *sentences]:
        assert 0 <= item.start < item.end <= duration
    for first_sentence, second_sentence in itertools.pairwise(sentences):
        assert first_sentence.start < second_sentence.start
