"""The database comes up to date by itself, whoever starts first."""

from __future__ import annotations

import stat
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import lingting.access
from lingting.access.database import CHECK_SECONDS, COMMAND_SECONDS, HEAD, Changes, Database
from lingting.access.directory import opened
from lingting.access.errors import DatabaseError
from lingting.access.schema import metadata, state, tenants
from tests.access.door import new

MIGRATIONS = Path(lingting.access.__file__).parent / "migrations"
OPEN = """
import sys
from lingting.access.directory import opened

with opened(sys.argv[1]) as directory:
    print(directory.create_demo() is not None)
"""


def test_the_migrations_make_exactly_the_schema(empty_url: str) -> None:
    database = Database(empty_url, COMMAND_SECONDS)
    database.open()
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_the_newest_migration_is_the_one_that_counts_as_up_to_date() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_a_second_start_changes_nothing(empty_url: str) -> None:
    with opened(empty_url) as directory:
        made = directory.create_app(new("bot"))
    with opened(empty_url) as directory:
        assert [app.id for app in directory.apps()] == [made.app.id]
        assert [tenant.name for tenant in directory.tenants()] == ["default"]


def test_processes_that_start_together_share_one_database(empty_url: str) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, empty_url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    results = [(process.communicate(timeout=120), process.returncode) for process in started]
    assert [code for _, code in results] == [0, 0, 0], results
    assert sorted(output.strip() for (output, _), _ in results) == ["False", "False", "True"]


def test_a_database_of_a_newer_version_is_left_alone(empty_url: str) -> None:
    with opened(empty_url):
        pass
    database = Database(empty_url, COMMAND_SECONDS)
    with database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer Lingting"):
        database.open()
    database.close()


def test_the_database_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path / 'new' / 'lingting.db'}") as directory:
        directory.create_app(new("bot"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "new").iterdir()}
    assert set(modes.values()) == {0o600}
    assert "lingting.db" in modes


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "lingting.db").write_bytes(b"not a database at all" * 100)
    with (
        pytest.raises(DatabaseError, match=r"lingting\.db.*not a database"),
        opened(f"sqlite:///{tmp_path}/lingting.db"),
    ):
        pass


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("sqlite:///file:x?mode=memory&uri=true", "must be a file"),
        ("nonsense", "not a SQLAlchemy URL"),
        ("oracle9://x", "cannot be used"),
        ("sqlite:////proc/nowhere/lingting.db", "LINGTING_DATA_DIR"),
        ("postgresql+psycopg://lingting:hunter2@127.0.0.1:1/x", "cannot be opened"),
    ],
)
def test_a_url_that_cannot_work_is_refused_in_words_without_its_password(url: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said) as caught, opened(url):
        pass
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_change_by_another_connection_is_noticed_and_reading_is_not(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'lingting.db'}"
    with opened(url) as directory:
        changes = Changes(Database(url, COMMAND_SECONDS), CHECK_SECONDS)
        before = changes.version()
        directory.apps()
        assert changes.version() == before
        directory.create_app(new("bot"))
        assert changes.version() != before
        changes.close()


def test_no_secret_is_stored(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path / 'lingting.db'}") as directory:
        app, key = directory.create_app(new("bot")), directory.create_key(new("ci"))
        rotated = directory.rotate_app(app.app.id, grace_seconds=60)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert app.app.id.encode() in stored
    for secret in (app.app_secret, rotated.app_secret, key.key):
        assert secret.encode() not in stored


def test_a_limit_that_only_a_newer_version_knows_is_passed_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'lingting.db'}"
    with opened(url) as directory:
        database = Database(url, COMMAND_SECONDS)
        with database.managing() as connection:
            connection.execute(sa.update(tenants).values(limits={"streams": 3, "of_the_future": 1}))
        assert directory.tenant("default").limits.as_dict() == {"streams": 3}
        database.close()


def test_opening_twice_in_one_process_keeps_what_other_processes_write_in_sight(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'lingting.db'}"
    write = (
        "import sys; from lingting.access.directory import opened\n"
        "with opened(sys.argv[1]) as directory: directory.create_tenant(sys.argv[2])"
    )
    serving, again = Database(url, COMMAND_SECONDS), Database(url, COMMAND_SECONDS)
    serving.open()
    with serving.reading() as connection:
        connection.execute(sa.select(tenants)).all()
    again.open()
    again.close()
    for name in ("first", "second", "third"):
        subprocess.run([sys.executable, "-c", write, url, name], check=True, timeout=60)
        with serving.reading() as connection:
            assert name in connection.execute(sa.select(tenants.c.name)).scalars().all()
    serving.close()


def test_a_database_of_the_first_release_keeps_all_it_holds(empty_url: str) -> None:
    database = Database(empty_url, COMMAND_SECONDS)
    if database.is_sqlite:
        database._create_private_file()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in FIRST_RELEASE:
            connection.execute(sa.text(statement))
        key = connection.execute(sa.select(state.c.value).where(state.c.name == "signing_key")).scalar_one()
    database.close()

    with opened(empty_url) as directory:
        acme, default = directory.tenant("acme"), directory.tenant("default")
        assert (acme.note, acme.limits.as_dict(), acme.hot_words) == ("first", {"streams": 3}, ("张玮婷",))
        assert (acme.weight, default.weight) == (1.0, 1.0)
        assert [(app.id, app.tenant, app.scopes) for app in directory.apps()] == [
            ("cli_0000000000000001", "acme", ("audio:flash",))
        ]
        (row,) = directory.usage(date(2026, 11, 1), date(2026, 11, 1), ["tenant"])
        assert row == {"tenant": "acme", "requests": 7, "errors": 1, "audio_seconds": 12.0}
        directory.set_weight("acme", 2.5)
        assert [entry.action for entry in directory.audit()] == ["tenant.weight"]
    again = Database(empty_url, COMMAND_SECONDS)
    with again.reading() as connection:
        assert connection.execute(sa.select(state.c.value).where(state.c.name == "signing_key")).scalar_one() == key
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    again.close()


FIRST_RELEASE = (
    "INSERT INTO tenants (id, name, note, limits, hot_words, disabled, created_at)"
    """ VALUES ('tenant_1', 'acme', 'first', '{"streams"\\: 3}', '["张玮婷"]', false, 1780000000.5)""",
    "INSERT INTO apps (id, tenant_id, name, owner, note, scopes, hot_words, secret_hash, secret_version, disabled,"
    """ created_at) VALUES ('cli_0000000000000001', 'tenant_1', 'bot', 'Ada', '', '["audio\\:flash"]', '[]', 'x', 1,"""
    " false, 1780000000.5)",
    "INSERT INTO usage (tenant_id, day, credential_id, interface, model, requests, errors, audio_seconds)"
    " VALUES ('tenant_1', '2026-11-01', 'cli_0000000000000001', 'flash', 'whisper-base', 7, 1, 12.25)",
)
"""Rows as the first release wrote them."""
