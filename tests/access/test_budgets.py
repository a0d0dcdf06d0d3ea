"""A tenant's audio budget holds exactly, whatever runs at once, in memory and in Redis alike."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from lingting.access import Access, LimitExceeded, Principal, Reservation
from lingting.access.limits import Limits
from lingting.settings import Settings
from tests.access.door import Clock, record
from tests.access.test_limits import ACME, OTHER, SAME_TENANT, own, pass_time

pytestmark = pytest.mark.anyio
Node = Callable[..., AbstractAsyncContextManager[Access]]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Budgets are summed alike in every database; tests of usage cover those."""
    return sqlite_url


@pytest.fixture(params=["memory", "redis"])
def limits_url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://"
    url: str = request.getfixturevalue("redis_server")
    import redis

    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lingting.access.limits.REDIS_SECONDS", 60.0)
    monkeypatch.setattr("lingting.access.counting._SOCKET_SECONDS", 60.0)


async def reserve(access: Access | Limits, who: Principal, seconds: float, *, always: bool = False) -> Reservation:
    limits = access.limits if isinstance(access, Access) else access
    return await limits.reserve_audio(who, seconds, interface="flash", model="whisper-base", always=always)


async def refused(access: Access | Limits, who: Principal, seconds: float = 0.0) -> tuple[int, float]:
    """The limit that has no room for so many seconds, and for how long."""
    with pytest.raises(LimitExceeded, match="audio seconds per") as caught:
        await reserve(access, who, seconds)
    return caught.value.limit, caught.value.reset_seconds


async def fits(access: Access | Limits, who: Principal, seconds: float) -> None:
    (await reserve(access, who, seconds)).release()
    await settled(access)


async def charge(access: Access, who: Principal, seconds: float) -> None:
    (await reserve(access, who, seconds)).charge(seconds)
    await settled(access)


async def settled(access: Access | Limits) -> None:
    """Wait until Redis knows what was charged and released."""
    limits = access.limits if isinstance(access, Access) else access
    await asyncio.gather(*getattr(limits._shared, "_soon", ()))


async def test_daily_audio_ends_at_the_budget_and_starts_again_at_midnight(access: Access, clock: Clock) -> None:
    clock.now = 1_800_057_600 - 3600.0  # an hour before midnight UTC
    who = own(ACME, audio_seconds_per_day=100)
    await fits(access, who, 100)
    await charge(access, who, 60)
    await fits(access, who, 40)
    assert await refused(access, who, 41) == (100, 3600)
    await access.usage.flush()
    await charge(access, own(SAME_TENANT, audio_seconds_per_day=100), 40)
    await refused(access, who)
    await fits(access, own(OTHER, audio_seconds_per_day=100), 100)
    clock.turn(3600)
    await fits(access, who, 100)


async def test_monthly_audio_ends_at_the_budget_and_says_how_long(access: Access, clock: Clock) -> None:
    clock.now = 1_798_761_600 - 2 * 86400.0  # two days before 2027-01-01 UTC
    who = own(ACME, audio_seconds_per_month=100)
    record(access.usage, who, "file", "whisper-base", 100)
    clock.turn(86400)
    assert await refused(access, who) == (100, 86400)
    clock.turn(86400)
    await fits(access, who, 100)


async def test_requests_at_once_cannot_together_pass_a_budget(access: Access) -> None:
    who = own(ACME, audio_seconds_per_day=100)
    answers = await asyncio.gather(*(reserve(access, who, 7) for _ in range(40)), return_exceptions=True)
    taken = [answer for answer in answers if isinstance(answer, Reservation)]
    assert len(taken) == 14
    for reservation in taken:
        reservation.charge(7)
    await settled(access)
    await refused(access, who, 3)
    await fits(access, who, 2)


async def test_what_was_set_aside_and_not_charged_is_given_back(access: Access) -> None:
    who = own(ACME, audio_seconds_per_day=100)
    reservation = await reserve(access, who, 100)
    await refused(access, who, 1)
    reservation.release()
    reservation.release()
    await settled(access)
    with await reserve(access, who, 100) as part:
        part.charge(30)
    await settled(access)
    await fits(access, who, 70)
    await refused(access, who, 71)
    assert access.usage.audio_used(ACME.tenant_id) == (30, 30)


async def test_what_was_charged_stays_charged_after_a_release(access: Access) -> None:
    who = own(ACME, audio_seconds_per_day=100)
    with pytest.raises(RuntimeError, match="left"), await reserve(access, who, 100) as reservation:
        reservation.charge(100)
        raise RuntimeError("the client left")
    await settled(access)
    await refused(access, who)


async def test_what_was_refused_before_it_began_is_taken_back(access: Access) -> None:
    who = own(ACME, audio_seconds_per_day=100)
    with await reserve(access, who, 100) as reservation:
        reservation.charge(100)
        reservation.refund()
        reservation.refund()
    await settled(access)
    await fits(access, who, 100)
    assert access.usage.audio_used(ACME.tenant_id) == (0, 0)


async def test_the_end_of_what_was_let_in_is_charged_and_never_refused(access: Access) -> None:
    who = own(ACME, audio_seconds_per_day=100)
    await charge(access, who, 100)
    (await reserve(access, who, 5, always=True)).charge(5)
    assert access.usage.audio_used(ACME.tenant_id) == (105, 105)


async def test_nothing_is_set_aside_for_ever(access: Access, settings: Settings, clock: Clock) -> None:
    who = own(ACME, audio_seconds_per_day=100)
    kept = await reserve(access, who, 60)
    lost = await reserve(access, who, 40)
    del lost
    gc.collect()
    pass_time(settings, clock, 40)
    await access.limits.renew()
    pass_time(settings, clock, 40)
    await fits(access, who, 40)
    await refused(access, who, 41)
    kept.release()


async def test_a_budget_outlives_a_restart(node: Node) -> None:
    who = own(ACME, audio_seconds_per_day=100)
    async with node() as one:
        await charge(one, who, 100)
    async with node() as two:
        await refused(two, who)


async def test_a_tenants_own_zero_lifts_the_servers_budget(access: Access, settings: Settings) -> None:
    strict = settings.model_copy(update={"audio_seconds_per_day": 1})
    limits = Limits(strict, access.usage, time.time)
    await limits.start()
    record(access.usage, ACME, "file", "whisper-base", 10)
    await refused(limits, ACME)
    await fits(limits, own(ACME, audio_seconds_per_day=0), 1000)
    await limits.close()


@pytest.mark.parametrize("limits_url", ["redis"], indirect=True)
async def test_nodes_that_share_redis_share_what_is_set_aside_and_charged(node: Node) -> None:
    who = own(ACME, audio_seconds_per_day=100)
    async with node() as one, node() as two:
        answers = await asyncio.gather(
            *(reserve(each, who, 30) for each in (one, two) for _ in range(4)), return_exceptions=True
        )
        taken = [answer for answer in answers if isinstance(answer, Reservation)]
        assert len(taken) == 3
        for reservation in taken:
            reservation.charge(30)
        await settled(one)
        await settled(two)
        for each in (one, two):  # before any of it is in the database
            await refused(each, who, 11)
            await fits(each, who, 10)


@pytest.mark.parametrize("limits_url", ["redis"], indirect=True)
async def test_a_redis_that_forgot_is_told_again_from_the_database(node: Node, settings: Settings) -> None:
    import redis

    who = own(ACME, audio_seconds_per_day=100)
    async with node() as one:
        await charge(one, who, 60)
        await one.usage.flush()
        with redis.Redis.from_url(settings.limits_url) as client:
            client.flushall()
        await charge(one, who, 20)
    async with node() as two:
        await refused(two, who, 21)
        await fits(two, who, 20)
