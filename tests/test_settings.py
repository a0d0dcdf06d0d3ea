"""Settings: where they come from, and that a wrong one stops the start with its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from lingting import settings
from lingting.errors import SettingsError


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINGTING_DATA_DIR", str(tmp_path))
    return tmp_path


def test_defaults_listen_on_loopback_port_8300() -> None:
    loaded = settings.load()
    assert (loaded.host, loaded.port, loaded.tls) == ("127.0.0.1", 8300, False)


def test_what_lies_in_the_data_folder_follows_it(data_dir: Path) -> None:
    loaded = settings.load()
    assert loaded.models_dir == data_dir / "models"
    assert loaded.database == f"sqlite:///{data_dir / 'lingting.db'}"


def test_the_environment_stands_above_the_file_and_the_file_above_the_default(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data_dir / "lingting.toml").write_text('port = 9000\nhost = "::1"\n')
    monkeypatch.setenv("LINGTING_PORT", "9001")
    loaded = settings.load()
    assert (loaded.host, loaded.port, loaded.log_level) == ("::1", 9001, "info")
    origin = settings.sources()
    assert (origin["host"], origin["port"], origin["log_level"]) == (
        str(data_dir / "lingting.toml"),
        "environment",
        "default",
    )


def test_a_file_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.toml").write_text("port = 9002\n")
    monkeypatch.setenv("LINGTING_CONFIG", str(tmp_path / "other.toml"))
    assert settings.load().port == 9002


def test_a_named_file_that_is_absent_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGTING_CONFIG", str(tmp_path / "absent.toml"))
    with pytest.raises(SettingsError, match=r"absent\.toml cannot be read"):
        settings.load()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LINGTING_PROT", "1", r"unknown setting LINGTING_PROT in the environment; did you mean LINGTING_PORT\?"),
        ("LINGTING_XYZZY", "1", "unknown setting LINGTING_XYZZY in the environment; `lingting settings` lists"),
        ("LINGTING_PORT", "99999", "LINGTING_PORT in the environment: .*less than or equal to 65535, got '99999'"),
        ("LINGTING_PORT", "http", "LINGTING_PORT in the environment: .*valid integer.*got 'http'"),
        ("LINGTING_LOG_LEVEL", "loud", "LINGTING_LOG_LEVEL in the environment: .*'debug', 'info'"),
        ("LINGTING_STREAM_IDLE_SECONDS", "0", "LINGTING_STREAM_IDLE_SECONDS in the environment: .*greater than 0"),
        ("LINGTING_CONVERT_NUMBERS", "perhaps", "LINGTING_CONVERT_NUMBERS in the environment"),
    ],
)
def test_a_wrong_value_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=message):
        settings.load()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("prot = 1", r"unknown setting prot in .*lingting\.toml; did you mean port\?"),
        ("port = -1", r"invalid setting port in .*lingting\.toml: .*greater than or equal to 0, got -1"),
        ("port = ", r"lingting\.toml cannot be read: Invalid value"),
        ("[port]\nnumber = 1", r"invalid setting port in .*lingting\.toml: .*valid integer"),
    ],
)
def test_a_wrong_line_of_the_file_is_named(data_dir: Path, content: str, message: str) -> None:
    (data_dir / "lingting.toml").write_text(content)
    with pytest.raises(SettingsError, match=message):
        settings.load()


def test_a_file_that_is_not_text_stops_the_start(data_dir: Path) -> None:
    (data_dir / "lingting.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"lingting\.toml cannot be read"):
        settings.load()


@pytest.mark.parametrize(
    ("given", "missing"), [("tls_certificate", "tls_key is missing"), ("tls_key", "tls_certificate is missing")]
)
def test_half_of_tls_is_refused(monkeypatch: pytest.MonkeyPatch, given: str, missing: str) -> None:
    monkeypatch.setenv(f"LINGTING_{given.upper()}", "/somewhere.pem")
    with pytest.raises(SettingsError, match=missing):
        settings.load()


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in settings.Settings.model_fields.items() if not field.description] == []


def test_a_node_of_a_cluster_needs_a_secret_and_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGTING_CLUSTER_ROLE", "home")
    with pytest.raises(SettingsError, match="cluster_secret is missing or short"):
        settings.load()
    monkeypatch.setenv("LINGTING_CLUSTER_SECRET", "a long random text for tests")
    assert settings.load().node
    monkeypatch.setenv("LINGTING_CLUSTER_NODE", "rack-1")
    assert settings.load().node == "rack-1"
    monkeypatch.setenv("LINGTING_JOURNAL", "disk")
    monkeypatch.setenv("LINGTING_JOURNAL_KEY", "a long random text for tests")
    with pytest.raises(SettingsError, match="a cluster keeps its journal"):
        settings.load()


def test_a_home_listens_on_host_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGTING_CLUSTER_LISTEN", "10.0.0.5")
    with pytest.raises(SettingsError, match=r"host:port such as 10\.0\.0\.5:8400"):
        settings.load()
