"""What a test needs beside Python: it is skipped with the reason where that is absent.

With `LINGTING_FORBID_SKIPS=1` it fails instead: CI sets that after installing everything. What the kernel or a sandbox
forbids nobody can install: such a test says so with `pytest.skip`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from bench.recordings import CACHE


def missing(reason: str) -> NoReturn:
    """Skip the test for a reason that lies in the machine, or fail it where such skips are forbidden."""
    if os.environ.get("LINGTING_FORBID_SKIPS") == "1":
        pytest.fail(f"{reason} (skips are forbidden here)", pytrace=False)
    pytest.skip(reason)


def require_program(*names: str) -> str:
    """The path of the first of these programs that is installed; without one the test is skipped."""
    for name in names:
        if path := shutil.which(name):
            return path
    missing(f"{' or '.join(names)} is not installed")


def npm_packages(here: Path, *names: str) -> Path:
    """The folder with what `here`'s package-lock.json names, installed once, and copies of `names` from there."""
    require_program("node")
    lock = (here / "package-lock.json").read_bytes()
    folder = CACHE / f"node-{hashlib.sha256(lock).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        for name in ("package.json", "package-lock.json", *names):
            shutil.copy(here / name, folder / name)
        if not (folder / "installed").exists():
            command = [require_program("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                missing(f"npm cannot install what {here.name} needs: {done.stderr.strip().splitlines()[:1]}")
            (folder / "installed").touch()
    return folder
