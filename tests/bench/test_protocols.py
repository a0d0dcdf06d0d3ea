"""What is said of the live protocols, on recordings spoken by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.protocols import judge_alone
from bench.server import Use
from bench.speakers import Spoken
from bench.streams import Item
from lingting.text.scoring import ErrorCount

ITEM = Item(np.zeros(32_000, np.float32), "", 0.1, (), (), ErrorCount(0, 0))
SPOKEN = Spoken("http", 0, began=10.0, ended=14.0, first=0.9, final=0.4, text="你好。")
USES = [Use(9.9, 0, 1.0), Use(10.0, 0, 2.0), Use(14.0, 0, 3.0), Use(14.2, 0, 9.0)]


def test_a_protocol_is_judged_beside_http_for_the_same_recording() -> None:
    other = replace(SPOKEN, protocol="deepgram", first=0.8, final=0.7, text="你好")
    broken = replace(SPOKEN, protocol="funasr", failure="it broke")
    figures = judge_alone([ITEM], [SPOKEN, other, broken], USES)
    assert figures["http"]["first_text_s"]["p50"] == pytest.approx(0.8)
    assert figures["http"]["cpu_per_audio_second"] == pytest.approx(0.5)
    assert (figures["http"]["same_text"], figures["http"]["compared"]) == (1, 1)
    deepgram = figures["deepgram"]
    assert deepgram["first_behind_http_s"] == pytest.approx(-0.1)
    assert deepgram["final_behind_http_s"] == pytest.approx(0.3)
    assert (deepgram["same_text"], deepgram["other_texts"]) == (0, [["你好", "你好。"]])
    assert figures["funasr"]["failures"] == ["funasr: it broke"]
    assert figures["wyoming"]["spoken"] == 0
