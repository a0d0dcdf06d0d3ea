"""Who watches recognition from outside: counts and durations, never sound or text."""

from __future__ import annotations

from contextvars import Context
from typing import Literal, Protocol, TypeAlias

from lingting.domain import Seconds

Stage: TypeAlias = Literal["queue", "engine"]
"""Where a task is: it waits for a lane, or is computed on one."""

Shown: TypeAlias = Literal["first", "partial", "final"]
"""The first text of an utterance, a later guess at it, or its final text."""


class Observer(Protocol):
    """Is told what recognition does. Every method may be called from any thread, and returns at once."""

    def stepped(self, engine: str, works: int, seconds: Seconds, *, failed: bool) -> None:
        """An engine stepped so many works together."""

    def waited(self, kind: str, seconds: Seconds) -> None:
        """A task of this kind was begun so long after its oldest sound arrived."""

    def passed(
        self, context: Context, stage: Stage, began: float, ended: float, *, kind: str, engine: str, works: int
    ) -> None:
        """A task of this kind was there, between two times by `time.monotonic`, in a step of so many works.

        Args:
            context: of the request that it is for.
        """

    def shown(self, what: Shown, seconds: Seconds) -> None:
        """Live text was shown so long after the newest sound that it is about arrived."""

    def lost(self) -> None:
        """An utterance has no text because the engine failed on it."""


class Nobody:
    """Watches nothing."""

    def stepped(self, engine: str, works: int, seconds: Seconds, *, failed: bool) -> None: ...
    def waited(self, kind: str, seconds: Seconds) -> None: ...
    def passed(
        self, context: Context, stage: Stage, began: float, ended: float, *, kind: str, engine: str, works: int
    ) -> None: ...
    def shown(self, what: Shown, seconds: Seconds) -> None: ...
    def lost(self) -> None: ...


NOBODY: Observer = Nobody()
