"""Every change of a credential is written down, with the change or not at all."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from lingting.access.audit import Actor, this_process
from lingting.access.database import COMMAND_SECONDS, Database
from lingting.access.directory import Directory
from lingting.access.errors import ManagementError
from lingting.access.hot_words import HotWordsChange
from lingting.access.invitations import Invitations
from lingting.access.schema import audit
from lingting.settings import Settings
from tests.access.door import START, Clock, new

READING = {"tenants", "tenant", "apps", "app", "keys", "key", "usage", "audit"}
CHANGES: dict[str, Callable[[Directory], Any]] = {
    "tenant.create": lambda d: d.create_tenant("new"),
    "tenant.limits": lambda d: d.set_limits("acme", {"streams": 3}),
    "tenant.weight": lambda d: d.set_weight("acme", 2),
    "tenant.model": lambda d: d.set_model("acme", "whisper-base"),
    "tenant.disable": lambda d: d.set_tenant_disabled("acme", True),
    "tenant.enable": lambda d: d.set_tenant_disabled("acme", False),
    "tenant.hot-words": lambda d: d.change_tenant_hot_words("acme", HotWordsChange(("张玮婷",))),
    "tenant.delete": lambda d: d.delete_tenant("acme"),
    "app.create": lambda d: d.create_app(new("new")),
    "app.rotate": lambda d: d.rotate_app("bot", 60),
    "app.disable": lambda d: d.set_app_disabled("bot", True),
    "app.enable": lambda d: d.set_app_disabled("bot", False),
    "app.hot-words": lambda d: d.change_app_hot_words("bot", HotWordsChange(("张玮婷",))),
    "app.delete": lambda d: d.delete_app("bot"),
    "key.create": lambda d: d.create_key(new("new")),
    "key.rotate": lambda d: d.rotate_key("ci"),
    "key.disable": lambda d: d.set_key_disabled("ci", True),
    "key.enable": lambda d: d.set_key_disabled("ci", False),
    "key.hot-words": lambda d: d.change_key_hot_words("ci", HotWordsChange(("张玮婷",))),
    "key.delete": lambda d: d.delete_key("ci"),
    "signing-key.rotate": lambda d: d.rotate_signing_key(),
}


@pytest.fixture
def directory(settings: Settings, clock: Clock) -> Any:
    database = Database(settings.database, COMMAND_SECONDS)
    made = Directory(database, clock, Actor("alice", "node1"))
    made.create_tenant("acme")
    made.create_app(new("bot", tenant="acme"))
    made.create_key(new("ci", tenant="acme"))
    yield made
    database.close()


def test_there_is_no_way_to_change_anything_that_is_not_tried_here() -> None:
    public = {name for name, _ in inspect.getmembers(Directory, inspect.isfunction) if not name.startswith("_")}
    used = {name for change in CHANGES.values() for name in change.__code__.co_names}
    assert public - READING - {"create_demo", "acting_as"} == used - {"new", "HotWordsChange"}


@pytest.mark.parametrize("action", CHANGES)
def test_a_change_is_written_down_once_with_who_when_and_from_where(
    directory: Directory, clock: Clock, action: str
) -> None:
    before = directory.audit()
    clock.turn(100)
    CHANGES[action](directory)
    (entry,) = directory.audit()[len(before) :]
    assert (entry.action, entry.actor, entry.origin, entry.at) == (action, "alice", "node1", START + 100)
    assert entry.subject_id
    if "new" not in entry.subject_name and entry.tenant_id:
        assert entry.tenant_name == "acme"


@pytest.mark.parametrize("action", CHANGES)
def test_a_change_that_cannot_be_written_down_is_not_made(directory: Directory, action: str) -> None:
    def rows() -> list[Any]:
        tables = [table for table in audit.metadata.sorted_tables if table is not audit]
        with directory._database.reading() as connection:
            return [connection.execute(sa.select(table)).all() for table in tables]

    with directory._database.writing() as connection:
        connection.execute(sa.text("ALTER TABLE audit RENAME TO elsewhere"))
    before = rows()
    try:
        with pytest.raises(SQLAlchemyError):
            CHANGES[action](directory)
        assert rows() == before
    finally:
        with directory._database.writing() as connection:
            connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO audit"))


def test_what_could_not_be_done_is_not_written_down(directory: Directory) -> None:
    before = directory.audit()
    for attempt in (
        lambda: directory.create_tenant("acme"),
        lambda: directory.create_app(new("x", tenant="nobody")),
        lambda: directory.set_limits("acme", {"streams": 0}),
        lambda: directory.set_weight("acme", 0),
        lambda: directory.delete_tenant("default"),
        lambda: directory.rotate_key("nobody"),
    ):
        with pytest.raises(ManagementError):
            attempt()
    assert directory.audit() == before


def test_the_credentials_that_went_with_a_tenant_are_named(directory: Directory) -> None:
    app, key = directory.app("bot").id, directory.key("ci").id
    directory.delete_tenant("acme")
    assert directory.audit()[-1].details == {"apps": [app], "keys": [key]}


def test_the_first_start_is_written_down_too(settings: Settings) -> None:
    database = Database(settings.database, COMMAND_SECONDS)
    directory = Directory(database)
    directory.create_demo()
    entries = directory.audit()
    assert [(entry.action, entry.subject_name) for entry in entries] == [("app.create", "demo"), ("key.create", "demo")]
    assert {entry.actor for entry in entries} == {this_process().name}
    database.close()


def test_a_key_of_a_sign_in_link_is_written_down_with_the_address_it_was_taken_from(
    directory: Directory, clock: Clock
) -> None:
    invitations = Invitations(directory, clock)
    invitations.redeem(invitations.create(), "198.51.100.7")
    entry = directory.audit()[-1]
    assert (entry.action, entry.actor, entry.origin) == ("key.create", "sign-in link", "198.51.100.7")


def test_no_secret_is_in_the_log(directory: Directory) -> None:
    app, key = directory.create_app(new("x")), directory.create_key(new("y"))
    rotated = directory.rotate_app(app.app.id)
    with directory._database.reading() as connection:
        log = json.dumps([list(map(str, row)) for row in connection.execute(sa.select(audit))])
    for secret in (app.app_secret, key.key, rotated.app_secret):
        assert secret not in log


def test_days_choose_what_is_shown(directory: Directory, clock: Clock) -> None:
    clock.turn(86400)
    directory.create_tenant("later")
    first, second = date(2027, 1, 15), date(2027, 1, 16)
    assert [entry.subject_name for entry in directory.audit(second)] == ["later"]
    assert [entry.subject_name for entry in directory.audit(until=first)] == ["acme", "bot", "ci"]
    assert len(directory.audit(first, second)) == 4


def test_who_it_was_is_told_through_sudo_and_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "root")
    monkeypatch.setattr("socket.gethostname", lambda: "node1")
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert this_process() == Actor("root", "node1")
    monkeypatch.setenv("SUDO_USER", "alice")
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.7 50000 10.0.0.1 22")
    assert this_process() == Actor("root (sudo by alice)", "node1 from 10.0.0.7")


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr("os.getuid", lambda: 12345)
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert this_process().name == "uid 12345"
