"""The journal of one stream: packets are kept until a checkpoint says that their text is final."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from lingting.domain import RecognitionOptions
from lingting.recognition.finals import Checkpoint
from lingting.streams.journal.records import Ended, Options, Packet, Place, decode, encode
from lingting.streams.journal.storage import Key, Storage
from lingting.streams.packets import Action, StreamPacket
from lingting.streams.sequence import Sequence


class StreamJournal:
    """What is kept of one stream. Only its stream's task that holds the lock touches it.

    Attributes:
        place: where the stream would go on.
        numbers: of each packet that is kept, by number: its entry, and the bytes of its sound.
    """

    def __init__(self, storage: Storage, key: Key, options: RecognitionOptions, first: StreamPacket) -> None:
        self.place = Place(Options.of(options), first.sequence_id, first.digest, {}, first.sequence_id, 0)
        self.numbers: dict[int, tuple[int, int]] = {}
        self._storage = storage
        self._key = key
        self._ordered: deque[tuple[int, int]] = deque()
        self._next = first.sequence_id
        self._end = 0
        self._last = -1
        self._kept: list[Packet] = []

    @classmethod
    def again(
        cls, storage: Storage, key: Key, place: Place, packets: list[tuple[int, Packet]], last: int
    ) -> StreamJournal:
        """That of a stream which was recovered."""
        first = StreamPacket("", place.base, Action.START, b"", place.first)
        journal = cls(storage, key, place.options.options(), first)
        journal.place = place
        journal._next, journal._end, journal._last = place.number, place.offset, last
        for entry, packet in packets:
            journal.numbers[packet.sequence_id] = entry, len(packet.audio)
        journal._kept = [packet for _, packet in packets]
        return journal

    def packets(self, stream_id: str) -> Iterator[StreamPacket]:
        """The packets of a stream that was recovered, in the order in which they had come; once."""
        kept, self._kept = self._kept, []
        for packet in kept:
            yield StreamPacket(stream_id, packet.sequence_id, Action(packet.action), packet.audio, packet.digest)

    async def keep(self, packet: StreamPacket) -> None:
        """Have a packet survive; it may be acknowledged then.

        Raises:
            JournalError: it cannot be kept.
        """
        if self._last < 0:
            self._last = await self._storage.append(self._key, encode(self.place))
        record = Packet(packet.sequence_id, packet.action, packet.audio, packet.digest)
        self._last = await self._storage.append(self._key, encode(record))
        self.numbers[packet.sequence_id] = self._last, len(packet.audio)

    async def checkpoint(self, checkpoint: Checkpoint | None, sequence: Sequence) -> None:
        """Drop the packets that nobody needs behind a checkpoint of the session, if it is a new one."""
        while self._next < sequence.expected and self._next in self.numbers:
            self._ordered.append((self._next, self._end))
            self._end += self.numbers[self._next][1]
            self._next += 1
        if checkpoint is None or checkpoint is self.place.checkpoint:
            return
        heard = 2 * checkpoint.samples
        while self._ordered and self._ordered[0][0] != sequence.last:  # the final packet is kept to the end
            number, begin = self._ordered[0]
            if begin + self.numbers[number][1] > heard:
                break
            self._ordered.popleft()
            del self.numbers[number]
        number, offset = self._ordered[0] if self._ordered else (self._next, self._end)
        place = Place(
            self.place.options,
            self.place.base,
            self.place.first,
            sequence.digests_before(number),
            number,
            offset,
            checkpoint,
        )
        needed = min((entry for entry, _ in self.numbers.values()), default=self._last + 1)
        self._last = await self._storage.checkpoint(self._key, encode(place), needed)
        self.place = place

    async def end(self, ended: Ended | None) -> None:
        """The stream is over: drop everything but how it ended."""
        if ended is None:
            await self._storage.forget(self._key)
        else:
            await self._storage.checkpoint(self._key, encode(ended), self._last + 1)


async def recover(storage: Storage, key: Key) -> StreamJournal | Ended | None:
    """What a storage has of a stream: a journal to go on with, how it ended, or nothing that can be used.

    Raises:
        JournalError: the storage cannot be read now.
    """
    try:
        records = [(number, decode(entry)) for number, entry in await storage.recover(key)]
    except msgspec.MsgspecError:
        return None
    place: Place | Ended | None = None
    packets: list[tuple[int, Packet]] = []
    for number, record in records:
        match record:
            case Packet():
                packets.append((number, record))
            case Place(checkpoint=None) | Ended():  # a stream begins or ends here; what was before is another one
                place, packets = record, []
            case Place():
                place = record
    if place is None or isinstance(place, Ended):
        return place
    needed = {packet.sequence_id: (number, packet) for number, packet in packets if packet.sequence_id >= place.number}
    if place.number == place.base and place.base not in needed:
        return None  # its first packet was never kept, so never acknowledged
    return StreamJournal.again(storage, key, place, sorted(needed.values(), key=lambda each: each[0]), records[-1][0])
