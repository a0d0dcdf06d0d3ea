"""Who is refused: the sixtieth speaker of a machine that carries twenty, never one for the backlog of another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TypeVar

import numpy as np
import pytest

from lingting.audio.voice import VoiceDetector
from lingting.domain import SAMPLE_RATE, Account
from lingting.errors import Overloaded
from lingting.recognition.engine import Engine, Need, Outcome, Request, Work
from lingting.recognition.live import LiveConfig, LiveSession
from lingting.recognition.oneshot import Recognizer
from lingting.recognition.openings import Openings
from lingting.recognition.partials import LiveEngines
from lingting.recognition.scheduler import Scheduler, Task
from lingting.recognition.utterance import Writing
from tests.recognition.fakes import FakeEngine, tone


class Slow(FakeEngine):
    """An engine of known cost: 0.1 s of a lane for an utterance."""

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        time.sleep(0.05)
        return super().step(works)


class Measured(Scheduler):
    """A scheduler that has measured what a test says: how late text is, and what live work asks of its two lanes."""

    def __init__(self) -> None:
        super().__init__(2)
        self.lag, self.demand, self.task = 0.0, 0.0, 0.1

    def live_lag(self) -> float:
        return self.lag

    def live_demand(self, within: float) -> float:
        return self.demand

    def cost(self, engine: Engine, kind: str) -> float:
        return self.task


SchedulerT = TypeVar("SchedulerT", bound=Scheduler)


def with_recognizer(
    work: Callable[[Recognizer, SchedulerT], Awaitable[None]],
    engine: FakeEngine,
    kind: Callable[[], SchedulerT] = lambda: Scheduler(1),  # type: ignore[assignment, return-value]
) -> None:
    scheduler = kind()

    async def go() -> None:
        with ThreadPoolExecutor(2) as pool:
            recognizer = Recognizer(
                scheduler,
                lambda _: nullcontext(LiveEngines.of(engine)),
                detector=VoiceDetector(),
                writing=Writing(),
                live=LiveConfig(),
                listeners=pool,
                readers=pool,
                writers=pool,
                max_wait=5.0,
                max_lag=4.0,
            )
            await work(recognizer, scheduler)

    asyncio.run(go())
    engine.gate.set()
    scheduler.close()


def live_task(engine: FakeEngine, need: Need, kind: str, since: float) -> Task:
    begin = lambda: engine.begin(Request(tone(1), need))  # noqa: E731
    return Task(engine, begin, Account("other", kind), since=since, kind=kind, live=True)


def test_speakers_who_begin_at_once_are_taken_as_far_as_the_machine_can_carry_them() -> None:
    engine = Slow()

    async def work(recognizer: Recognizer, scheduler: Scheduler) -> None:
        now = time.monotonic()
        for need, kind in ((Need.GUESS, "guess"), (Need.BEST, "final")):
            await asyncio.wrap_future(scheduler.submit(live_task(engine, need, kind, now)))
        opened = []
        with pytest.raises(Overloaded, match="with another stream") as refused:
            for _ in range(60):
                opened.append(recognizer.open_live())
        assert 5 < len(opened) < 60
        assert refused.value.retry_after > 0
        for session in opened:
            session.abort()

    with_recognizer(work, engine)


def test_streams_that_take_the_place_of_others_are_not_taken_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("lingting.recognition.openings.time", SimpleNamespace(monotonic=lambda: now[0]))
    openings = Openings()
    for _ in range(20):
        openings.opened(Account())
    assert openings.new == 20
    for _ in range(60):
        now[0] += 1.0
        openings.closed(Account())
        openings.opened(Account())
    assert openings.new < 0.1
    openings.opened(Account())
    assert 1.0 <= openings.new < 1.1
    for _ in range(5):
        openings.closed(Account())
    assert openings.new == pytest.approx(-4, abs=0.1)


def test_a_tenant_within_its_share_is_taken_though_another_has_filled_the_machine() -> None:
    engine = Slow()

    async def work(recognizer: Recognizer, scheduler: Scheduler) -> None:
        now = time.monotonic()
        for need, kind in ((Need.GUESS, "guess"), (Need.BEST, "final")):
            await asyncio.wrap_future(scheduler.submit(live_task(engine, need, kind, now)))

        def fill(tenant: str, weight: float = 1.0) -> int:
            taken = 0
            with pytest.raises(Overloaded):
                while True:
                    opened.append(recognizer.open_live(None, Account(tenant, weight=weight)))
                    taken += 1
            return taken

        opened: list[LiveSession] = []
        loud = fill("loud")
        assert loud > 5
        with pytest.raises(Overloaded):
            recognizer.open_live(None, Account("loud"))
        half = fill("quiet")
        assert 0.4 * loud <= half <= 0.6 * loud
        assert 0.8 * half <= fill("twice the weight", 2.0) <= 1.2 * half
        for session in opened:
            session.abort()
        recognizer.open_live(None, Account("loud")).abort()

    with_recognizer(work, engine)


def test_many_tenants_with_a_stream_each_are_not_all_within_their_share() -> None:
    async def work(recognizer: Recognizer, scheduler: Measured) -> None:
        opened = [recognizer.open_live(None, Account(f"tenant {n}")) for n in range(20)]
        scheduler.demand = 2.1
        for n in range(20, 40):
            with pytest.raises(Overloaded):
                opened.append(recognizer.open_live(None, Account(f"tenant {n}")))
        for session in opened:
            session.abort()

    with_recognizer(work, FakeEngine(), Measured)


def test_streams_in_which_nobody_speaks_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("lingting.recognition.openings.time", SimpleNamespace(monotonic=lambda: now[0]))

    async def work(recognizer: Recognizer, scheduler: Measured) -> None:
        opened = []
        for _ in range(200):
            opened.append(recognizer.open_live())
            now[0] += 5.0
        scheduler.demand = 1.7
        opened.append(recognizer.open_live())
        scheduler.demand = 1.9
        with pytest.raises(Overloaded, match="with another stream"):
            recognizer.open_live()
        for session in opened:
            session.abort()

    with_recognizer(work, FakeEngine(), Measured)


def test_a_machine_that_is_too_slow_for_a_model_takes_one_speaker_all_the_same() -> None:
    async def work(recognizer: Recognizer, scheduler: Measured) -> None:
        scheduler.task = 60.0
        session = recognizer.open_live()
        with pytest.raises(Overloaded):
            recognizer.open_live()
        session.abort()

    with_recognizer(work, FakeEngine(), Measured)


def test_no_speaker_is_taken_while_live_text_comes_late() -> None:
    engine = FakeEngine()

    async def work(recognizer: Recognizer, scheduler: Scheduler) -> None:
        recognizer.open_live().abort()
        engine.gate.clear()
        for _ in range(2):
            scheduler.submit(live_task(engine, Need.BEST, "final", time.monotonic() - 20.0))
        with pytest.raises(Overloaded, match="late"):
            recognizer.open_live()

    with_recognizer(work, engine)


def test_a_speaker_is_not_refused_for_the_backlog_of_files() -> None:
    engine = FakeEngine()

    async def work(recognizer: Recognizer, scheduler: Scheduler) -> None:
        engine.gate.clear()
        for number in range(300):
            account = Account("files", str(number))
            scheduler.submit(Task(engine, lambda: engine.begin(Request(tone(1))), account, kind="file"))
        with pytest.raises(Overloaded, match="predicted wait"):
            await recognizer.recognize(np.zeros(SAMPLE_RATE, np.float32), None, Account("files"))
        recognizer.admit(Account("another"))
        recognizer.open_live(None, Account("files")).abort()

    with_recognizer(work, engine)
