"""Optional parts: how to install what one of them needs, as a command that works as it is printed."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import sys
from pathlib import Path


def install_command(extra: str) -> str:
    """The command that installs what an extra of `pyproject.toml` needs into this environment.

    It names the packages themselves and never `lingting[…]`: Lingting is on no index, so that name could be anybody's.
    """
    ending = f'extra == "{extra}"'
    declared = importlib.metadata.requires("lingting") or []
    wanted = [line.partition(";")[0].strip() for line in declared if line.replace("'", '"').endswith(ending)]
    python = os.path.relpath(sys.executable) if Path(sys.executable).is_relative_to(Path.cwd()) else sys.executable
    return shlex.join([python, "-m", "pip", "install", *wanted])
