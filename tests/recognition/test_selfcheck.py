"""The sentence that tells whether recognition works when nobody speaks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from lingting import samples
from lingting.errors import RecognitionFailed
from lingting.recognition.engine import Heard, Need, Request
from lingting.recognition.scheduler import Scheduler, Task
from lingting.recognition.selfcheck import SelfCheck
from lingting.service import Recognition
from tests.recognition.fakes import FakeEngine, says, tone

SAID = "购买汽车"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def mouth() -> list[str]:
    """What the engine says now; nothing in it makes it fail."""
    return [SAID]


@pytest.fixture
def engine(mouth: list[str]) -> FakeEngine:
    def answer(request: Request) -> Heard:
        if not mouth:
            raise RuntimeError("the engine fails")
        return says(mouth[0])

    return FakeEngine(answer)


@pytest.fixture
def scheduler(engine: FakeEngine) -> Iterator[Scheduler]:
    scheduler = Scheduler(1)
    yield scheduler
    engine.gate.set()
    scheduler.close()


@asynccontextmanager
async def checking(scheduler: Scheduler, engine: FakeEngine, **named: float) -> AsyncIterator[SelfCheck]:
    check = SelfCheck(scheduler, engine, tone(5), SAID, **({"interval": 0.02, "again": 0.02} | named))
    await check.start()
    try:
        yield check
    finally:
        await check.stop()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.anyio
async def test_while_nobody_speaks_the_sentence_is_heard_again_and_again_as_a_cheap_guess(
    scheduler: Scheduler, engine: FakeEngine
) -> None:
    async with checking(scheduler, engine) as check:
        await until(lambda: len(engine.requests) > 3)
        assert {request.need for request in engine.requests} == {Need.GUESS}
        assert check.age < 10


@pytest.mark.anyio
async def test_while_others_are_heard_it_is_not(scheduler: Scheduler, engine: FakeEngine) -> None:
    async with checking(scheduler, engine, interval=5.0) as check:
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            task = Task(engine, lambda: engine.begin(Request(tone(7))))
            assert await asyncio.wrap_future(scheduler.submit(task))
            assert check.age < 5.0
        assert engine.begun.count(5) == 1, "at the start only"


@pytest.mark.parametrize("says_now", [["不对"], [""], []], ids=["other words", "nothing", "a failure"])
@pytest.mark.anyio
async def test_what_is_heard_wrong_counts_as_not_recognised_until_it_is_right_again(
    scheduler: Scheduler, engine: FakeEngine, mouth: list[str], says_now: list[str]
) -> None:
    async with checking(scheduler, engine) as check:
        mouth[:] = says_now
        await until(lambda: check.age > 0.3)
        if mouth:
            task = Task(engine, lambda: engine.begin(Request(tone(7))))
            await asyncio.wrap_future(scheduler.submit(task))
            assert check.age > 0.3, "text of others is no proof any more"
        mouth[:] = [SAID]
        await until(lambda: check.age < 0.2)


@pytest.mark.anyio
async def test_a_lane_that_hangs_shows_as_age(scheduler: Scheduler, engine: FakeEngine) -> None:
    async with checking(scheduler, engine, longest=0.05) as check:
        engine.gate.clear()
        await until(lambda: check.age > 0.3)


@pytest.mark.anyio
async def test_a_model_that_does_not_know_the_language_is_held_to_what_it_makes_of_it(
    scheduler: Scheduler, engine: FakeEngine, mouth: list[str]
) -> None:
    mouth[:] = ["go my chair"]
    async with checking(scheduler, engine) as check:
        await until(lambda: len(engine.requests) > 2)
        assert check.age < 10
        mouth[:] = ["不对"]
        await until(lambda: check.age > 0.3)


@pytest.mark.anyio
async def test_a_server_whose_engine_fails_does_not_start(
    scheduler: Scheduler, mouth: list[str], engine: FakeEngine
) -> None:
    mouth.clear()
    with pytest.raises(RecognitionFailed):
        await SelfCheck(scheduler, engine, tone(5), SAID).start()


@pytest.mark.engine
def test_the_model_hears_the_sentence_of_the_sample_rightly(
    recognition: Recognition, caplog: pytest.LogCaptureFixture
) -> None:
    sound, text = samples.excerpt()
    assert len(text) >= 6 and len(sound) < 2 * 16_000

    async def go() -> float:
        await recognition.self_check.start()
        await recognition.self_check.stop()
        return recognition.self_check.age

    assert asyncio.run(go()) < 30
    assert not [record for record in caplog.records if record.name.endswith("selfcheck")]
