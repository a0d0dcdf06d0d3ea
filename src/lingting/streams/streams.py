"""Live streams by tenant and name: packets in, text out, and every way a stream can end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Generic

import numpy as np

from lingting.domain import SAMPLE_RATE, RecognitionOptions, Seconds
from lingting.errors import LingtingError, Overloaded, RecognitionFailed
from lingting.streams.errors import (
    InvalidFirstNumber,
    MissingPacket,
    StreamAborted,
    StreamAlreadyLive,
    StreamTooLong,
    UnknownStream,
)
from lingting.streams.finals import Final, Finals, Key
from lingting.streams.packets import Action, StreamPacket, StreamReply
from lingting.streams.sequence import Sequence
from lingting.streams.types import Lease, LiveSession, OwnerT, StreamState

BYTES_PER_SECOND = 2 * SAMPLE_RATE
_UNTIMED = RecognitionOptions(timestamps=False)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stream(Generic[OwnerT]):
    """State of one live stream; only the event loop touches it."""

    owner: OwnerT
    key: Key
    session: LiveSession
    lease: Lease
    sequence: Sequence
    opened_at: float
    last_seen: float
    half_sample: bytes = b""
    ending: asyncio.Task[None] | None = None
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Streams(Generic[OwnerT]):
    """All live streams of this process.

    A stream is (tenant, stream_id). Use from one event loop only. Packets other than the final one never wait for
    recognition; the final one waits for the text, and the recognition goes on when its sender leaves.

    Args:
        open_live: starts the recognition of a stream; may raise Overloaded.
        lease: takes a place for a stream of this owner, or raises what says that there is none.
        idle_seconds: a stream without a packet for this long ends.
        max_seconds: longest stream, in seconds of audio.
        window: how far ahead of the expected packet a packet may be.
        grace_seconds: how long a final packet waits for packets it overtook.
        final_seconds: the longest a final text may take.
        max_waiting_bytes: most audio of one stream that waits for a missing packet.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        open_live: Callable[[OwnerT, RecognitionOptions], LiveSession],
        *,
        lease: Callable[[OwnerT], Awaitable[Lease]],
        idle_seconds: float = 60.0,
        max_seconds: float = 3600.0,
        window: int = 32,
        grace_seconds: float = 3.0,
        final_seconds: float = 120.0,
        max_waiting_bytes: int = 2_000_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_live = open_live
        self._acquire = lease
        self._idle_seconds = idle_seconds
        self._max_seconds = max_seconds
        self._max_bytes = int(max_seconds * BYTES_PER_SECOND)
        self._window = window
        self._grace_seconds = grace_seconds
        self._final_seconds = final_seconds
        self._max_waiting_bytes = max_waiting_bytes
        self._clock = clock
        self._live: dict[Key, _Stream[OwnerT]] = {}
        self._opening: dict[Key, asyncio.Event] = {}
        self._finals = Finals()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether new streams are refused because the server stops."""
        return self._draining

    @property
    def live(self) -> int:
        """How many streams are live."""
        return len(self._live)

    def has(self, owner: OwnerT, stream_id: str) -> bool:
        """Whether this stream is live, or being opened: a first packet for it is a retry."""
        key = (owner.tenant_id, stream_id)
        return key in self._live or key in self._opening

    def overview(self) -> list[StreamState[OwnerT]]:
        """The live streams, the oldest first."""
        now = self._clock()
        return [
            StreamState(
                stream.owner,
                stream.key[1],
                stream.sequence.total_bytes / BYTES_PER_SECOND,
                now - stream.opened_at,
                now - stream.last_seen,
                stream.ending is not None,
            )
            for stream in self._live.values()
        ]

    @property
    def remembered(self) -> int:
        """How many final texts are kept for a final packet that is sent again."""
        return len(self._finals)

    async def start(self) -> None:
        """Begin to end idle streams in the background."""
        self._draining = False
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="streams-sweeper")

    async def drain(self, seconds: float) -> None:
        """Refuse new streams and give the live ones `seconds` to end by themselves."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._live or self._opening:
                    self._ended.clear()
                    await self._ended.wait()

    async def stop(self) -> None:
        """Refuse new streams and abort the live ones."""
        self._draining = True
        for stream in list(self._live.values()):
            self._fail(stream, Overloaded("the server is stopping"))
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
            self._sweeper = None
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def packet(
        self,
        owner: OwnerT,
        packet: StreamPacket,
        options: RecognitionOptions = _UNTIMED,
        charge: Callable[[Seconds], None] = lambda _: None,
    ) -> StreamReply:
        """Take one packet and answer it.

        Args:
            options: those of the stream, when the packet opens one.
            charge: told at once how many seconds of audio the packet added; 0 for a retry.

        Returns:
            The whole text of the stream so far; the final text for action 2; an empty text for action 3.

        Raises:
            StreamError: the packet cannot be taken; the error names the field and says what to change.
            StreamBehind: too much sound waits to be heard; the same packet is taken a little later.
            Overloaded: no new stream is taken now.
            RecognitionFailed: the engine failed on this stream.
            LingtingError: whatever `lease` says when the tenant has no place left.
        """
        key = (owner.tenant_id, packet.stream_id)
        while (opening := self._opening.get(key)) is not None:
            await opening.wait()
        stream = self._find(key)
        if packet.action is Action.ABORT:
            if stream is not None:
                self._fail(stream, StreamAborted(packet.stream_id))
            self._finals.forget(key)
            return StreamReply("")
        if packet.action is Action.START:
            if stream is None:
                stream = await self._open(owner, key, packet, options)
            elif not stream.sequence.is_first(packet):
                raise StreamAlreadyLive(packet.stream_id)
        elif stream is None:
            return self._answer_ended(key, packet)
        added = self._take(stream, packet)
        charge(added)
        if packet.action is Action.END:
            if stream.ending is None:
                stream.ending = self._spawn(self._end(stream, packet))
            text = await asyncio.shield(stream.outcome)
            return StreamReply(text, added, len(text), stream.sequence.total_bytes / BYTES_PER_SECOND)
        return self._answer(stream, added)

    def sweep(self) -> None:
        """End the streams that have been idle for too long and forget old final texts."""
        now = self._clock()
        for stream in list(self._live.values()):
            if self._expired(stream, now):
                self._fail(stream, UnknownStream(stream.key[1], self._idle_seconds))
        self._finals.sweep(now)

    def _find(self, key: Key) -> _Stream[OwnerT] | None:
        stream = self._live.get(key)
        if stream is not None and self._expired(stream, self._clock()):
            self._fail(stream, UnknownStream(key[1], self._idle_seconds))
            return None
        return stream

    def _expired(self, stream: _Stream[OwnerT], now: float) -> bool:
        return stream.ending is None and now - stream.last_seen > self._idle_seconds

    async def _open(
        self, owner: OwnerT, key: Key, packet: StreamPacket, options: RecognitionOptions
    ) -> _Stream[OwnerT]:
        if packet.sequence_id not in (0, 1):
            raise InvalidFirstNumber(packet.sequence_id)
        if len(packet.audio) > self._max_bytes:
            raise StreamTooLong(packet.sequence_id, self._max_seconds)
        if self._draining:
            raise Overloaded("the server is stopping; no new stream is taken", retry_after=5.0)
        opened = self._opening[key] = asyncio.Event()
        try:
            lease = await self._acquire(owner)
            try:
                session = self._open_live(owner, options)
            except BaseException:
                lease.release()
                raise
            sequence = Sequence(packet.sequence_id, window=self._window, max_waiting_bytes=self._max_waiting_bytes)
            now = self._clock()
            stream = _Stream(owner, key, session, lease, sequence, now, now)
            stream.outcome.add_done_callback(_retrieve)
            self._live[key] = stream
            self._finals.forget(key)
        finally:
            del self._opening[key]
            opened.set()
            self._ended.set()
        return stream

    def _take(self, stream: _Stream[OwnerT], packet: StreamPacket) -> float:
        """Counts a packet and feeds what is in order; returns the seconds it added."""
        sequence = stream.sequence
        if sequence.is_retry(packet):
            stream.last_seen = self._clock()
            return 0.0
        if sequence.total_bytes + len(packet.audio) > self._max_bytes:
            raise StreamTooLong(packet.sequence_id, self._max_seconds)
        if packet.action is not Action.END:
            stream.session.require_room()
        audio = stream.half_sample + sequence.take(packet)
        stream.last_seen = self._clock()
        whole = len(audio) & ~1
        stream.half_sample = audio[whole:]
        try:
            if whole:
                stream.session.accept(np.frombuffer(audio, "<i2", count=whole // 2))
        except LingtingError as error:
            self._fail(stream, error)
            raise
        except Exception as error:
            log.exception("a live session failed on new audio")
            failed = RecognitionFailed("the recognition of this stream failed")
            self._fail(stream, failed)
            raise failed from error
        if sequence.complete:
            stream.complete.set()
        return len(packet.audio) / BYTES_PER_SECOND

    def _answer(self, stream: _Stream[OwnerT], added: float) -> StreamReply:
        stream.last_seen = self._clock()
        session = stream.session
        return StreamReply(session.text, added, len(session.confirmed), session.confirmed_seconds)

    def _answer_ended(self, key: Key, packet: StreamPacket) -> StreamReply:
        reply = self._finals.answer(key, packet, self._clock())
        if reply is None:
            raise UnknownStream(packet.stream_id, self._idle_seconds)
        return reply

    async def _end(self, stream: _Stream[OwnerT], packet: StreamPacket) -> None:
        """Waits for packets that were overtaken, then for the text, and settles the stream's outcome."""
        text, error = "", None
        try:
            try:
                async with asyncio.timeout(self._grace_seconds):
                    await stream.complete.wait()
            except TimeoutError:
                raise MissingPacket(stream.sequence.expected) from None
            try:
                async with asyncio.timeout(self._final_seconds):
                    text = (await stream.session.finish()).text
            except TimeoutError:
                raise RecognitionFailed("the final text took too long") from None
        except LingtingError as known:
            error = known
        except Exception:
            log.exception("a live session failed on its end")
            error = RecognitionFailed("the recognition of this stream failed")
        if error is not None:
            error = error.with_traceback(None)
        if self._close(stream, aborted=error is not None):
            seconds = stream.sequence.total_bytes / BYTES_PER_SECOND
            final = Final(packet.sequence_id, packet.digest, self._clock(), text, error, seconds)
            self._finals.remember(stream.key, final)
        if stream.outcome.done():
            return
        if error is not None:
            stream.outcome.set_exception(error)
        else:
            stream.outcome.set_result(text)

    def _fail(self, stream: _Stream[OwnerT], error: LingtingError) -> None:
        """Ends a stream without a text; whoever waits for its text gets `error`."""
        if stream.ending is not None:
            stream.ending.cancel()
        self._close(stream, aborted=True)
        if not stream.outcome.done():
            stream.outcome.set_exception(error)

    def _close(self, stream: _Stream[OwnerT], *, aborted: bool) -> bool:
        """Removes a stream and frees its place, once; returns whether it was there."""
        if self._live.get(stream.key) is not stream:
            return False
        del self._live[stream.key]
        if aborted:
            try:
                stream.session.abort()
            except Exception:
                log.exception("a live session failed on its abort")
        stream.lease.release()
        self._ended.set()
        return True

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._idle_seconds / 4))
            self.sweep()

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _retrieve(outcome: asyncio.Future[str]) -> None:
    """Marks the error as seen: its waiter may have left."""
    if not outcome.cancelled():
        outcome.exception()
