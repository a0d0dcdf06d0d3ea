"""The key that signs tokens can be replaced: old tokens end when the operator says, and no app is shut out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from lingting.access import Access, InvalidCredential
from lingting.access.directory import Directory
from tests.access.door import Door, new

pytestmark = pytest.mark.anyio
Node = Callable[..., AbstractAsyncContextManager[Access]]


async def refused(access: Access, bearer: str) -> str:
    with pytest.raises(InvalidCredential) as caught:
        await access.authenticate(bearer)
    return caught.value.reason


async def test_tokens_of_the_old_key_go_on_until_they_expire(door: Door) -> None:
    app = door.app()
    old = await door.token(app)
    door.operator.rotate_signing_key()
    fresh = await door.token(app)
    assert fresh != old
    for token in (old, fresh):
        assert (await door.access.authenticate(token)).app_id == app.app.id
    door.clock.turn(7199)
    await door.access.authenticate(old)
    door.clock.turn(61)
    assert await refused(door.access, old) == "malformed"


async def test_tokens_of_the_old_key_end_with_a_shorter_grace_also_those_that_were_seen(door: Door) -> None:
    seen, unseen = await door.token(door.app("seen")), await door.token(door.app("unseen"))
    until = door.operator.rotate_signing_key(600)
    assert until == door.clock() + 600
    await door.access.authenticate(seen)
    door.clock.turn(599)
    await door.access.authenticate(seen)
    door.clock.turn(1)
    assert await refused(door.access, seen) == "malformed"
    assert await refused(door.access, unseen) == "malformed"


async def test_without_grace_every_token_ends_on_the_next_request_and_keys_do_not(door: Door) -> None:
    app, key = door.app(), door.key()
    oldest = await door.token(app)
    door.operator.rotate_signing_key()
    old = await door.token(app)
    for token in (oldest, old):
        await door.access.authenticate(token)
    assert door.operator.rotate_signing_key(0) is None
    for token in (oldest, old):
        assert await refused(door.access, token) == "malformed"
    await door.access.authenticate(key.key)
    assert (await door.access.authenticate(await door.token(app))).app_id == app.app.id


async def test_several_replacements_in_a_row_each_keep_their_grace(door: Door) -> None:
    app = door.app()
    tokens = []
    for _ in range(3):
        tokens.append(await door.token(app))
        door.operator.rotate_signing_key()
    for token in tokens:
        await door.access.authenticate(token)


async def test_every_node_takes_tokens_of_the_new_key_at_once(node: Node, operator: Directory) -> None:
    app = operator.create_app(new("bot"))
    async with node() as one, node() as two:
        for access in (one, two):
            await access.authenticate((await access.issue_token(app.app.id, app.app_secret)).token)
        operator.rotate_signing_key(0)
        token = (await one.issue_token(app.app.id, app.app_secret)).token
        assert (await two.issue_token(app.app.id, app.app_secret)).token == token
        assert (await two.authenticate(token)).app_id == app.app.id


async def test_a_node_that_looks_seldom_for_changes_still_takes_a_token_of_a_new_key(
    operator: Directory, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = operator.create_app(new("bot"))
    async with node() as one, node() as two:
        await two.authenticate((await two.issue_token(app.app.id, app.app_secret)).token)
        if not two._changes.exact:
            monkeypatch.setattr(two._changes, "_interval", 3600.0)
            await two.authenticate((await two.issue_token(app.app.id, app.app_secret)).token)
        operator.rotate_signing_key()
        token = (await one.issue_token(app.app.id, app.app_secret)).token
        assert (await two.authenticate(token)).app_id == app.app.id


async def test_a_disabled_app_stays_out_under_every_key(door: Door) -> None:
    app = door.app()
    token = await door.token(app)
    door.operator.rotate_signing_key()
    door.operator.set_app_disabled("app", True)
    assert await refused(door.access, token) == "disabled"
