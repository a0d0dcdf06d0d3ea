"""What a home does for one call of a door: a live session, or a recording."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass

import numpy as np

from lingting import log_ids
from lingting.audio.recording import Recording
from lingting.cluster.failures import told
from lingting.cluster.link import Call
from lingting.cluster.messages import (
    Done,
    Finish,
    Finished,
    Flush,
    Guessed,
    Message,
    More,
    Open,
    Reached,
    Recognize,
    Sound,
    Started,
    Stopped,
    Take,
    Told,
)
from lingting.errors import LingtingError
from lingting.operations.metrics import Metrics
from lingting.recognition.events import Final, Guess, LiveEvent, SpeechStarted, SpeechStopped
from lingting.recognition.finals import Checkpoint
from lingting.recognition.live import LiveSession
from lingting.service import Service
from lingting.streams.errors import StreamMoved


@dataclass(frozen=True, slots=True)
class Work:
    """What is done here for a request of a door, as logs and traces have it.

    Attributes:
        context: what runs in it is done for that request.
        end: says that it is done; may be called again.
    """

    context: Context
    end: Callable[[], None]

    @classmethod
    def of(cls, metrics: Metrics, name: str, message: Take | Open | Recognize) -> Work:
        """What a door asks for."""
        context = Context()
        context.run(log_ids.begin, message.log_id)
        if metrics.traces is None:
            return cls(context, lambda: None)
        return cls(context, metrics.traces.hop(context, name, message.trace))


class HostedSession:
    """The live session of a WebSocket that is held by a door. Event loop only.

    Args:
        session: recognises.
        call: the door's.
        work: what it is in logs and traces.

    Attributes:
        on_end: is called once, when it is over.
    """

    def __init__(self, session: LiveSession, call: Call, work: Work) -> None:
        self._session = session
        self._call = call
        self._work = work
        self._told: Checkpoint | None = session.checkpoint
        self._ending: asyncio.Task[None] | None = None
        self.on_end: Callable[[], None] = lambda: None
        session.on_event = self._tell
        call.on_message = lambda message: work.context.run(self._take, message)
        call.on_lost = lambda _: self._close()

    @classmethod
    def begin(cls, service: Service, message: Open, call: Call, *, leaving: bool) -> HostedSession | None:
        """The session that a door asks for; None where it is told why there is none."""
        work = Work.of(service.metrics, "live session", message)

        def opened() -> LiveSession:
            session = service.open_live(message.owner, message.options, message.endpoint, again=message.again)
            if message.checkpoint is not None:
                session.resume(message.checkpoint)
            return session

        try:
            if leaving:
                raise StreamMoved("this home stops")
            hosted = cls(work.context.run(opened), call, work)
            call.send(More(call.number))
            return hosted
        except Exception as error:
            work.end()
            _answer(call, told(call.number, error))
            return None

    def hand_over(self) -> None:
        """Let the door go on elsewhere."""
        self._fail(StreamMoved("this home stops"))

    def _take(self, message: Message) -> None:
        try:
            match message:
                case Sound(pcm=pcm):
                    self._session.accept(np.frombuffer(pcm, "<i2"))
                    if (checkpoint := self._session.checkpoint) is not None and checkpoint is not self._told:
                        self._told = checkpoint
                        self._call.send(Reached(self._call.number, checkpoint))
                case Flush():
                    self._session.flush()
                case Finish() if self._ending is None:
                    self._ending = asyncio.create_task(self._finish())
        except Exception as error:
            self._fail(error)

    def _tell(self, event: LiveEvent) -> None:
        number = self._call.number
        try:
            match event:
                case SpeechStarted(at):
                    self._call.send(Started(number, at))
                case SpeechStopped(at):
                    self._call.send(Stopped(number, at))
                case Guess(text):
                    self._call.send(Guessed(number, text))
                case Final():
                    checkpoint = self._session.checkpoint
                    new = None if checkpoint is self._told else checkpoint
                    self._told = checkpoint
                    self._call.send(Finished(number, event, new))
        except LingtingError:
            self._close()  # the door reads too slowly, or is gone

    async def _finish(self) -> None:
        try:
            await self._session.finish()
            answer: Message = Done(self._call.number)
        except Exception as error:
            answer = told(self._call.number, error)
        _answer(self._call, answer)
        self._close()

    def _fail(self, error: Exception) -> None:
        _answer(self._call, told(self._call.number, error))
        self._close()

    def _close(self) -> None:
        on_end, self.on_end = self.on_end, lambda: None
        self._work.end()
        self._session.on_event = None
        self._session.abort()
        self._call.end()
        on_end()


class HostedRecording:
    """A recording that a door has decoded. Event loop only; its samples lie in a file without a name.

    Attributes:
        task: receives and recognises it.
    """

    def __init__(self, service: Service, message: Recognize, call: Call) -> None:
        self._service = service
        self._message = message
        self._call = call
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        work = Work.of(service.metrics, "recording", message)
        self.task = asyncio.create_task(self._run(), context=work.context)
        self.task.add_done_callback(lambda _: work.end())
        call.on_message = self._take
        call.on_lost = self._lost

    def _lost(self, _: LingtingError) -> None:
        self.task.cancel()

    def _take(self, message: Message) -> None:
        if isinstance(message, Sound):
            self._pieces.put_nowait(message.pcm)

    async def _run(self) -> None:
        number = self._call.number
        try:
            self._service.recognizer.admit(self._message.account)
            with await self._received() as recording:
                sentences = self._service.recognizer.sentences(recording, self._message.options, self._message.account)
                async with contextlib.aclosing(sentences):
                    async for sentence in sentences:
                        self._call.send(Told(number, sentence))
            _answer(self._call, Done(number))
        except Exception as error:
            _answer(self._call, told(number, error))

    async def _received(self) -> Recording:
        size = 2 * self._message.size
        recording, descriptor = self._service.decoder.empty(self._message.size)
        try:
            received = 0
            while received < size:
                piece = await self._pieces.get()
                await asyncio.to_thread(_write, descriptor, piece, received)
                received += len(piece)
                self._call.send(More(self._call.number))
        except BaseException:
            recording.close()
            raise
        return recording


def _write(descriptor: int, piece: bytes, offset: int) -> None:
    while piece:
        done = os.pwrite(descriptor, piece, offset)
        piece, offset = piece[done:], offset + done


def _answer(call: Call, message: Message) -> None:
    """The last word of a call, if anybody waits for it."""
    if not call.over:
        with contextlib.suppress(LingtingError):
            call.send(message)
        call.end()
