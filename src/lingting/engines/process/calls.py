"""Calls of an engine's process: one message, one answer, and who is guilty when there is none."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from lingting.domain import Seconds
from lingting.engines.process import wire
from lingting.engines.process.child import Child
from lingting.errors import EngineRestarted

_CAREFUL: Seconds = 10.0
"""So long after it ended over several calls they go one by one: the next time it is known which is the cause."""
_EXCUSES = 3
"""So often in `_EXCUSED_FOR` a process may be killed from outside before its calls are taken for the cause."""
_EXCUSED_FOR: Seconds = 120.0


class Calls:
    """Asks a process and waits for its answer. Thread-safe.

    Args:
        name: of the engine, for messages.
        timeout: a call that takes longer than this many seconds and twice the length of its sound is a hang.
    """

    def __init__(self, name: str, timeout: Seconds) -> None:
        self._name = name
        self._timeout = timeout
        self._careful_until = 0.0
        self._one_by_one = threading.Lock()
        self._lock = threading.Lock()
        self._excused: deque[float] = deque(maxlen=_EXCUSES)

    def ask(self, child: Child, message: wire.Message, seconds: Seconds) -> wire.Reply:
        """The answer to a message about so many seconds of sound; what was logged there meanwhile is logged here.

        Raises:
            EngineRestarted: the process ended, before or over this call, or hung and was ended.
        """
        with self._turn(), child.connection() as connection:
            if child.cause:
                raise EngineRestarted(f"the engine {self._name} was restarted", guilty=False)
            limit = self._timeout + 2 * seconds
            try:
                connection.settimeout(limit)
                wire.send(connection, message)
                return _logged(wire.receive(connection))
            except TimeoutError:
                child.kill(f"a call took longer than {limit:.0f} s", blame=False)
                raise EngineRestarted(f"the engine {self._name} hung and was restarted", guilty=True) from None
            except (EOFError, OSError, msgspec.DecodeError) as error:
                guilty = child.kill("it ended over a call") and not self._killed_from_outside(child)
                if guilty and len(child.callers) > 1:
                    self._careful_until = time.monotonic() + _CAREFUL
                raise EngineRestarted(f"the engine {self._name} ended and was restarted", guilty=guilty) from error

    def _killed_from_outside(self, child: Child) -> bool:
        """Whether somebody killed it, as the kernel does for want of memory; not when that goes on and on."""
        killed = child.process.wait() == -signal.SIGKILL
        now = time.monotonic()
        with self._lock:
            if child.excused is None:
                often = len(self._excused) == _EXCUSES and now - self._excused[0] < _EXCUSED_FOR
                child.excused = killed and not often
                if child.excused:
                    self._excused.append(now)
            return child.excused

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if time.monotonic() < self._careful_until:
            with self._one_by_one:
                yield
        else:
            yield


def _logged(answer: wire.Message) -> wire.Reply:
    """The reply; what was logged meanwhile is logged here, for those who called."""
    if not isinstance(answer, wire.Answer):
        raise wire.error_in(answer)
    for line in answer.log:
        logger = logging.getLogger(line.logger)
        if logger.isEnabledFor(line.level):
            logger.log(line.level, "%s", line.message)
    return answer.reply
