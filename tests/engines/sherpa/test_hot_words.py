"""Which hot words a model is told, and how they are written for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lingting.engines.sherpa import StreamingSherpa
from lingting.engines.sherpa.hot_words import clean, for_beam, for_prompt, piece_list
from lingting.engines.sherpa.reading import Vocabulary
from lingting.errors import ModelError
from tests.engines.tiny.loaded import hear, tiny
from tests.engines.tiny.models import spell_with_pieces
from tests.engines.tiny.tones import say

HAN = Vocabulary(frozenset("你好世界"), capitals=True)


def test_what_the_list_cannot_carry_is_taken_out() -> None:
    assert clean(["a/b", "#tag", "C:\\x", "你\n好", " ", "", "a b", "x@1.5"]) == [
        "a b",
        "tag",
        "C \\x",
        "你 好",
        "x 1.5",
    ]


def test_a_phrase_is_left_out_when_the_model_lacks_one_of_its_characters() -> None:
    assert for_beam(["你好", "你们", "世界"], HAN, spelled=False) == "你 好/世 界"


def test_latin_words_are_written_in_the_letters_of_the_model() -> None:
    assert for_beam(["你Hello"], HAN, spelled=True) == "你 HELLO"
    assert for_beam(["你Hello"], HAN, spelled=False) == ""


def test_a_prompt_takes_any_phrase() -> None:
    assert for_prompt(["聆听", "a,b", "聆听"]) == "聆听,a b"


def test_the_pieces_of_a_sentence_piece_model_are_read_without_its_library(tmp_path: Path) -> None:
    tiny("transducer-streaming", tmp_path / "m")
    file = tmp_path / "m" / spell_with_pieces(tmp_path / "m")
    lines = piece_list(file).splitlines()
    assert lines[3:5] == ["▁你\t-3", "▁好\t-4"]
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ModelError, match=r"bpe\.model"):
        piece_list(file)


def test_hot_words_reach_a_model_whose_every_character_opens_a_word(tmp_path: Path) -> None:
    model = tiny("transducer-streaming", tmp_path / "m")
    pieces = spell_with_pieces(tmp_path / "m")
    engine = StreamingSherpa(replace(model, roles={**model.roles, "bpe": pieces}), punctuates=True)
    sound = say(["你", "圆", "▁HE", "LLO", "好"])
    found = [hear(engine, engine.listen(None, words), sound)[-1].text for words in ((), ("你元",), ("元 hello",))]
    assert found == ["你圆 hello 好", "你元 hello 好", "你元 hello 好"]
