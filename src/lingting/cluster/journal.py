"""The journal of a home: what is kept of its streams, in the directory, fenced by the epoch of each claim.

A copy of what Redis has of a stream stays in memory. While Redis does not answer, a stream that runs goes on with that
copy alone, and its answers say so: whether they count is the door's to decide (`door.py`). When Redis is back the copy
is written whole, unless another home has claimed the stream meanwhile, which then has it.

A home that was frozen, or lost the link to a door, cannot know whether a door has given its streams to others. Until
Redis has said of a stream that it has not, nothing of it is taken into memory alone: a door that knows of no move, for
Redis does not answer, would believe it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from lingting.cluster.directory import Directory, DirectoryDown, Place
from lingting.streams.errors import StreamMoved
from lingting.streams.journal import Storage
from lingting.streams.journal.storage import Key

TICK_SECONDS = 0.25
"""`ClusterStorage.tick` is called so often."""
_FROZEN_SECONDS = 0.75
"""No tick for so long: this process may have been frozen. Doors give up on a home after a second."""


@dataclass(slots=True)
class _Held:
    """What a home holds of a stream.

    Attributes:
        place: its claim.
        life: of the directory when it was claimed.
        entries: what is kept, by number.
        next: number of the next entry.
        running: something of it was acknowledged.
        kept: Redis has all of the entries.
        sure_at: when Redis was last asked whether the claim stands, and it did.
    """

    place: Place
    life: str
    entries: dict[int, bytes] = field(default_factory=dict)
    next: int = 0
    running: bool = False
    kept: bool = True
    sure_at: float = field(default_factory=time.monotonic)


class ClusterStorage(Storage):
    """Entries of the streams that a home has claimed. Event loop only.

    Args:
        directory: where they are kept.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._held: dict[Key, _Held] = {}
        self._ticked_at = time.monotonic()
        self._disturbed_at = float("-inf")

    def tick(self) -> None:
        """Notice it when this process was frozen."""
        now = time.monotonic()
        if now - self._ticked_at > _FROZEN_SECONDS:
            self.disturb()
        self._ticked_at = now

    def disturb(self) -> None:
        """A door may have given streams of this home to others without its knowledge."""
        self._disturbed_at = time.monotonic()

    def epoch(self, key: Key) -> int:
        """The claim that this home has of a stream; 0 for none."""
        held = self._held.get(key)
        return 0 if held is None else held.place.epoch

    def hold(self, key: Key, place: Place) -> None:
        """A door says that the stream was claimed for this home."""
        self._held[key] = _Held(place, self._directory.life, running=not place.fresh)

    def drop(self, key: Key) -> Place | None:
        """Forget the claim here, and leave the directory as it is."""
        held = self._held.pop(key, None)
        return None if held is None else held.place

    async def release(self, key: Key) -> None:
        """Make a stream nobody's, once Redis has all that was acknowledged of it.

        Raises:
            StreamMoved: another home has claimed it already.
        """
        held = self._held.get(key)
        if held is not None:
            if not held.kept:
                await self._restore(key, held)
            await self._directory.release(key, held.place.epoch)
            self.drop(key)

    async def settle(self, key: Key, *, asked: bool) -> bool:
        """Whether Redis has all that was acknowledged of a stream, after another attempt where it has not.

        Args:
            asked: find out whether the claim stands, for nothing was written.

        Raises:
            StreamMoved: another home has claimed the stream.
        """
        held = self._held.get(key)
        if held is None:
            raise StreamMoved(f"the stream {key[1]} is no longer at this home")
        held.running = True
        try:
            if not held.kept:
                await self._restore(key, held)
            elif asked:
                await self._make_sure(key, held)
        except DirectoryDown:
            return False
        return held.kept

    async def catch_up(self) -> list[Key]:
        """Write what Redis could not take, and ask of claims that are in doubt.

        Returns:
            The streams that another home has claimed meanwhile.
        """
        moved = []
        for key, held in list(self._held.items()):
            if not self._directory.down and not (held.kept and self._is_sure(held)):
                try:
                    if held.kept:
                        await self._make_sure(key, held)
                    else:
                        await self._restore(key, held)
                except DirectoryDown:
                    break
                except StreamMoved:
                    moved.append(key)
        return moved

    # -- as a storage of the journal ----------------------------------------------------------------------------------

    async def append(self, key: Key, entry: bytes) -> int:
        return await self._put(key, entry, 0)

    async def checkpoint(self, key: Key, entry: bytes, first: int) -> int:
        return await self._put(key, entry, first)

    async def recover(self, key: Key) -> list[tuple[int, bytes]]:
        held = self._holding(key)
        if held.place.fresh and not held.entries:
            return []
        began = time.monotonic()
        entries = await self._directory.load(key, held.place.epoch)
        held.sure_at = began
        held.entries = dict(entries)
        held.next = max(held.entries, default=-1) + 1
        return entries

    async def forget(self, key: Key) -> None:
        place = self.drop(key)
        if place is not None:
            await self._directory.end(key, place.epoch)

    async def sweep(self, seconds: float) -> None:
        """Redis drops what has expired."""

    async def close(self) -> None:
        """The directory is closed by whoever opened it."""

    async def _put(self, key: Key, entry: bytes, first: int) -> int:
        held = self._holding(key)
        number = held.next
        needless = [each for each in held.entries if each < first]
        began = time.monotonic()
        try:
            if not held.kept:
                raise DirectoryDown("what is held is written first", 1.0)
            if not await self._directory.put(key, held.place.epoch, number, entry, needless):
                await self._lost(key, held)
            held.sure_at = began
        except DirectoryDown:
            if not held.running or not self._is_sure(held):
                raise
            held.kept = False
        for each in needless:
            del held.entries[each]
        held.entries[number] = entry
        held.next += 1
        return number

    async def _restore(self, key: Key, held: _Held) -> None:
        written, began = held.next, time.monotonic()
        await self._directory.restore(key, held.place, held.entries, held.life)
        held.life, held.kept, held.sure_at = self._directory.life, written == held.next, began

    async def _make_sure(self, key: Key, held: _Held) -> None:
        began = time.monotonic()
        if not await self._directory.check(key, held.place.epoch):
            await self._lost(key, held)
        held.sure_at = began

    def _is_sure(self, held: _Held) -> bool:
        self.tick()  # a packet may be what comes first when this process wakes
        return held.sure_at > self._disturbed_at

    async def _lost(self, key: Key, held: _Held) -> None:
        """Redis knows nothing of the claim: the stream has ended elsewhere, unless Redis has lost everything."""
        await self._directory.look()
        if self._directory.life == held.life:
            raise StreamMoved(f"the stream {key[1]} has ended elsewhere")
        held.kept = False
        raise DirectoryDown("Redis has lost the stream, which is written again", 1.0)

    def _holding(self, key: Key) -> _Held:
        held = self._held.get(key)
        if held is None:
            raise StreamMoved(f"the stream {key[1]} is no longer at this home")
        return held
