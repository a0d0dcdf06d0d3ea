"""Streaming models through the real library: one ear an utterance, many of them decoded together."""

from __future__ import annotations

import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lingting.engines.sherpa import StreamingSherpa
from lingting.engines.sherpa.guarded import StreamingRecognizer
from lingting.engines.whole import Whole
from lingting.recognition.engine import Ear, Heard, Request, Work
from tests.engines.sherpa.test_offline import SAID, WRITTEN, _Doubling
from tests.engines.tiny.loaded import hear, recognize, run, texts, tiny
from tests.engines.tiny.tones import GAP, LEAD, TONE, say

KINDS = ["transducer-streaming", "ctc-streaming"]


@pytest.fixture(scope="module", params=KINDS)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StreamingSherpa:
    return StreamingSherpa(tiny(request.param, tmp_path_factory.mktemp("model") / "m"), punctuates=True)


def ear_of(engine: StreamingSherpa) -> Ear:
    return engine.listen(None, ())


@pytest.mark.parametrize("piece", [400, 1600, 5120, 100_000])
def test_the_final_text_does_not_depend_on_the_pieces_in_which_the_sound_came(
    engine: StreamingSherpa, piece: int
) -> None:
    assert [hear(engine, ear_of(engine), say(tokens), piece)[-1].text for tokens in SAID] == WRITTEN


def test_text_grows_while_someone_speaks_and_what_was_written_stays(engine: StreamingSherpa) -> None:
    grown = [heard.text for heard in hear(engine, ear_of(engine), say(SAID[0]))]
    assert grown[-1] == WRITTEN[0]
    assert len(set(grown)) >= 3
    assert all(after.startswith(before) for before, after in itertools.pairwise(grown))


def test_the_last_word_is_heard_because_silence_is_added_that_the_model_needs(engine: StreamingSherpa) -> None:
    sound = say(SAID[0], gap=0.0)
    before = [one.text for one in hear(engine, ear_of(engine), sound)]
    assert before[-1] == WRITTEN[0]
    assert engine.tail >= max(1.0, engine.delay + 0.4)
    assert 0.45 < engine.delay < 0.49  # 46 frames of 10 ms: 45 and one more, as the library wants it
    assert engine.chunk == 0.32


def test_utterances_of_many_speakers_are_decoded_together_and_none_hears_another(engine: StreamingSherpa) -> None:
    order = random.Random(11)
    speakers = range(12)
    ears = [ear_of(engine) for _ in speakers]
    left = [say(SAID[place % 4], lead=0.1 + 0.05 * place) for place in speakers]
    finished: set[int] = set()
    heard: dict[int, Heard] = {}
    out: dict[int, Work] = {}
    largest = 0
    while len(finished) < len(speakers) or out:
        for speaker in order.sample(speakers, 8):
            piece = order.choice([160, 1600, 3000])
            work = ears[speaker].feed(left[speaker][:piece]) if len(left[speaker]) else None
            if not len(left[speaker]) and speaker not in finished:
                work = ears[speaker].finish()
                finished.add(speaker)
            left[speaker] = left[speaker][piece:]
            assert work is None or speaker not in out
            out |= {speaker: work} if work is not None else {}
        batch = list(out)
        largest = max(largest, len(batch))
        outcomes = engine.step([out.pop(speaker) for speaker in batch]) if batch else []
        for speaker, outcome in zip(batch, outcomes, strict=True):
            heard |= {speaker: outcome.heard} if outcome.heard else {}
            out |= {speaker: outcome.more} if outcome.more else {}
    assert [heard[speaker].text for speaker in speakers] == [WRITTEN[place % 4] for place in speakers]
    assert largest > 4


def test_ears_are_heard_right_by_several_threads_at_once(engine: StreamingSherpa) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda tokens: hear(engine, ear_of(engine), say(tokens))[-1].text, SAID * 5))
    assert found == WRITTEN * 5


def test_characters_have_the_times_of_their_tokens_counted_from_the_first_sound(engine: StreamingSherpa) -> None:
    heard = hear(engine, ear_of(engine), say(["你", "好", "测"]))[-1]
    assert heard.times is not None
    assert heard.times.start.tolist() == pytest.approx([LEAD + place * (TONE + GAP) for place in range(3)], abs=0.05)
    assert heard.times.end.max() <= len(say(["你", "好", "测"])) / 16_000


def test_a_second_utterance_begins_anew_even_with_the_word_that_the_first_ended_with(engine: StreamingSherpa) -> None:
    first = hear(engine, ear_of(engine), say(["你", "好"]))[-1]
    second = hear(engine, ear_of(engine), say(["好", "你"]))[-1]
    assert (first.text, second.text) == ("你好", "好你")


def test_punctuation_that_belongs_to_the_utterance_before_is_left_out(engine: StreamingSherpa) -> None:
    assert hear(engine, ear_of(engine), say(["，", "你", "，", "好"]))[-1].text == "你，好"


def test_an_ear_without_sound_has_nothing_to_finish_and_a_closed_one_nothing_to_do(engine: StreamingSherpa) -> None:
    assert ear_of(engine).finish() is None
    ear = ear_of(engine)
    work = ear.feed(np.zeros(16_000, np.float32))
    assert work is not None
    ear.close()
    (outcome,) = engine.step([work])
    assert outcome.heard is outcome.more is outcome.error is None
    assert ear.feed(np.zeros(16_000, np.float32)) is None


def test_finishing_while_a_chunk_is_out_makes_its_last_outcome_the_final_one(engine: StreamingSherpa) -> None:
    ear = ear_of(engine)
    work = ear.feed(say(SAID[0]))
    assert work is not None
    assert ear.finish() is None
    assert run(engine, [work])[0].text == WRITTEN[0]


def test_hot_words_of_one_speaker_are_not_those_of_another(tmp_path: Path) -> None:
    engine = StreamingSherpa(tiny("transducer-streaming", tmp_path / "m"), punctuates=True)
    works = []
    for hot_words in ((), ("元",), ("你元", "bad/one:3"), ("不在",)):
        ear = engine.listen(None, hot_words)
        work = ear.feed(say(["你", "圆"]))
        ear.finish()
        assert work is not None
        works.append(work)
    assert [heard.text for heard in run(engine, works)] == ["你圆", "你元", "你元", "你圆"]


def test_only_the_final_text_goes_through_the_second_pass(tmp_path: Path) -> None:
    second_pass = _Doubling()
    model = tiny("transducer-streaming", tmp_path / "m")
    engine = StreamingSherpa(model, punctuates=True, rescorer=second_pass)
    assert hear(engine, ear_of(engine), say(["你", "圆"]))[-1].text == "你元"
    assert len(second_pass.asked) == 1


class _Failing:
    """The library's recogniser, which fails once; what a stream of a failed call would do then is kill the process."""

    def __init__(self, inner: object) -> None:
        self._inner = inner
        self.fail = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def decode_streams(self, streams: list[object]) -> None:
        if self.fail:
            self.fail = False
            raise RuntimeError("a bad chunk")
        self._inner.decode_streams(streams)  # type: ignore[attr-defined]


def test_ears_of_a_step_that_failed_are_dead_and_new_ones_hear(tmp_path: Path) -> None:
    engine = StreamingSherpa(tiny("transducer-streaming", tmp_path / "m"), punctuates=True)
    failing = _Failing(engine.loaded.inner)
    engine.recognizer = StreamingRecognizer(failing, beam=True)
    ears = [ear_of(engine), ear_of(engine)]
    works = [work for ear in ears if (work := ear.feed(say(SAID[0]))) is not None]
    failing.fail = True
    outcomes = engine.step(works)
    assert all(isinstance(outcome.error, RuntimeError) and outcome.more is None for outcome in outcomes)
    assert all(ear.feed(say(SAID[0])) is None for ear in ears)
    assert hear(engine, ear_of(engine), say(SAID[0]))[-1].text == WRITTEN[0]


def test_a_stream_in_two_calls_or_twice_in_one_is_refused_instead_of_ending_the_process(
    engine: StreamingSherpa,
) -> None:
    stream = engine.recognizer.open()
    silence = np.zeros(16_000, np.float32)
    with pytest.raises(ValueError, match="twice"):
        engine.recognizer.step([(stream, silence), (stream, silence)])
    assert engine.recognizer.step([(stream, silence[:160])]) == [False]  # not ready: the library would end the process
    assert engine.recognizer.step([]) == []


def test_a_streaming_model_alone_hears_files_too(engine: StreamingSherpa) -> None:
    whole = Whole(engine)
    assert texts(whole, *(say(tokens) for tokens in SAID)) == WRITTEN
    assert texts(whole, np.zeros(0, np.float32), np.zeros(100, np.float32)) == ["", ""]
    (heard,) = recognize(whole, Request(say(SAID[1])))
    assert heard.language == "en" and heard.times is not None
