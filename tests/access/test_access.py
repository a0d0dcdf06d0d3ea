"""Who is let in, with which token, and how soon a change by an operator counts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from lingting.access import (
    Access,
    AccessUnavailable,
    InvalidCredential,
    IssuedToken,
    TooManyFailures,
    UnknownApp,
    UserToken,
    WrongSecret,
)
from lingting.access.directory import Directory
from lingting.settings import Settings
from tests.access.door import Clock, Door, new

pytestmark = pytest.mark.anyio
Node = Callable[..., AbstractAsyncContextManager[Access]]


async def refused(access: Access, bearer: str) -> str:
    """The reason for which a bearer is refused."""
    with pytest.raises(InvalidCredential) as caught:
        await access.authenticate(bearer)
    return caught.value.reason


async def test_an_api_key_says_who_it_belongs_to(door: Door) -> None:
    made = door.key("ci", owner="build team", scopes=("audio:flash",), models=("whisper-base",))
    who = await door.access.authenticate(made.key)
    assert (who.tenant_id, who.tenant_name, who.app_id, who.key_id) == ("default", "default", None, made.record.id)
    assert (who.owner, who.scopes, who.models) == ("build team", {"audio:flash"}, {"whisper-base"})


async def test_a_token_says_which_app_it_belongs_to(door: Door) -> None:
    made = door.app("bot")
    who = await door.access.authenticate(await door.token(made))
    assert (who.app_id, who.key_id, who.owner, who.models) == (made.app.id, None, "bot", None)
    assert who.scopes == {"speech_to_text:speech", "audio:flash", "audio:transcriptions"}


async def test_a_user_token_is_told_apart(door: Door) -> None:
    for bearer in ("u-1234", "eyJhbGciOi.eyJ.x", "u-", "eyJ"):
        with pytest.raises(UserToken):
            await door.access.authenticate(bearer)


async def test_a_bearer_that_is_none_of_ours_is_refused(door: Door) -> None:
    door.key()
    for bearer in (
        "",
        " ",
        "t-",
        "lt-",
        "t-abc",
        "lt-abc",
        "t-" + "A" * 44,
        "lt-" + "A" * 43,
        "密钥",
        "\udc80",
        "lt-\udc80",
        "\0",
        "x" * 10_000,
    ):
        assert await refused(door.access, bearer) in {"unknown", "malformed"}, bearer


async def test_a_disabled_key_is_refused_on_the_next_request(door: Door) -> None:
    made = door.key()
    await door.access.authenticate(made.key)
    door.operator.set_key_disabled(made.record.id, True)
    assert await refused(door.access, made.key) == "disabled"
    door.operator.set_key_disabled(made.record.id, False)
    await door.access.authenticate(made.key)


async def test_a_disabled_app_takes_its_tokens_along_and_no_other(door: Door) -> None:
    shut, other = door.app("shut"), door.app("other")
    token, others = await door.token(shut), await door.token(other)
    door.operator.set_app_disabled(shut.app.id, True)
    assert await refused(door.access, token) == "disabled"
    await door.access.authenticate(others)
    with pytest.raises(UnknownApp):
        await door.token(shut)


async def test_a_disabled_tenant_takes_everything_along(door: Door) -> None:
    tenant = door.operator.create_tenant("acme")
    app, key = door.app(tenant="acme"), door.key(tenant=tenant.id)
    token = await door.token(app)
    await door.access.authenticate(key.key)
    door.operator.set_tenant_disabled("acme", True)
    assert await refused(door.access, token) == "disabled"
    assert await refused(door.access, key.key) == "disabled"
    with pytest.raises(UnknownApp):
        await door.token(app)


async def test_a_deleted_credential_is_refused_on_the_next_request(door: Door) -> None:
    app, key = door.app(), door.key()
    token = await door.token(app)
    await door.access.authenticate(token)
    await door.access.authenticate(key.key)
    door.operator.delete_app(app.app.id)
    door.operator.delete_key(key.record.id)
    assert await refused(door.access, token) == "revoked"
    assert await refused(door.access, key.key) == "unknown"


async def test_many_requests_at_once_all_see_a_change(door: Door) -> None:
    made = door.key()
    await door.access.authenticate(made.key)
    door.operator.set_key_disabled(made.record.id, True)
    answers = await asyncio.gather(*(door.access.authenticate(made.key) for _ in range(50)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {InvalidCredential}


async def test_a_credential_ends_with_its_expiry(door: Door) -> None:
    end = door.clock() + 100
    app, key = door.app(expires_at=end), door.key(expires_at=end)
    issued = await door.access.issue_token(app.app.id, app.app_secret)
    assert issued.expires_in == 100
    await door.access.authenticate(issued.token)
    await door.access.authenticate(key.key)
    door.clock.turn(100)
    assert await refused(door.access, issued.token) == "expired"
    assert await refused(door.access, key.key) == "expired"
    with pytest.raises(UnknownApp):
        await door.token(app)


async def test_the_same_token_comes_back_while_30_minutes_remain(door: Door) -> None:
    made = door.app()
    first = await door.access.issue_token(made.app.id, made.app_secret)
    assert first.expires_in == 7200
    door.clock.turn(7200 - 1800)
    again = await door.access.issue_token(made.app.id, made.app_secret)
    assert (again.token, again.expires_in) == (first.token, 1800)
    door.clock.turn(1)
    fresh = await door.access.issue_token(made.app.id, made.app_secret)
    assert fresh.token != first.token
    assert fresh.expires_in == 7200
    for token in (first.token, fresh.token):
        await door.access.authenticate(token)


async def test_a_token_expires_within_a_minute_after_its_two_hours(door: Door) -> None:
    token = await door.token(door.app())
    door.clock.turn(7199)
    await door.access.authenticate(token)
    door.clock.turn(61)
    assert await refused(door.access, token) == "expired"


@pytest.mark.parametrize("seconds", [-3600, 3600])
async def test_a_clock_that_is_set_ends_no_token_early_and_lets_none_live_on_for_ever(
    door: Door, seconds: float
) -> None:
    app = door.app()
    seen, unseen = await door.token(app), await door.token(door.app("other"))
    await door.access.authenticate(seen)
    door.clock.turn(5000)
    door.clock.reset(seconds)
    door.key()  # what was looked up is looked up again
    fresh = await door.token(app)
    for token in (seen, unseen, fresh):
        await door.access.authenticate(token)
    door.clock.reset(-seconds)
    for token in (seen, unseen, fresh):
        await door.access.authenticate(token)
    door.clock.turn(2261 + max(0, -seconds))  # by which clock an old token was issued nobody can tell
    door.key("another")
    assert await refused(door.access, seen) == "expired"
    assert await refused(door.access, unseen) == "expired"


async def test_a_token_outlives_a_restart_and_counts_on_every_node(node: Node, operator: Directory) -> None:
    made = operator.create_app(new("bot"))
    async with node() as one:
        token = (await one.issue_token(made.app.id, made.app_secret)).token
    async with node() as two, node() as three:
        assert (await two.authenticate(token)).app_id == made.app.id
        assert (await three.issue_token(made.app.id, made.app_secret)).token == token


@pytest.mark.parametrize("skew", [-59, 59])
async def test_clocks_a_minute_apart_do_no_harm(node: Node, operator: Directory, clock: Clock, skew: float) -> None:
    made = operator.create_app(new("bot"))
    async with node() as here, node(Clock(clock() + skew)) as there:
        first = await here.issue_token(made.app.id, made.app_secret)
        assert (await there.authenticate(first.token)).app_id == made.app.id
        again = await there.issue_token(made.app.id, made.app_secret)
        assert again.token == first.token
        assert 7200 - 60 <= again.expires_in <= 7200


async def test_nodes_that_log_in_at_once_hand_out_one_token(node: Node, operator: Directory) -> None:
    made = operator.create_app(new("bot"))
    async with node() as one, node() as two:
        nodes = [one, two] * 10
        issued = await asyncio.gather(*(each.issue_token(made.app.id, made.app_secret) for each in nodes))
    assert len({each.token for each in issued}) == 1


async def test_a_rotated_secret_revokes_the_old_one_and_its_tokens(door: Door) -> None:
    old = door.app()
    token = await door.token(old)
    await door.access.authenticate(token)
    new_secret = door.operator.rotate_app(old.app.id)
    assert await refused(door.access, token) == "revoked"
    with pytest.raises(WrongSecret):
        await door.token(old)
    assert (await door.access.authenticate(await door.token(new_secret))).app_id == old.app.id


async def test_in_the_grace_period_both_secrets_and_their_tokens_count(door: Door) -> None:
    old = door.app()
    before = await door.token(old)
    fresh = door.operator.rotate_app(old.app.id, grace_seconds=3600)
    assert await door.token(old) == before
    after = await door.token(fresh)
    assert after != before
    door.clock.turn(3000)
    issued = await door.access.issue_token(old.app.id, old.app_secret)
    assert issued.expires_in == 600
    for token in (before, after, issued.token):
        await door.access.authenticate(token)
    door.clock.turn(600)
    for token in {before, issued.token}:
        assert await refused(door.access, token) == "revoked"
    with pytest.raises(WrongSecret):
        await door.token(old)
    await door.access.authenticate(after)


async def test_a_second_rotation_ends_the_grace_of_the_first(door: Door) -> None:
    first = door.app()
    token = await door.token(first)
    second = door.operator.rotate_app(first.app.id, grace_seconds=3600)
    door.operator.rotate_app(first.app.id, grace_seconds=3600)
    assert await refused(door.access, token) == "revoked"
    with pytest.raises(WrongSecret):
        await door.token(first)
    await door.access.authenticate(await door.token(second))


async def test_a_rotated_key_goes_on_for_its_grace_period(door: Door) -> None:
    old = door.key()
    fresh = door.operator.rotate_key(old.record.id, grace_seconds=60)
    assert fresh.record.id == old.record.id
    await door.access.authenticate(old.key)
    await door.access.authenticate(fresh.key)
    door.clock.turn(60)
    assert await refused(door.access, old.key) == "revoked"
    await door.access.authenticate(fresh.key)
    assert door.operator.rotate_key(old.record.id).record.previous_valid_until is None
    assert await refused(door.access, fresh.key) == "unknown"


async def test_an_unknown_app_cannot_log_in(door: Door) -> None:
    for app_id in ("", "cli_0000000000000000", "cli_", "x" * 5000, "cli_\0", "\ud800", "' OR 1=1"):
        with pytest.raises(UnknownApp):
            await door.access.issue_token(app_id, "secret")


async def test_a_wrong_secret_gets_no_token(door: Door) -> None:
    made = door.app()
    for secret in ("", "wrong", "\ud800", "\0", "x" * 100_000):
        with pytest.raises(WrongSecret):
            await door.access.issue_token(made.app.id, secret)


async def test_ten_wrong_secrets_never_lock_out_the_right_one(door: Door) -> None:
    made = door.app()
    for number in range(30):
        with pytest.raises(WrongSecret if number < 10 else TooManyFailures):
            await door.access.issue_token(made.app.id, f"guess {number}", address="198.51.100.7")
        await door.access.issue_token(made.app.id, made.app_secret, address="198.51.100.7")


async def test_wrong_secrets_are_told_to_wait_after_ten_in_a_minute(door: Door) -> None:
    made = door.app()
    for _ in range(10):
        with pytest.raises(WrongSecret):
            await door.access.issue_token(made.app.id, "guess", address="198.51.100.7")
    with pytest.raises(TooManyFailures) as caught:
        await door.access.issue_token(made.app.id, "guess", address="198.51.100.7")
    assert 0 < caught.value.retry_after <= 60
    with pytest.raises(WrongSecret):
        await door.access.issue_token(made.app.id, "guess", address="203.0.113.1")
    door.clock.turn(61)
    with pytest.raises(WrongSecret):
        await door.access.issue_token(made.app.id, "guess", address="198.51.100.7")


async def test_of_many_guesses_at_once_ten_are_told_that_they_are_wrong_and_the_right_one_passes(door: Door) -> None:
    made = door.app()
    guesses = ["guess"] * 60 + [made.app_secret]
    answers = await asyncio.gather(
        *(door.access.issue_token(made.app.id, guess, address="198.51.100.7") for guess in guesses),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, WrongSecret) for answer in answers) == 10
    assert sum(isinstance(answer, TooManyFailures) for answer in answers) == 50
    assert isinstance(answers[-1], IssuedToken)


async def test_failures_of_one_app_do_not_slow_another_behind_the_same_proxy(door: Door) -> None:
    broken, healthy = door.app("broken"), door.app("healthy")
    for _ in range(10):
        with pytest.raises(WrongSecret):
            await door.access.issue_token(broken.app.id, "guess", address="198.51.100.7")
    await door.access.issue_token(healthy.app.id, healthy.app_secret, address="198.51.100.7")


async def test_guessing_names_of_apps_is_bounded_and_an_app_that_exists_passes(door: Door) -> None:
    made = door.app()
    for number in range(10):
        with pytest.raises(UnknownApp):
            await door.access.issue_token(
                ("no form of ours {}", "cli_{:016x}")[number % 2].format(number), "x", "address"
            )
    for name in ("nor this", "cli_00000000000000ff"):
        with pytest.raises(TooManyFailures):
            await door.access.issue_token(name, "x", "address")
    await door.access.issue_token(made.app.id, made.app_secret, "address")


async def test_a_successful_login_is_never_counted_as_a_failure(door: Door) -> None:
    made = door.app()
    for _ in range(30):
        await door.access.issue_token(made.app.id, made.app_secret, address="203.0.113.1")


async def test_the_first_start_makes_demo_credentials_exactly_once(node: Node, operator: Directory) -> None:
    async with node() as one, node() as two:
        made = await asyncio.gather(one.create_demo(), two.create_demo())
        (demo,) = [each for each in made if each is not None]
        app, key = demo
        assert (await one.authenticate(key.key)).owner == "demo"
        await two.issue_token(app.app.id, app.app_secret)
    operator.delete_app(app.app.id)
    operator.delete_key(key.record.id)
    async with node() as later:
        assert await later.create_demo() is None


async def test_no_demo_is_made_where_an_operator_made_credentials(door: Door) -> None:
    made = door.key()
    assert await door.access.create_demo() is None
    door.operator.delete_key(made.record.id)
    assert await door.access.create_demo() is None


async def test_last_use_is_noted(door: Door) -> None:
    app, key = door.app(), door.key()
    assert door.operator.key("key").last_used_at is None
    await door.access.authenticate(key.key)
    await door.access.authenticate(await door.token(app))
    await door.access.usage.flush()
    assert door.operator.key("key").last_used_at == door.clock()
    assert door.operator.app("app").last_used_at == door.clock()


async def test_a_database_that_fails_keeps_known_credentials_and_says_so_to_others(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, unknown, app = door.key("known"), door.key("unknown"), door.app()
    await door.access.authenticate(known.key)
    monkeypatch.setattr(door.access._database, "reading", _fail)
    door.operator.create_tenant("another change")
    assert (await door.access.authenticate(known.key)).key_id == known.record.id
    for attempt in (
        door.access.authenticate(unknown.key),
        door.access.issue_token(app.app.id, app.app_secret),
    ):
        with pytest.raises(AccessUnavailable) as caught:
            await attempt
        assert caught.value.retry_after > 0


def _fail() -> None:
    from sqlalchemy.exc import OperationalError

    raise OperationalError("SELECT secret", {}, Exception("connection refused"))


async def test_an_access_that_never_started_can_be_closed(settings: Settings) -> None:
    await Access(settings).close()


async def test_no_secret_is_in_any_repr_error_or_log(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    app, key = door.app(), door.key()
    issued = await door.access.issue_token(app.app.id, app.app_secret)
    said = [repr(each) for each in (app, key, issued, await door.access.authenticate(issued.token), door.access)]
    door.operator.set_key_disabled(key.record.id, True)
    door.operator.set_app_disabled(app.app.id, True)
    for attempt in (
        door.access.authenticate(key.key),
        door.access.authenticate(issued.token),
        door.access.authenticate(issued.token + "x"),
        door.access.issue_token(app.app.id, app.app_secret),
        door.access.issue_token(app.app.id, app.app_secret + "x"),
    ):
        with pytest.raises((InvalidCredential, UnknownApp)) as caught:
            await attempt
        said += [str(caught.value), repr(caught.value)]
    await door.access.usage.flush()
    for secret in (app.app_secret, key.key, issued.token):
        assert not [each for each in said if secret in each]
        assert secret not in caplog.text


async def test_a_tenants_weight_counts_from_the_next_request_on(door: Door) -> None:
    app, key = door.app(), door.key()
    token = await door.token(app)
    assert (await door.access.authenticate(key.key)).weight == 1.0
    door.operator.set_weight("default", 2.5)
    assert (await door.access.authenticate(key.key)).weight == 2.5
    assert (await door.access.authenticate(token)).weight == 2.5
