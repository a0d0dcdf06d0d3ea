"""A live session of a door while homes refuse it, break under its first words, or are not there at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lingting.access import Principal
from lingting.api.sockets.speech import Speech
from lingting.audio.gate import GateState
from lingting.cluster import link, sessions
from lingting.cluster.connecting import Listener, dial
from lingting.cluster.directory import HomeState
from lingting.cluster.failures import told
from lingting.cluster.handshake import LinkError
from lingting.cluster.hosted import HostedSession, Work
from lingting.cluster.link import Call, Link
from lingting.cluster.messages import Done, Finish, Finished, Flush, Message, More, Open
from lingting.cluster.sessions import RemoteSession
from lingting.domain import RecognitionOptions
from lingting.errors import Overloaded, RecognitionFailed, StreamBehind
from lingting.recognition.endpoint import EndpointerState
from lingting.recognition.events import Final, LiveEvent
from lingting.recognition.finals import Checkpoint
from lingting.streams.errors import StreamMoved

SECRET = b"a long random text for the tests"
OWNER = Principal("t", "acme", None, None, "Ada", frozenset())
SECOND = np.zeros(16_000, np.int16)
_SILENT = GateState(0, 0, 0, b"", (False, 0, 0, 0, None, 0, 0.0, 0), ())


def hears(_: Message, call: Call) -> None:
    """A home that answers flushes with a text, and the end."""
    flushes = 0

    def take(message: Message) -> None:
        nonlocal flushes
        if isinstance(message, Flush):
            call.send(Finished(call.number, Final(flushes, "text", 0.0, 1.0, flushed=True), None))
            flushes += 1
        elif isinstance(message, Finish):
            call.send(Done(call.number))

    call.on_message = take
    call.send(More(call.number))


class Homes:
    """A home as sessions ask for one, over a real link; none while `there` is false."""

    def __init__(self, opened: Callable[[Message, Call], None]) -> None:
        self.there = True
        self.chosen = 0
        self.on_choice: Callable[[], None] = lambda: None
        self._listener = Listener(SECRET, "home", opened)
        self._address = ""
        self._link: Link | None = None

    async def __aenter__(self) -> Homes:
        self._address = await self._listener.start("127.0.0.1:0")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.stop()

    def choose(self, name: str) -> HomeState:
        self.chosen += 1
        self.on_choice()
        if not self.there:
            raise Overloaded("no home of the cluster takes new work now", 1.0)
        return HomeState("home", self._address, 0, 1, 0.0, 0.0, "")

    async def link(self, address: str, owner: str) -> Link:
        if self._link is None or self._link.lost is not None:
            self._link = await dial(address, SECRET, "door")
        return self._link

    def distrust(self, address: str, error: LinkError) -> None:
        """There is no other."""

    def session(self) -> RemoteSession:
        return RemoteSession(self, OWNER, RecognitionOptions(), None, 300.0)  # type: ignore[arg-type]


async def wait_until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def has_room(session: RemoteSession) -> bool:
    try:
        session.require_room()
    except StreamBehind:
        return False
    return True


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await work()

    asyncio.run(asyncio.wait_for(whole(), 30))


def test_a_session_whose_first_words_a_home_cannot_take_goes_on_when_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(link, "MOST_UNREAD_BYTES", -1)
    said: list[str] = []

    async def work() -> None:
        async with Homes(hears) as homes:

            def chosen() -> None:
                if homes.chosen == 3:
                    monkeypatch.setattr(link, "MOST_UNREAD_BYTES", 8 << 20)

            homes.on_choice = chosen
            session = homes.session()
            session.on_event = lambda event: said.append(event.text) if isinstance(event, Final) else None
            session.accept(SECOND)
            session.flush()
            await session.finish()

    run(work)
    assert said == ["text"]


def test_a_session_that_two_homes_after_one_another_hand_over_is_heard_by_the_third(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "_AGAIN_SECONDS", 0.01)
    opened: list[Call] = []

    def stops(message: Message, call: Call) -> None:
        opened.append(call)
        match len(opened):
            case 1:
                call.send(told(call.number, StreamMoved("this home stops")))
            case 2:
                call.send(More(call.number))
                call._link.close()
            case _:
                hears(message, call)

    async def work() -> None:
        async with Homes(stops) as homes:
            session = homes.session()
            session.accept(SECOND)
            session.flush()
            await session.finish()

    run(work)
    assert len(opened) == 3


def test_whoever_waits_for_a_text_is_told_when_no_home_is_there_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(sessions, "_AGAIN_SECONDS", 0.01)
    finals: asyncio.Queue[LiveEvent] = asyncio.Queue()

    async def work() -> None:
        async with Homes(hears) as homes:
            homes.there = False
            session = homes.session()
            session.on_event = finals.put_nowait
            session.accept(SECOND)
            session.flush()
            assert await finals.get() == Final(0, "", 0.0, 1.0, flushed=True, failed=True)
            session.flush()
            assert await finals.get() == Final(1, "", 1.0, 1.0, flushed=True, failed=True)
            with pytest.raises(RecognitionFailed):
                session.require_room()
            with pytest.raises(RecognitionFailed):
                await session.finish()

    run(work)


def test_silence_that_a_home_has_heard_is_not_kept_and_not_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_AGAIN_SECONDS", 0.01)
    heard: list[list[int]] = []

    class Silent:
        """Hears everything at once, and is silent of it."""

        on_event = None

        def __init__(self) -> None:
            self.checkpoint: Checkpoint | None = None
            self._samples = 0

        def accept(self, samples: NDArray[np.int16]) -> None:
            heard[-1].append(len(samples))
            self._samples += len(samples)
            state = EndpointerState(_SILENT, None, 0, -1, self._samples, b"")
            self.checkpoint = Checkpoint(state, "", 0, (), 0)

        def resume(self, checkpoint: Checkpoint) -> None:
            self._samples = checkpoint.samples

        def abort(self) -> None:
            """Nothing is held."""

        async def finish(self) -> None:
            """Nothing was said."""

    def opened(message: Message, call: Call) -> None:
        assert isinstance(message, Open)
        silent = Silent()
        heard.append([])
        if message.checkpoint is not None:
            silent.resume(message.checkpoint)
        HostedSession(silent, call, Work(Context(), lambda: None))  # type: ignore[arg-type]
        call.send(More(call.number))

    async def work() -> None:
        async with Homes(opened) as homes:
            session = RemoteSession(homes, OWNER, RecognitionOptions(), None, 5.0)  # type: ignore[arg-type]
            for _ in range(20):
                await wait_until(lambda: has_room(session))
                session.accept(SECOND)
            await wait_until(lambda: not session._said)
            assert homes._link is not None
            homes._link.close()
            session.accept(SECOND)
            await session.finish()

    run(work)
    assert [sum(each) for each in heard] == [20 * len(SECOND), len(SECOND)]


def test_what_is_said_when_a_home_is_there_again_is_heard_though_the_session_before_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(sessions, "_AGAIN_SECONDS", 0.01)
    finals: asyncio.Queue[Any] = asyncio.Queue()

    class Caller:
        def __init__(self, homes: Homes) -> None:
            self._homes = homes

        async def pay(self, seconds: float) -> None:
            """It costs nothing."""

        def open_live(self, _: object) -> RemoteSession:
            return self._homes.session()

    async def work() -> None:
        async with Homes(hears) as homes:
            homes.there = False
            speech = Speech(Caller(homes), finals.put_nowait)  # type: ignore[arg-type]
            await speech.take(SECOND.astype(np.float32))
            speech.flush()
            assert (await finals.get()).failed
            homes.there = True
            await speech.take(SECOND.astype(np.float32))
            speech.flush()
            heard = await finals.get()
            assert (heard.text, heard.start, heard.number) == ("text", 1.0, 1), "in the time of the connection"

    run(work)
