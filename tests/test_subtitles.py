"""Transcripts as files."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingting import subtitles
from lingting.domain import Sentence, Transcript, Word
from lingting.text import spacing


def spoken(text: str, start: float = 0.0, step: float = 0.5, language: str = "en") -> Sentence:
    """A sentence of words that each last `step` seconds."""
    parts = list(text) if language == "zh" else text.split()
    words = tuple(Word(part, start + i * step, start + (i + 1) * step, 0.9) for i, part in enumerate(parts))
    return Sentence(text, words[0].start, words[-1].end, words, "zh" if language == "zh" else "en")


HELLO = spoken("Hello there.", 1.0)
CHINESE = spoken("今天天气真不错。", 3661.5, 0.25, "zh")
TWO = Transcript("Hello there. 今天天气真不错。", 3700.0, "en", (HELLO, CHINESE))
SILENCE = Transcript("", 2.0)


def test_text_is_a_sentence_a_line() -> None:
    assert subtitles.render(TWO, "txt") == "Hello there.\n今天天气真不错。\n"


def test_subrip_numbers_its_cues_and_writes_commas() -> None:
    assert subtitles.render(TWO, "srt") == (
        "1\n00:00:01,000 --> 00:00:02,000\nHello there.\n\n2\n01:01:01,500 --> 01:01:03,500\n今天天气真不错。\n"
    )


def test_webvtt_has_a_head_and_writes_points() -> None:
    assert subtitles.render(TWO, "vtt") == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nHello there.\n\n01:01:01.500 --> 01:01:03.500\n今天天气真不错。\n"
    )


def test_webvtt_escapes_what_would_be_markup() -> None:
    sentence = Sentence("a < b & c --> d", 0.0, 1.0)
    assert subtitles.vtt(Transcript("", 1.0, "en", (sentence,))).endswith("a &lt; b &amp; c --&gt; d\n")


def test_tab_separated_values_are_milliseconds() -> None:
    assert subtitles.render(TWO, "tsv") == (
        "start\tend\ttext\n1000\t2000\tHello there.\n3661500\t3663500\t今天天气真不错。\n"
    )


def test_tabs_and_line_breaks_in_a_text_break_no_format() -> None:
    transcript = Transcript("", 1.0, "en", (Sentence("one\ttwo\n\nthree", 0.0, 1.0),))
    assert subtitles.tsv(transcript).splitlines()[1:] == ["0\t1000\tone two three"]
    assert subtitles.srt(transcript).endswith("\none two three\n")


def test_json_holds_everything() -> None:
    content = json.loads(subtitles.render(TWO, "json"))
    assert (content["text"], content["language"], content["duration"]) == (TWO.text, "en", 3700.0)
    assert content["sentences"][0]["words"][1] == {"text": "there.", "start": 1.5, "end": 2.0, "probability": 0.9}


@pytest.mark.parametrize(
    ("form", "content"), [("txt", ""), ("srt", ""), ("vtt", "WEBVTT\n"), ("tsv", "start\tend\ttext\n")]
)
def test_silence_is_an_empty_file_of_its_kind(form: subtitles.Format, content: str) -> None:
    assert subtitles.render(SILENCE, form) == content


def test_a_long_sentence_is_cut_at_its_clauses() -> None:
    sentence = spoken("the period was so far like the present period, that some of its authorities insisted on it.")
    assert [cue.text.replace("\n", " ") for cue in subtitles.cues(Transcript("", 60.0, "en", (sentence,)))] == [
        "the period was so far like the present period,",
        "that some of its authorities insisted on it.",
    ]


def test_no_line_begins_with_punctuation() -> None:
    sentence = spoken("我们今天在这里开会讨论的主要是三个问题，第一个问题是明年的计划怎么做呢？", 0.0, 0.1, "zh")
    joined = Sentence(sentence.text, sentence.start, sentence.end)
    (cue,) = subtitles.cues(Transcript("", 60.0, "zh", (joined,)))
    assert cue.text == "我们今天在这里开会讨论的主要是三个问题，\n第一个问题是明年的计划怎么做呢？"


WORDS = st.lists(
    st.sampled_from(["今", "天，", "好。", "meeting", "about,", "billing.", "a"]), min_size=1, max_size=120
)


@given(words=WORDS, step=st.floats(0.05, 2.0))
def test_cues_keep_all_text_fit_the_screen_and_follow_each_other(words: list[str], step: float) -> None:
    timed = tuple(Word(word, index * step, (index + 1) * step) for index, word in enumerate(words))
    sentence = Sentence(spacing.join(words), 0.0, timed[-1].end, timed)
    made = subtitles.cues(Transcript(sentence.text, 600.0, "zh", (sentence,)))
    assert re.sub(r"\s", "", "".join(cue.text for cue in made)) == re.sub(r"\s", "", "".join(words))
    times = [time for cue in made for time in (cue.start, cue.end)]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (sentence.start, sentence.end)
    for cue in made:
        assert len(cue.text.split("\n")) <= subtitles.CUE_LINES
        assert subtitles.columns(cue.text.replace("\n", "")) <= subtitles.LINE_COLUMNS * subtitles.CUE_LINES
