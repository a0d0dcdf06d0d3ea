"""What the replies of a stream say of it, on a stream made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.player import Played
from bench.server import Use
from bench.streams import Item, judge
from lingting.text.scoring import ErrorCount

ITEM = Item(
    samples=np.zeros(16_000, np.float32),
    reference="今天天气",
    speech_start=0.1,
    units=("今", "天", "天", "气"),
    spoken=(0.2, 0.3, 0.5, 0.7),
    one_shot=ErrorCount(0, 4),
)
PLAYED = Played(
    item=0,
    sent=[0.2, 0.4, 0.6, 0.8, 1.0],
    replied=[0.21, 0.42, 0.61, 0.81, 1.5],
    texts=[(1, "金"), (2, "今天"), (4, "今天天七。")],
    final="今天天七。",
)
REPORT = {"began": 10.0, "ended": 12.0, "client_cpu": 0.1}
USES = [Use(9.0, 900_000_000, 1.0), Use(10.5, 100_000_000, 2.0), Use(11.5, 300_000_000, 2.5), Use(13.0, 0, 9.0)]


def test_the_figures_of_a_stream_are_those_of_its_replies() -> None:
    figures = judge([ITEM], [PLAYED], REPORT, USES)
    assert figures["first_text_s"]["p50"] == pytest.approx(0.42 - 0.1)
    assert figures["final_s"] == {"count": 1, **dict.fromkeys(("p50", "p95", "max"), pytest.approx(0.5))}
    assert figures["reply_s"]["count"] == 4
    assert figures["reply_s"]["max"] == pytest.approx(0.02)
    assert figures["replaced_per_unit"] == pytest.approx(1 / 4)
    assert (figures["live_errors"], figures["one_shot_errors"], figures["reference_units"]) == (1, 0, 4)


def test_lag_is_that_of_the_text_a_reader_still_saw_when_the_reply_came() -> None:
    figures = judge([ITEM], [PLAYED], REPORT, USES)
    assert figures["lag_s"]["count"] == 5
    assert figures["lag_s"]["max"] == pytest.approx(1.5 - 0.5), "the third character was shown by the last reply only"


def test_the_server_is_watched_only_while_streams_are_played() -> None:
    figures = judge([ITEM], [PLAYED], REPORT, USES)
    assert figures["peak_memory_mb"] == 300
    assert figures["cpu_per_second"] == pytest.approx(0.5 / 2)


def test_a_stream_that_failed_is_counted_and_its_times_are_not() -> None:
    failed = Played(item=0, sent=[0.2], replied=[9.0], failure="HTTP 429, code 99991400: too many")
    figures = judge([ITEM], [PLAYED, failed], REPORT, USES)
    assert figures["failures"] == ["HTTP 429, code 99991400: too many"]
    assert figures["reply_s"]["max"] < 1


def test_a_stream_without_any_text_is_counted() -> None:
    mute = Played(item=0, sent=[0.2, 0.4], replied=[0.21, 0.41])
    figures = judge([ITEM], [mute], REPORT, USES)
    assert figures["without_text"] == 1
    assert figures["first_text_s"]["p50"] is None
    assert figures["live_error"] == 1.0
