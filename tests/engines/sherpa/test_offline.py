"""Offline models of each kind, through the real library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lingting.domain import Hypothesis, Language
from lingting.engines.sherpa import ModelFiles, OfflineSherpa
from lingting.errors import ModelError
from lingting.recognition.engine import Before, Need, Request
from tests.engines.tiny.loaded import recognize, texts, tiny
from tests.engines.tiny.tones import GAP, LEAD, TONE, say

KINDS = ["transducer", "sense_voice", "paraformer", "fire_red_ctc"]
SAID = [["你", "好", "，", "世", "界"], ["▁HE", "LLO", "▁WORLD"], ["你", "▁HE", "LLO", "好", "好"], ["测", "试"]]
WRITTEN = ["你好，世界", "hello world", "你 hello 好好", "测试"]


@pytest.fixture(scope="module", params=KINDS)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OfflineSherpa:
    return OfflineSherpa(tiny(request.param, tmp_path_factory.mktemp("model") / "m"), punctuates=False)


def test_an_utterance_becomes_text_with_spaces_where_a_reader_wants_them(engine: OfflineSherpa) -> None:
    assert [texts(engine, say(tokens))[0] for tokens in SAID] == WRITTEN


def test_utterances_decoded_together_give_the_texts_that_each_gives_alone(engine: OfflineSherpa) -> None:
    utterances = [say(tokens, amplitude=0.1 + 0.1 * index) for index, tokens in enumerate(SAID * 2)]
    assert texts(engine, *utterances) == WRITTEN * 2
    works = [engine.begin(Request(samples)) for samples in utterances]
    heard = [outcome.heard for outcome in engine.step(works)]
    assert [one.text for one in heard if one] == WRITTEN * 2


def test_every_character_has_the_time_at_which_its_token_was_said(engine: OfflineSherpa) -> None:
    (heard,) = recognize(engine, Request(say(["你", "▁HE", "LLO", "好"])))
    assert heard.text == "你 hello 好"
    assert heard.times is not None
    said_at = [LEAD + place * (TONE + GAP) for place in range(4)]
    expected = [said_at[0], *[said_at[0]], *[said_at[1]] * 2, *[said_at[2]] * 3, said_at[2], said_at[3]]
    assert heard.times.start.tolist() == pytest.approx(expected, abs=0.07)
    assert (heard.times.end > heard.times.start).all()
    assert heard.times.end.max() <= len(say(["你", "▁HE", "LLO", "好"])) / 16_000
    assert len(heard.times.probability) == len(heard.text)


def test_times_are_left_out_where_nobody_wants_them(engine: OfflineSherpa) -> None:
    (heard,) = recognize(engine, Request(say(["你"]), times=False))
    assert heard.text == "你"
    assert heard.times is None


def test_silence_and_almost_no_sound_are_nothing_said(engine: OfflineSherpa) -> None:
    silence = np.zeros(16_000, np.float32)
    assert texts(engine, silence, silence[:800], silence[:0], say(["好"])) == ["", "", "", "好"]


def test_the_language_is_that_of_the_text(tmp_path: Path) -> None:
    engine = OfflineSherpa(tiny("transducer", tmp_path / "m"), punctuates=False)
    heard = recognize(
        engine, *(Request(say(tokens)) for tokens in SAID), Request(np.zeros(8000, np.float32), language="en")
    )
    assert [one.language for one in heard] == ["zh", "en", "zh", "zh", "en"]


def test_sense_voice_tells_the_language_by_its_tag_and_writes_punctuation_when_told_to(tmp_path: Path) -> None:
    english = OfflineSherpa(tiny("sense_voice", tmp_path / "en", language="en", use_itn=True), punctuates=True)
    (heard,) = recognize(english, Request(say(["你"])))
    assert (heard.text, heard.language) == ("你，", "en")
    plain = OfflineSherpa(tiny("sense_voice", tmp_path / "zh", use_itn=False), punctuates=False)
    (heard,) = recognize(plain, Request(say(["你"])))
    assert (heard.text, heard.language) == ("你", "zh")


def test_only_a_transducer_says_how_sure_it_is(engine: OfflineSherpa) -> None:
    (heard,) = recognize(engine, Request(say(["你", "圆"])))
    if engine.name == "tiny-transducer":
        assert heard.average is not None and heard.times is not None
        assert -1 < heard.average < 0
        assert heard.times.probability[0] > 0.9 > heard.times.probability[1]  # 元 sounds like 圆
    else:
        assert heard.average is None


def test_utterances_of_like_length_share_a_batch_and_others_do_not(engine: OfflineSherpa) -> None:
    def work(seconds: float, need: Need = Need.BEST) -> object:
        return engine.begin(Request(np.zeros(round(16_000 * seconds), np.float32), need)).group

    assert work(2.0) == work(2.2)
    assert work(2.0) != work(9.0)
    assert work(2.0) != work(2.0, Need.GUESS)


def test_hot_words_choose_among_characters_that_sound_alike(tmp_path: Path) -> None:
    engine = OfflineSherpa(tiny("transducer", tmp_path / "m"), punctuates=False)
    sound = say(["你", "圆"])
    heard = recognize(
        engine, Request(sound), Request(sound, hot_words=("你元",)), Request(sound, hot_words=("界园", ""))
    )
    assert [one.text for one in heard] == ["你圆", "你元", "你圆"]


@pytest.mark.parametrize("kind", ["sense_voice", "paraformer", "fire_red_ctc"])
def test_hot_words_do_no_harm_where_a_model_cannot_take_them(kind: str, tmp_path: Path) -> None:
    engine = OfflineSherpa(tiny(kind, tmp_path / "m"), punctuates=False)
    (heard,) = recognize(engine, Request(say(["圆"]), hot_words=("元", "a/b:#@\n")))
    assert heard.text == "圆"


class _Doubling:
    """A second pass that writes 元 for 圆 and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, tuple[str, ...], int]] = []

    def rescore(
        self, hypotheses: Sequence[Hypothesis], language: Language, *, before: str, hot_words: Sequence[str]
    ) -> tuple[int, str]:
        (only,) = hypotheses
        self.asked.append((only.text, before, tuple(hot_words), len(only.confidence)))
        return 0, only.text.replace("圆", "元")


def test_the_second_pass_sees_text_that_stays_with_what_was_said_before(tmp_path: Path) -> None:
    second_pass = _Doubling()
    engine = OfflineSherpa(tiny("transducer", tmp_path / "m"), punctuates=False, rescorer=second_pass)
    request = Request(say(["你", "圆"]), hot_words=("世界",), before=Before("测试"))
    guess = Request(say(["你", "圆"]), Need.GUESS)
    assert [one.text for one in recognize(engine, request, guess)] == ["你元", "你圆"]
    assert second_pass.asked == [("你圆", "测试", ("世界",), 2)]


def test_what_somebody_says_many_times_is_written_as_often(engine: OfflineSherpa) -> None:
    assert texts(engine, say(["你", "好"] * 12)) == ["你好" * 12]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"kind": "unheard-of"}, "unheard-of"),
        ({"roles": {"tokens": "tokens.txt"}}, "'encoder'"),
        (
            {
                "roles": {
                    "tokens": "tokens.txt",
                    "encoder": "gone.onnx",
                    "decoder": "decoder.onnx",
                    "joiner": "joiner.onnx",
                }
            },
            "gone",
        ),
        ({"options": {"use_itn": True}}, "use_itn"),
    ],
)
def test_a_model_that_is_described_wrongly_is_refused_in_words(
    broken: dict[str, object], message: str, tmp_path: Path
) -> None:
    right = tiny("transducer", tmp_path / "m")
    fields = {
        "name": right.name,
        "kind": right.kind,
        "folder": right.folder,
        "roles": right.roles,
        "options": {},
        **broken,
    }
    with pytest.raises(ModelError, match=message):
        OfflineSherpa(ModelFiles(**fields), punctuates=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"a b c 0\nd 2\n", b"\xff\xfe\x00", b"one column\n"])
def test_a_list_of_tokens_over_which_the_library_would_die_is_refused(content: bytes, tmp_path: Path) -> None:
    model = tiny("transducer", tmp_path / "m")
    (tmp_path / "m" / "tokens.txt").write_bytes(content)
    with pytest.raises(ModelError, match=r"tokens\.txt"):
        OfflineSherpa(model, punctuates=False)


def test_a_damaged_model_file_is_refused(tmp_path: Path) -> None:
    model = tiny("transducer", tmp_path / "m")
    file = tmp_path / "m" / "encoder.onnx"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ModelError, match="tiny-transducer"):
        OfflineSherpa(model, punctuates=False)
