"""Starts nodes by forking itself, with everything imported: in a tenth of the time that a new interpreter takes.

Reads a line of JSON for each node, `{"environment": {...}, "log": "path"}`, and answers with its process id; says
`"dead"` for each process id of which it is asked (`{"pid": 1}`) and that has ended, else `"alive"`. Its nodes end with
it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

from bench import stand_in
from lingting import cli, cluster, prepared, service
from lingting.api import server
from lingting.cli import banner
from lingting.cluster import connecting, link

__all__ = ["banner", "cluster", "server"]

_PR_SET_PDEATHSIG = 1
_SILENT_SECONDS = 3.0


def main() -> None:
    """Serve standard input until it ends."""
    # a machine that is busy with other tests is no home that is gone
    connecting.CONNECT_SECONDS = link.SILENT_SECONDS = _SILENT_SECONDS
    service.Recognition = stand_in.Recognition  # type: ignore[assignment, misc]
    prepared.prepare = lambda settings, install: None
    for line in sys.stdin:
        asked = json.loads(line)
        if "pid" in asked:
            answer = "dead" if os.waitpid(asked["pid"], os.WNOHANG)[0] else "alive"
        else:
            answer = str(os.fork() or born(**asked))
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def born(environment: dict[str, str], log: str) -> None:
    """Be a node."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(environment)
    sys.argv = ["lingting", "serve"]
    try:
        cli.main()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
