"""What live work asks of the machine, measured on a clock of the test."""

from __future__ import annotations

import pytest

from lingting.recognition.load import LiveLoad

WITHIN = 2.5


def machine(lag: float, *, guessing: float, final: float, seconds: int = 60) -> tuple[LiveLoad, float]:
    """Live work that keeps so many lanes busy, whose text comes so late."""
    load, now = LiveLoad(), 1000.0
    for _ in range(10 * seconds):
        now += 0.1
        load.worked(0.1 * guessing, now, gives_way=True)
        load.worked(0.1 * final, now, gives_way=False)
        load.told(lag, now)
    return load, now


def test_guesses_that_fill_idle_lanes_ask_for_little() -> None:
    load, now = machine(0.4, guessing=1.3, final=0.3)
    assert load.demand(load.lag(now), WITHIN, now) == pytest.approx(0.3 + 1.3 * 0.4 / WITHIN, rel=0.02)


def test_a_full_machine_whose_text_is_late_would_need_more_lanes_than_it_has() -> None:
    load, now = machine(5.0, guessing=0.8, final=1.2)
    assert load.demand(load.lag(now), WITHIN, now) == pytest.approx(1.2 + 0.8 * 2, rel=0.02)


def test_what_was_long_ago_is_forgotten() -> None:
    load, now = machine(5.0, guessing=0.8, final=1.2)
    assert load.lag(now + 1.0) == load.lag(now) == pytest.approx(5.0, abs=0.01)
    assert load.lag(now + 4.0) == pytest.approx(3.0, abs=0.01)
    assert load.lag(now + 20.0) == 0.0
    assert load.demand(0.0, WITHIN, now + 60.0) < 0.01
