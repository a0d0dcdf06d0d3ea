"""The commands `lingting tenants|apps|keys|usage` as an operator types them and as scripts read them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lingting.access import Access, InvalidCredential, Principal
from lingting.access.errors import ManagementError
from lingting.cli import app as lingting
from lingting.settings import Settings
from tests.access.door import record
from tests.conftest import LINGTING

THREE_SCOPES = ["audio:flash", "audio:transcriptions", "speech_to_text:speech"]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Where the command looks without a setting."""
    return sqlite_url


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINGTING_DATA_DIR", str(tmp_path))
    return tmp_path


def run(*arguments: str, code: int = 0, answer: str = "") -> Any:
    """Run the command in this process."""
    result = CliRunner().invoke(lingting, arguments, input=answer)
    if code == 0 and result.exception:
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def read(*arguments: str) -> Any:
    """Run the command with --json and read what it prints."""
    return json.loads(run(*arguments, "--json").stdout)


def fails(*arguments: str) -> str:
    """The one line that says why a command cannot be carried out."""
    result = CliRunner().invoke(lingting, arguments)
    assert isinstance(result.exception, ManagementError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_a_new_app_is_printed_for_scripts() -> None:
    made = read("apps", "create", "bot")
    assert re.fullmatch(r"cli_[0-9a-f]{16}", made["app_id"])
    assert re.fullmatch(r"[A-Za-z0-9]{32}", made["app_secret"])
    assert (made["scopes"], made["tenant"], made["owner"], made["models"]) == (THREE_SCOPES, "default", "bot", None)


def test_a_new_key_is_printed_for_scripts() -> None:
    made = read("keys", "create", "ci")
    assert re.fullmatch(r"lt-[A-Za-z0-9_-]{32,}", made["key"])
    assert made["scopes"] == THREE_SCOPES


def test_a_key_for_the_operators_view_can_also_speak() -> None:
    made = read("keys", "create", "watcher", "--operator")
    assert set(made["scopes"]) == {*THREE_SCOPES, "operator"}


@pytest.mark.parametrize("kind", ["apps", "keys"])
def test_everything_that_was_said_of_a_credential_is_shown(kind: str) -> None:
    run("tenants", "create", "acme")
    said = ["--tenant", "acme", "--scope", "audio:flash", "--scope", "operator", "--model", "x-asr", "--owner", "王芳"]
    made = read(kind, "create", "bot", *said, "--note", "for the lift", "--expires", "30d")
    shown = read(kind, "show", made["id"])
    assert shown["scopes"] == ["audio:flash", "operator"]
    assert (shown["tenant"], shown["models"], shown["owner"], shown["note"]) == (
        "acme",
        ["x-asr"],
        "王芳",
        "for the lift",
    )
    left = datetime.fromisoformat(shown["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    for text in (run(kind, "show", "bot").stdout, run(kind, "list").stdout):
        assert "王芳" in text
        assert "x-asr" in text
        assert made["id"] in text


@pytest.mark.parametrize("kind", ["apps", "keys"])
def test_a_secret_is_shown_once(kind: str) -> None:
    first = read(kind, "create", "bot")
    second = read(kind, "rotate", "bot", "--grace", "1h")
    secret = "app_secret" if kind == "apps" else "key"
    assert first[secret] != second[secret]
    assert first["id"] == second["id"]
    assert second["previous_valid_until"]
    shown = [
        run(kind, *rest).stdout for rest in (["list"], ["list", "--json"], ["show", "bot"], ["show", "bot", "--json"])
    ]
    for made in (first, second):
        assert not [text for text in shown if made[secret] in text]


@pytest.mark.parametrize("kind", ["apps", "keys"])
def test_people_read_the_secret_too(kind: str) -> None:
    text = run(kind, "create", "bot").stdout
    assert "once" in text
    assert re.search(r"app_secret +[A-Za-z0-9]{32}$" if kind == "apps" else r"key +lt-[\w-]{43}$", text, re.MULTILINE)


@pytest.mark.parametrize("kind", ["apps", "keys"])
def test_a_credential_is_disabled_enabled_and_deleted_by_name_or_id(kind: str) -> None:
    made = read(kind, "create", "bot")
    assert read(kind, "disable", "bot")["state"] == "disabled"
    assert read(kind, "show", made["id"])["disabled"] is True
    assert read(kind, "enable", made["id"])["state"] == "enabled"
    assert read(kind, "delete", "bot", "--yes")["state"] == "deleted"
    assert read(kind, "list") == []


@pytest.mark.parametrize("kind", ["tenants", "apps", "keys"])
def test_deleting_asks_first(kind: str) -> None:
    run(kind, "create", "bot")
    run(kind, "delete", "bot", code=1, answer="n\n")
    run(kind, "delete", "bot", code=1)
    assert [row["name"] for row in read(kind, "list") if row["name"] == "bot"]
    run(kind, "delete", "bot", answer="y\n")
    assert not [row["name"] for row in read(kind, "list") if row["name"] == "bot"]


@pytest.mark.parametrize("kind", ["apps", "keys"])
def test_two_of_one_name_are_told_apart_by_id(kind: str) -> None:
    ids = [read(kind, "create", "bot")["id"] for _ in range(2)]
    said = fails(kind, "disable", "bot")
    assert all(identifier in said for identifier in ids)
    run(kind, "disable", ids[0])
    assert [row["state"] for row in read(kind, "list")] == ["disabled", "enabled"]


def test_lists_can_be_of_one_tenant() -> None:
    run("tenants", "create", "acme")
    for tenant in ("acme", "default"):
        run("apps", "create", f"app of {tenant}", "--tenant", tenant)
        run("keys", "create", f"key of {tenant}", "--tenant", tenant)
    assert [row["name"] for row in read("apps", "list", "--tenant", "acme")] == ["app of acme"]
    assert [row["name"] for row in read("keys", "list", "--tenant", "acme")] == ["key of acme"]
    assert len(read("apps", "list")) == 2


def test_a_tenants_limits_are_set_and_given_back() -> None:
    made = read("tenants", "create", "acme", "--limit", "streams=40", "--note", "pays for more")
    assert (made["limits"], made["note"]) == ({"streams": 40}, "pays for more")
    limits = read("tenants", "limits", "acme", "--limit", "streams=default", "--limit", "audio-seconds-per-day=3600")
    assert limits["limits"] == {"audio_seconds_per_day": 3600}
    assert read("tenants", "show", made["id"])["limits"] == {"audio_seconds_per_day": 3600}


@pytest.mark.parametrize("kind", ["tenants", "apps", "keys"])
def test_hot_words_are_added_listed_removed_and_read_from_a_file(kind: str, tmp_path: Path) -> None:
    run(kind, "create", "bot")
    listed = tmp_path / "words.txt"
    listed.write_bytes("\ufeff盛源\r\n\r\n  Lingting \n上海，南京\n".encode())
    assert read(kind, "hot-words", "bot", "--add", "停滞", "--add", "楼市")["hot_words"] == ["停滞", "楼市"]
    changed = read(kind, "hot-words", "bot", "--remove", "停滞", "--file", str(listed))
    assert changed["hot_words"] == ["楼市", "盛源", "Lingting", "上海", "南京"]
    assert read(kind, "hot-words", "bot") == changed == read(kind, "show", "bot")
    assert "楼市, 盛源, Lingting" in run(kind, "show", "bot").stdout
    assert "hot_words" not in run(kind, "list").stdout
    run(kind, "hot-words", "bot", "--clear", "--file", "-", answer="停滞\n")
    assert read(kind, "show", "bot")["hot_words"] == ["停滞"]
    assert read(kind, "hot-words", "bot", "--clear")["hot_words"] == []


def test_a_file_of_hot_words_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes("停滞".encode("gb18030"))
    assert "UTF-8" in fails("tenants", "hot-words", "default", "--file", str(tmp_path / "words.txt"))


def test_a_tenant_is_disabled_enabled_and_deleted_with_what_it_has() -> None:
    run("tenants", "create", "acme")
    run("apps", "create", "bot", "--tenant", "acme")
    assert read("tenants", "disable", "acme")["state"] == "disabled"
    assert read("tenants", "enable", "acme")["state"] == "enabled"
    run("tenants", "delete", "acme", "--yes")
    assert read("apps", "list") == []
    assert [row["name"] for row in read("tenants", "list")] == ["default"]


def test_the_key_of_tokens_is_replaced_at_once_only_when_that_is_meant() -> None:
    until = datetime.fromisoformat(read("tokens", "rotate-key")["old_tokens_valid_until"])
    assert timedelta(hours=1, minutes=59) < until - datetime.now(UTC) <= timedelta(hours=2, minutes=1)
    assert "go on until" in run("tokens", "rotate-key", "--grace", "10m").stdout
    assert "every token" in run("tokens", "rotate-key", "--now", code=1, answer="n\n").stderr
    assert read("tokens", "rotate-key", "--now", "--yes") == {"old_tokens_valid_until": None}
    assert "log" in run("tokens", "rotate-key", "--now", answer="y\n").stdout
    run("tokens", "rotate-key", "--now", "--grace", "1h", code=2)


@pytest.mark.parametrize(
    ("arguments", "next_step"),
    [
        (("apps", "show", "nobody"), "lingting apps list"),
        (("keys", "rotate", "nobody"), "lingting keys list"),
        (("keys", "show", "lt-" + "A" * 43), "lingting keys list"),
        (("tenants", "show", "nobody"), "lingting tenants list"),
        (("apps", "create", "bot", "--tenant", "nobody"), "lingting tenants create"),
        (("apps", "create", "bot", "--scope", "everything"), "speech_to_text:speech, audio:flash"),
        (("keys", "create", "ci", "--expires", "2020-01-01"), "in the past"),
        (("apps", "create", ""), "1 to 200 printable characters"),
        (("apps", "create", "x" * 201), "1 to 200 printable characters"),
        (("apps", "create", "a\nb"), "1 to 200 printable characters"),
        (("apps", "create", "bot", "--owner", "a\tb"), "an owner needs 1 to 200 printable characters"),
        (("keys", "create", "ci", "--model", ""), "a model's name needs 1 to 200"),
        (("keys", "create", "ci", "--note", "bell \a"), "a note needs printable characters"),
        (("tenants", "create", "default"), "already"),
        (("tenants", "delete", "default", "--yes"), "disable it instead"),
        (("tenants", "limits", "default", "--limit", "spoons=3"), "streams"),
        (("tenants", "limits", "default", "--limit", "streams=0"), "at least 1"),
        (("tenants", "hot-words", "default", "--add", "x" * 65), "64 characters, got 65"),
        (("apps", "hot-words", "nobody", "--add", "x"), "lingting apps list"),
        (("usage", "--by", "colour"), "tenant, app, interface, model, day"),
    ],
)
def test_what_cannot_be_done_says_what_can(arguments: tuple[str, ...], next_step: str) -> None:
    said = fails(*arguments)
    assert next_step in said
    assert "A" * 43 not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("apps", "create"),
        ("apps", "create", "bot", "--expires", "soon"),
        ("apps", "create", "bot", "--expires", "999999999999d"),
        ("apps", "rotate", "bot", "--grace", "-1h"),
        ("tenants", "limits", "default", "--limit", "streams"),
        ("tenants", "limits", "default", "--limit", "streams=many"),
        ("usage", "--from", "yesterday"),
        ("usage", "--from", "2026-02-01", "--to", "2026-01-01"),
        ("usage", "--csv", "--json"),
    ],
)
def test_a_command_typed_wrong_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    result = run(*arguments, code=2)
    assert result.stdout == ""
    assert "Usage:" in result.stderr


@pytest.mark.anyio
async def test_usage_is_printed_as_table_csv_and_json(
    node: Callable[..., AbstractAsyncContextManager[Access]],
) -> None:
    who = Principal("default", "default", None, "key_1", "x", frozenset())
    async with node() as access:
        record(access.usage, who, "file", "whisper-base", 1234.4)
        record(access.usage, who, "flash", "whisper-base", 2, error=True)
    dates = ("usage", "--from", "2027-01-01", "--to", "2027-01-31")
    rows = read(*dates, "--by", "tenant,interface,day")
    assert rows == [
        {
            "tenant": "default",
            "interface": "file",
            "day": "2027-01-15",
            "requests": 1,
            "errors": 0,
            "audio_seconds": 1234.0,
        },
        {
            "tenant": "default",
            "interface": "flash",
            "day": "2027-01-15",
            "requests": 1,
            "errors": 1,
            "audio_seconds": 2.0,
        },
    ]
    printed = run(*dates, "--by", "tenant,interface,day", "--csv").stdout
    assert list(csv.DictReader(io.StringIO(printed))) == [
        {name: str(value) for name, value in row.items()} for row in rows
    ]
    assert "1,234" in run(*dates).stdout
    assert "none" in run("usage", "--from", "2020-01-01", "--to", "2020-01-31").stdout


@pytest.mark.anyio
async def test_the_real_command_works_while_a_server_holds_the_database(
    node: Callable[..., AbstractAsyncContextManager[Access]], settings: Settings
) -> None:
    async with node() as access:
        app = json.loads(command("apps", "create", "bot", "--json").stdout)
        key = json.loads(command("keys", "create", "ci", "--json").stdout)
        token = (await access.issue_token(app["app_id"], app["app_secret"])).token
        assert (await access.authenticate(token)).app_id == app["app_id"]
        assert (await access.authenticate(key["key"])).owner == "ci"
        command("apps", "disable", "bot")
        command("keys", "rotate", "ci")
        for bearer in (token, key["key"]):
            with pytest.raises(InvalidCredential):
                await access.authenticate(bearer)


def test_the_real_command_fails_in_one_line_with_exit_code_1() -> None:
    done = command("apps", "show", "nobody", code=1)
    assert done.stdout == ""
    assert re.fullmatch(r"lingting: there is no app 'nobody'; `\S*lingting apps list` shows all\n", done.stderr)


def test_the_real_command_says_in_one_line_that_the_database_cannot_be_opened(data_dir: Path) -> None:
    (data_dir / "lingting.db").mkdir()
    done = command("keys", "list", code=1)
    assert done.stderr.startswith("lingting: the database")
    assert done.stderr.count("\n") == 1


def command(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own."""
    done = subprocess.run(
        [LINGTING, *arguments], check=False, capture_output=True, text=True, env=os.environ, timeout=60
    )
    assert done.returncode == code, done.stderr
    return done


def test_a_tenants_weight_is_set_and_shown() -> None:
    run("tenants", "create", "acme")
    assert read("tenants", "show", "acme")["weight"] == 1
    assert "weight" not in run("tenants", "list").stdout
    assert read("tenants", "weight", "acme", "2.5")["weight"] == 2.5
    assert "2.5" in run("tenants", "list").stdout
    for wrong in ("0", "1000", "nan"):
        assert "from 0.01 to 100" in fails("tenants", "weight", "acme", wrong)


def test_changes_are_listed_for_people_and_programs() -> None:
    made = read("keys", "create", "ci", "--scope", "audio:flash")
    run("keys", "rotate", "ci", "--grace", "1h")
    run("keys", "delete", "ci", "--yes")
    entries = read("audit")
    assert [entry["action"] for entry in entries] == ["key.create", "key.rotate", "key.delete"]
    assert {(entry["subject_id"], entry["tenant_name"]) for entry in entries} == {(made["id"], "default")}
    assert entries[0]["details"]["scopes"] == ["audio:flash"]
    assert entries[1]["details"] == {"grace_seconds": 3600}
    assert datetime.fromisoformat(entries[0]["at"]).tzinfo is not None
    assert all(entry["actor"] and entry["origin"] for entry in entries)
    table = run("audit").stdout
    assert "key.rotate" in table
    assert made["key"] not in table
    assert read("audit", "--to", "2020-01-01") == []
