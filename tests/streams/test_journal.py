"""Streams that survive their server: a restart is a new `Streams` over the same journal, with the real session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lingting.audio.pcm import samples_to_pcm16
from lingting.audio.voice import VoiceDetector
from lingting.domain import SAMPLE_RATE, RecognitionOptions
from lingting.errors import Overloaded
from lingting.recognition.endpoint import EndpointConfig
from lingting.recognition.engine import Heard, Request
from lingting.recognition.live import LiveConfig, LiveSession
from lingting.recognition.partials import LiveEngines
from lingting.recognition.scheduler import Scheduler
from lingting.recognition.utterance import Writing
from lingting.streams import StreamPacket, Streams
from lingting.streams.errors import UnknownStream
from lingting.streams.journal import (
    DiskStorage,
    Encrypted,
    Ended,
    JournalError,
    MemoryStorage,
    Storage,
    StreamJournal,
    recover,
)
from lingting.streams.journal.records import decode
from lingting.streams.packets import Action
from tests.recognition.fakes import FakeEngine, says
from tests.recordings import recording
from tests.streams.sessions import CONTINUE, END, ID, START, Places, Tenant

PACKET = SAMPLE_RATE // 5


def _by_sound(request: Request) -> Heard:
    """A text that tells sounds apart, to the sample."""
    level = int(np.abs(request.samples * 32768).astype(np.int64).sum())
    return says(f"声{level % 9973}句{len(request.samples)}")


def sound() -> list[bytes]:
    """Three sentences with pauses, in packets of 200 ms."""
    said = recording("asr_example").samples
    pause = np.zeros(SAMPLE_RATE, np.float32)
    pcm = samples_to_pcm16(np.concatenate([pause, said, pause, said[8000:], pause, said[:40000], pause])).tobytes()
    return [pcm[start : start + 2 * PACKET] for start in range(0, len(pcm), 2 * PACKET)]


class Server:
    """Streams over a journal, as one process of a server has them."""

    def __init__(self, journal: Storage | None, pool: ThreadPoolExecutor) -> None:
        self.scheduler = Scheduler(1)
        self.engine = FakeEngine(_by_sound)
        self.places = Places()
        self._pool = pool
        self.streams: Streams[Tenant] = Streams(
            self._open, lease=self.places.acquire, journal=journal, grace_seconds=0.5
        )

    def _open(self, owner: Tenant, options: RecognitionOptions) -> LiveSession:
        return LiveSession(
            self.scheduler,
            LiveEngines.of(self.engine),
            detector=VoiceDetector(),
            writing=Writing(),
            config=LiveConfig(EndpointConfig(pause=5.0)),
            listeners=self._pool,
            writers=self._pool,
            options=options,
        )

    async def send(self, number: int, action: Action, audio: bytes) -> str:
        return (await self.streams.packet(Tenant(), StreamPacket.of(ID, number, action, audio))).text

    async def confirmed(self, length: int) -> None:
        """Wait until so much text is final."""
        (stream,) = self.streams._live.values()
        session, changed = stream.session, asyncio.Event()
        assert isinstance(session, LiveSession)
        session.on_event = lambda _: changed.set()
        async with asyncio.timeout(30):
            while len(session.confirmed) < length:
                changed.clear()
                await changed.wait()

    async def listened(self) -> None:
        """Wait until all sound that was sent is heard."""
        (stream,) = self.streams._live.values()
        session = stream.session
        assert isinstance(session, LiveSession)
        while session._listening is not None:
            await asyncio.wait({session._listening})

    def crash(self) -> None:
        """End as a killed process does: nothing is written any more, nobody is told."""
        for stream in self.streams._live.values():
            stream.session.abort()
        self.scheduler.close()


@asynccontextmanager
async def serving(journal: Storage | None) -> AsyncIterator[Callable[[], Server]]:
    with ThreadPoolExecutor(2) as pool:
        yield lambda: Server(journal, pool)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        return await work()

    return asyncio.run(whole())


async def whole(journal: Storage | None, crashes: set[int], settle: set[int] = frozenset()) -> str:  # type: ignore[assignment]
    """The final text of the stream when the server crashes behind these packets, before any of them is repeated."""
    packets = sound()
    text = ""
    async with serving(journal) as start:
        server = start()
        for number, audio in enumerate(packets):
            action = START if number == 0 else END if number == len(packets) - 1 else CONTINUE
            text = await server.send(number, action, audio)
            if number in settle:
                await server.confirmed(3)
            if number in crashes:
                server.crash()
                server = start()
        server.crash()
    return text


@pytest.fixture(scope="module")
def undisturbed() -> str:
    return str(run(lambda: whole(None, set())))


@pytest.fixture(params=["memory", "disk"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "memory":
        return MemoryStorage()
    return Encrypted(DiskStorage(tmp_path / "journal"), "a secret that is hard to guess")


def test_the_sound_has_three_sentences(undisturbed: str) -> None:
    assert undisturbed.count("声") == 3


@pytest.mark.parametrize("crash", [0, 1, 7, 20, 30, 38, 45, 55])
def test_a_crash_behind_any_packet_does_not_change_the_final_text(
    journal: Storage, undisturbed: str, crash: int
) -> None:
    assert run(lambda: whole(journal, {crash})) == undisturbed


def test_crashes_all_the_time_do_not_change_the_final_text(journal: Storage, undisturbed: str) -> None:
    assert run(lambda: whole(journal, set(range(0, 60, 4)), {36})) == undisturbed


def test_what_is_final_is_dropped_from_the_journal_and_the_stream_goes_on_behind_it(undisturbed: str) -> None:
    storage = MemoryStorage()

    async def work() -> None:
        packets = sound()
        async with serving(storage) as start:
            server = start()
            for number, audio in enumerate(packets[:36]):
                await server.send(number, START if number == 0 else CONTINUE, audio)
            await server.confirmed(3)
            await server.send(36, CONTINUE, packets[36])
            kept = sum(len(entry) for _, entry in await storage.recover(("acme", ID)))
            assert kept < sum(map(len, packets[:37])) / 2
            server.crash()
            again = start()
            for number, audio in enumerate(packets[37:], 37):
                text = await again.send(number, END if number == len(packets) - 1 else CONTINUE, audio)
            assert text == undisturbed
            first = again.engine.requests[0].before
            assert first.languages == ("zh",) and undisturbed.startswith(first.text), "the memory of the stream"
            again.crash()

    run(work)


def test_long_silence_is_not_kept_and_a_crash_in_it_does_not_change_the_text() -> None:
    packets = [*[bytes(2 * PACKET)] * 150, *sound()]

    async def work(storage: MemoryStorage | None) -> str:
        async with serving(storage) as start:
            server = start()
            for number, audio in enumerate(packets):
                text = await server.send(number, START if not number else action(number), audio)
                if number == 148 and storage is not None:
                    await server.listened()
                if number == 149 and storage is not None:
                    kept = sum(len(entry) for _, entry in await storage.recover(("acme", ID)))
                    assert kept < sum(map(len, packets[:150])) / 2
                    server.crash()
                    server = start()
            server.crash()
        return text

    def action(number: int) -> Action:
        return END if number == len(packets) - 1 else CONTINUE

    assert run(lambda: work(MemoryStorage())) == run(lambda: work(None))


def test_packets_that_overtook_each_other_survive_a_crash(journal: Storage, undisturbed: str) -> None:
    async def work() -> None:
        packets = sound()
        async with serving(journal) as start:
            server = start()
            await server.send(0, START, packets[0])
            for number in (3, 2, 4):
                await server.send(number, CONTINUE, packets[number])
            server.crash()
            server = start()
            await server.send(2, CONTINUE, packets[2])  # a retry
            for number in range(1, len(packets)):
                if number not in (2, 3, 4):
                    text = await server.send(number, END if number == len(packets) - 1 else CONTINUE, packets[number])
            assert text == undisturbed
            server.crash()

    run(work)


def test_a_first_packet_repeated_after_a_crash_is_a_retry(journal: Storage) -> None:
    async def work() -> None:
        async with serving(journal) as start:
            server = start()
            await server.send(0, START, b"\1\0" * 3200)
            server.crash()
            server = start()
            await server.send(0, START, b"\1\0" * 3200)
            assert server.streams.overview()[0].audio_seconds == pytest.approx(0.2)
            server.crash()

    run(work)


def test_a_first_packet_that_was_not_kept_is_none_that_was_taken() -> None:
    """The process dies between the two entries that begin a stream."""

    class Dying(MemoryStorage):
        async def append(self, key: tuple[str, str], entry: bytes) -> int:
            if self._numbers.get(key) == 0:
                raise JournalError("the process is gone")
            return await super().append(key, entry)

    async def work() -> None:
        dying = Dying()
        async with serving(dying) as start:
            server = start()
            with pytest.raises(JournalError):
                await server.send(0, START, b"\1\0" * 3200)
            server.crash()
        kept = MemoryStorage()
        kept._entries, kept._numbers = dying._entries, dying._numbers
        async with serving(kept) as start:
            server = start()
            await server.send(0, START, b"\1\0" * 3200)
            assert server.streams.overview()[0].audio_seconds == pytest.approx(0.2), "its sound is taken"
            server.crash()

    run(work)


def test_a_name_that_is_used_again_is_the_new_stream_after_a_crash(journal: Storage) -> None:
    async def work() -> None:
        async with serving(journal) as start:
            server = start()
            await server.send(0, START, b"\0\0" * 3200)
            await server.send(1, END, b"")
            await server.send(0, START, b"\1\0" * 3200)
            server.crash()
            server = start()
            await server.send(1, CONTINUE, b"\1\0" * 3200)
            assert server.streams.overview()[0].audio_seconds == pytest.approx(0.4)
            server.crash()

    run(work)


def test_a_final_packet_repeated_after_a_crash_gives_the_final_text_again(journal: Storage, undisturbed: str) -> None:
    async def work() -> None:
        packets = sound()
        async with serving(journal) as start:
            server = start()
            for number, audio in enumerate(packets):
                action = START if number == 0 else END if number == len(packets) - 1 else CONTINUE
                await server.send(number, action, audio)
            server.crash()
            server = start()
            assert await server.send(len(packets) - 1, END, packets[-1]) == undisturbed
            assert server.places.free == 20
            server.crash()

    run(work)


def test_a_crash_while_the_final_text_is_made_loses_nothing(journal: Storage, undisturbed: str) -> None:
    async def work() -> None:
        packets = sound()
        async with serving(journal) as start:
            server = start()
            for number, audio in enumerate(packets[:-1]):
                await server.send(number, START if number == 0 else CONTINUE, audio)
            server.engine.gate.clear()
            ending = asyncio.create_task(server.send(len(packets) - 1, END, packets[-1]))
            await asyncio.sleep(0.05)
            ending.cancel()
            server.engine.gate.set()
            server.crash()
            for stream in server.streams._live.values():
                if stream.ending is not None:
                    stream.ending.cancel()
            server = start()
            assert await server.send(len(packets) - 1, END, packets[-1]) == undisturbed
            server.crash()

    run(work)


def test_what_became_final_behind_the_last_packet_is_not_decoded_again_after_a_crash(
    journal: Storage, undisturbed: str
) -> None:
    async def work() -> None:
        packets = sound()
        async with serving(journal) as start:
            server = start()
            for number, audio in enumerate(packets[:-1]):
                await server.send(number, START if number == 0 else CONTINUE, audio)
            await server.confirmed(len(undisturbed))
            ending = asyncio.create_task(server.send(len(packets) - 1, END, packets[-1]))
            await asyncio.sleep(0)
            kept = None
            async with asyncio.timeout(30):
                while not isinstance(kept, Ended):
                    kept = await recover(journal, ("acme", ID))
                    if isinstance(kept, StreamJournal) and kept.place.checkpoint is not None:
                        assert kept.place.checkpoint.finals <= 3
                        break
                    await asyncio.sleep(0.01)
            ending.cancel()
            server.crash()
            for stream in server.streams._live.values():
                if stream.ending is not None:
                    stream.ending.cancel()
            server = start()
            assert await server.send(len(packets) - 1, END, packets[-1]) == undisturbed
            assert len(server.engine.begun) < 3, "what was final is not heard again"
            server.crash()

    run(work)


def test_the_final_packet_is_kept_although_its_sound_is_final(undisturbed: str) -> None:
    storage = MemoryStorage()

    async def work() -> None:
        packets = sound()
        async with serving(storage) as start:
            server = start()
            for number, audio in enumerate(packets):
                await server.send(number, START if number == 0 else CONTINUE, audio)
            await server.confirmed(len(undisturbed))
            server.engine.gate.clear()
            ending = asyncio.create_task(server.send(len(packets), END, b""))
            await asyncio.sleep(0.4)
            entries = [decode(entry) for _, entry in await storage.recover(("acme", ID))]
            assert any(isinstance(entry, Ended) or getattr(entry, "action", 0) == END for entry in entries)
            ending.cancel()
            server.engine.gate.set()
            server.crash()
            server = start()
            assert await server.send(len(packets), END, b"") == undisturbed
            server.crash()

    run(work)


def test_a_finished_or_aborted_stream_leaves_no_sound_on_disk(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(DiskStorage(tmp_path)) as start:
            server = start()
            loud = b"\x11\x22" * 16000
            for action in (END, Action.ABORT):
                await server.send(0, START, loud)
                await server.send(1, CONTINUE, loud)
                await server.send(2, action, b"")
                await asyncio.gather(*server.streams._tasks)
                left = b"".join(_contents(tmp_path))
                assert b"\x11\x22\x11\x22" not in left and len(left) < 1000
            server.crash()

    run(work)


def _contents(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.rglob("*") if file.is_file()]


class Full(MemoryStorage):
    """Takes nothing while `full`."""

    full = False

    async def append(self, key: tuple[str, str], entry: bytes) -> int:
        if self.full:
            raise JournalError("the disk is full", 1.0)
        return await super().append(key, entry)


def test_a_first_packet_that_cannot_be_kept_is_taken_when_it_comes_again() -> None:
    storage = Full()

    async def work() -> None:
        async with serving(storage) as start:
            server = start()
            storage.full = True
            with pytest.raises(JournalError):
                await server.send(0, START, b"\1\0" * 3200)
            storage.full = False
            await server.send(0, START, b"\1\0" * 3200)
            assert server.streams.overview()[0].audio_seconds == pytest.approx(0.2)
            server.crash()

    run(work)


def test_a_packet_that_cannot_be_kept_is_not_acknowledged_and_is_taken_when_it_comes_again() -> None:
    storage = Full()

    async def work() -> None:
        async with serving(storage) as start:
            server = start()
            await server.send(0, START, b"\1\0" * 3200)
            storage.full = True
            with pytest.raises(JournalError):
                await server.send(1, CONTINUE, b"\1\0" * 3200)
            assert server.streams.overview()[0].audio_seconds == pytest.approx(0.2)
            assert server.streams.journal_errors == 1
            storage.full = False
            await server.send(1, CONTINUE, b"\1\0" * 3200)
            assert server.streams.overview()[0].audio_seconds == pytest.approx(0.4)
            server.crash()

    run(work)


def test_a_stop_leaves_streams_in_the_journal_and_does_not_wait_for_them(journal: Storage, undisturbed: str) -> None:
    async def work() -> None:
        packets = sound()
        async with serving(journal) as start:
            server = start()
            for number, audio in enumerate(packets[:20]):
                await server.send(number, START if number == 0 else CONTINUE, audio)
            async with asyncio.timeout(5):
                await server.streams.drain(60.0)
                server.streams._journal = None  # the storage goes on in the next server
                await server.streams.stop()
            server.scheduler.close()
            server = start()
            for number, audio in enumerate(packets[20:], 20):
                text = await server.send(number, END if number == len(packets) - 1 else CONTINUE, audio)
            assert text == undisturbed
            server.crash()

    run(work)


def test_a_stop_does_not_wait_long_for_a_final_text_that_the_next_server_can_make(
    journal: Storage, undisturbed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingting.streams.streams._HAND_OVER_SECONDS", 0.1)

    async def work() -> None:
        packets = sound()
        async with serving(journal) as start:
            server = start()
            for number, audio in enumerate(packets[:-1]):
                await server.send(number, START if number == 0 else CONTINUE, audio)
            server.engine.gate.clear()
            ending = asyncio.create_task(server.send(len(packets) - 1, END, packets[-1]))
            while not any(stream.ending for stream in server.streams.overview()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            async with asyncio.timeout(30):
                await server.streams.drain(300.0)
                with pytest.raises(Overloaded, match="comes behind its restart"):
                    await ending
            server.engine.gate.set()
            server.crash()
            server = start()
            assert await server.send(len(packets) - 1, END, packets[-1]) == undisturbed
            server.crash()

    run(work)


def test_a_server_that_stops_again_before_a_stream_came_back_leaves_it_to_the_next(
    journal: Storage, undisturbed: str
) -> None:
    async def work() -> None:
        packets = sound()
        async with serving(journal) as start:
            server = start()
            for number, audio in enumerate(packets[:20]):
                await server.send(number, START if number == 0 else CONTINUE, audio)
            server.crash()
            server = start()
            await server.streams.drain(0.0)
            with pytest.raises(Overloaded, match="goes on behind its restart"):
                await server.send(20, CONTINUE, packets[20])
            server.crash()
            server = start()
            for number, audio in enumerate(packets[20:], 20):
                text = await server.send(number, END if number == len(packets) - 1 else CONTINUE, audio)
            assert text == undisturbed
            server.crash()

    run(work)


def test_a_packet_that_was_kept_is_acknowledged_although_nothing_can_be_dropped_now() -> None:
    class Full(MemoryStorage):
        async def checkpoint(self, key: tuple[str, str], entry: bytes, first: int) -> int:
            raise JournalError("the disk is full", 1.0)

    async def work() -> None:
        packets = sound()
        async with serving(Full()) as start:
            server = start()
            for number, audio in enumerate(packets[:40]):
                await server.send(number, START if number == 0 else CONTINUE, audio)
                if number == 30:
                    await server.confirmed(3)
            assert server.streams.journal_errors > 0
            server.crash()

    run(work)


def test_another_tenant_finds_nothing_of_a_stream(journal: Storage) -> None:
    async def work() -> None:
        async with serving(journal) as start:
            server = start()
            await server.send(0, START, b"\1\0" * 3200)
            server.crash()
            server = start()
            with pytest.raises(UnknownStream):
                await server.streams.packet(Tenant("other"), StreamPacket.of(ID, 1, CONTINUE, b""))
            server.crash()

    run(work)
