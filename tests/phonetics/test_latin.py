"""Hot words with Latin letters: found as a Chinese ear writes them, silent where they were not said."""

from __future__ import annotations

import pytest

from lingting.phonetics import Corrector
from lingting.phonetics.latin import syllable_phones, word_phones
from lingting.text.words import core, split_units
from tests.phonetics.test_corrector import RIGHT

LIST = [
    "Call Me Maybe",
    "Because Of You",
    "Apple Pay",
    "apple watch",
    "Kubernetes",
    "GitHub",
    "Docker",
    "iPhone",
    "GPT",
]


@pytest.fixture(scope="module")
def shipped() -> Corrector:
    return Corrector.load()


def named(corrector: Corrector, text: str, hot_words: list[str]) -> str:
    """`text` with the hot words that are found in it."""
    words = [piece for unit in split_units(text) for piece in (core(unit), *[""] * (core(unit) != unit))]
    for found in reversed(corrector.latin(words, hot_words)):
        words[found.start : found.end] = [f"[{found.word}]"]
    return "".join(words)


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("想听歌曲靠迷迷迷", "想听歌曲[Call Me Maybe]"),
        ("打开靠迷迷迷", "打开[Call Me Maybe]"),
        ("我用埃铺派付了钱", "我用[Apple Pay]付了钱"),
        ("和苹果的ApplePie相似", "和苹果的[Apple Pay]相似"),
        ("想听歌曲比Costle of You", "想听歌曲[Because Of You]"),
        ("but I can't because of you.", "butIcan't[Because Of You]"),
        ("请部署到酷伯内提斯集群", "请部署到[Kubernetes]集群"),
        ("买 Apple Watch 的", "买[apple watch]的"),
    ],
)
def test_a_latin_hot_word_is_found_by_how_a_chinese_ear_writes_it(shipped: Corrector, heard: str, meant: str) -> None:
    assert named(shipped, heard, LIST) == meant
    assert "[" not in named(shipped, heard, ["Spotify"])


def test_it_is_found_with_the_compact_model_too(corrector: Corrector) -> None:
    assert named(corrector, "想听歌曲靠迷迷迷", LIST) == "想听歌曲[Call Me Maybe]"


def test_chinese_that_means_what_it_says_is_left_alone(shipped: Corrector) -> None:
    assert not [text for text in RIGHT if "[" in named(shipped, text, LIST)]


@pytest.mark.parametrize(
    "text",
    [
        "it was much the loss of the cotton",
        "it was the age of wisdom",
        "what you can do for your country",
        "I am from the cutter lying off the coast",
        "he left what he liked and the knack of it",
        "maybe it is to be",
    ],
)
def test_english_that_means_what_it_says_is_left_alone(shipped: Corrector, text: str) -> None:
    brands = ["Microsoft", "PyTorch", "TensorFlow", "Docker", "Linux", "iPhone", "Loft", "Nike", "YouTube", "baby"]
    assert shipped.latin(split_units(text), [*brands, *LIST]) == []


def test_no_hot_word_goes_over_a_mark(shipped: Corrector) -> None:
    assert named(shipped, "想听歌曲靠迷，迷迷", ["Call Me Maybe"]) == "想听歌曲靠迷迷迷"


@pytest.mark.parametrize("words", [[], [""], ["张伟"], ["卡拉OK"], ["3D"], ["AI"], ["!!!"], ["'"]])
def test_what_cannot_be_found_by_sound_is_not_looked_for(shipped: Corrector, words: list[str]) -> None:
    assert shipped.latin(list("今天的天气很好"), words) == []
    assert shipped.latin([], words) == []


@pytest.mark.parametrize(
    ("word", "phones"),
    [("Maybe", "meib"), ("watch", "uaq"), ("GPT", "jipiti"), ("ApplePie", "apelpi"), ("Photoshop", "fotoxop")],
)
def test_letters_become_phones_by_rule(word: str, phones: str) -> None:
    assert word_phones(word) == phones


@pytest.mark.parametrize(
    ("syllable", "phones"),
    [("zhi", "je"), ("ying", "iN"), ("wu", "u"), ("xiong", "xioN"), ("lve", "lue"), ("mao", "mau")],
)
def test_syllables_become_phones(syllable: str, phones: str) -> None:
    assert syllable_phones(syllable) == phones
