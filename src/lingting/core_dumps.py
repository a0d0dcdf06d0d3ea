"""No core dumps: the memory of a server holds what people say, and a dump would write it to a disk."""

from __future__ import annotations

import sys

_DUMPS_NOTHING = 1 if sys.platform == "linux" else 0
"""Linux ignores a limit of 0 where `core_pattern` pipes dumps to a program, and dumps nothing at 1 (fs/coredump.c)."""


def forbid_core_dumps() -> None:
    """From now on this process and those it starts leave no core dump, whatever ends them."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = _DUMPS_NOTHING if hard == resource.RLIM_INFINITY else min(hard, _DUMPS_NOTHING)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
