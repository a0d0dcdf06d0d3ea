"""What to type for the `lingting` command on this machine."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

_VERBS = "serve|transcribe|listen|doctor|ready|models|tenants|apps|keys|tokens|audit|usage|settings"
_NAMED = re.compile(rf"(?<![\w./-])lingting (?=(?:{_VERBS})\b)")


def typed() -> str:
    """How this command is typed here: `lingting` where the shell finds it, else its path."""
    own = Path(sys.argv[0])
    found = shutil.which("lingting")
    if own.name != "lingting" or (found and Path(found).resolve() == own.resolve()):
        return "lingting"
    own = own.absolute()
    return shlex.quote(os.path.relpath(own) if own.is_relative_to(Path.cwd()) else str(own))


def as_typed(text: str) -> str:
    """A message in which every command, such as `lingting keys create`, can be typed as it stands."""
    return _NAMED.sub(lambda _: f"{typed()} ", text)
