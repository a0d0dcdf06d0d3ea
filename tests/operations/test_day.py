"""The last day out of the metrics."""

from __future__ import annotations

import pytest

from lingting.operations.day import KEPT, QUARTER, Day, quantile
from lingting.operations.metrics import Metrics


class Clock:
    now = 10 * QUARTER + 5

    def __call__(self) -> float:
        return self.now


def test_each_quarter_has_what_was_counted_within_it() -> None:
    clock, metrics, live = Clock(), Metrics(), [0]
    day = Day(lambda: metrics.totals_without(["console"]), lambda: live[0], clock)
    for interface in ("flash", "console"):
        metrics.observe(interface, 0, 0.1, 1.0, "whisper-base")
        metrics.error(interface, ours=False)
    metrics.shown("first", 30.0)
    metrics.shown("final", 0.3)
    live[0] = 3
    day.sample()
    live[0] = 1
    clock.now += QUARTER
    metrics.error("flash", ours=True)
    first, second = day.quarters()
    assert (first.start, second.start) == (10 * QUARTER, 11 * QUARTER)
    assert (first.streams, second.streams) == (3, 1)
    assert (first.requests, first.caller_errors) == (1, 1)
    assert first.median is not None
    assert 0.25 <= first.median <= 0.5
    assert (second.requests, second.median) == (0, None)


def test_no_more_than_a_day_is_kept() -> None:
    clock, metrics = Clock(), Metrics()
    day = Day(lambda: metrics.totals_without([]), lambda: 0, clock)
    for _ in range(KEPT + 10):
        clock.now += QUARTER
        day.sample()
    quarters = day.quarters()
    assert len(quarters) == KEPT
    assert quarters[-1].start - quarters[0].start == 86400 - QUARTER


@pytest.mark.parametrize(
    ("counts", "share", "value"),
    [([0, 0, 0], 0.5, None), ([4, 4, 4], 0.5, 0.5), ([0, 4, 4], 0.5, 1.5), ([0, 2, 4], 0.95, 2.0), ([], 0.5, None)],
)
def test_a_quantile_lies_evenly_within_its_bucket(counts: list[float], share: float, value: float | None) -> None:
    assert quantile(counts, (1.0, 2.0, float("inf")), share) == value
