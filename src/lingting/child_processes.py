"""What a process that this one starts gets to see of its environment."""

from __future__ import annotations

import os
import sys

_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL", "CT2_FORCE_CPU_ISA")


def bare_environment() -> dict[str, str]:
    """What a child needs to find Python, its packages and its libraries, and none of the settings and secrets.

    Libraries of linear algebra start no threads there: who computes has threads of its own.
    """
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    environment["OPENBLAS_NUM_THREADS"] = environment["OMP_NUM_THREADS"] = "1"
    return environment
