from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from lingting.domain import Account
from lingting.errors import EngineRestarted, RecognitionFailed
from lingting.recognition.engine import Heard, Need, Outcome, Request, Work
from lingting.recognition.observer import Nobody
from lingting.recognition.scheduler import Scheduler, Task
from tests.recognition.fakes import FakeEngine, loudness, says, tone


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def scheduler(engine: FakeEngine) -> Iterator[Scheduler]:
    scheduler = Scheduler(1)
    yield scheduler
    engine.gate.set()
    scheduler.close()


def task(engine: FakeEngine, level: int, need: Need = Need.BEST, **options: object) -> Task:
    return Task(engine, lambda: engine.begin(Request(tone(level), need)), **options)  # type: ignore[arg-type]


def hold(engine: FakeEngine, scheduler: Scheduler, **options: object) -> Future[Heard | None]:
    """Keep the only lane busy with a task of level 999, so that what is submitted next must queue."""
    while engine.entered.acquire(blocking=False):
        pass
    engine.gate.clear()
    future = scheduler.submit(task(engine, 999, **options))
    assert engine.entered.acquire(timeout=30)
    return future


def run(engine: FakeEngine, futures: Sequence[Future[Heard | None]]) -> list[str]:
    engine.gate.set()
    return [heard.text if (heard := future.result(30)) else "" for future in futures]


def test_a_task_gives_what_was_heard(engine: FakeEngine, scheduler: Scheduler) -> None:
    heard = scheduler.submit(task(engine, 7)).result(30)
    assert heard is not None and heard.text == "7" and heard.times is not None
    assert (heard.times.start[0], heard.times.end[0]) == (0.0, 1.0)


def test_what_is_late_soonest_goes_first(engine: FakeEngine, scheduler: Scheduler) -> None:
    hold(engine, scheduler)
    run(engine, [scheduler.submit(task(engine, level, within=level)) for level in (3, 1, 2)])
    assert engine.begun == [999, 1, 2, 3]


def test_a_deadline_counts_from_the_arrival_of_the_oldest_sound(engine: FakeEngine, scheduler: Scheduler) -> None:
    hold(engine, scheduler)
    now = time.monotonic()
    run(engine, [scheduler.submit(task(engine, level, since=now - since)) for level, since in ((1, 0.0), (2, 1.0))])
    assert engine.begun == [999, 2, 1]


def test_what_waits_together_is_stepped_together(engine: FakeEngine, scheduler: Scheduler) -> None:
    hold(engine, scheduler)
    run(engine, [scheduler.submit(task(engine, level)) for level in range(1, 9)])
    assert len(engine.batches[0]) == 6
    assert sorted(level for batch in engine.batches for level in batch) == [1, 2, 3, 4, 5, 6, 7, 8, 999]


def test_live_and_background_work_share_no_batch(engine: FakeEngine, scheduler: Scheduler) -> None:
    hold(engine, scheduler)
    run(engine, [scheduler.submit(task(engine, level, live=level % 2 == 0)) for level in (1, 2, 3, 4)])
    for batch in engine.batches:
        assert len({level % 2 for level in batch if level != 999}) <= 1


def test_what_waits_for_company_does_so_only_while_some_is_on_the_way(engine: FakeEngine, scheduler: Scheduler) -> None:
    held = hold(engine, scheduler, kind="final", live=True, waits=True, within=60.0)
    other = scheduler.submit(task(engine, 1, Need.GUESS, kind="guess", live=True, within=120.0))
    run(engine, [held, other])
    assert engine.batches == [[999], [1]]  # no other final comes: waiting would only make it late


def test_finals_that_come_together_share_a_batch(engine: FakeEngine, scheduler: Scheduler) -> None:
    held = hold(engine, scheduler, kind="final", live=True, waits=True, within=60.0)
    more = [scheduler.submit(task(engine, 1, Need.GUESS, kind="guess", live=True))]
    more += [scheduler.submit(task(engine, 2, kind="final", live=True, waits=True, within=60.0))]
    run(engine, [held, *more])
    assert [999, 2] in engine.batches


def test_a_cancelled_task_is_never_begun(engine: FakeEngine, scheduler: Scheduler) -> None:
    hold(engine, scheduler)
    taken: list[int] = []

    def begin() -> Work:
        taken.append(1)
        return engine.begin(Request(tone(1)))

    cancelled = scheduler.submit(Task(engine, begin))
    assert cancelled.cancel()
    run(engine, [scheduler.submit(task(engine, 2))])
    assert not taken and 1 not in engine.begun


def test_a_task_that_is_not_wanted_any_more_costs_nothing(engine: FakeEngine, scheduler: Scheduler) -> None:
    assert scheduler.submit(Task(engine, lambda: None)).result(30) is None
    assert engine.begun == []


def test_the_sound_is_taken_when_the_turn_comes(engine: FakeEngine, scheduler: Scheduler) -> None:
    hold(engine, scheduler)
    newest = [1]
    future = scheduler.submit(Task(engine, lambda: engine.begin(Request(tone(newest[0])))))
    newest[0] = 2
    assert run(engine, [future]) == ["2"]


def _fails_on(level: int) -> Callable[[Request], Heard]:
    def answer(request: Request) -> Heard:
        if loudness(request) == level:
            raise RuntimeError("boom")
        return says("好")

    return answer


def test_one_bad_task_fails_alone_and_its_batch_is_heard() -> None:
    engine = FakeEngine(_fails_on(13))
    failed: list[bool] = []
    watcher = Nobody()
    watcher.stepped = lambda *_, failed_=failed, **options: failed_.append(options["failed"])  # type: ignore[method-assign]
    scheduler = Scheduler(1, watcher)
    hold(engine, scheduler)
    good = [scheduler.submit(task(engine, level)) for level in (1, 2, 3)]
    bad = scheduler.submit(task(engine, 13))
    more = scheduler.submit(task(engine, 4))
    assert run(engine, [*good, more]) == ["好"] * 4
    with pytest.raises(RecognitionFailed):
        bad.result(30)
    assert sum(failed) == 1
    scheduler.close()


class Restarting(FakeEngine):
    """Loses its process over the work of level 13, and over anything else once at most."""

    def __init__(self) -> None:
        super().__init__()
        self.restarts = 0

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        levels = [loudness(work.request) for work in works]  # type: ignore[attr-defined]
        if 13 in levels:
            self.restarts += 1
            raise EngineRestarted("gone", guilty=True)
        return super().step(works)


def test_a_restart_of_the_engine_costs_a_delay_and_a_task_that_kills_it_again_is_given_up() -> None:
    engine = Restarting()
    scheduler = Scheduler(1)
    hold(engine, scheduler)
    bad = scheduler.submit(task(engine, 13))
    good = [scheduler.submit(task(engine, level)) for level in (1, 2)]
    assert run(engine, good) == ["1", "2"]
    with pytest.raises(RecognitionFailed):
        bad.result(30)
    assert engine.restarts == 2
    scheduler.close()


def test_tasks_that_were_not_in_the_step_that_killed_it_begin_again_without_blame() -> None:
    class Forgetful(FakeEngine):
        lost = 3

        def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
            if works[0].most > 1 and self.lost:
                self.lost -= 1
                raise EngineRestarted("works were lost with another's", guilty=False)
            return super().step(works)

    engine = Forgetful()
    scheduler = Scheduler(1)
    assert run(engine, [scheduler.submit(task(engine, 5))]) == ["5"]
    assert engine.begun == [5, 5, 5, 5]
    scheduler.close()


def test_background_work_leaves_a_lane_to_live_work() -> None:
    engine = FakeEngine()
    scheduler = Scheduler(2)
    scheduler.expect_live()
    engine.gate.clear()
    files = [scheduler.submit(task(engine, level)) for level in (1, 2, 3)]
    assert engine.entered.acquire(timeout=30)
    live = scheduler.submit(task(engine, 9, live=True))
    assert engine.entered.acquire(timeout=30)
    assert engine.begun == [1, 9]
    run(engine, [live, *files])
    scheduler.close()


def test_background_work_takes_every_lane_where_nobody_speaks() -> None:
    engine = FakeEngine()
    scheduler = Scheduler(2)
    engine.gate.clear()
    files = [scheduler.submit(task(engine, level)) for level in (1, 2)]
    for _ in files:
        assert engine.entered.acquire(timeout=30)
    run(engine, files)
    scheduler.close()


class Costly(FakeEngine):
    """Takes a moment for each step, so that shares of compute can be told apart."""

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        time.sleep(0.005)
        return super().step(works)


@pytest.mark.parametrize(
    ("loud", "quiet"),
    [
        (Account("one", "loud"), Account("two", "quiet")),
        (Account("one", "loud"), Account("one", "quiet")),
    ],
)
def test_a_quiet_account_does_not_wait_for_the_backlog_of_a_loud_one(loud: Account, quiet: Account) -> None:
    engine = Costly()
    scheduler = Scheduler(1)
    hold(engine, scheduler, account=loud)
    backlog = [scheduler.submit(task(engine, 1, account=loud, since=time.monotonic() - 10)) for _ in range(200)]
    engine.gate.set()
    backlog[5].result(30)
    late = scheduler.submit(task(engine, 2, account=quiet))
    late.result(30)
    assert not backlog[-1].done()
    run(engine, backlog)
    scheduler.close()


def test_tenants_with_backlogs_share_compute_by_weight() -> None:
    engine = Costly()
    scheduler = Scheduler(1)
    heavy, light = Account("heavy", "a", 3.0), Account("light", "b", 1.0)
    hold(engine, scheduler)
    tasks = [scheduler.submit(task(engine, 1, account=heavy)) for _ in range(120)]
    tasks += [scheduler.submit(task(engine, 2, account=light)) for _ in range(120)]
    run(engine, tasks)
    scheduler.close()
    half = engine.begun[: len(engine.begun) // 2]
    assert 2 * half.count(2) < half.count(1)


def test_many_streams_of_one_tenant_get_no_more_than_one_stream_of_another() -> None:
    engine = Costly()
    scheduler = Scheduler(1)
    hold(engine, scheduler)
    tasks = [scheduler.submit(task(engine, 1, account=Account("many", str(flow)))) for flow in range(100)]
    tasks += [scheduler.submit(task(engine, 2, account=Account("one", "a"))) for _ in range(50)]
    run(engine, tasks)
    scheduler.close()
    assert engine.begun[:60].count(2) > 20


def test_closing_finishes_what_is_queued_and_refuses_more(engine: FakeEngine, scheduler: Scheduler) -> None:
    hold(engine, scheduler)
    queued = scheduler.submit(task(engine, 3))
    engine.gate.set()
    scheduler.close()
    heard = queued.result(0)
    assert heard is not None and heard.text == "3"
    with pytest.raises(RecognitionFailed):
        scheduler.submit(task(engine, 4)).result(0)


def test_the_predicted_wait_counts_everything_that_waits_guesses_too(engine: FakeEngine, scheduler: Scheduler) -> None:
    scheduler.submit(task(engine, 1, kind="guess")).result(30)
    hold(engine, scheduler)
    assert scheduler.predicted_wait() == 0.0
    scheduler.submit(task(engine, 1, kind="guess", live=True))
    one = scheduler.predicted_wait()
    assert one > 0
    for level in range(5):
        scheduler.submit(task(engine, level, account=Account("", str(level))))
    assert scheduler.predicted_wait() > one
    assert scheduler.predicted_wait(live=True) == one


def test_the_backlog_of_one_flow_counts_as_one_task_and_other_tenants_as_much_as_the_own(
    engine: FakeEngine, scheduler: Scheduler
) -> None:
    hold(engine, scheduler)
    loud = [task(engine, 1, account=Account("loud", "one")) for _ in range(50)]
    for one in loud:
        scheduler.submit(one)
    backlog = scheduler.predicted_wait(Account("loud", "two"))
    for flow in range(50):
        scheduler.submit(task(engine, 1, account=Account("loud", f"many {flow}")))
    assert scheduler.predicted_wait(Account("loud", "new")) == pytest.approx(51 * backlog)
    assert scheduler.predicted_wait(Account("quiet", "new")) == pytest.approx(backlog)


def test_live_lag_is_half_the_age_of_the_oldest_sound_that_waits(engine: FakeEngine, scheduler: Scheduler) -> None:
    hold(engine, scheduler)
    assert scheduler.live_lag() == 0.0
    scheduler.submit(task(engine, 1, live=True, since=time.monotonic() - 14.0))
    assert scheduler.live_lag() >= 7.0


def test_what_waits_is_told_by_kind_and_a_kind_that_was_done_once_with_none(
    engine: FakeEngine, scheduler: Scheduler
) -> None:
    held = hold(engine, scheduler, kind="final")
    waiting = [scheduler.submit(task(engine, 1, kind=kind)) for kind in ("guess", "file", "guess")]
    assert scheduler.queued_by_kind == {"guess": 2, "file": 1}
    run(engine, [held, *waiting])
    assert scheduler.queued_by_kind == {"final": 0, "guess": 0, "file": 0}


def test_a_kind_that_was_never_done_is_taken_to_cost_a_quarter_of_the_dearest_of_its_engine() -> None:
    engine, other, scheduler = Costly(), FakeEngine(), Scheduler(1)
    other.name = "another"
    assert scheduler.cost(engine, "final") == 0.0
    run(engine, [scheduler.submit(task(engine, 1, kind="warm-up"))])
    assert scheduler.cost(engine, "final") == scheduler.cost(engine, "warm-up") / 4 > 0.0
    assert scheduler.cost(other, "final") == 0.0
    scheduler.close()


def test_live_work_asks_for_less_where_guesses_fill_idle_lanes_than_where_text_must_be() -> None:
    engine, scheduler = Costly(), Scheduler(1)
    run(engine, [scheduler.submit(task(engine, 1, live=True, gives_way=True)) for _ in range(5)])
    run(engine, [scheduler.submit(task(engine, 1, live=True)) for _ in range(5)])
    assert 0.0 < scheduler.live_demand(1e6) < 0.99 * scheduler.live_demand(max(scheduler.live_lag(), 1e-3))
    scheduler.close()


def test_among_live_streams_the_age_of_the_sound_decides_whoever_had_more_compute() -> None:
    engine = Costly()
    scheduler = Scheduler(1)
    greedy, other = Account("tenant", "greedy"), Account("tenant", "other")
    run(engine, [scheduler.submit(task(engine, 1, account=greedy, live=True)) for _ in range(100)])
    held = hold(engine, scheduler, account=other, live=True)
    now = time.monotonic()
    old = scheduler.submit(task(engine, 2, account=greedy, live=True, since=now - 3.0))
    young = scheduler.submit(task(engine, 3, account=other, live=True, since=now))
    run(engine, [held, old, young])
    assert engine.begun[-2:] == [2, 3]
    scheduler.close()


def test_a_future_is_settled_once_whatever_is_cancelled_meanwhile() -> None:
    engine = Costly()
    scheduler = Scheduler(2)
    futures = [scheduler.submit(task(engine, level)) for level in range(200)]
    stop = threading.Event()

    def cancel() -> None:
        for future in futures[::3]:
            future.cancel()
        stop.set()

    threading.Thread(target=cancel).start()
    assert stop.wait(30)
    kept = [future for index, future in enumerate(futures) if index % 3]
    assert all(future.result(30) is not None for future in kept)
    scheduler.close()


def test_a_lane_that_does_not_come_back_from_a_step_is_told(
    engine: FakeEngine, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(engine, scheduler)
    assert scheduler.stuck() == 0
    later = time.monotonic() + 61.0
    monkeypatch.setattr("lingting.recognition.scheduler.time", SimpleNamespace(monotonic=lambda: later))
    assert scheduler.stuck() == 1
    engine.gate.set()
    while scheduler.stuck():
        threading.Event().wait(0.01)
