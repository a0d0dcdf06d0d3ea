"""The `lingting` command as a person types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from lingting.access.principal import ALL_SCOPES
from lingting.cli.models import ensure
from lingting.errors import ModelError
from lingting.models import Store
from tests.conftest import LINGTING


def lingting(*arguments: str, data_dir: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command with its data in `data_dir`."""
    environment = {**os.environ, "LINGTING_DATA_DIR": str(data_dir), "NO_COLOR": "1", "COLUMNS": "120", **settings}
    return subprocess.run([str(LINGTING), *arguments], env=environment, capture_output=True, text=True, check=False)


def test_help_lists_the_commands_and_imports_none_of_them(tmp_path: Path) -> None:
    shown = lingting("--help", data_dir=tmp_path)
    assert shown.returncode == 0
    for command in ("serve", "models", "tenants", "apps", "keys", "usage", "settings"):
        assert f" {command} " in shown.stdout
    heavy = (
        "import sys; sys.argv[1:] = ['--help']\nfrom lingting.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    )
    heavy += "print('imported', sorted({'numpy', 'ctranslate2', 'sqlalchemy', 'starlette', 'av'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert "imported []" in run.stdout


@pytest.mark.parametrize("command", [[], ["keys", "create"], ["transcribe"], ["listen"], ["models", "list"]])
def test_help_shows_flags_without_a_value(tmp_path: Path, command: list[str]) -> None:
    shown = lingting(*command, "--help", data_dir=tmp_path)
    assert shown.returncode == 0
    assert "--help" in shown.stdout
    assert "bool" not in shown.stdout


def test_help_names_every_scope(tmp_path: Path) -> None:
    shown = lingting("keys", "create", "--help", data_dir=tmp_path).stdout
    assert all(scope in shown for scope in ALL_SCOPES)


def test_the_version_is_shown(tmp_path: Path) -> None:
    shown = lingting("--version", data_dir=tmp_path)
    assert shown.returncode == 0
    assert shown.stdout.startswith("lingting 0.")


def test_an_unknown_command_is_named(tmp_path: Path) -> None:
    shown = lingting("srve", data_dir=tmp_path)
    assert shown.returncode == 2
    assert "srve" in shown.stderr


@pytest.mark.parametrize("command", [["settings"], ["models", "list"], ["serve"], ["apps", "list"]])
def test_a_wrong_setting_is_one_line_and_exit_code_1(tmp_path: Path, command: list[str]) -> None:
    shown = lingting(*command, data_dir=tmp_path, LINGTING_PORT="99999")
    assert shown.returncode == 1
    assert shown.stdout == ""
    assert shown.stderr.startswith("lingting: invalid setting LINGTING_PORT in the environment")
    assert shown.stderr.count("\n") == 1


def test_debug_shows_the_whole_trace(tmp_path: Path) -> None:
    shown = lingting("--debug", "models", "verify", "whisper-base", data_dir=tmp_path)
    assert shown.returncode == 1
    assert "Traceback" in shown.stderr
    assert "ModelError" in shown.stderr


def test_settings_show_value_origin_and_description(tmp_path: Path) -> None:
    (tmp_path / "lingting.toml").write_text("stream_window = 8\n")
    shown = lingting("settings", "--json", data_dir=tmp_path, LINGTING_PORT="9000")
    rows = {row["name"]: row for row in json.loads(shown.stdout)}
    assert (rows["LINGTING_PORT"]["value"], rows["LINGTING_PORT"]["default"]) == (9000, 8300)
    assert rows["LINGTING_PORT"]["source"] == "environment"
    assert rows["LINGTING_STREAM_WINDOW"]["source"] == str(tmp_path / "lingting.toml")
    assert rows["LINGTING_HOST"]["source"] == "default"
    assert all(row["description"] for row in rows.values())
    plain = lingting("settings", data_dir=tmp_path, LINGTING_PORT="9000").stdout
    assert "LINGTING_PORT=9000  (environment; default 8300)" in plain


def test_settings_hide_the_passwords_of_addresses(tmp_path: Path) -> None:
    shown = lingting("settings", data_dir=tmp_path, LINGTING_DATABASE_URL="postgresql+psycopg://user:hidden@host/name")
    assert "postgresql+psycopg://user:***@host/name" in shown.stdout
    assert "hidden" not in shown.stdout


def test_a_model_is_installed_verified_listed_and_removed(tmp_path: Path) -> None:
    for command, done in (("pull", "installed"), ("verify", "verified")):
        shown = lingting("models", command, "whisper-base", "--json", data_dir=tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert json.loads(shown.stdout)["done"] == done
    rows = {row["name"]: row for row in json.loads(lingting("models", "list", "--json", data_dir=tmp_path).stdout)}
    assert rows["whisper-base"]["installed"]
    assert rows["whisper-base"]["embedded"]
    assert not rows["whisper-small"]["installed"]
    assert "whisper-base" in lingting("models", "list", data_dir=tmp_path).stdout
    assert lingting("models", "remove", "whisper-base", "--yes", data_dir=tmp_path).returncode == 0
    assert [entry.name for entry in (tmp_path / "models").iterdir()] == [".store"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "whisper-huge"], "unknown model 'whisper-huge'"),
        (["verify", "whisper-base"], "lingting models pull whisper-base"),
        (["remove", "whisper-base"], "the model whisper-base is not installed"),
        (["verify", "../x"], "cannot be the name of a model"),
    ],
)
def test_a_model_that_is_not_there_is_one_line_and_exit_code_1(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    shown = lingting("models", *arguments, data_dir=tmp_path)
    assert shown.returncode == 1
    assert message in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_a_data_folder_that_cannot_be_written_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shown = lingting("models", "pull", "whisper-base", data_dir=tmp_path / "file")
    assert shown.returncode == 1
    assert "nothing was installed (LINGTING_DATA_DIR names another folder)" in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_an_interrupted_installation_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("lingting.models.install"), "install", interrupted)
    with pytest.raises(ModelError, match="interrupted; nothing was installed"):
        ensure(Store.at(tmp_path), "whisper-base")
