"""Unknown credentials are answered from memory, within bounds, and a credential made a moment later works."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from lingting.access import Access, InvalidCredential, TooManyFailures, UnknownApp, WrongSecret, lookup
from lingting.access.database import CHECK_SECONDS
from lingting.access.directory import Directory
from lingting.settings import Settings
from tests.access.door import Clock, Door, new
from tests.access.test_access import refused

pytestmark = pytest.mark.anyio
Node = Callable[..., AbstractAsyncContextManager[Access]]

KEY = "lt-" + "k" * 43
APP = "cli_00000000000000aa"


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often the database was asked for a key, a token's app and a login."""
    counted: Counter[str] = Counter()

    def spy(name: str) -> None:
        real = getattr(lookup, name)

        def counting(*arguments: Any) -> Any:
            counted[name] += 1
            return real(*arguments)

        monkeypatch.setattr(lookup, name, counting)

    for name in ("by_key", "by_token", "log_in"):
        spy(name)
    yield counted


@pytest.fixture
def known_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next credentials that an operator makes are those that were tried before."""
    monkeypatch.setattr("lingting.access.credentials.new_key", lambda: KEY)
    monkeypatch.setattr("lingting.access.credentials.new_app_id", lambda: APP)
    monkeypatch.setattr("lingting.access.credentials.new_app_secret", lambda: "s" * 32)


async def test_an_unknown_key_is_looked_up_once(door: Door, looked_up: Counter[str]) -> None:
    for _ in range(50):
        assert await refused(door.access, KEY) == "unknown"
    assert looked_up == {"by_key": 1}


async def test_a_revoked_credential_is_looked_up_once(door: Door, looked_up: Counter[str]) -> None:
    key, app = door.key(), door.app()
    token = await door.token(app)
    door.operator.set_key_disabled(key.record.id, True)
    door.operator.delete_app(app.app.id)
    looked_up.clear()
    for _ in range(20):
        assert await refused(door.access, key.key) == "disabled"
        assert await refused(door.access, token) == "revoked"
    assert looked_up == {"by_key": 1, "by_token": 1}


async def test_a_wrong_secret_that_is_sent_again_and_again_is_looked_up_once(
    door: Door, looked_up: Counter[str]
) -> None:
    made = door.app()
    for _ in range(50):
        with pytest.raises((WrongSecret, TooManyFailures)):
            await door.access.issue_token(made.app.id, "wrong")
        with pytest.raises((UnknownApp, TooManyFailures)):
            await door.access.issue_token(APP, "wrong")
    assert looked_up == {"log_in": 2}


async def test_refusals_in_memory_are_bounded_in_number(
    door: Door, looked_up: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingting.access.refusals.MOST", 20)
    for _ in range(50):
        await refused(door.access, "lt-" + secrets.token_urlsafe(32))
    assert len(door.access._refusals) == 20
    await refused(door.access, KEY)
    looked_up.clear()
    await refused(door.access, KEY)
    assert not looked_up


async def test_refusals_in_memory_are_bounded_in_time(door: Door, looked_up: Counter[str]) -> None:
    await refused(door.access, KEY)
    door.clock.turn(59)
    await refused(door.access, KEY)
    assert looked_up["by_key"] == 1
    door.clock.turn(2)
    await refused(door.access, KEY)
    assert looked_up["by_key"] == 2


async def test_a_key_that_is_made_a_moment_later_works_at_once(door: Door, known_names: None) -> None:
    for _ in range(2):
        await refused(door.access, KEY)
    made = door.key()
    assert (await door.access.authenticate(KEY)).key_id == made.record.id
    door.operator.set_key_disabled(made.record.id, True)
    for _ in range(2):
        await refused(door.access, KEY)
    door.operator.set_key_disabled(made.record.id, False)
    await door.access.authenticate(KEY)


async def test_an_app_that_is_made_or_rotated_a_moment_later_works_at_once(door: Door, known_names: None) -> None:
    for _ in range(2):
        with pytest.raises(UnknownApp):
            await door.access.issue_token(APP, "s" * 32)
    made = door.app()
    await door.access.issue_token(APP, made.app_secret)
    for _ in range(2):
        with pytest.raises(WrongSecret):
            await door.access.issue_token(APP, "r" * 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lingting.access.credentials.new_app_secret", lambda: "r" * 32)
        door.operator.rotate_app(APP)
    await door.access.issue_token(APP, "r" * 32)


async def test_a_key_that_this_server_itself_makes_works_at_once_on_every_database(
    settings: Settings, clock: Clock, known_names: None
) -> None:
    access = Access(settings, clock, check_seconds=3600, monotonic=clock.monotonic)
    await access.start()
    await refused(access, KEY)
    await asyncio.to_thread(access.directory.create_key, new("made here"))
    await access.authenticate(KEY)
    await access.close()


async def test_a_key_that_another_process_makes_works_within_the_time_that_is_promised(
    settings: Settings, operator: Directory, clock: Clock, known_names: None
) -> None:
    access = Access(settings, clock, CHECK_SECONDS)
    await access.start()
    await refused(access, KEY)
    operator.create_key(new("made elsewhere"))
    async with asyncio.timeout(30):
        while True:
            try:
                await access.authenticate(KEY)
                break
            except InvalidCredential:
                await asyncio.sleep(0.01)
    await access.close()


async def test_a_key_that_is_made_while_it_is_refused_works_at_once(
    door: Door, known_names: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = lookup.by_key

    def late(*arguments: Any) -> Any:
        try:
            return real(*arguments)
        except InvalidCredential:
            monkeypatch.setattr(lookup, "by_key", real)
            door.key()
            raise

    monkeypatch.setattr(lookup, "by_key", late)
    await refused(door.access, KEY)
    await door.access.authenticate(KEY)


async def test_a_token_from_a_node_whose_clock_is_ahead_is_not_refused_for_longer_than_that(
    node: Node, operator: Directory, clock: Clock
) -> None:
    made = operator.create_app(new("bot"))
    async with node(Clock(clock() + 90)) as ahead, node() as here:
        token = (await ahead.issue_token(made.app.id, made.app_secret)).token
        assert await refused(here, token) == "expired"
        clock.turn(31)
        assert (await here.authenticate(token)).app_id == made.app.id
