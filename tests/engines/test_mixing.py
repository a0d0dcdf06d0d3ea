"""An utterance in two languages: what the model wrote of it in each, joined where it was surer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingting.domain import Language
from lingting.engines.whisper import WhisperEngine
from lingting.engines.whisper.mixing import Written, mixed
from lingting.engines.whisper.values import Decoded, DecodeRequest, TextHypothesis
from lingting.recognition.engine import CharacterTimes, Need, Request
from tests.engines.test_whisper_engine import ToldModel, only, sound


def written(*words: tuple[str, float, float, float]) -> Written:
    """A text of words with their beginnings, ends and probabilities; a space behind every Latin word but the last."""
    text = ""
    times: list[tuple[float, float, float]] = []
    for index, (word, start, end, probability) in enumerate(words):
        said = word + " " * (word.isascii() and index < len(words) - 1)
        text += said
        times += [(start, end, probability)] * len(said)
    start, end, probability = np.array(times, np.float32).T
    return Written(text, CharacterTimes(start, end, probability))


OPEN_IN_CHINESE = written(
    ("打", 0.00, 0.18, 0.91), ("开", 0.18, 0.36, 0.62), ("靠", 0.36, 0.66, 0.04), ("近", 0.66, 0.78, 0.12),
    ("未", 0.78, 0.96, 0.15), ("必", 0.96, 1.63, 0.88),
)  # fmt: skip
OPEN_IN_ENGLISH = written(
    ("but", 0.00, 0.14, 0.04), ("I", 0.14, 0.22, 0.13), ("can't", 0.22, 0.48, 0.52), ("come", 0.48, 0.70, 0.48),
    ("in", 0.70, 0.84, 0.71), ("maybe.", 0.84, 1.14, 0.62),
)  # fmt: skip
SONG_IN_CHINESE = written(
    ("想", 0.00, 0.36, 0.92), ("听", 0.36, 0.56, 0.39), ("歌", 0.56, 0.86, 0.99), ("曲", 0.86, 1.16, 0.99),
    ("被", 1.16, 1.36, 0.22), ("靠", 1.36, 1.62, 0.46), ("钥", 1.62, 2.08, 0.01), ("匙", 2.08, 2.77, 0.89),
)  # fmt: skip
SONG_IN_ENGLISH = written(
    ("I", 0.00, 0.32, 0.09), ("want", 0.32, 0.42, 0.68), ("to", 0.42, 0.56, 0.91), ("listen", 0.56, 0.60, 0.47),
    ("to", 0.60, 1.04, 0.85), ("a", 1.04, 1.30, 0.16), ("song", 1.30, 1.32, 0.19), ("that", 1.32, 1.32, 0.17),
    ("is", 1.32, 1.46, 0.54), ("called", 1.46, 1.60, 0.24), ("The", 1.60, 1.92, 0.06), ("Voice", 1.92, 1.92, 0.17),
    ("of", 1.92, 2.04, 0.74), ("You.", 2.04, 2.32, 0.52),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "other", "language"),
    [(OPEN_IN_ENGLISH, OPEN_IN_CHINESE, "en"), (OPEN_IN_CHINESE, OPEN_IN_ENGLISH, "zh")],
)
def test_each_language_is_kept_where_the_model_was_surer_of_it(
    text: Written, other: Written, language: Language
) -> None:
    both = mixed(text, other, language)
    assert both is not None
    assert both.text == "打开 come in maybe."
    times = both.times
    assert len(times.start) == len(times.end) == len(times.probability) == len(both.text)
    assert (np.diff(times.start) >= 0).all() and (times.end >= times.start).all()
    assert times.start[both.text.index("come")] == pytest.approx(0.48)


def test_a_translation_of_what_was_said_is_not_taken_for_it() -> None:
    assert mixed(SONG_IN_CHINESE, SONG_IN_ENGLISH, "zh") is None


def test_a_chinese_text_with_english_in_it_is_in_both_already() -> None:
    both = written(("打", 0.0, 0.2, 0.4), ("开", 0.2, 0.4, 0.5), ("Maybe", 0.9, 1.6, 0.01))
    assert mixed(both, OPEN_IN_ENGLISH, "zh") is None
    assert mixed(OPEN_IN_ENGLISH, both, "en") is both


def test_a_text_that_the_model_is_sure_of_stays() -> None:
    sure = replace(OPEN_IN_ENGLISH.times, probability=np.full(len(OPEN_IN_ENGLISH.text), 0.9, np.float32))
    assert mixed(Written(OPEN_IN_ENGLISH.text, sure), OPEN_IN_CHINESE, "en") is None


def test_digits_are_not_taken_for_the_other_language() -> None:
    five = written(("Five", 0.0, 0.5, 0.3), ("five", 0.6, 1.0, 0.3))
    assert mixed(five, written(("5", 0.0, 0.5, 0.9), ("5", 0.6, 1.0, 0.9)), "en") is None


def test_nothing_is_joined_with_an_empty_text() -> None:
    nothing = Written("", CharacterTimes(*[np.zeros(0, np.float32)] * 3))
    assert mixed(OPEN_IN_CHINESE, nothing, "zh") is None
    assert mixed(nothing, OPEN_IN_CHINESE, "en") is None


class BothModel(ToldModel):
    """Writes 打开… or but I can't…, as it is told; its scores of the two languages are `odds` apart."""

    def __init__(self, odds: float, chinese: Written = OPEN_IN_CHINESE) -> None:
        super().__init__(self.write)
        self.odds = odds
        self.told: list[str | None] = []
        self.texts = {"zh": chinese, "en": OPEN_IN_ENGLISH}

    def write(self, request: DecodeRequest) -> Decoded:
        self.told.append(request.language)
        language = request.language or ("zh" if self.odds + request.prior >= 0 else "en")
        text = self.texts[language].text
        average = -1.2 if len(self.told) > 1 else -0.9  # the other one is mostly a poor text
        hypothesis = TextHypothesis(text, (), average * len(text), average)
        return Decoded(language, (hypothesis,), odds=None if request.language else self.odds)

    def align(self, items):  # type: ignore[no-untyped-def]
        return [
            next(text.times for text in self.texts.values() if text.text == hypothesis.text)
            for _, _, hypothesis in items
        ]


def test_speech_that_may_be_in_both_languages_is_decoded_in_both() -> None:
    model = BothModel(-3.4)
    heard = only(WhisperEngine(model), Request(sound(1.6)))
    assert model.told == [None, "zh"]
    assert (heard.text, heard.language) == ("打开 come in maybe.", "zh")
    assert heard.times is not None and len(heard.times.start) == len(heard.text)


@pytest.mark.parametrize(
    ("odds", "request_"),
    [
        (-9.0, Request(sound(1.6))),
        (9.0, Request(sound(1.6))),
        (-3.4, Request(sound(1.6), Need.QUICK)),
        (-3.4, Request(sound(1.6), Need.GUESS)),
        (-3.4, Request(sound(1.6), language="en")),
        (-3.4, Request(sound(1.6), times=False)),
    ],
)
def test_other_speech_is_decoded_once(odds: float, request_: Request) -> None:
    model = BothModel(odds)
    only(WhisperEngine(model), request_)
    assert len(model.told) == 1


def test_a_loop_in_the_other_language_is_not_joined() -> None:
    loop = written(*[("鲜", 0.05 * index, 0.05 * index + 0.05, 0.99) for index in range(40)])
    heard = only(WhisperEngine(BothModel(-3.4, loop)), Request(sound(1.6)))
    assert (heard.text, heard.language) == (OPEN_IN_ENGLISH.text, "en")


ANY = st.text(st.sampled_from("打开，。！？“”’'\"()（ -…·.,%&abX 123½İ\u3000\n😀"), min_size=1, max_size=20)


@given(ANY, ANY, st.sampled_from(["zh", "en"]))
def test_no_text_of_any_marks_ends_the_joining(text: str, other: str, language: Language) -> None:
    def evenly(said: str) -> Written:
        times = np.linspace(0, 3, len(said) + 1, dtype=np.float32)
        return Written(said, CharacterTimes(times[:-1], times[1:], np.linspace(0, 1, len(said), dtype=np.float32)))

    both = mixed(evenly(text), evenly(other), language)
    if both is not None:
        times = both.times
        assert len(both.text) == len(times.start) == len(times.end) == len(times.probability)
