"""A client's address behind reverse proxies: believed from those that are trusted, and from nobody else."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from lingting.api.http.proxies import Proxies
from lingting.errors import SettingsError
from lingting.operations.logs import FIELDS
from lingting.settings import Settings, load
from tests.api.serving import TENANT_TOKEN, Running, serving


def seen(peer: str, *forwarded: str, trusted: str = "127.0.0.1, 10.0.0.0/8,2001:db8::/32") -> str:
    """The address under which a request is seen that came from `peer` with these headers."""
    scope: dict[str, Any] = {
        "client": (peer, 50_000),
        "headers": [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded],
    }
    Proxies(Settings(trusted_proxies=trusted)).apply(scope)
    return str(scope["client"][0])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("::ffff:127.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", ["198.51.100.7, 10.1.2.3"], "198.51.100.7"),
        ("127.0.0.1", ["198.51.100.7", "10.1.2.3"], "198.51.100.7"),
        ("2001:db8::1", ["2001:0DB9::7"], "2001:db9::7"),
        ("127.0.0.1", ["[2001:db9::7]:4711"], "2001:db9::7"),
        ("127.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("127.0.0.1", ["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
        ("127.0.0.1", [], "127.0.0.1"),
    ],
)
def test_a_trusted_proxy_is_believed(peer: str, forwarded: list[str], client: str) -> None:
    assert seen(peer, *forwarded) == client


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
        ("198.51.100.7", ["127.0.0.1"], "198.51.100.7"),
        ("198.51.100.7", ["203.0.113.9, 10.1.2.3"], "198.51.100.7"),
        ("127.0.0.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", ["203.0.113.9", "198.51.100.7, 10.1.2.3"], "198.51.100.7"),
        ("127.0.0.1", ["198.51.100.7, unknown, 10.1.2.3"], "10.1.2.3"),
        ("127.0.0.1", ["unknown"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9," * 5000 + "198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", ["203.0.113.9" + ",10.1.1.1" * 3000], "10.1.1.1"),
    ],
)
def test_what_anybody_may_have_written_is_not_believed(peer: str, forwarded: list[str], client: str) -> None:
    assert seen(peer, *forwarded) == client


def test_nobody_is_trusted_unless_said() -> None:
    assert seen("127.0.0.1", "198.51.100.7", trusted="") == "127.0.0.1"


@given(st.text(st.characters(max_codepoint=255)))
def test_any_header_leaves_an_address(value: str) -> None:
    assert seen("127.0.0.1", value)
    assert seen("203.0.113.9", value) == "203.0.113.9"


@pytest.mark.parametrize("value", ["nginx", "10.0.0.0/33", "10.0.0.1/8", "127.0.0.1;10.0.0.1"])
def test_what_is_no_address_or_network_stops_the_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGTING_TRUSTED_PROXIES", value)
    with pytest.raises(SettingsError, match=r"LINGTING_TRUSTED_PROXIES.*127\.0\.0\.1,10\.0\.0\.0/8"):
        load()


def test_a_toml_list_is_taken_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lingting.toml").write_text('trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]')
    monkeypatch.setenv("LINGTING_DATA_DIR", str(tmp_path))
    assert load().trusted_proxies == "127.0.0.1/32,10.0.0.0/8"


def log_in(server: Running, client: str) -> int:
    """The code of a login with a wrong secret that a proxy passes on for `client`."""
    login = {"app_id": server.app.app.id, "app_secret": "wrong"}
    headers = {"X-Forwarded-For": client}
    code: int = requests.post(server.url + TENANT_TOKEN, json=login, headers=headers, timeout=20).json()["code"]
    return code


def test_logins_are_slowed_and_logged_by_the_address_behind_the_proxy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lingting.access_log")
    with serving(tmp_path, trusted_proxies="127.0.0.1", login_failures_per_minute=1) as server:
        codes = [log_in(server, client) for client in ("198.51.100.7", "198.51.100.7", "198.51.100.8")]
    assert codes == [10014, 99991400, 10014]
    assert [getattr(record, FIELDS)["client"] for record in caplog.records if hasattr(record, FIELDS)] == [
        "198.51.100.7",
        "198.51.100.7",
        "198.51.100.8",
    ]


def test_nobody_escapes_the_slowing_with_headers_of_his_own(tmp_path: Path) -> None:
    with serving(tmp_path, login_failures_per_minute=1) as server:
        assert [log_in(server, f"198.51.100.{number}") for number in range(3)] == [10014, 99991400, 99991400]
