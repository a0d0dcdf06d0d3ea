"""An engine in a process of its own: a crash, an abort of its library or a hang costs a restart, not the server.

Each lane has a connection of its own, on which one call waits for its answer. A keeper thread starts the process,
passes its log on, asks it every second whether it is there, and starts it anew when it is not. Works that the process
held are lost with it (`EngineRestarted`), and whoever schedules them begins them again from their requests.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any, cast

import msgspec
import numpy as np

from lingting import log_ids
from lingting.domain import SAMPLE_RATE, Language, Samples, Seconds
from lingting.engines import wire
from lingting.errors import EngineRestarted, ModelError, RecognitionFailed
from lingting.processes import is_stopped
from lingting.recognition.engine import Outcome, Request, Work

log = logging.getLogger(__name__)

_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL", "CT2_FORCE_CPU_ISA")
_LOAD_SECONDS: Seconds = 300.0
_START_WAIT: Seconds = 20.0
"""A call waits this long for a process that is being started."""
_BEAT: Seconds = 1.0
_MISSED_BEATS = 6
_CAREFUL: Seconds = 10.0
"""So long after it ended over several calls they go one by one: the next time it is known which is the cause."""
_LONGEST_PAUSE: Seconds = 60.0
_FORGET_DEATHS: Seconds = 120.0
_SHORT_LIFE: Seconds = 5.0
"""A process that ends sooner is started the later again the more often that happens."""
_STARTS = 3
"""After so many starts in a row that fail calls do not wait for the next."""
_EXCUSES = 3
"""So often in `_FORGET_DEATHS` a process may be killed from outside before its calls are taken for the cause."""
_KEPT_LINES = 20


class ProcessEngine:
    """An `OfflineEngine` or a `StreamingEngine`, whichever the factory makes, that runs in a process of its own.

    Args:
        name: name of the model.
        factory: `module:function` that makes the engine there.
        arguments: its keyword arguments, plain data.
        lanes: steps that may run at once.
        call_timeout: a call that takes longer than this many seconds and twice the length of its sound is a hang.

    Attributes:
        restarts: how often the process was started anew.
        pid: the process; 0 while there is none.

    Raises:
        ModelError: the engine cannot be loaded, or its process ended over it; with what it printed last.
    """

    def __init__(
        self, name: str, factory: str, arguments: Mapping[str, Any], *, lanes: int, call_timeout: Seconds = 20.0
    ) -> None:
        self.name = name
        self.restarts = 0
        self.longest: Seconds = 0.0
        self.delay: Seconds = 0.0
        self.chunk: Seconds = 0.0
        self.punctuates = False
        self._factory = factory
        self._arguments = dict(arguments)
        self._lanes = lanes
        self._call_timeout = call_timeout
        self._changed = threading.Condition()
        self._child: _Child | None = None
        self._failure = ""
        self._closed = False
        self._careful_until = 0.0
        self._one_by_one = threading.Lock()
        self._deaths: deque[float] = deque(maxlen=16)
        self._failed_starts = 0
        self._excused: deque[float] = deque(maxlen=_EXCUSES)
        self._numbers = iter(range(-1, -(1 << 62), -1))
        self._keeper = threading.Thread(target=self._keep, name=f"engine-{name}", daemon=True)
        self._keeper.start()
        with self._changed:
            self._changed.wait_for(lambda: self._child is not None or self._failure)
        if self._child is None:
            self.close()
            raise ModelError(f"the model {name} cannot be loaded: {self._failure}")

    @property
    def pid(self) -> int:
        """The process that computes; 0 while there is none."""
        child = self._running()
        return 0 if child is None else child.process.pid

    def begin(self, request: Request) -> Work:
        """As of an `OfflineEngine`; the sound goes to the process here.

        Raises:
            EngineRestarted: the process ended meanwhile.
        """
        child = self._current()
        reply = self._ask(child, wire.request_out(request, child.forgotten()), len(request.samples) / SAMPLE_RATE)
        if not isinstance(reply, wire.Work):
            raise _error(reply)
        return _Remote(child, reply, len(request.samples) / SAMPLE_RATE)

    def listen(self, language: Language | None, hot_words: tuple[str, ...]) -> RemoteEar:
        """As of a `StreamingEngine`; nothing goes to the process before there is sound for a chunk."""
        return RemoteEar(self, next(self._numbers), language, hot_words)

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        """As of every engine.

        Raises:
            EngineRestarted: the process ended, before or over these works.
            RecognitionFailed: it cannot be started again at present.
        """
        child = self._current()
        if isinstance(works[0], _Remote):
            remote = [cast(_Remote, work) for work in works]
            if any(work.child is not child for work in remote):
                raise EngineRestarted(f"the engine {self.name} was restarted", guilty=False)
            numbers = [work.reply.number for work in remote]
            reply = self._ask(child, wire.Step(numbers, child.forgotten()), sum(work.seconds for work in remote))
            return [_offline(work, result) for work, result in zip(remote, _results(reply), strict=True)]
        ears = [cast(_Chunk, work).ear for work in works]
        if any(not ear.joins(child) for ear in ears):
            raise EngineRestarted(f"the engine {self.name} was restarted", guilty=False)
        sounds = [ear.sound() for ear in ears]
        seconds = sum(len(sound.samples) / 4 / SAMPLE_RATE for sound in sounds)
        reply = self._ask(child, wire.Hear(sounds, child.forgotten()), seconds)
        return [ear.heard(result) for ear, result in zip(ears, _results(reply), strict=True)]

    def close(self) -> None:
        """End the process."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._child is not None:
            self._child.kill("the server is stopping")
        self._keeper.join()

    # -- calls --------------------------------------------------------------------------------------------------------

    def _current(self) -> _Child:
        with self._changed:
            self._changed.wait_for(lambda: self._running() or self._failure or self._closed, _START_WAIT)
            if (child := self._running()) is None:
                reason = self._failure or "its process is being started"
                raise RecognitionFailed(f"the engine {self.name} is not running: {reason}")
            return child

    def _running(self) -> _Child | None:
        return self._child if self._child is not None and not self._child.cause else None

    def _ask(self, child: _Child, message: wire.Message, seconds: Seconds) -> wire.Failed | wire.Work | wire.Results:
        with self._turn(), child.connection() as connection:
            if child.cause:
                raise EngineRestarted(f"the engine {self.name} was restarted", guilty=False)
            try:
                connection.settimeout(self._call_timeout + 2 * seconds)
                wire.send(connection, message)
                return _logged(wire.receive(connection))
            except TimeoutError:
                child.kill(f"a call took longer than {self._call_timeout + 2 * seconds:.0f} s", blame=False)
                raise EngineRestarted(f"the engine {self.name} hung and was restarted", guilty=True) from None
            except (EOFError, OSError, msgspec.DecodeError) as error:
                guilty = child.kill("it ended over a call") and not self._killed_from_outside(child)
                if guilty and len(child.callers) > 1:
                    self._careful_until = time.monotonic() + _CAREFUL
                raise EngineRestarted(f"the engine {self.name} ended and was restarted", guilty=guilty) from error

    def _killed_from_outside(self, child: _Child) -> bool:
        """Whether somebody killed it, as the kernel does for want of memory; not when that goes on and on."""
        killed = child.process.wait() == -signal.SIGKILL
        now = time.monotonic()
        with self._changed:
            if child.excused is None:
                often = len(self._excused) == _EXCUSES and now - self._excused[0] < _FORGET_DEATHS
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

    # -- the keeper's thread ------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._closed:
            lived: Seconds = 0.0
            child = self._start()
            if child is not None:
                began = time.monotonic()
                with self._changed:
                    self._child, self._failure, self._failed_starts = child, "", 0
                    self._changed.notify_all()
                if self._closed:
                    child.kill("the server is stopping")
                child.watch(self.name)
                lived = time.monotonic() - began
                with self._changed:
                    self._child = None
                child.end()
                if not self._closed:
                    with log_ids.about(log_ids.joined(child.callers)):
                        log.error("the engine %s ended: %s; it is started anew", self.name, child.cause)
            elif not self.restarts and not self._deaths:
                return  # it never ran: the constructor raises
            now = time.monotonic()
            if lived < _SHORT_LIFE:
                self._deaths.append(now)
            self.restarts += 1
            lately = sum(now - death < _FORGET_DEATHS for death in self._deaths)
            if lately > 1:
                with self._changed:
                    pause = min(_LONGEST_PAUSE, 0.5 * 2 ** (lately - 2))
                    self._changed.wait_for(lambda: self._closed, pause)

    def _start(self) -> _Child | None:
        try:
            child = _Child(self._lanes)
        except OSError as error:
            self._fail(f"its process does not start: {error}")
            return None
        try:
            reply = child.load(wire.Start(self._factory, self._arguments, logging.getLogger().level), self.name)
        except (EOFError, OSError, msgspec.DecodeError):
            child.kill("it ended while loading")
            child.end()
            self._fail("; ".join(child.lines) or f"its process ended with exit code {child.process.returncode}")
            return None
        if isinstance(reply, wire.Ready):
            for name, value in reply.attributes.items():
                setattr(self, name, value)
            return child
        child.kill("it could not load")
        child.end()
        self._fail(str(_error(reply)))
        return None

    def _fail(self, reason: str) -> None:
        if self.restarts:
            log.error("the engine %s cannot be started: %s", self.name, reason)
        self._failed_starts += 1
        if self.restarts and self._failed_starts < _STARTS:
            return
        with self._changed:
            self._failure = reason
            self._changed.notify_all()


class _Child:
    """One process with its connections. The keeper's thread reads its log; lanes take connections in turn."""

    def __init__(self, lanes: int) -> None:
        pairs = [wire.pair() for _ in range(lanes + 1)]
        ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
        environment["OPENBLAS_NUM_THREADS"] = environment["OMP_NUM_THREADS"] = "1"
        self.cause = ""
        self.excused: bool | None = None
        """Whether it was killed from outside, so that no call is guilty; None before that was asked."""
        self.callers: list[str] = []
        """Log ids of the calls in progress, and of those over which it ended."""
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._lock = threading.Lock()
        self._forgotten: deque[int] = deque()
        self._control, *lane_sockets = ours
        self._sockets = ours
        self._free: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        for lane in lane_sockets:
            self._free.put(lane)
        try:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "lingting.engines.child", *(str(end.fileno()) for end in theirs)],
                pass_fds=[end.fileno() for end in theirs],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            for end in ours:
                end.close()
            raise
        finally:
            for end in theirs:
                end.close()
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)
        self._partial = b""
        self._blame = False

    def load(self, start: wire.Start, name: str) -> wire.Message:
        """Have it load its engine; passes on what it prints meanwhile."""
        wire.send(self._control, start)
        deadline = time.monotonic() + _LOAD_SECONDS
        while time.monotonic() < deadline:
            answered = self._wait(_BEAT)
            self._read_log(name)
            if answered:
                self._control.settimeout(_BEAT)
                return wire.receive(self._control)
        raise TimeoutError(f"it did not load within {_LOAD_SECONDS:.0f} s")

    def watch(self, name: str) -> None:
        """Pass on its log and ask whether it is there, until it is not."""
        missed = sent = answered = 0
        while not self.cause:
            try:
                if sent == answered:
                    sent += 1
                    missed = 0
                    wire.send(self._control, wire.Ping(sent))
                until = time.monotonic() + _BEAT
                while (left := until - time.monotonic()) > 0 and not self.cause:
                    there = self._wait(left)
                    self._read_log(name)
                    if there:
                        wire.receive(self._control)
                        answered = sent
            except (EOFError, OSError, msgspec.DecodeError):
                self.kill("it ended")
            if sent != answered:
                missed += 1
            if missed > 0 and is_stopped(self.process.pid):
                self.kill("it was stopped", blame=False)
            elif missed >= _MISSED_BEATS:
                self.kill(f"it did not answer for {_MISSED_BEATS * _BEAT:.0f} s")
        self._read_log(name)

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A connection that nobody else uses; it is not used again after a failure."""
        connection = self._free.get()
        caller = log_ids.current()
        with self._lock:
            self.callers.append(caller)
        failed = True
        try:
            yield connection
            failed = False
        finally:
            if not failed:
                with self._lock:
                    self.callers.remove(caller)
            self._free.put(connection)

    def kill(self, cause: str, *, blame: bool = True) -> bool:
        """End it; whether the calls that were in progress may be the cause, which those of a hang elsewhere are not."""
        with self._lock:
            if not self.cause:
                self.cause = cause
                self._blame = blame
                self.process.kill()
            for end in self._sockets:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            return self._blame

    def end(self) -> None:
        """Collect what is left of it; the sockets close when the last call has let go of them."""
        code = self.process.wait()
        if code and code != -9:
            self.cause += f" (exit code {code})"
        if self.lines:
            self.cause += f"; its last line: {self.lines[-1]}"
        if self.process.stderr is not None:
            self.process.stderr.close()
        self._control.close()

    def forget(self, number: int) -> None:
        """A work or an ear is not needed any more; told with the next message. From any thread."""
        self._forgotten.append(number)

    def forgotten(self) -> list[int]:
        """What is to be told as not needed any more."""
        numbers: list[int] = []
        with suppress(IndexError):
            while True:
                numbers.append(self._forgotten.popleft())
        return numbers

    def _wait(self, seconds: Seconds) -> bool:
        """Wait for an answer or a line of its log; whether an answer is there."""
        assert self.process.stderr is not None
        control = self._control.fileno()
        return control in wait([control, self.process.stderr.fileno()], seconds)

    def _read_log(self, name: str) -> None:
        assert self.process.stderr is not None
        content = self.process.stderr.read() or b""
        *lines, self._partial = (self._partial + content).split(b"\n")
        for raw in lines:
            line = raw.decode("utf-8", "replace").strip()
            if line:
                self.lines.append(line)
                with self._lock:
                    callers = log_ids.joined(self.callers)
                with log_ids.about(callers):  # who of them it is about, it does not say
                    log.warning("engine %s: %s", name, line)


class _Remote:
    """A work that the process holds."""

    __slots__ = ("child", "reply", "seconds", "used")

    def __init__(self, child: _Child, reply: wire.Work, seconds: Seconds) -> None:
        self.child = child
        self.reply = reply
        self.seconds = seconds
        self.used = False

    @property
    def group(self) -> int:
        return self.reply.group

    @property
    def most(self) -> int:
        return self.reply.most

    def __del__(self) -> None:
        if not self.used:
            self.child.forget(self.reply.number)


def _offline(work: _Remote, result: wire.Result) -> Outcome:
    work.used = True
    more = None if result.more is None else _Remote(work.child, result.more, work.seconds)
    return _outcome(result, more)


class _Chunk:
    """The next sound of an ear."""

    __slots__ = ("ear",)
    group = "sound"
    most = 32

    def __init__(self, ear: RemoteEar) -> None:
        self.ear = ear


class RemoteEar:
    """An ear whose utterance is heard in the process; it keeps the sound until there is enough for a chunk.

    `feed`, `finish` and `close` may be called while a chunk is out.
    """

    def __init__(
        self, engine: ProcessEngine, number: int, language: Language | None, hot_words: tuple[str, ...]
    ) -> None:
        self._engine = engine
        self._number = number
        self._language = language
        self._hot_words = hot_words
        self._child: _Child | None = None
        self._lock = threading.Lock()
        self._waiting: list[Samples] = []
        self._fed = 0
        self._needed = round(engine.delay * SAMPLE_RATE)
        self._more = False
        self._finished = False
        self._told = False
        self._out = False
        self._closed = False

    def feed(self, samples: Samples) -> Work | None:
        with self._lock:
            if self._finished:
                raise ValueError("the utterance is finished")
            self._waiting.append(samples)
            self._fed += len(samples)
            return self._next()

    def finish(self) -> Work | None:
        with self._lock:
            if not self._fed:
                self._finished = self._told = True
                return None
            self._finished = True
            return self._next()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._waiting = []
            if self._child is not None:
                self._child.forget(self._number)

    def __del__(self) -> None:
        if not self._closed and self._child is not None:
            self._child.forget(self._number)

    # -- for the engine's step ----------------------------------------------------------------------------------------

    def joins(self, child: _Child) -> bool:
        """Whether the process is the one that heard this utterance from its beginning."""
        self._child = self._child or child
        return self._child is child

    def sound(self) -> wire.Sound:
        """What is to be heard next."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._told = self._finished
            samples = np.concatenate(waiting) if waiting else np.zeros(0, np.float32)
            return wire.Sound(self._number, wire.samples_out(samples), self._told, self._language, self._hot_words)

    def heard(self, result: wire.Result) -> Outcome:
        """What came of it."""
        with self._lock:
            self._out = False
            self._more = result.more is not None
            self._needed += round(self._engine.chunk * SAMPLE_RATE) if result.stepped else SAMPLE_RATE // 100
            if result.error is not None:
                self._closed = True
            return _outcome(result, self._next())

    def _next(self) -> _Chunk | None:
        due = self._more or self._fed >= self._needed or (self._finished and not self._told)
        if self._out or self._closed or not due or (self._told and not self._more):
            return None
        self._out = True
        return _Chunk(self)


def _logged(answer: wire.Message) -> wire.Failed | wire.Work | wire.Results:
    """The reply; what was logged meanwhile is logged here, for those who called."""
    if not isinstance(answer, wire.Answer):
        raise _error(answer)
    for line in answer.log:
        logger = logging.getLogger(line.logger)
        if logger.isEnabledFor(line.level):
            logger.log(line.level, "%s", line.message)
    return answer.reply


def _results(reply: wire.Failed | wire.Work | wire.Results) -> list[wire.Result]:
    if not isinstance(reply, wire.Results):
        raise _error(reply)
    return reply.results


def _outcome(result: wire.Result, more: Work | None) -> Outcome:
    heard = None if result.heard is None else wire.heard_in(result.heard)
    return Outcome(heard, more, None if result.error is None else _error(result.error))


def _error(reply: wire.Message | wire.Work | wire.Results) -> Exception:
    if isinstance(reply, wire.Failed):
        return (
            ModelError(reply.message)
            if reply.kind == "ModelError"
            else RecognitionFailed(f"{reply.kind}: {reply.message}")
        )
    return RecognitionFailed(f"an unexpected answer of the kind {type(reply).__name__}")
