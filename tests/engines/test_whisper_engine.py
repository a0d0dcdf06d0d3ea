"""The engine's rules, over a model that writes what it is told; the real model is in the tests at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from lingting.domain import SAMPLE_RATE, Hypothesis, Language, Samples
from lingting.engines.whisper import WhisperEngine
from lingting.engines.whisper.engine import language_prior
from lingting.engines.whisper.guards import better, nobody_spoke
from lingting.engines.whisper.values import Decoded, DecodeRequest, Encoded, TextHypothesis
from lingting.recognition.engine import CharacterTimes, Heard, Need, Request, Rescorer, Work
from lingting.text import normalise
from tests.recordings import recording


def writes(*texts: str, average: float = -0.2, no_speech: float = 0.0) -> Decoded:
    hypotheses = [TextHypothesis(text, tuple(range(len(text))), average * len(text), average) for text in texts]
    return Decoded("zh", tuple(hypotheses), no_speech)


class ToldModel:
    """Writes what `answer` says; remembers the windows it encoded and the sizes of the batches it decoded."""

    def __init__(self, answer: Callable[[DecodeRequest], Decoded]) -> None:
        self._answer = answer
        self.windows: list[int] = []
        self.whole: list[bool] = []
        self.batches: list[int] = []

    def prompt(self, hot_words: Sequence[str]) -> tuple[int, ...]:
        return tuple(range(sum(len(word) for word in hot_words)))

    def encode(self, samples: Samples, window: int, *, whole: bool = False) -> Encoded:
        self.windows.append(window)
        self.whole.append(whole)
        level = round(float(samples.max(initial=0.0)) * 1000)
        return Encoded(window, len(samples) / SAMPLE_RATE, np.full((1, 1), level, np.float32), window)

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Decoded]:
        self.batches.append(len(requests))
        assert len({(request.encoded.window, request.beam, len(request.prompt)) for request in requests}) == 1
        return [self._answer(request) for request in requests]

    def align(self, items: Sequence[tuple[Encoded, Language, TextHypothesis]]) -> list[CharacterTimes]:
        found = []
        for encoded, _, hypothesis in items:
            edges = np.linspace(0, encoded.seconds, len(hypothesis.text) + 1, dtype=np.float32)
            found.append(CharacterTimes(edges[:-1], edges[1:], np.ones(len(hypothesis.text), np.float32)))
        return found


def hear(engine: WhisperEngine, *requests: Request) -> list[Heard | Exception]:
    """Step the requests to their ends, together wherever their groups are equal."""
    works: dict[int, Work] = {index: engine.begin(request) for index, request in enumerate(requests)}
    heard: dict[int, Heard | Exception] = {}
    while works:
        first = next(iter(works.values()))
        batch = [index for index, work in works.items() if work.group == first.group][: first.most]
        for index, outcome in zip(batch, engine.step([works.pop(index) for index in batch]), strict=True):
            if outcome.more is not None:
                works[index] = outcome.more
            else:
                found = outcome.error or outcome.heard
                assert found is not None
                heard[index] = found
    return [heard[index] for index in range(len(requests))]


def sound(seconds: float = 1.0, level: int = 1) -> Samples:
    return np.full(int(seconds * SAMPLE_RATE), level / 1000, np.float32)


def only(engine: WhisperEngine, request: Request) -> Heard:
    (heard,) = hear(engine, request)
    assert isinstance(heard, Heard)
    return heard


@pytest.mark.parametrize(("seconds", "window"), [(0.1, 20), (19.6, 20), (19.7, 30), (28.0, 30)])
def test_the_window_leaves_silence_behind_the_speech(seconds: float, window: int) -> None:
    model = ToldModel(lambda request: writes("好"))
    only(WhisperEngine(model), Request(sound(seconds)))
    assert model.windows == [window]


@pytest.mark.parametrize(
    ("need", "window", "whole", "beam"),
    [(Need.GUESS, 5, True, 1), (Need.QUICK, 20, False, 5), (Need.BEST, 20, True, 5)],
)
def test_a_guess_costs_less_than_quick_text_and_that_less_than_the_best(
    need: Need, window: int, whole: bool, beam: int
) -> None:
    beams: list[int] = []

    def answer(request: DecodeRequest) -> Decoded:
        beams.append(request.beam)
        return writes("好")

    model = ToldModel(answer)
    only(WhisperEngine(model), Request(sound(3.0), need))
    assert (model.windows, model.whole, beams) == ([window], [whole], [beam])


def _loops_in_short_windows(request: DecodeRequest) -> Decoded:
    return writes("如同向我招手，" * 12 if request.encoded.window < 30 else "如同向我招手")


def test_a_loop_is_tried_again_in_the_next_window() -> None:
    model = ToldModel(_loops_in_short_windows)
    assert only(WhisperEngine(model), Request(sound(1.5))).text == "如同向我招手"
    assert (model.windows, model.whole) == ([20, 30], [True, True])


def test_a_second_try_costs_little_while_much_waits() -> None:
    model = ToldModel(_loops_in_short_windows)
    assert only(WhisperEngine(model), Request(sound(1.5), Need.QUICK)).text == "如同向我招手"
    assert (model.windows, model.whole) == ([20, 30], [False, False])


def test_a_guess_is_not_tried_again() -> None:
    model = ToldModel(_loops_in_short_windows)
    only(WhisperEngine(model), Request(sound(), Need.GUESS))
    assert (model.windows, model.whole) == ([5], [True])


def test_poor_text_that_the_model_itself_takes_for_silence_is_dropped() -> None:
    model = ToldModel(lambda request: writes("谢谢观看", average=-1.4, no_speech=0.9))
    assert only(WhisperEngine(model), Request(sound())).text == ""


def test_requests_share_a_batch_only_where_their_prompts_are_equally_long() -> None:
    model = ToldModel(lambda request: writes("好"))
    words = ["Kubernetes", "Xqzvjkwpbf", "Book world", "C++", "kubectl get"]
    heard = hear(WhisperEngine(model), *[Request(sound(), hot_words=(word,)) for word in words])
    assert [one.text for one in heard if isinstance(one, Heard)] == ["好"] * 5
    assert sorted(model.batches) == [1, 1, 3]  # 10, 10 and 10 characters; 3; 11


class Picky(Rescorer):
    """Fails on one text, and rewrites others."""

    def rescore(
        self, hypotheses: Sequence[Hypothesis], language: Language, *, before: str, hot_words: Sequence[str]
    ) -> tuple[int, str]:
        if hypotheses[0].text == "坏":
            raise RuntimeError("boom")
        return len(hypotheses) - 1, "好"


def test_a_rescorer_that_fails_on_one_utterance_fails_no_other() -> None:
    model = ToldModel(lambda request: writes("坏" if request.encoded.states[0, 0] == 13 else "耗", "号"))
    good, bad, other = hear(
        WhisperEngine(model, rescorer=Picky()), Request(sound(level=1)), Request(sound(level=13)), Request(sound())
    )
    assert isinstance(bad, RuntimeError)
    assert isinstance(good, Heard) and isinstance(other, Heard)
    assert (good.text, other.text) == ("好", "好")
    assert model.batches == [3]


def test_an_answer_that_can_have_been_said_is_better_than_a_likelier_one_that_cannot() -> None:
    looping, plain = writes("是的" * 20, average=-0.1), writes("是的", average=-0.9)
    assert better(looping, plain, 3.0) is plain
    assert better(plain, looping, 3.0) is plain


def test_a_repetition_that_there_was_time_for_is_not_given_up_for_a_worse_answer_without() -> None:
    repeating, short = writes("非常感谢非常感谢非常感谢非常感谢", average=-0.5), writes("非常感谢", average=-1.1)
    assert better(repeating, short, 5.0) is repeating


def test_a_loop_inside_a_sentence_gives_way_to_an_answer_without_one_that_is_less_sure() -> None:
    looping, plain = writes("市场里的海鲜鲜鲜鲜鲜价格上涨", average=-0.1), writes("市场里的海鲜价格上涨", average=-0.6)
    assert better(looping, plain, 5.0) is plain
    assert better(plain, looping, 5.0) is plain


def test_nobody_spoke_only_where_silence_is_likely_and_the_text_is_poor() -> None:
    assert nobody_spoke(writes("谢谢观看", average=-1.2, no_speech=0.8))
    assert not nobody_spoke(writes("谢谢观看", average=-0.3, no_speech=0.8))
    assert not nobody_spoke(writes("谢谢观看", average=-1.2, no_speech=0.2))


def test_the_language_of_a_stream_is_remembered_and_fades() -> None:
    assert language_prior(()) == 0
    assert language_prior(("zh",)) > 0 > language_prior(("en",))
    assert language_prior(("zh", "zh", "zh")) > language_prior(("zh",))
    assert language_prior(("en", "zh", "zh")) > language_prior(("zh", "zh", "en"))


# -- with the real model -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> WhisperEngine:
    return WhisperEngine.load(model_dir, 1)


def product_names(count: int) -> tuple[str, ...]:
    return tuple(f"Product Name {number} Deluxe" for number in range(count))


@pytest.mark.engine
@pytest.mark.parametrize("count", [1, 5, 50])  # of 400 as many are used as of 50: see below
@pytest.mark.parametrize("seconds", [0.8, 3.0])
def test_a_list_of_hot_words_of_any_length_never_costs_the_text(
    engine: WhisperEngine, count: int, seconds: float
) -> None:
    words = product_names(count)
    samples = recording("beckett").samples[: int(seconds * SAMPLE_RATE)]
    for language in ("zh", "en"):
        only(engine, Request(samples, language=language, hot_words=words))


@pytest.mark.engine
def test_a_long_list_of_hot_words_leaves_room_for_all_that_is_said(engine: WhisperEngine) -> None:
    words = product_names(50)
    spoken = recording("beckett")
    heard = only(engine, Request(spoken.samples, language="en", hot_words=words))
    assert "failbetter" in normalise(heard.text)


@pytest.mark.engine
def test_the_first_hot_words_are_the_ones_that_are_used(engine: WhisperEngine) -> None:
    model = engine._model
    many = model.prompt([f"word{number}" for number in range(500)])
    assert many[:20] == model.prompt([f"word{number}" for number in range(20)])[:20]
    assert len(many) <= 112
    assert model.prompt(product_names(400)) == model.prompt(product_names(50))


@pytest.mark.engine
def test_the_budget_of_an_utterance_does_not_depend_on_its_batch(engine: WhisperEngine) -> None:
    long, short = recording("two_cities").samples[: 15 * SAMPLE_RATE], recording("beckett").samples
    (alone,) = hear(engine, Request(short, times=False))
    together = hear(engine, Request(short, times=False), Request(long, times=False))
    assert isinstance(alone, Heard) and isinstance(together[0], Heard)
    assert alone.text == together[0].text
