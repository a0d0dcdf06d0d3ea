"""Answers in the order of what was asked, though a later one may be ready first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

ReplyT = TypeVar("ReplyT")


@dataclass(eq=False, slots=True)
class Turn(Generic[ReplyT]):
    """One thing that was asked, and the replies to it that wait for those before it."""

    turns: Turns[ReplyT]
    replies: list[ReplyT] = field(default_factory=list)
    ended: bool = False

    def say(self, reply: ReplyT) -> None:
        """Send a reply, now or when it is this turn's time."""
        self.replies.append(reply)
        self.turns.deliver()

    def end(self) -> None:
        """No more replies follow."""
        self.ended = True
        self.turns.deliver()


class Turns(Generic[ReplyT]):
    """What was asked on one connection and is not fully answered, the oldest first. Event loop only.

    Args:
        send: sends a reply.
        done: told whenever everything is answered.
    """

    def __init__(self, send: Callable[[ReplyT], None], done: Callable[[], None]) -> None:
        self._send = send
        self._done = done
        self._open: deque[Turn[ReplyT]] = deque()

    def __len__(self) -> int:
        return len(self._open)

    def new(self) -> Turn[ReplyT]:
        """Something is asked."""
        turn = Turn(self)
        self._open.append(turn)
        return turn

    def deliver(self) -> None:
        """Send what the oldest turn has to say, then that of the next one if it has ended."""
        while self._open:
            turn = self._open[0]
            replies, turn.replies = turn.replies, []
            for reply in replies:
                self._send(reply)
            if not turn.ended:
                return
            self._open.popleft()
        self._done()
