"""Answer times of the last minutes."""

from __future__ import annotations

from lingting.operations.recent import WINDOW_SECONDS, Recent


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_percentiles_are_answers_that_were_given() -> None:
    recent = Recent(Clock())
    for hundredths in range(1, 101):
        recent.observe("flash", hundredths / 100, ours=None if hundredths <= 97 else hundredths == 100)
    (answers,) = recent.summary()
    assert (answers.requests, answers.caller_errors, answers.server_errors) == (100, 2, 1)
    assert (answers.median, answers.p95, answers.longest) == (0.5, 0.95, 1.0)


def test_one_answer_is_every_percentile() -> None:
    recent = Recent(Clock())
    recent.observe("flash", 0.25, ours=None)
    (answers,) = recent.summary()
    assert answers.median == answers.p95 == answers.longest == 0.25


def test_old_answers_are_forgotten() -> None:
    clock = Clock()
    recent = Recent(clock)
    recent.observe("flash", 9.0, ours=None)
    clock.now = WINDOW_SECONDS
    recent.observe("flash", 1.0, ours=None)
    clock.now += 1
    recent.observe("stream_recognize", 0.01, ours=None)
    assert [(each.interface, each.longest) for each in recent.summary()] == [("flash", 1.0), ("stream_recognize", 0.01)]
    assert recent.uptime_seconds == WINDOW_SECONDS + 1
