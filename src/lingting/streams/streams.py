"""Live streams by tenant and name: packets in, text out, and every way a stream can end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Generic

from lingting.domain import RecognitionOptions, Seconds
from lingting.errors import LingtingError, Overloaded
from lingting.streams.ending import CAUSES, final_text, outcome
from lingting.streams.errors import (
    InvalidFirstNumber,
    StreamAborted,
    StreamAlreadyLive,
    StreamMoved,
    StreamTooLong,
    UnknownStream,
)
from lingting.streams.finals import Final, Finals, Key
from lingting.streams.journal import Ended, JournalError, Storage, StreamJournal, recover
from lingting.streams.packets import Action, StreamPacket, StreamReply
from lingting.streams.sequence import Sequence
from lingting.streams.stream import BYTES_PER_SECOND, Stream
from lingting.streams.types import Lease, LiveSession, OwnerT, StreamState

_HAND_OVER_SECONDS = 2.0
_UNTIMED = RecognitionOptions(timestamps=False)
log = logging.getLogger(__name__)


class Streams(Generic[OwnerT]):
    """All live streams of this process.

    A stream is (tenant, stream_id). Use from one event loop only. Packets other than the final one never wait for
    recognition; the final one waits for the text, and the recognition goes on when its sender leaves.

    Args:
        open_live: starts the recognition of a stream; may raise Overloaded.
        lease: takes a place for a stream of this owner, or raises what says that there is none; called with True for
            a stream that had one before a restart.
        idle_seconds: a stream without a packet for this long ends.
        max_seconds: longest stream, in seconds of audio.
        window: how far ahead of the expected packet a packet may be.
        grace_seconds: how long a final packet waits for packets it overtook.
        final_seconds: the longest a final packet waits for its text; it may be sent again and waits again, and nothing
            is lost meanwhile.
        max_waiting_bytes: most audio of one stream that waits for a missing packet.
        journal: where packets are kept until their text is final, so that streams survive this process.
        open_again: as `open_live`, for a stream that was live before a restart and is not refused; the same when None.
        clock: seconds that only go forward.

    Attributes:
        ends: how many streams have ended since the start, by cause.
        journal_errors: how often the journal could not be written or read.
        on_drain: is awaited at the beginning of a drain, within its time: streams may be handed over then.
    """

    def __init__(
        self,
        open_live: Callable[[OwnerT, RecognitionOptions], LiveSession],
        *,
        lease: Callable[[OwnerT, bool], Awaitable[Lease]],
        idle_seconds: float = 60.0,
        max_seconds: float = 3600.0,
        window: int = 32,
        grace_seconds: float = 3.0,
        final_seconds: float = 120.0,
        max_waiting_bytes: int = 2_000_000,
        journal: Storage | None = None,
        open_again: Callable[[OwnerT, RecognitionOptions], LiveSession] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_live = open_live
        self._open_again = open_again or open_live
        self._acquire = lease
        self._idle_seconds = idle_seconds
        self._max_seconds = max_seconds
        self._max_bytes = int(max_seconds * BYTES_PER_SECOND)
        self._window = window
        self._grace_seconds = grace_seconds
        self._final_seconds = final_seconds
        self._max_waiting_bytes = max_waiting_bytes
        self._journal = journal
        self._clock = clock
        self._swept_at = clock()
        self._live: dict[Key, Stream[OwnerT]] = {}
        self._opening: dict[Key, asyncio.Event] = {}
        self._finals = Finals()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._draining = False
        self.ends: Counter[str] = Counter(dict.fromkeys(CAUSES.values(), 0))
        self.journal_errors = 0
        self.on_drain: Callable[[], Awaitable[None]] | None = None

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

    def knows(self, key: Key) -> bool:
        """Whether a stream of this name is live, being opened, or has ended so lately that its end is remembered."""
        return key in self._live or key in self._opening or self._finals.knows(key)

    def staying(self) -> list[Key]:
        """The live streams whose final packet has not come."""
        return [key for key, stream in self._live.items() if stream.ending is None]

    async def leave(self, key: Key) -> None:
        """Let go of a stream, or of the end of one, with which another process goes on; the journal keeps it."""
        while (opening := self._opening.get(key)) is not None:
            await opening.wait()
        stream = self._live.get(key)
        if stream is not None:
            async with stream.lock:
                self._fail(stream, StreamMoved(f"the stream {key[1]} goes on in another process"), forget=False)
        self._finals.forget(key)

    def overview(self) -> list[StreamState[OwnerT]]:
        """The live streams, the oldest first."""
        now = self._clock()
        return [stream.state(now) for stream in self._live.values()]

    @property
    def remembered(self) -> int:
        """How many final texts are kept for a final packet that is sent again."""
        return len(self._finals)

    async def start(self) -> None:
        """Begin to end idle streams in the background."""
        self._draining = False
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="streams-sweeper")

    def _ends_by_itself(self, stream: Stream[OwnerT]) -> bool:
        """Whether a stop waits for this stream: one in the journal goes on behind it, unless it ends already."""
        return self._journal is None or stream.ending is not None

    async def drain(self, seconds: float) -> None:
        """Refuse new streams and give the live ones `seconds` to end by themselves.

        With a journal nobody waits for long: a final text that takes longer than `_HAND_OVER_SECONDS` comes behind the
        restart, as those of streams that go on do; its sender is told to ask again.
        """
        self._draining = True
        patience = seconds if self._journal is None else min(seconds, _HAND_OVER_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if self.on_drain is not None:
                    await self.on_drain()
                async with asyncio.timeout(patience):
                    while self._opening or any(self._ends_by_itself(stream) for stream in self._live.values()):
                        self._ended.clear()
                        await self._ended.wait()
        if self._journal is not None:
            for stream in [each for each in self._live.values() if each.ending is not None]:
                self._fail(stream, _stopping("the final text comes behind its restart"), forget=False)

    async def stop(self) -> None:
        """Refuse new streams and abort the live ones."""
        self._draining = True
        for stream in list(self._live.values()):
            self._fail(stream, Overloaded("the server is stopping"), forget=False)
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
            self._sweeper = None
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._journal is not None:
            await self._journal.close()

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
            Overloaded: no new stream is taken now; or the final text is not ready yet, and the same final packet gets
                it when it is sent again.
            RecognitionFailed: the engine failed on this stream.
            LingtingError: whatever `lease` says when the tenant has no place left.
        """
        key = (owner.tenant_id, packet.stream_id)
        while (opening := self._opening.get(key)) is not None:
            await opening.wait()
        stream = self._find(key)
        if stream is None and self._journal is not None and not self._finals.knows(key):
            stream = await self._recover(owner, key)
        if packet.action is Action.ABORT:
            if stream is not None:
                self._fail(stream, StreamAborted(packet.stream_id))
            self._finals.forget(key)
            self._forget(key)
            return StreamReply("")
        if packet.action is Action.START:
            if stream is None:
                stream = await self._open(owner, key, packet, options)
            elif not stream.sequence.is_first(packet):
                raise StreamAlreadyLive(packet.stream_id)
        elif stream is None:
            return self._answer_ended(key, packet)
        added = self._take(stream, packet) if stream.kept is None else await self._keep(stream, stream.kept, packet)
        charge(added)
        if packet.action is Action.END:
            if stream.ending is None:
                stream.ending = self._spawn(self._end(stream, packet))
            try:
                text = await outcome(stream, within=self._final_seconds)
            finally:
                stream.last_seen = self._clock()
            return StreamReply(text, added, len(text), stream.seconds)
        stream.last_seen = self._clock()
        return stream.reply(added)

    def sweep(self) -> None:
        """End the streams that have been idle for too long and forget old final texts."""
        now = self._clock()
        for stream in list(self._live.values()):
            if self._expired(stream, now):
                self._fail(stream, UnknownStream(stream.key[1], self._idle_seconds))
        for key in self._finals.sweep(now):
            self._forget(key)
        if self._journal is not None and now - self._swept_at > self._idle_seconds:
            self._swept_at = now
            self._spawn(self._quietly(self._journal.sweep(self._idle_seconds)))

    def _find(self, key: Key) -> Stream[OwnerT] | None:
        stream = self._live.get(key)
        if stream is not None and self._expired(stream, self._clock()):
            self._fail(stream, UnknownStream(key[1], self._idle_seconds))
            return None
        return stream

    def _expired(self, stream: Stream[OwnerT], now: float) -> bool:
        """Whether nobody speaks any more, or asks for the final text; who waits for it may have asked long ago."""
        waiting = 0.0 if stream.ending is None else self._final_seconds
        return now - stream.last_seen > self._idle_seconds + waiting

    async def _open(self, owner: OwnerT, key: Key, packet: StreamPacket, options: RecognitionOptions) -> Stream[OwnerT]:
        if packet.sequence_id not in (0, 1):
            raise InvalidFirstNumber(packet.sequence_id)
        if len(packet.audio) > self._max_bytes:
            raise StreamTooLong(packet.sequence_id, self._max_seconds)
        if self._draining:
            raise _stopping("no new stream is taken")
        opened = self._opening[key] = asyncio.Event()
        try:
            stream = await self._begin(owner, key, packet.sequence_id, options)
            if self._journal is not None:
                stream.kept = StreamJournal(self._journal, key, options, packet)
            self._live[key] = stream
            self._finals.forget(key)
        finally:
            del self._opening[key]
            opened.set()
            self._ended.set()
        return stream

    async def _begin(
        self, owner: OwnerT, key: Key, base: int, options: RecognitionOptions, *, again: bool = False
    ) -> Stream[OwnerT]:
        """A stream with a place and a session; `again` says that it had a place before."""
        lease = await self._acquire(owner, again)
        try:
            session = (self._open_again if again else self._open_live)(owner, options)
        except BaseException:
            lease.release()
            raise
        sequence = Sequence(base, window=self._window, max_waiting_bytes=self._max_waiting_bytes)
        now = self._clock()
        return Stream(owner, key, session, lease, sequence, now, now)

    async def _recover(self, owner: OwnerT, key: Key) -> Stream[OwnerT] | None:
        """The stream as the journal has it; None where it has none, or only its end, which is remembered then."""
        assert self._journal is not None
        opened = self._opening[key] = asyncio.Event()
        try:
            with self._journalling():
                found = await recover(self._journal, key)
            if isinstance(found, Ended):
                self._finals.remember(
                    key, Final(found.sequence_id, found.digest, self._clock(), found.text, None, found.seconds)
                )
                return None
            if found is None:
                return None
            if self._draining:
                raise _stopping("the stream goes on behind its restart")
            place = found.place
            stream = await self._begin(owner, key, place.base, place.options.options(), again=True)
            stream.kept = found
            self._live[key] = stream
            stream.sequence.resume(place.first, place.digests, place.number, place.offset)
            if place.checkpoint is not None:
                stream.session.resume(place.checkpoint)
                stream.heard = 2 * place.checkpoint.samples - place.offset
            for packet in found.packets(key[1]):
                self._accept(stream, packet)
                if packet.action is Action.END:
                    stream.ending = self._spawn(self._end(stream, packet))
            log.info("a stream goes on behind a restart, with %d packets", len(found.numbers))
            return stream
        finally:
            del self._opening[key]
            opened.set()
            self._ended.set()

    async def _keep(self, stream: Stream[OwnerT], kept: StreamJournal, packet: StreamPacket) -> float:
        """Take a packet once the journal has it; returns the seconds it added."""
        async with stream.lock:
            if stream.sequence.is_retry(packet):
                stream.last_seen = self._clock()
                return 0.0
            self._require(stream, packet)
            with self._journalling(), self._moving(stream):
                await kept.keep(packet)
            if self._live.get(stream.key) is not stream:
                raise UnknownStream(stream.key[1], self._idle_seconds)
            added = self._accept(stream, packet)
            with self._moving(stream):
                await self._quietly(kept.checkpoint(stream.session.checkpoint, stream.sequence))
            return added

    def _take(self, stream: Stream[OwnerT], packet: StreamPacket) -> float:
        """Counts a packet and feeds what is in order; returns the seconds it added."""
        sequence = stream.sequence
        if sequence.is_retry(packet):
            stream.last_seen = self._clock()
            return 0.0
        self._require(stream, packet)
        return self._accept(stream, packet)

    def _require(self, stream: Stream[OwnerT], packet: StreamPacket) -> None:
        """Pass when a packet that is no retry can be taken."""
        if stream.sequence.total_bytes + len(packet.audio) > self._max_bytes:
            raise StreamTooLong(packet.sequence_id, self._max_seconds)
        if packet.action is not Action.END:
            stream.session.require_room()
        stream.sequence.require(packet)

    def _accept(self, stream: Stream[OwnerT], packet: StreamPacket) -> Seconds:
        """Feed a packet that can be taken; a stream whose session fails on it ends."""
        stream.last_seen = self._clock()
        try:
            return stream.accept(packet)
        except LingtingError as error:
            self._fail(stream, error)
            raise

    def _answer_ended(self, key: Key, packet: StreamPacket) -> StreamReply:
        reply = self._finals.answer(key, packet, self._clock())
        if reply is None:
            raise UnknownStream(packet.stream_id, self._idle_seconds)
        return reply

    async def _end(self, stream: Stream[OwnerT], packet: StreamPacket) -> None:
        """Waits for the text, and settles the stream's outcome."""
        text, error = await final_text(stream, self._note, grace=self._grace_seconds)
        if stream.kept is not None and self._live.get(stream.key) is stream and not isinstance(error, StreamMoved):
            ended = Ended(packet.sequence_id, packet.digest, text, stream.seconds)
            try:
                await self._quietly(stream.kept.end(None if error else ended))
            except StreamMoved as moved:
                error = moved.with_traceback(None)
        if self._close(stream, error) and not isinstance(error, StreamMoved):
            final = Final(packet.sequence_id, packet.digest, self._clock(), text, error, stream.seconds)
            self._finals.remember(stream.key, final)
        if stream.outcome.done():
            return
        if error is not None:
            stream.outcome.set_exception(error)
        else:
            stream.outcome.set_result(text)

    async def _note(self, stream: Stream[OwnerT]) -> None:
        """Note in the journal what has become final, if the stream is kept there."""
        if stream.kept is not None:
            async with stream.lock:
                await self._quietly(stream.kept.checkpoint(stream.session.checkpoint, stream.sequence))

    def _fail(self, stream: Stream[OwnerT], error: LingtingError, *, forget: bool = True) -> None:
        """Ends a stream without a text; whoever waits for its text gets `error`. The journal may keep it."""
        if stream.ending is not None:
            stream.ending.cancel()
        if self._close(stream, error) and forget:
            self._forget(stream.key)
        if not stream.outcome.done():
            stream.outcome.set_exception(error)

    def _close(self, stream: Stream[OwnerT], error: LingtingError | None) -> bool:
        """Removes a stream and frees its place, once; returns whether it was there. `error` is why it has no text."""
        if self._live.get(stream.key) is not stream:
            return False
        del self._live[stream.key]
        self.ends[CAUSES.get(None if error is None else type(error), "failed")] += 1
        if error is not None:
            stream.abort()
        stream.lease.release()
        self._ended.set()
        return True

    def _forget(self, key: Key) -> None:
        """Drop what the journal has of a stream."""
        if self._journal is not None:
            self._spawn(self._quietly(self._journal.forget(key)))

    async def _quietly(self, work: Awaitable[None]) -> None:
        """What the journal cannot drop now it drops later."""
        with contextlib.suppress(JournalError), self._journalling():
            await work

    @contextlib.contextmanager
    def _moving(self, stream: Stream[OwnerT]) -> Iterator[None]:
        """Lets go of a stream whose journal another process has taken over."""
        try:
            yield
        except StreamMoved as moved:
            self._fail(stream, moved, forget=False)
            raise

    @contextlib.contextmanager
    def _journalling(self) -> Iterator[None]:
        """Counts what the journal cannot do."""
        try:
            yield
        except JournalError:
            self.journal_errors += 1
            raise

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._idle_seconds / 4))
            self.sweep()

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _stopping(what: str) -> Overloaded:
    return Overloaded(f"the server is stopping; {what}", retry_after=5.0)
