"""An engine that runs in a process of its own, as those who use engines see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from lingting.domain import SAMPLE_RATE, Language, Seconds
from lingting.engines.process import wire
from lingting.engines.process.calls import Calls
from lingting.engines.process.child import Child
from lingting.engines.process.ears import Chunk, RemoteEar
from lingting.engines.process.keeper import Keeper
from lingting.errors import EngineRestarted
from lingting.recognition.engine import Outcome, Request, Work


class ProcessEngine:
    """An `OfflineEngine` or a `StreamingEngine`, whichever the factory makes, that runs in a process of its own.

    Args:
        name: name of the model.
        factory: `module:function` that makes the engine there.
        arguments: its keyword arguments, plain data.
        lanes: steps that may run at once.
        call_timeout: a call that takes longer than this many seconds and twice the length of its sound is a hang.

    Raises:
        ModelError: the engine cannot be loaded, or its process ended over it; with what it printed last.
    """

    def __init__(
        self, name: str, factory: str, arguments: Mapping[str, Any], *, lanes: int, call_timeout: Seconds = 20.0
    ) -> None:
        self.name = name
        self._ear_numbers = iter(range(-1, -(1 << 62), -1))
        self._calls = Calls(name, call_timeout)
        self._keeper = Keeper(name, factory, arguments, lanes)

    @property
    def longest(self) -> Seconds:
        """As of an `OfflineEngine`."""
        return self._keeper.ready.longest

    @property
    def delay(self) -> Seconds:
        """As of a `StreamingEngine`."""
        return self._keeper.ready.delay

    @property
    def punctuates(self) -> bool:
        """Whether its text has punctuation of its own."""
        return self._keeper.ready.punctuates

    @property
    def restarts(self) -> int:
        """How often the process was started anew."""
        return self._keeper.restarts

    @property
    def pid(self) -> int:
        """The process that computes; 0 while there is none."""
        child = self._keeper.running
        return 0 if child is None else child.process.pid

    def begin(self, request: Request) -> Work:
        """As of an `OfflineEngine`; the sound goes to the process here.

        Raises:
            EngineRestarted: the process ended meanwhile.
        """
        child = self._keeper.child()
        seconds = len(request.samples) / SAMPLE_RATE
        reply = self._calls.ask(child, wire.request_out(request, child.forgotten()), seconds)
        if not isinstance(reply, wire.Work):
            raise wire.error_in(reply)
        return _Remote(child, reply, seconds)

    def listen(self, language: Language | None, hot_words: tuple[str, ...]) -> RemoteEar:
        """As of a `StreamingEngine`; nothing goes to the process before there is sound for a chunk."""
        return RemoteEar(next(self._ear_numbers), self._keeper.ready, language, hot_words)

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        """As of every engine.

        Raises:
            EngineRestarted: the process ended, before or over these works.
            RecognitionFailed: it cannot be started again at present.
        """
        child = self._keeper.child()
        if isinstance(works[0], _Remote):
            return self._step(child, [cast(_Remote, work) for work in works])
        return self._hear(child, [cast(Chunk, work).ear for work in works])

    def close(self) -> None:
        """End the process."""
        self._keeper.close()

    def _step(self, child: Child, works: list[_Remote]) -> list[Outcome]:
        self._require(all(work.child is child for work in works))
        message = wire.Step([work.reply.number for work in works], child.forgotten())
        reply = self._calls.ask(child, message, sum(work.seconds for work in works))
        return [work.outcome(result) for work, result in zip(works, _results(reply), strict=True)]

    def _hear(self, child: Child, ears: list[RemoteEar]) -> list[Outcome]:
        self._require(all(ear.joins(child) for ear in ears))
        sounds = [ear.sound() for ear in ears]
        seconds = sum(len(sound.samples) / 4 / SAMPLE_RATE for sound in sounds)
        reply = self._calls.ask(child, wire.Hear(sounds, child.forgotten()), seconds)
        return [ear.heard(result) for ear, result in zip(ears, _results(reply), strict=True)]

    def _require(self, there: bool) -> None:
        if not there:
            raise EngineRestarted(f"the engine {self.name} was restarted", guilty=False)


class _Remote:
    """A work that the process holds."""

    __slots__ = ("child", "reply", "seconds", "used")

    def __init__(self, child: Child, reply: wire.Work, seconds: Seconds) -> None:
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

    def outcome(self, result: wire.Result) -> Outcome:
        """What a step made of it."""
        self.used = True
        more = None if result.more is None else _Remote(self.child, result.more, self.seconds)
        return wire.outcome_in(result, more)

    def __del__(self) -> None:
        if not self.used:
            self.child.forget(self.reply.number)


def _results(reply: wire.Reply) -> list[wire.Result]:
    if not isinstance(reply, wire.Results):
        raise wire.error_in(reply)
    return reply.results
