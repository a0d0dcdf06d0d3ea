"""The process of an engine: it loads one model and steps works for the server, which holds the other ends of its
sockets.

It knows nothing of the server's settings and data, reaches no network, starts no process, leaves no core dump, and ends
when the server does.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import Any

from lingting.engines.process import wire
from lingting.engines.threads import COMPUTE_NICENESS
from lingting.recognition.engine import Ear, Outcome, Work
from lingting.sandbox import confine

_PR_SET_PDEATHSIG = 1


class _Log(logging.Handler):
    """Keeps what a thread logs while it steps, for the answer; all else goes to standard error."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.local()
        self._error = logging.StreamHandler(sys.stderr)

    def begin(self) -> list[wire.LogLine]:
        lines: list[wire.LogLine] = []
        self._thread.lines = lines
        return lines

    def end(self) -> None:
        self._thread.lines = None

    def emit(self, record: logging.LogRecord) -> None:
        lines: list[wire.LogLine] | None = getattr(self._thread, "lines", None)
        if lines is None:
            self._error.emit(record)
        else:
            lines.append(wire.LogLine(record.name, record.levelno, self.format(record)))


class _Host:
    """The engine and what it works on: works and ears by number, groups by number. Its lanes share it."""

    def __init__(self, engine: Any, log: _Log) -> None:
        self._engine = engine
        self._log = log
        self._numbers = itertools.count(1)
        self._works: dict[int, Work] = {}
        self._ears: dict[int, Ear] = {}
        self._ear_works: dict[int, Work] = {}
        self._groups: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    def serve(self, connection: socket.socket) -> None:
        """Answer one lane's messages until its other end closes."""
        while True:
            message = wire.receive(connection)
            lines = self._log.begin()
            reply: wire.Reply
            try:
                reply = self._answer(message)
            except Exception as error:
                reply = wire.Failed(type(error).__name__, str(error))
            finally:
                self._log.end()
            wire.send(connection, wire.Answer(reply, lines))

    def _answer(self, message: wire.Message) -> wire.Reply:
        match message:
            case wire.Begin():
                self._forget(message.forget)
                return self._keep(self._engine.begin(wire.request_in(message)))
            case wire.Step():
                self._forget(message.forget)
                with self._lock:
                    works = [self._works.pop(number) for number in message.works]
                try:
                    outcomes: Sequence[Outcome] = self._engine.step(works)
                except Exception:
                    with self._lock:  # each will be stepped alone
                        self._works.update(zip(message.works, works, strict=True))
                    raise
                return wire.Results([self._result(outcome) for outcome in outcomes])
            case wire.Hear():
                self._forget(message.forget)
                return wire.Results(self._hear(message.sounds))
        raise ValueError(f"unexpected message {type(message).__name__}")

    def _hear(self, sounds: list[wire.Sound]) -> list[wire.Result]:
        ready: list[tuple[int, int, Work]] = []
        results = [wire.Result(stepped=False) for _ in sounds]
        for place, sound in enumerate(sounds):
            ear = self._ears.get(sound.ear)
            if ear is None:
                language = "en" if sound.language == "en" else "zh" if sound.language == "zh" else None
                ear = self._ears[sound.ear] = self._engine.listen(language, tuple(sound.hot_words))
            work = self._ear_works.pop(sound.ear, None)
            if len(sound.samples):
                work = ear.feed(wire.samples_in(sound.samples)) or work
            if sound.last:
                work = ear.finish() or work
            if work is not None:
                ready.append((place, sound.ear, work))
        if ready:
            try:
                outcomes = self._engine.step([work for _, _, work in ready])
            except Exception:
                self._ear_works |= {number: work for _, number, work in ready}  # each will be stepped alone
                raise
            for (place, number, _), outcome in zip(ready, outcomes, strict=True):
                if outcome.more is not None:
                    self._ear_works[number] = outcome.more
                results[place] = self._result(outcome, number)
        return results

    def _result(self, outcome: Outcome, ear: int = 0) -> wire.Result:
        heard = None if outcome.heard is None else wire.heard_out(outcome.heard)
        error = None if outcome.error is None else wire.Failed(type(outcome.error).__name__, str(outcome.error))
        if outcome.more is None:
            return wire.Result(heard, None, error)
        return wire.Result(heard, wire.Work(ear, 0, outcome.more.most) if ear else self._keep(outcome.more), error)

    def _keep(self, work: Work) -> wire.Work:
        with self._lock:
            number = next(self._numbers)
            self._works[number] = work
            group = self._groups.setdefault(work.group, len(self._groups))
        return wire.Work(number, group, work.most)

    def _forget(self, numbers: list[int]) -> None:
        """Works have positive numbers, ears negative ones."""
        for number in numbers:
            self._works.pop(number, None)
            self._ear_works.pop(number, None)
            ear = self._ears.pop(number, None)
            if ear is not None:
                ear.close()


def main(control: int, lanes: Sequence[int]) -> None:
    """Load the engine that the first message names and serve each lane in a thread, until the server is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C goes to the server, which ends this process
    log = _Log()
    logging.getLogger().addHandler(log)
    with suppress(OSError):
        os.nice(COMPUTE_NICENESS)
    confine(files=True)
    connection = socket.socket(fileno=control)
    start = wire.receive(connection)
    assert isinstance(start, wire.Start)
    logging.getLogger().setLevel(start.log_level)
    try:
        module, _, function = start.factory.partition(":")
        engine = getattr(importlib.import_module(module), function)(**start.arguments)
    except Exception as error:
        wire.send(connection, wire.Failed(type(error).__name__, str(error)))
        return
    host = _Host(engine, log)
    for lane in lanes:
        threading.Thread(target=_lane, args=(host, socket.socket(fileno=lane)), daemon=True).start()
    attributes = {name: getattr(engine, name) for name in wire.Ready.__struct_fields__ if hasattr(engine, name)}
    wire.send(connection, wire.Ready(**attributes))
    with suppress(EOFError, OSError):
        while True:
            wire.send(connection, wire.receive(connection))
    os._exit(0)  # a lane may be computing; the library aborts when the interpreter is taken down around it


def _lane(host: _Host, connection: socket.socket) -> None:
    with suppress(EOFError, OSError):
        host.serve(connection)


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(lane) for lane in sys.argv[2:]])
