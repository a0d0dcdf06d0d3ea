"""How a start says where the page is and how to sign in."""

from __future__ import annotations

import itertools
import re
import sys

import pytest
import segno

from lingting import command_name
from lingting.cli import banner


def test_a_server_for_this_machine_shows_one_link_and_a_server_for_all_another_for_phones() -> None:
    codes = iter(["one", "two", "three"])
    local = banner.invitation("http://127.0.0.1:8300", lambda: next(codes))
    assert re.findall(r"http\S+", local) == ["http://127.0.0.1:8300/#sign-in=one"]
    for_all = banner.invitation("https://10.1.2.3:8300", lambda: next(codes))
    assert re.findall(r"http\S+", for_all) == [
        "https://10.1.2.3:8300/#sign-in=two",
        "https://10.1.2.3:8300/#sign-in=three",
    ]


def test_a_terminal_shows_the_link_for_phones_as_a_qr_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    shown = banner.invitation("http://10.1.2.3:8300", lambda: "code")
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown.splitlines() if "\x1b" in line]
    halves = {" ": (1, 1), "▄": (1, 0), "▀": (0, 1), "█": (0, 0)}
    rows = list(
        itertools.chain.from_iterable(
            ([halves[each][0] for each in line], [halves[each][1] for each in line]) for line in lines
        )
    )
    wanted = [list(row) for row in segno.make("http://10.1.2.3:8300/#sign-in=code", error="l").matrix_iter(border=2)]
    assert [[int(bool(each)) for each in row] for row in wanted] == rows[: len(wanted)]


def test_names_of_commands_are_those_that_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setattr(sys, "argv", [f"{tmp_path}/.venv/bin/lingting", "serve"])
    assert command_name.typed() == ".venv/bin/lingting"
    assert command_name.as_typed("`lingting keys list` shows all; reinstall the lingting package") == (
        "`.venv/bin/lingting keys list` shows all; reinstall the lingting package"
    )
    monkeypatch.setattr(sys, "argv", ["/opt/lingting/bin/lingting", "serve"])
    assert command_name.typed() == "/opt/lingting/bin/lingting"
