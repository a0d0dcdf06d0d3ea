"""The Makefile and the set-up script, without installing anything."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requirements import require_program

ROOT = Path(__file__).resolve().parents[1]


def make(*arguments: str) -> str:
    return subprocess.run(
        [require_program("make"), "--no-print-directory", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_make_alone_prints_the_help() -> None:
    assert make() == make("help")


def test_help_lists_every_target_that_the_readme_names() -> None:
    shown = make("help")
    for readme in ("README.md", "README.zh.md", "CONTRIBUTING.md"):
        for target in re.findall(r"`?make ([a-z-]+)", (ROOT / readme).read_text(encoding="utf-8")):
            assert f"  make {target} " in shown, f"{readme} names make {target}"


def find_python(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "find_python.sh")],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_python_that_is_named_is_taken() -> None:
    assert find_python(PYTHON=sys.executable).stdout.strip() == sys.executable


def test_without_a_python_that_fits_the_message_says_what_to_install(tmp_path: Path) -> None:
    shown = find_python(PATH=str(tmp_path), PYTHON="")
    assert shown.returncode == 1
    assert "No Python 3.11 or newer" in shown.stderr
    assert "apt-get install python3 python3-venv" in shown.stderr


def test_a_python_that_does_not_fit_is_refused_by_name() -> None:
    shown = find_python(PYTHON="/bin/false")
    assert shown.returncode == 1
    assert "/bin/false is not a Python 3.11 or newer" in shown.stderr


def set_up(environment: Path, profile: str = "serve") -> subprocess.CompletedProcess[str]:
    """Run the set-up with a folder whose pip always fails, so that nothing is ever installed."""
    script = ROOT / "scripts" / "setup_environment.py"
    return subprocess.run(
        [sys.executable, str(script), profile, str(environment)],
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/nonexistent", "PIP_CONFIG_FILE": os.devnull},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_set_up_that_fails_says_so_and_is_not_taken_for_done(tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    lock = Path(in_set_up("lock_of(environment)", tmp_path / "another"))
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another is being made meanwhile, for which this one does not wait
        shown = set_up(environment)
    assert shown.returncode == 1
    assert "The set-up failed" in shown.stderr
    assert not (environment / "installed.json").exists()
    assert (environment / "unfinished").exists(), "the next run makes it anew"


def test_a_set_up_that_is_complete_does_nothing(tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").touch()
    keys = json.loads(in_set_up("json.dumps({name: key(name, environment) for name in LOCKS})", environment))
    (environment / "installed.json").write_text(json.dumps(keys))
    for profile in ("serve", "dev"):
        shown = set_up(environment, profile)
        assert (shown.returncode, shown.stdout, shown.stderr) == (0, "", "")


def test_a_set_up_is_not_complete_with_another_lock_or_when_it_was_cut_short(tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").touch()
    stamp = environment / "installed.json"
    stamp.write_text(in_set_up("json.dumps({'serve': key('serve', environment)})", environment))
    assert in_set_up("up_to_date(environment, 'serve')", environment) == "True"
    assert in_set_up("up_to_date(environment, 'dev')", environment) == "False"
    (environment / "unfinished").touch()
    assert in_set_up("up_to_date(environment, 'serve')", environment) == "False"
    (environment / "unfinished").unlink()
    stamp.write_text('{"serve": "of an older lock"}')
    assert in_set_up("up_to_date(environment, 'serve')", environment) == "False"


def in_set_up(expression: str, environment: Path) -> str:
    """What an expression in the set-up script's module gives."""
    code = "import sys; sys.path.insert(0, 'scripts'); from setup_environment import *\n"
    code += f"environment = Path(sys.argv[1]); print({expression})"
    done = subprocess.run(
        [sys.executable, "-c", code, str(environment)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("stays", ["environment", "environment/bin"])
def test_an_environment_that_this_user_cannot_read_is_one_line_that_says_what_to_do(tmp_path: Path, stays: str) -> None:
    (tmp_path / "environment" / "bin").mkdir(parents=True)
    unreadable = tmp_path / stays
    code = "import os, sys; sys.path.insert(0, 'scripts'); import setup_environment\n"
    code += "if os.geteuid() == 0: os.seteuid(65534)  # root can read everything\n"
    code += "sys.exit(setup_environment.main())"
    unreadable.chmod(0)
    try:
        shown = subprocess.run(
            [sys.executable, "-c", code, "serve", str(tmp_path / "environment")],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        unreadable.chmod(0o700)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.count("\n") == 1
    assert "cannot be used by this user: run make as the user who set it up" in shown.stderr
