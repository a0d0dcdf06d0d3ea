"""The measures that the benchmark takes of live text."""

from __future__ import annotations

import pytest

from bench.stats import Summary, coverage, erased, lag, transfer


def test_a_summary_of_nothing_has_no_percentiles() -> None:
    assert Summary.of([]) == Summary(0, None, None, None)


def test_a_summary_interpolates_between_ranks() -> None:
    assert Summary.of([4.0, 1.0, 2.0, 3.0, 5.0]) == Summary(5, 3.0, pytest.approx(4.8), 5.0)


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ("", "今天", 0),
        ("今天", "今天天气", 0),
        ("今天天七", "今天天气好", 1),
        ("金天天气", "今天天气", 4),
        ("今天天", "今", 2),
    ],
)
def test_what_a_text_does_not_begin_with_any_more_was_erased(before: str, after: str, count: int) -> None:
    assert erased(before, after) == count


@pytest.mark.parametrize(
    ("shown", "count"),
    [("", 0), ("今天", 2), ("金天天", 3), ("今天天七", 4), ("今天天气很好", 6), ("今天天气很好啊", 6)],
)
def test_coverage_reaches_as_far_as_the_text_shown_whatever_is_wrong_inside_it(shown: str, count: int) -> None:
    assert coverage(shown, "今天天气很好") == count


def test_times_go_over_to_the_units_that_are_the_same_and_are_spread_over_the_others() -> None:
    assert transfer("今天天气", [1.0, 2.0, 3.0, 4.0], "今天天气") == [1.0, 2.0, 3.0, 4.0]
    assert transfer("今天", [1.0, 3.0], "今啊天") == [1.0, 2.0, 3.0]
    assert transfer("", [], "今天") == [0.0, 0.0]
    assert transfer("今天", [1.0, 2.0], "") == []


def test_times_that_went_over_never_go_back() -> None:
    times = transfer("一二三四", [1.0, 2.0, 3.0, 4.0], "零一三五四六")
    assert times == sorted(times)
    assert len(times) == 6


def test_lag_is_how_long_the_oldest_hidden_unit_has_waited() -> None:
    spoken = [1.0, 2.0, 3.0]
    assert lag(2.5, 0, spoken) == 1.5
    assert lag(2.5, 2, spoken) == 0.0
    assert lag(9.0, 3, spoken) == 0.0
