"""How long work on models tells how far it is."""

from __future__ import annotations


class Watch:
    """Is told how long work goes on; this one keeps it to itself. Called in the thread that does the work."""

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """A piece of work begins, or begins anew: `done` of `total` bytes are there already."""

    def advance(self, count: int) -> None:
        """So many more bytes are done."""

    def wait(self) -> None:
        """Another process works on the same model; this one waits for it."""


SILENT = Watch()
