"""The live session of a WebSocket that this door holds: it is recognised in a home, and goes on in another.

The sound since the last checkpoint is kept here, with the flushes in it. When the home is gone, another one begins at
that checkpoint and hears it again; what was told before is not told twice.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, replace
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from lingting import log_ids
from lingting.access.principal import Principal
from lingting.audio.pcm import samples_to_pcm16
from lingting.cluster.failures import raised
from lingting.cluster.handshake import LinkError
from lingting.cluster.homes import Homes
from lingting.cluster.link import Call
from lingting.cluster.messages import (
    Done,
    Failure,
    Finish,
    Finished,
    Flush,
    Guessed,
    Message,
    More,
    Open,
    Reached,
    Sound,
    Started,
    Stopped,
)
from lingting.domain import SAMPLE_RATE, RecognitionOptions, Samples, Seconds, Transcript
from lingting.errors import LingtingError, Overloaded, RecognitionFailed, StreamBehind
from lingting.operations import traces
from lingting.recognition.endpoint import EndpointConfig
from lingting.recognition.events import Final, Guess, LiveEvent, SpeechStarted, SpeechStopped
from lingting.recognition.finals import Checkpoint
from lingting.recognition.utterance import join_texts, transcript
from lingting.streams.errors import StreamMoved

PATIENCE_SECONDS = 15.0
"""A home is looked for so long; then the session has failed, and what was said is lost."""
_AGAIN_SECONDS = 0.3

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Said:
    """What was sent and is not in the checkpoint: sound from sample `start` on, or a flush there, the `flush`-th."""

    start: int
    pcm: bytes = b""
    flush: int = 0

    def message(self, number: int) -> Message:
        """It, to be said under the number of a call."""
        return Flush(number) if self.flush else Sound(number, self.pcm)


class RemoteSession:
    """A live session in a home. Event loop only; nothing waits for recognition except `finish`.

    Args:
        homes: where it may be.
        owner: whose it is.
        options: what is asked for.
        endpoint: when an utterance ends; the home's settings decide when None.
        backlog: seconds of sound that may wait to be final.

    Attributes:
        on_event: told everything that happens, in order.
    """

    def __init__(
        self,
        homes: Homes,
        owner: Principal,
        options: RecognitionOptions,
        endpoint: EndpointConfig | None,
        backlog: Seconds,
    ) -> None:
        self.on_event: Callable[[LiveEvent], None] | None = None
        self._homes = homes
        self._owner = owner
        self._options = options
        self._endpoint = endpoint
        self._backlog = backlog
        self._name = uuid4().hex
        self._log_id, self._trace = log_ids.current(), traces.here()
        self._loop = asyncio.get_running_loop()
        self._said: deque[_Said] = deque()
        self._received = 0
        self._flushes = 0
        self._checkpoint: Checkpoint | None = None
        self._finals: list[Final] = []
        self._flushed = [0]  # how many flushes are answered before each final
        self._started_at = self._stopped_at = -1.0
        self._call: Call | None = None
        self._placing: asyncio.Task[None] | None = None
        self._finishing = False
        self._opened = False
        self._searching_since: float | None = None
        self._closed = False
        self._failure: RecognitionFailed | None = None
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._place()

    # -- what protocols call ------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing more is said or heard."""
        return self._closed or self._failure is not None

    def require_room(self) -> None:
        """Pass while the sound that is not final is within bounds.

        Raises:
            StreamBehind: too much waits; the sender should wait and send again.
            RecognitionFailed: the session has failed, and takes no more.
        """
        if self._failure is not None:
            raise RecognitionFailed(str(self._failure))
        before = 0 if self._checkpoint is None else self._checkpoint.samples
        waiting = (self._received - before) / SAMPLE_RATE
        if waiting >= self._backlog:
            raise StreamBehind(f"{waiting:.0f} s of sound wait to be heard; send no faster than it is spoken", 2.0)

    def accept(self, samples: Samples | NDArray[np.int16]) -> None:
        """Take more audio: shape (n,) at 16 kHz, float32 in [-1, 1] or int16. Never blocks."""
        if not self.over and len(samples):
            self._say(_Said(self._received, samples_to_pcm16(samples).tobytes()))
            self._received += len(samples)

    def flush(self) -> None:
        """End the utterance that is open; a `Final` that says so follows in any case."""
        if self._failure is not None:
            self._tell(self._unknown(flushed=True))
        elif not self._closed:
            self._flushes += 1
            self._say(_Said(self._received, flush=self._flushes))

    async def finish(self) -> Transcript:
        """The transcript of everything that was accepted; the session ends with it.

        Raises:
            RecognitionFailed: there is no text because the engine failed, or no home is there.
        """
        self._finishing = True
        self._send(Finish)
        try:
            await self._done
        finally:
            self._close()
        sentences = [sentence for final in self._finals for sentence in final.sentences]
        text = functools.reduce(join_texts, (final.text for final in self._finals), "")
        return replace(transcript(sentences, self._received / SAMPLE_RATE), text=text)

    def abort(self) -> None:
        """Drop everything."""
        self._close()

    # -- the home -----------------------------------------------------------------------------------------------------

    def _say(self, said: _Said) -> None:
        self._said.append(said)
        self._send(said.message)

    def _send(self, make: Callable[[int], Message]) -> None:
        """Say something to the home, if there is one now; it is lost when that cannot be said."""
        if self._call is None:
            return
        try:
            self._call.send(make(self._call.number))
        except LingtingError as error:
            self._lost(error)

    def _place(self) -> None:
        """Look for a home, unless one is there or is being looked for."""
        if self._placing is None and self._call is None and not self.over:
            self._searching_since = self._searching_since or time.monotonic()
            self._placing = self._loop.create_task(self._look_for_place(), context=Context())
            self._placing.add_done_callback(self._placed)

    def _placed(self, task: asyncio.Task[None]) -> None:
        self._placing = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._fail(error if isinstance(error, LingtingError) else RecognitionFailed("the session has no home"))
        else:
            self._place()  # the home that was found may be lost again already

    async def _look_for_place(self) -> None:
        """Open the session in a home, and say again what is not in the checkpoint."""
        while True:
            try:
                home = self._homes.choose(self._name)
                link = await self._homes.link(home.address, home.id)
                call = link.begin()
            except LinkError as error:
                self._homes.distrust(home.address, error)
                failed: LingtingError = Overloaded(str(error))
            except Overloaded as error:
                failed = error
            else:
                self._begin(call)
                return
            if self._impatient():
                raise failed
            await asyncio.sleep(_AGAIN_SECONDS)

    def _impatient(self) -> bool:
        return time.monotonic() - (self._searching_since or math.inf) > PATIENCE_SECONDS

    def _begin(self, call: Call) -> None:
        self._call = call
        call.on_message = lambda message: self._heard(call, message)
        call.on_lost = lambda error: self._lost(error) if call is self._call else None
        self._send(
            lambda number: Open(
                number,
                self._owner,
                self._options,
                self._endpoint,
                self._opened,
                self._checkpoint,
                self._log_id,
                self._trace,
            )
        )
        for said in self._unheard():
            self._send(said.message)
        if self._finishing:
            self._send(Finish)

    def _unheard(self) -> list[_Said]:
        """What is not in the checkpoint."""
        if self._checkpoint is None:
            return list(self._said)
        heard, answered = self._checkpoint.samples, self._flushed[self._checkpoint.finals]
        while self._said and (
            self._said[0].flush <= answered
            if self._said[0].flush
            else self._said[0].start + len(self._said[0].pcm) // 2 <= heard
        ):
            self._said.popleft()
        if self._said and not self._said[0].flush and self._said[0].start < heard:
            first = self._said.popleft()
            self._said.appendleft(_Said(heard, first.pcm[2 * (heard - first.start) :]))
        return list(self._said)

    def _lost(self, error: LingtingError) -> None:
        """The home is gone, or has too much to read."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        if not self.over:
            log.info("a live session looks for another home: %s", error)
            self._place()

    def _heard(self, call: Call, message: Message) -> None:
        if call is not self._call or self.over:
            return
        match message:
            case More():
                self._opened, self._searching_since = True, None
            case Started(at=at) if at > self._started_at:
                self._started_at = at
                self._tell(SpeechStarted(at))
            case Stopped(at=at) if at > self._stopped_at:
                self._stopped_at = at
                self._tell(SpeechStopped(at))
            case Guessed(text=text):
                self._tell(Guess(text))
            case Finished(final=final, checkpoint=checkpoint):
                self._finished(final, checkpoint)
            case Reached(checkpoint=checkpoint):
                self._reached(checkpoint)
            case Done():
                call.end()
                self._settle(None)
            case Failure():
                self._failed(call, raised(message))

    def _finished(self, final: Final, checkpoint: Checkpoint | None) -> None:
        new = final.number >= len(self._finals)
        if new:
            self._finals.append(final)
            self._flushed.append(self._flushed[-1] + final.flushed)
        if checkpoint is not None:
            self._reached(checkpoint)
        if new:
            self._tell(final)

    def _reached(self, checkpoint: Checkpoint) -> None:
        """Another home would go on behind this; what is before it need not be said again."""
        if checkpoint.finals < len(self._flushed):
            self._checkpoint = checkpoint
            self._unheard()

    def _failed(self, call: Call, error: LingtingError) -> None:
        call.end()
        if isinstance(error, StreamMoved | Overloaded) and not self._impatient():
            self._call = None
            self._loop.call_later(_AGAIN_SECONDS if isinstance(error, Overloaded) else 0.0, self._place)
        else:
            self._fail(error)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _tell(self, event: LiveEvent) -> None:
        if self.on_event is not None and not self._closed:
            self.on_event(event)

    def _fail(self, error: LingtingError) -> None:
        """There is no more text: what waits for one is told so, for it must not wait for ever."""
        log.warning("a live session has failed: %s", error)
        unanswered = self._flushes - self._flushed[-1]
        waited = bool(self._said)
        self._said.clear()
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        self._failure = error if isinstance(error, RecognitionFailed) else RecognitionFailed(str(error))
        self._settle(self._failure)
        for _ in range(unanswered):
            self._tell(self._unknown(flushed=True))
        if waited and not unanswered:
            self._tell(self._unknown(flushed=False))

    def _unknown(self, *, flushed: bool) -> Final:
        """What stands for the text that is missing."""
        start = 0.0 if not self._finals else self._finals[-1].end
        final = Final(len(self._finals), "", start, self._received / SAMPLE_RATE, flushed=flushed, failed=True)
        self._finals.append(final)
        return final

    def _settle(self, error: LingtingError | None) -> None:
        if not self._done.done():
            if error is None:
                self._done.set_result(None)
            else:
                self._done.set_exception(error)
                self._done.exception()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._placing is not None:
            self._placing.cancel()
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        self._said.clear()
        if not self._done.done():
            self._done.cancel()
