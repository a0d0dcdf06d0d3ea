"""Usage is complete, whatever runs beside it, and can be grouped any way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import date

import pytest
from sqlalchemy.exc import OperationalError

from lingting.access import Access, ManagementError, Principal
from lingting.access.directory import Directory
from lingting.access.usage import DIMENSIONS
from tests.access.door import Door, record

pytestmark = pytest.mark.anyio
Node = Callable[..., AbstractAsyncContextManager[Access]]
DAY = date(2027, 1, 15)


async def both(door: Door) -> tuple[Principal, Principal]:
    """An app of the tenant `acme` and a key of the tenant `default`."""
    door.operator.create_tenant("acme")
    app = door.app("bot", tenant="acme")
    return (
        await door.access.authenticate(await door.token(app)),
        await door.access.authenticate(door.key("ci").key),
    )


async def used(access: Access, tenant_id: str) -> tuple[float, float]:
    """Seconds of audio of a tenant today and this month."""
    await access.usage.load(tenant_id)
    return access.usage.audio_used(tenant_id)


async def test_usage_is_grouped_by_what_is_asked_for(door: Door) -> None:
    bot, ci = await both(door)
    record(door.access.usage, bot, "file", "whisper-base", 10)
    record(door.access.usage, bot, "stream", "whisper-base", 5, error=True)
    record(door.access.usage, ci, "file", "x-asr", 1)
    door.clock.turn(86400)
    record(door.access.usage, ci, "file", "x-asr", 2)

    async def by(*dimensions: str) -> list[dict[str, object]]:
        return await door.access.usage.summary(DAY, date(2027, 1, 16), dimensions)

    assert await by() == [{"requests": 4, "errors": 1, "audio_seconds": 18.0}]
    assert await by("tenant") == [
        {"tenant": "acme", "requests": 2, "errors": 1, "audio_seconds": 15.0},
        {"tenant": "default", "requests": 2, "errors": 0, "audio_seconds": 3.0},
    ]
    assert await by("app", "interface") == sorted(
        [
            {
                "app": bot.app_id,
                "app_name": "bot",
                "interface": "file",
                "requests": 1,
                "errors": 0,
                "audio_seconds": 10,
            },
            {
                "app": bot.app_id,
                "app_name": "bot",
                "interface": "stream",
                "requests": 1,
                "errors": 1,
                "audio_seconds": 5,
            },
            {"app": ci.key_id, "app_name": "ci", "interface": "file", "requests": 2, "errors": 0, "audio_seconds": 3},
        ],
        key=lambda row: (row["app"], row["interface"]),
    )
    assert [(row["model"], row["day"], row["audio_seconds"]) for row in await by("model", "day")] == [
        ("whisper-base", "2027-01-15", 15),
        ("x-asr", "2027-01-15", 1),
        ("x-asr", "2027-01-16", 2),
    ]
    for count in range(len(DIMENSIONS) + 1):
        for dimensions in itertools.combinations(DIMENSIONS, count):
            assert sum(int(str(row["requests"])) for row in await by(*dimensions)) == 4


async def test_only_the_days_that_are_asked_for_count(door: Door) -> None:
    _, ci = await both(door)
    for _ in range(3):
        record(door.access.usage, ci, "file", "whisper-base", 1)
        door.clock.turn(86400)
    for since, until, requests in ((15, 15, 1), (15, 16, 2), (16, 31, 2), (18, 31, 0)):
        rows = await door.access.usage.summary(date(2027, 1, since), date(2027, 1, until), [])
        assert rows[0]["requests"] == requests


async def test_an_unknown_dimension_is_named_with_the_known_ones(door: Door) -> None:
    with pytest.raises(ManagementError, match=r"'colour'.*tenant, app, interface, model, day"):
        await door.access.usage.summary(DAY, DAY, ["colour"])


async def test_usage_is_complete_after_a_clean_stop(node: Node, operator: Directory) -> None:
    who = Principal("default", "default", None, "key_1", "x", frozenset())
    async with node() as access:
        for _ in range(1000):
            record(access.usage, who, "file", "whisper-base", 0.25)
    (row,) = operator.usage(DAY, DAY, ["app"])
    assert row == {"app": "key_1", "app_name": "", "requests": 1000, "errors": 0, "audio_seconds": 250.0}


async def test_what_is_recorded_while_a_batch_is_written_is_not_lost(door: Door) -> None:
    _, ci = await both(door)
    for _ in range(20):
        record(door.access.usage, ci, "file", "whisper-base", 1)
        flushing = asyncio.ensure_future(door.access.usage.flush())
        await asyncio.sleep(0)
        record(door.access.usage, ci, "file", "whisper-base", 1)
        await flushing
    (row,) = await door.access.usage.summary(DAY, DAY, [])
    assert (row["requests"], row["audio_seconds"]) == (40, 40.0)


async def test_nodes_that_write_at_once_lose_nothing(node: Node, operator: Directory) -> None:
    who = Principal("default", "default", None, "key_1", "x", frozenset())
    async with node() as one, node() as two, node() as three:
        for _ in range(10):
            for access in (one, two, three):
                record(access.usage, who, "file", "whisper-base", 1)
            await asyncio.gather(*(access.usage.flush() for access in (one, two, three)))
    (row,) = operator.usage(DAY, DAY, [])
    assert (row["requests"], row["audio_seconds"]) == (30, 30.0)


async def test_a_batch_that_could_not_be_written_is_written_later(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    _, ci = await both(door)
    record(door.access.usage, ci, "file", "whisper-base", 1)

    def fail() -> None:
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    with monkeypatch.context() as patch:
        patch.setattr(door.access._database, "writing", fail)
        await door.access.usage.flush()
    record(door.access.usage, ci, "file", "whisper-base", 1)
    (row,) = await door.access.usage.summary(DAY, DAY, [])
    assert row["requests"] == 2


@pytest.mark.parametrize("model", ["x" * 201, "a\0b", "\ud800", "a\nb"])
async def test_a_models_name_that_no_database_takes_does_not_hold_up_the_rest(door: Door, model: str) -> None:
    _, ci = await both(door)
    record(door.access.usage, ci, "file", model, 1)
    record(door.access.usage, ci, "file", "whisper-base", 1)
    rows = await door.access.usage.summary(DAY, DAY, ["model"])
    assert [row["model"] for row in rows] == ["?", "whisper-base"]


async def test_usage_of_a_deleted_tenant_stays_under_its_id(door: Door) -> None:
    bot, _ = await both(door)
    record(door.access.usage, bot, "file", "whisper-base", 1)
    await door.access.usage.flush()
    door.operator.delete_tenant("acme")
    assert [row["tenant"] for row in await door.access.usage.summary(DAY, DAY, ["tenant"])] == [bot.tenant_id]


async def test_usage_is_written_in_the_background(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lingting.access.usage.FLUSH_SECONDS", 0.0)
    await door.access.usage.close()
    await door.access.usage.start()
    _, ci = await both(door)
    record(door.access.usage, ci, "file", "whisper-base", 1)
    async with asyncio.timeout(10):
        while not door.operator.usage(DAY, DAY, ["app"]):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_what_is_used_so_far_is_the_sum_of_all_nodes_written_or_not(node: Node) -> None:
    who = Principal("default", "default", None, "key_1", "x", frozenset())
    async with node() as one, node() as two:
        record(two.usage, who, "file", "whisper-base", 5)
        await two.usage.flush()
        assert await used(one, "default") == (5.0, 5.0)
        record(one.usage, who, "file", "whisper-base", 1)
        assert await used(one, "default") == (6.0, 6.0)
        record(two.usage, who, "file", "whisper-base", 5)
        await two.usage.flush()
        await one.usage.flush()
        assert await used(one, "default") == (11.0, 11.0)
        assert await used(one, "another") == (0.0, 0.0)


async def test_a_backlog_is_written_in_pieces_and_counted_throughout(
    node: Node, operator: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingting.access.usage.BATCH_ROWS", 10)
    who = Principal("default", "default", None, "key_1", "x", frozenset())
    written = 0
    async with node() as access:
        real = access.usage._run

        async def counting(*arguments: object) -> object:
            nonlocal written
            assert access.usage.audio_used("default") == (95.0, 95.0)
            written += 1
            return await real(*arguments)

        await access.usage.load("default")
        for number in range(95):
            record(access.usage, who, "file", f"model-{number}", 1)
        monkeypatch.setattr(access.usage, "_run", counting)
        await access.usage.flush()
        assert access.usage.audio_used("default") == (95.0, 95.0)
        assert written == 10
    (row,) = operator.usage(DAY, DAY, [])
    assert (row["requests"], row["audio_seconds"]) == (95, 95.0)
