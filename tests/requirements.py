"""What a test needs beside Python: it is skipped with the reason where that is absent.

With `LINGTING_FORBID_SKIPS=1` it fails instead: CI sets that after installing everything.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


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
