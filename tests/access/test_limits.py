"""A tenant's limits hold exactly, for that tenant alone, in memory and in Redis alike."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time
from dataclasses import replace

import pytest
from limits import RateLimitItemPerSecond

from lingting.access import Access, LimitExceeded, Principal, TenantLimits, TooManyFailures
from lingting.access.limits import Limits
from lingting.errors import SettingsError
from lingting.settings import Settings
from tests.access.conftest import RedisServer
from tests.access.door import Clock
from tests.requirements import require_program

pytestmark = pytest.mark.anyio

ACME = Principal("tenant_acme", "acme", "cli_0000000000000001", None, "acme", frozenset())
SAME_TENANT = replace(ACME, app_id=None, key_id="key_1")
OTHER = Principal("tenant_other", "other", None, "key_2", "other", frozenset())


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Limits do not depend on the database."""
    return sqlite_url


@pytest.fixture(params=["memory", "redis"])
def limits_url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://"
    url: str = request.getfixturevalue("redis_server")
    import redis

    client = redis.Redis.from_url(url)
    client.flushall()
    client.close()
    return url


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture(autouse=True)
def no_hurry(limits_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis has a clock of its own and is given up after half a second: neither may decide a test on a busy machine."""
    if limits_url != "memory://":
        monkeypatch.setattr("lingting.access.limits.REDIS_SECONDS", 60.0)
        monkeypatch.setattr("lingting.access.counting._SOCKET_SECONDS", 60.0)
        monkeypatch.setattr("lingting.access.limits._per_second", lambda limit: RateLimitItemPerSecond(limit, 60))


def own(who: Principal, **limits: int) -> Principal:
    return replace(who, limits=TenantLimits(**limits))


@pytest.mark.parametrize(
    ("interface", "name"),
    [
        ("file", "file_requests_per_second"),
        ("flash", "flash_requests_per_second"),
        ("transcriptions", "transcription_requests_per_second"),
    ],
)
async def test_the_request_over_the_rate_is_refused_and_says_when_to_try_again(
    access: Access, interface: str, name: str
) -> None:
    who = own(ACME, **{name: 3})
    for _ in range(3):
        await access.limits.hit(who, interface)  # type: ignore[arg-type]
    with pytest.raises(LimitExceeded) as caught:
        await access.limits.hit(who, interface)  # type: ignore[arg-type]
    assert caught.value.limit == 3
    assert 0 < caught.value.reset_seconds <= 1
    assert interface in caught.value.what


async def test_twenty_file_requests_a_second_are_the_default(access: Access) -> None:
    for _ in range(20):
        await access.limits.hit(ACME, "file")
    with pytest.raises(LimitExceeded) as caught:
        await access.limits.hit(ACME, "file")
    assert caught.value.limit == 20


async def test_apps_and_keys_of_a_tenant_share_its_rate_and_other_tenants_have_their_own(access: Access) -> None:
    await access.limits.hit(own(ACME, file_requests_per_second=1), "file")
    with pytest.raises(LimitExceeded):
        await access.limits.hit(own(SAME_TENANT, file_requests_per_second=1), "file")
    await access.limits.hit(own(OTHER, file_requests_per_second=1), "file")
    await access.limits.hit(own(ACME, flash_requests_per_second=1), "flash")


async def test_requests_at_once_never_pass_the_limit(access: Access) -> None:
    answers = await asyncio.gather(
        *(access.limits.hit(own(ACME, file_requests_per_second=7), "file") for _ in range(40)), return_exceptions=True
    )
    assert sum(answer is None for answer in answers) == 7


async def test_the_twenty_first_stream_is_refused_and_the_others_go_on(access: Access) -> None:
    leases = [await access.limits.acquire_stream(ACME) for _ in range(20)]
    with pytest.raises(LimitExceeded) as caught:
        await access.limits.acquire_stream(SAME_TENANT)
    assert caught.value.limit == 20
    assert caught.value.reset_seconds > 0
    assert all(lease.held for lease in leases)
    (await access.limits.acquire_stream(OTHER)).release()


async def test_a_released_place_is_free_once_however_often_it_is_released(access: Access) -> None:
    who = own(ACME, streams=2)
    first, second = await access.limits.acquire_stream(who), await access.limits.acquire_stream(who)
    first.release()
    first.release()
    await released(access)
    third = await access.limits.acquire_stream(who)
    first.release()
    await released(access)
    with pytest.raises(LimitExceeded):
        await access.limits.acquire_stream(who)
    assert not first.held
    assert second.held
    assert third.held


async def test_a_place_is_free_after_its_block_also_when_that_fails(access: Access) -> None:
    who = own(ACME, concurrent_requests=1)
    with pytest.raises(RuntimeError, match="recognition"), await access.limits.acquire_request(who):
        with pytest.raises(LimitExceeded):
            await access.limits.acquire_request(who)
        raise RuntimeError("recognition")
    await released(access)
    (await access.limits.acquire_request(who)).release()


async def test_streams_and_requests_have_places_of_their_own(access: Access) -> None:
    who = own(ACME, concurrent_requests=1, streams=1)
    with await access.limits.acquire_request(who), await access.limits.acquire_stream(who):
        pass


async def test_places_taken_at_once_never_pass_the_limit(access: Access) -> None:
    who = own(ACME, streams=5)
    answers = await asyncio.gather(*(access.limits.acquire_stream(who) for _ in range(30)), return_exceptions=True)
    assert sum(not isinstance(answer, LimitExceeded) for answer in answers) == 5


async def test_a_stop_frees_every_place(access: Access, settings: Settings, clock: Clock) -> None:
    who = own(ACME, streams=1)
    other = Limits(settings, access.usage, clock, clock.monotonic)
    await other.start()
    lease = await other.acquire_stream(who)
    await other.close()
    assert not lease.held
    (await access.limits.acquire_stream(who)).release()


async def test_a_renewed_place_stays_taken_and_a_forgotten_one_comes_free(
    access: Access, settings: Settings, clock: Clock
) -> None:
    who = own(ACME, streams=1)
    kept = await access.limits.acquire_stream(who)
    for _ in range(3):
        pass_time(settings, clock, 40)
        await access.limits.renew()
    with pytest.raises(LimitExceeded):
        await access.limits.acquire_stream(who)
    del kept
    gc.collect()
    await access.limits.renew()
    pass_time(settings, clock, 61)
    (await access.limits.acquire_stream(who)).release()


@pytest.mark.parametrize("limits_url", ["redis"], indirect=True)
async def test_a_place_that_is_released_while_places_are_renewed_is_free(access: Access) -> None:
    who = own(ACME, streams=10)
    leases = [await access.limits.acquire_stream(who) for _ in range(10)]
    renewing = asyncio.create_task(access.limits.renew())
    await asyncio.sleep(0)  # the first is on its way
    for lease in leases:
        lease.release()
    await renewing
    await released(access)
    for _ in range(9):
        await access.limits.acquire_stream(who)


def pass_time(settings: Settings, clock: Clock, seconds: float) -> None:
    """Turn the clock that memory counts by; Redis has its own, so there every place comes nearer to its end."""
    clock.turn(seconds)
    if settings.limits_url != "memory://":
        import redis

        with redis.Redis.from_url(settings.limits_url) as client:
            for key in client.scan_iter("lingting/leases/*"):
                for lease in client.zrange(key, 0, -1):
                    client.zincrby(key, -seconds, lease)


async def released(access: Access) -> None:
    """Wait until what was released is known to Redis."""
    await asyncio.gather(*getattr(access.limits._shared, "_soon", ()))


@pytest.mark.parametrize("limits_url", ["memory://"])
async def test_limits_in_memory_start_no_thread(access: Access) -> None:
    before = set(threading.enumerate())
    for _ in range(25):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading.Thread, "start", _no_thread)
            (await access.limits.acquire_stream(ACME)).release()
            await access.limits.hit(own(ACME, file_requests_per_second=100), "file")
            with contextlib.suppress(TooManyFailures):
                await access.limits.login_failed("cli_x", "198.51.100.7")
    assert set(threading.enumerate()) == before


def _no_thread(_thread: threading.Thread) -> None:
    raise AssertionError("a thread was started")


@pytest.mark.parametrize("limits_url", ["memory://"])
async def test_memory_forgets_tenants_that_went_quiet(access: Access, clock: Clock) -> None:
    for number in range(5000):
        await access.limits.hit(replace(ACME, tenant_id=f"tenant_{number}"), "file")
        clock.turn(0.01)
    assert len(access.limits._local._storage._hits) <= 2048


@pytest.mark.parametrize("limits_url", ["memory://"])
@pytest.mark.parametrize("url", ["memcached://x", "", "localhost:6379", "redis://host:notaport"])
async def test_a_limits_url_that_cannot_be_used_is_named(access: Access, settings: Settings, url: str) -> None:
    with pytest.raises(SettingsError, match="LINGTING_LIMITS_URL"):
        Limits(settings.model_copy(update={"limits_url": url}), access.usage)


@pytest.mark.parametrize("limits_url", ["memory://"])
async def test_without_redis_each_node_counts_for_itself_and_returns_to_it(
    access: Access, settings: Settings, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    who = own(ACME, file_requests_per_second=2, streams=1)
    monkeypatch.setattr("lingting.access.limits.OUTAGE_SECONDS", 0.0)
    monkeypatch.setattr("lingting.access.limits.REDIS_SECONDS", 60.0)
    monkeypatch.setattr("lingting.access.counting._SOCKET_SECONDS", 60.0)
    with RedisServer(require_program("redis-server")) as server:
        limits = Limits(settings.model_copy(update={"limits_url": server.url}), access.usage, clock, clock.monotonic)
        lease = await limits.acquire_stream(who)
        server.kill()
        for _ in range(2):
            await limits.hit(who, "file")
        with pytest.raises(LimitExceeded):
            await limits.hit(who, "file")
        assert "Redis" in caplog.text
        assert limits.outages >= 1
        lease.release()
        here = await limits.acquire_stream(who)
        await limits.renew()
        with pytest.raises(LimitExceeded):
            await limits.acquire_stream(who)
        server.start()
        there = await limits.acquire_stream(who)
        assert here.held
        assert there.held
        await limits.close()


@pytest.mark.parametrize("limits_url", ["memory://"])
async def test_a_redis_that_hangs_delays_one_request_by_half_a_second(
    access: Access, settings: Settings, clock: Clock
) -> None:
    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = Limits(
        settings.model_copy(update={"limits_url": f"redis://127.0.0.1:{port}"}), access.usage, clock, clock.monotonic
    )
    async with asyncio.timeout(60):
        for _ in range(20):
            await limits.hit(ACME, "file")
        with pytest.raises(LimitExceeded):
            await limits.hit(ACME, "file")
    assert len(connections) == 1
    await limits.close()
    for writer in connections:
        writer.close()
    server.close()


@pytest.mark.parametrize("limits_url", ["redis"], indirect=True)
@pytest.mark.parametrize("seconds", [-3600, 3600])
async def test_a_node_whose_clock_is_wrong_counts_as_the_others_do_in_redis(access: Access, seconds: float) -> None:
    who = own(ACME, file_requests_per_second=2)
    real = time.time
    await access.limits.hit(who, "file")
    with pytest.MonkeyPatch.context() as wrong:
        wrong.setattr("time.time", lambda: real() + seconds)
        await access.limits.hit(who, "file")
        with pytest.raises(LimitExceeded) as caught:
            await access.limits.hit(who, "file")
        assert 0 < caught.value.reset_seconds <= 1
    with pytest.raises(LimitExceeded):
        await access.limits.hit(who, "file")


@pytest.mark.parametrize("limits_url", ["memory://"])
@pytest.mark.parametrize("seconds", [-3600, 3600])
async def test_a_clock_that_is_set_changes_no_window_and_no_place(access: Access, clock: Clock, seconds: float) -> None:
    who = own(ACME, file_requests_per_second=2, streams=1)
    for _ in range(2):
        await access.limits.hit(who, "file")
    lease = await access.limits.acquire_stream(who)
    clock.reset(seconds)
    with pytest.raises(LimitExceeded) as caught:
        await access.limits.hit(who, "file")
    assert 0 < caught.value.reset_seconds <= 1
    with pytest.raises(LimitExceeded):
        await access.limits.acquire_stream(who)
    clock.turn(1.1)
    for _ in range(2):
        await access.limits.hit(who, "file")
    clock.turn(60)
    (await access.limits.acquire_stream(who)).release()
    assert lease.held
