"""Streams as a door sees them: each packet goes to the home that owns its stream, wherever that is by then.

The owner stands in a local cache, else in the directory; a stream without one is claimed for a home. When the owner's
connection breaks or it says nothing for a second, another home claims the stream at the next epoch, has what was kept
of it, and answers the same packet. Of two doors that claim at once one wins, and the other follows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from lingting import log_ids
from lingting.access.principal import Principal
from lingting.cluster.directory import Directory, Place
from lingting.cluster.handshake import HomeGone, HomeSilent, LinkError
from lingting.cluster.homes import Homes
from lingting.cluster.messages import Take, Taken
from lingting.domain import RecognitionOptions, Seconds
from lingting.errors import LingtingError, Overloaded
from lingting.operations import traces
from lingting.streams import Action, StreamPacket, StreamReply, StreamState
from lingting.streams.errors import StreamMoved, UnknownStream
from lingting.streams.journal.storage import Key

PATIENCE_SECONDS = 8.0
"""A packet is sent from home to home for so long before its sender is told to try again."""
_ANSWER_SECONDS = 5.0
_FINAL_SECONDS = 130.0
_AGAIN_SECONDS = 0.2
_CATCH_UP_SECONDS = 1.5
"""When Redis is back, owners get so long to write what they hold before anybody takes a stream from them."""
_TRIES = 3
"""Homes that are asked to take a new stream before it is refused."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    """A stream of which a packet came through this door. Event loop only.

    Attributes:
        place: where it is, as far as this door knows.
        ending: its final packet came.
        ended: it is over.
    """

    owner: Principal
    stream_id: str
    opened_at: float
    last_seen: float
    place: Place | None = None
    audio_seconds: float = 0.0
    ending: bool = False
    ended: bool = False


class DoorStreams:
    """Stands where `Streams` does in the server of a single machine. Event loop only.

    Args:
        directory: says whose a stream is.
        homes: have the streams.
        idle_seconds: a stream without a packet for this long ends.

    Attributes:
        moved: streams that went on in another home.
    """

    def __init__(self, directory: Directory, homes: Homes, idle_seconds: Seconds) -> None:
        self._directory = directory
        self._homes = homes
        self._idle_seconds = idle_seconds
        self._known: dict[Key, _Known] = {}
        self._draining = False
        self._tasks: set[asyncio.Task[StreamReply]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self.moved = 0

    @property
    def draining(self) -> bool:
        """Whether new streams are refused because this door stops."""
        return self._draining

    @property
    def live(self) -> int:
        """How many live streams came through this door lately."""
        return sum(not known.ended for known in self._known.values())

    def has(self, owner: Principal, stream_id: str) -> bool:
        """Whether this stream came through this door and is live."""
        known = self._known.get((owner.tenant_id, stream_id))
        return known is not None and not known.ended

    def overview(self) -> list[StreamState[Principal]]:
        """The live streams that came through this door, the oldest first."""
        now = time.monotonic()
        return [
            StreamState(
                known.owner,
                known.stream_id,
                known.audio_seconds,
                now - known.opened_at,
                now - known.last_seen,
                known.ending,
            )
            for known in self._known.values()
            if not known.ended
        ]

    async def start(self) -> None:
        """Begin to forget streams that have ended elsewhere."""
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="cluster-door")

    async def drain(self, seconds: float) -> None:
        """Refuse new streams. Those that are live go on through other doors; only answers in flight are waited for."""
        self._draining = True
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=seconds)

    async def stop(self) -> None:
        """Wait for nothing more."""
        self._draining = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def packet(
        self, owner: Principal, packet: StreamPacket, options: RecognitionOptions, charge: Callable[[Seconds], None]
    ) -> StreamReply:
        """Have one packet taken and answer it; see `Streams.packet`.

        Raises:
            Overloaded: no home answers, or Redis does not; the same packet may be sent again.
            LingtingError: what the home says.
        """
        if packet.action is Action.START and self._draining and not self.has(owner, packet.stream_id):
            raise Overloaded("the server is stopping; no new stream is taken", retry_after=5.0)
        if packet.action is not Action.END:
            return await self._answered(owner, packet, options, charge)
        # charged also when its sender leaves before the text is there
        task = asyncio.create_task(self._answered(owner, packet, options, charge))
        self._tasks.add(task)
        task.add_done_callback(self._settled)
        return await asyncio.shield(task)

    def _settled(self, task: asyncio.Task[StreamReply]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def _answered(
        self, owner: Principal, packet: StreamPacket, options: RecognitionOptions, charge: Callable[[Seconds], None]
    ) -> StreamReply:
        key, now = (owner.tenant_id, packet.stream_id), time.monotonic()
        known = self._known.get(key)
        if known is None:
            known = _Known(owner, packet.stream_id, now, now)
        known.last_seen = now
        known.ending |= packet.action is Action.END
        try:
            taken = await self._sent(key, known, packet, options)
        except UnknownStream:
            self._known.pop(key, None)
            if packet.action is Action.ABORT:
                return StreamReply("")
            raise
        if packet.action is Action.ABORT:
            self._known.pop(key, None)
        else:
            self._known[key] = known
        if packet.action is Action.START and known.ended:
            known.opened_at, known.audio_seconds, known.ending, known.ended = now, 0.0, False, False
        known.ended |= packet.action is Action.END
        known.audio_seconds += taken.audio_seconds
        charge(taken.audio_seconds)
        return StreamReply(taken.text, taken.audio_seconds, taken.confirmed, taken.confirmed_seconds)

    async def _sent(self, key: Key, known: _Known, packet: StreamPacket, options: RecognitionOptions) -> Taken:
        """Send a packet until the stream's owner has taken it."""
        until = time.monotonic() + PATIENCE_SECONDS
        refused: set[str] = set()
        left: set[str] = set()  # homes that have the stream no more, or are gone
        added = 0.0
        while True:
            place, new = known.place, False
            if place is None:
                place, new = await self._found(key, packet, refused)
            try:
                if not place.owner or self._homes.better(place, left):
                    place = await self._claimed(key, place, left)
                known.place = place
                taken = await self._asked(known.owner, place, packet, options)
                added += taken.audio_seconds
                if taken.kept or self._directory.down:
                    known.place = replace(place, fresh=False) if place.fresh else place
                    taken.audio_seconds = added
                    return taken
                error: LingtingError = Overloaded("the home of the stream does not reach Redis yet; try again", 1.0)
                await asyncio.sleep(_AGAIN_SECONDS)
            except StreamMoved:
                left.add(place.owner)
                error = Overloaded("the stream moves to another home; try again", 1.0)
                known.place = await self._directory.find(key)
                if known.place == place:  # its owner wants it no more, and has not said so to the directory
                    known.place = await self._claimed(key, place, left)
            except HomeGone:
                left.add(place.owner)
                error = Overloaded("a home of the cluster was started anew; try again", 1.0)
                known.place = await self._claimed(key, place, left)
            except LinkError as broken:
                left.add(place.owner)
                error = Overloaded("a home of the cluster is gone, and no other takes the stream yet; try again", 1.0)
                known.place = await self._directory.find(key)
                if known.place == place or isinstance(broken, HomeSilent):
                    self._homes.distrust(place.address, broken)
            except Overloaded:
                known.place = None
                refused.add(place.owner)
                if not new or len(refused) >= min(_TRIES, len(self._homes)):
                    raise
                continue
            if time.monotonic() > until:
                raise error

    async def _asked(self, owner: Principal, place: Place, packet: StreamPacket, options: RecognitionOptions) -> Taken:
        if not place.owner:
            raise StreamMoved("another home was quicker, and has given the stream up already")
        link = await self._homes.link(place.address, place.owner)

        def question(number: int) -> Take:
            return Take(
                number,
                owner,
                packet.stream_id,
                packet.sequence_id,
                packet.action,
                packet.audio,
                packet.digest,
                options,
                place.epoch,
                place.fresh,
                log_ids.current(),
                traces.here(),
            )

        return await link.ask(question, Taken, _FINAL_SECONDS if packet.action is Action.END else _ANSWER_SECONDS)

    async def _found(self, key: Key, packet: StreamPacket, refused: set[str]) -> tuple[Place, bool]:
        """Where a stream is, and whether it was claimed now because it is new.

        Raises:
            UnknownStream: it is nowhere, and this packet opens none.
        """
        if packet.action is not Action.START:
            place = await self._directory.find(key)
            if place is None:
                raise UnknownStream(packet.stream_id, self._idle_seconds)
            return place, False
        home = self._homes.choose("/".join(key), refused)
        won, place = await self._directory.claim(key, 0, home.id, home.address)
        return place, won and place.fresh

    async def _claimed(self, key: Key, place: Place, left: set[str]) -> Place:
        """A stream whose owner is gone is given to another home; whoever has it then."""
        await asyncio.sleep(max(0.0, self._directory.back_at + _CATCH_UP_SECONDS - time.monotonic()))
        home = self._homes.choose("/".join(key), left | {place.owner})
        won, place = await self._directory.claim(key, place.epoch, home.id, home.address)
        if won:
            self.moved += 1
            log.info("the stream %s goes on at %s", key[1], home.id)
        return place

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._idle_seconds / 4))
            before = time.monotonic() - self._idle_seconds
            for key in [key for key, known in self._known.items() if known.last_seen < before]:
                with contextlib.suppress(KeyError):
                    del self._known[key]
