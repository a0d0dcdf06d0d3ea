"""One speaker over a socket: live sessions one after another, as one line of events in one time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lingting.api.sockets.caller import Caller
from lingting.api.sockets.live import LiveOptions, LiveSession
from lingting.domain import SAMPLE_RATE, Samples, Seconds, Sentence
from lingting.errors import RecognitionFailed, StreamBehind
from lingting.recognition.events import Final, LiveEvent, SpeechStarted, SpeechStopped

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Part:
    """One live session and what it said while it was not its turn.

    Attributes:
        start: seconds of the speaker before it.
        ending: its `finish`, once no more sound comes to it.
        flushes: how many of its flushes have not been answered.
        done: whether `finish` has returned.
    """

    session: LiveSession
    start: Seconds
    waiting: list[LiveEvent] = field(default_factory=list)
    ending: asyncio.Task[None] | None = None
    flushes: int = 0
    done: bool = False


class Speech:
    """What is said on one connection. Event loop only; nothing waits for recognition except `finish`.

    A session is opened with the first sound after `configure`, so that a connection that only waits costs nothing.
    What options change takes effect with the sound that comes next; what was said before is recognised as it was
    asked for then, and its events come first. Times of events count from the first sound of the connection.

    Args:
        caller: who opens the sessions and pays for them.
        on_event: told every event, in order.
    """

    __slots__ = ("_caller", "_closed", "_numbered", "_on_event", "_options", "_parts", "_samples")

    def __init__(self, caller: Caller, on_event: Callable[[LiveEvent], None]) -> None:
        self._caller = caller
        self._on_event = on_event
        self._options = LiveOptions()
        self._parts: list[_Part] = []
        self._samples = 0
        self._numbered = 0
        self._closed = False

    @property
    def duration(self) -> Seconds:
        """Seconds of sound that were accepted."""
        return self._samples / SAMPLE_RATE

    def configure(self, options: LiveOptions) -> None:
        """Recognise what comes from now on with these options."""
        if options != self._options:
            self._options = options
            self._end_part()

    async def take(self, samples: Samples) -> None:
        """Take sound. A sender who is minutes ahead of the recognition waits here, and is not read meanwhile.

        Raises:
            Overloaded: no session can be opened now.
            LimitExceeded: the tenant has no audio left.
        """
        await self._caller.pay(len(samples) / SAMPLE_RATE)
        while not self._closed and (part := self._open_part()) is not None:
            try:
                part.session.require_room()
            except StreamBehind as error:
                await asyncio.sleep(error.retry_after)
            except RecognitionFailed:
                self._end_part()  # what comes now is for another session
            else:
                break
        self.accept(samples)

    def accept(self, samples: Samples) -> None:
        """Take the little that a resampler still held.

        Raises:
            Overloaded: no session can be opened now.
        """
        if self._closed or not len(samples):
            return
        part = self._open_part() or self._begin_part()
        part.session.accept(samples)
        self._samples += len(samples)

    def flush(self) -> None:
        """End what is being said here. Exactly one Final with `flushed` follows, also when nothing was said."""
        if self._closed:
            return
        part = self._open_part()
        if part is not None:
            part.flushes += 1
            part.session.flush()
            return
        empty = Final(0, "", self.duration, self.duration, flushed=True)
        if self._parts:
            self._parts[-1].waiting.append(empty)
            self._deliver()
        else:
            self._tell(0.0, empty)

    async def finish(self) -> None:
        """Return when everything that was said has come as an event; sound may come again afterwards."""
        self._end_part()
        while self._parts:
            ending = self._parts[-1].ending
            if ending is None:
                return
            await asyncio.wait((ending,))

    def abort(self) -> None:
        """Drop everything; no event comes any more."""
        self._closed = True
        for part in self._parts:
            part.session.on_event = None
            part.session.abort()
            if part.ending is not None:
                part.ending.cancel()
        self._parts.clear()

    def _open_part(self) -> _Part | None:
        return self._parts[-1] if self._parts and self._parts[-1].ending is None else None

    def _begin_part(self) -> _Part:
        part = _Part(self._caller.open_live(self._options), self.duration)
        part.session.on_event = lambda event: self._take(part, event)
        self._parts.append(part)
        return part

    def _end_part(self) -> None:
        part = self._open_part()
        if part is not None:
            part.ending = asyncio.create_task(self._finish(part))

    async def _finish(self, part: _Part) -> None:
        try:
            await part.session.finish()
        except RecognitionFailed as error:
            log.warning("a live session ended without its last text: %s", error)
        except Exception:
            log.exception("a live session failed on its end")
        part.done = True
        if self._closed:
            return
        for _ in range(part.flushes):  # whoever waits for a text must not wait for ever
            self._take(part, Final(0, "", self.duration, self.duration, flushed=True, failed=True))
        self._deliver()

    def _take(self, part: _Part, event: LiveEvent) -> None:
        if isinstance(event, Final) and event.flushed:
            part.flushes -= 1
        part.waiting.append(event)
        self._deliver()

    def _deliver(self) -> None:
        """Tell what the first part has said, then that of the next one if the first is at its end."""
        while self._parts and not self._closed:
            part = self._parts[0]
            while part.waiting and not self._closed:
                self._tell(part.start, part.waiting.pop(0))
            if not part.done or part.flushes:
                return
            self._parts.pop(0)

    def _tell(self, start: Seconds, event: LiveEvent) -> None:
        match event:
            case SpeechStarted(at):
                event = SpeechStarted(at + start)
            case SpeechStopped(at):
                event = SpeechStopped(at + start)
            case Final():
                event = self._placed(event, start)
        self._on_event(event)

    def _placed(self, final: Final, start: Seconds) -> Final:
        number, self._numbered = self._numbered, self._numbered + 1
        if not start:
            return replace(final, number=number)
        return replace(
            final,
            number=number,
            start=final.start + start,
            end=final.end + start,
            sentences=tuple(_later(sentence, start) for sentence in final.sentences),
        )


def _later(sentence: Sentence, seconds: Seconds) -> Sentence:
    words = tuple(replace(word, start=word.start + seconds, end=word.end + seconds) for word in sentence.words)
    return replace(sentence, start=sentence.start + seconds, end=sentence.end + seconds, words=words)
