"""Hot words with Latin letters in recognised words: times, marks, and the text that a caller sees."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from lingting.domain import RawWord, RecognitionOptions, Transcript
from lingting.phonetics import Corrector
from lingting.recognition.latin_words import written
from lingting.recognition.utterance import Writing
from lingting.text import normalise
from tests.recognition.conftest import Use
from tests.recordings import speech_dir


@dataclass(frozen=True)
class Place:
    start: int
    end: int
    word: str


class Told:
    """An ear that finds what it is told to, and remembers what it heard."""

    def __init__(self, *places: Place) -> None:
        self.places = places
        self.heard: list[str] = []

    def latin(self, words: list[str], hot_words: list[str]) -> list[Place]:
        self.heard = list(words)
        return list(self.places)


def said(text: str) -> list[RawWord]:
    return [RawWord(c, index * 0.5, index * 0.5 + 0.5, 0.8) for index, c in enumerate(text)]


def test_the_hot_word_takes_the_time_of_what_it_stands_for_and_shares_it_by_length() -> None:
    words = written(said("听靠迷迷迷吧"), ["Call Me Maybe"], Told(Place(1, 5, "Call Me Maybe")))
    assert [word.text for word in words] == ["听", "Call", "Me", "Maybe", "吧"]
    assert [word.start for word in words] == pytest.approx([0.0, 0.5, 0.5 + 8 / 11, 0.5 + 12 / 11, 2.5])
    assert [word.end for word in words[:-1]] == pytest.approx([0.5, 0.5 + 8 / 11, 0.5 + 12 / 11, 2.5])
    assert words[1].probability == pytest.approx(0.8)


def test_marks_around_it_and_its_border_stay() -> None:
    units = [RawWord("用", 0, 1), RawWord("“埃", 1, 2), RawWord("派”。", 2, 3, border=True), RawWord("好", 3, 4)]
    ear = Told(Place(2, 4, "Apple Pay"))
    words = written(units, ["Apple Pay"], ear)
    assert ear.heard == ["用", "", "埃", "派", "", "好"]
    assert [(word.text, word.border) for word in words] == [
        ("用", False), ("“Apple", False), ("Pay”。", True), ("好", False)
    ]  # fmt: skip


def test_a_final_text_has_the_hot_word_and_times_that_follow_each_other() -> None:
    writing = Writing(ear=Corrector.load())
    words = said("想听歌曲靠迷迷迷")
    (sentence,) = writing.sentences(
        words, "zh", RecognitionOptions(hot_words=("Call Me Maybe",)), speech=[(0.0, 4.0)], duration=4.0
    )
    assert sentence.text == "想听歌曲 Call Me Maybe。"
    assert all(one.end <= other.start for one, other in zip(sentence.words, sentence.words[1:], strict=False))
    (plain,) = writing.sentences(words, "zh", RecognitionOptions(), speech=[(0.0, 4.0)], duration=4.0)
    assert plain.text == "想听歌曲靠迷迷迷。"


@pytest.mark.engine
@pytest.mark.parametrize(
    ("path", "hot_words", "text"),
    [
        ("mix/BAC009S0150W0050.flac", ("Call Me Maybe",), "想听歌曲callmemaybe"),
        ("mix/BAC009S0150W0280.flac", ("Apple Pay",), "和苹果的applepay相似"),
    ],
)
def test_a_recording_with_a_latin_name_is_written_with_it(
    use: Use[Transcript], path: str, hot_words: tuple[str, ...], text: str
) -> None:
    (clip,) = [clip for clip in speech_dir() if clip.name == path]
    options = RecognitionOptions(hot_words=hot_words)
    assert normalise(use(lambda recognizer: recognizer.recognize(clip.samples, options)).text) == text


@pytest.mark.engine
@pytest.mark.parametrize(
    ("path", "hot_words", "text"),
    [
        ("mix/BAC009S0252W0040.flac", (), "打开com.*maybe"),
        ("mix/BAC009S0252W0040.flac", ("Call Me Maybe",), "打开callmemaybe"),
        ("mix/BAC009S0252W0061.flac", ("Because Of You",), "打开becauseofyou"),
    ],
)
def test_a_recording_that_changes_its_language_is_written_in_both(
    use: Use[Transcript], path: str, hot_words: tuple[str, ...], text: str
) -> None:
    (clip,) = [clip for clip in speech_dir() if clip.name == path]
    options = RecognitionOptions(hot_words=hot_words)
    heard = normalise(use(lambda recognizer: recognizer.recognize(clip.samples, options)).text)
    assert re.fullmatch(text, heard)
