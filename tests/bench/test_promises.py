"""What the commands that load a server print, and how they end."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence

import pytest

from bench.place import Place
from bench.promises import Result, command
from bench.targets import at_least, at_most


def run(result: Result, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of a command that finds this."""
    monkeypatch.setattr("sys.argv", ["command", *arguments])
    monkeypatch.setenv("LINGTING_MODEL", "whisper-base")

    def find(given: argparse.Namespace, place: Place, say: Callable[[str], None]) -> Result:
        say(f"quick: {given.quick}")
        return result

    return command("What it does.", find, lambda parser: None)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("measured", "failures", "code"), [(1.9, [], 0), (2.0, [], 0), (2.1, [], 1), (1.0, ["a call failed"], 1)]
)
def test_a_broken_promise_or_a_failure_is_exit_code_1(
    measured: float,
    failures: Sequence[str],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    promises = [at_most("final text", measured, 2, "s"), at_least("streams", 3, 1, "")]
    result = Result({"streams_played": 3}, promises, failures)
    assert run(result, monkeypatch, "--quick") == code
    printed = capsys.readouterr()
    assert "quick: True" in printed.err
    assert "streams played" in printed.out
    assert ("not reached" in printed.out) is (measured > 2)
    assert all(failure in printed.out for failure in failures)
    assert run(result, monkeypatch, "--json") == code
    told = json.loads(capsys.readouterr().out)
    assert told["kept"] is (code == 0)
    assert [promise["reached"] for promise in told["promises"]] == [measured <= 2, True]
