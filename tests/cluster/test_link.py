"""The link between doors and homes: who is let in, what is bounded, and that nonsense ends a connection and no more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from lingting.access.errors import LimitExceeded
from lingting.cluster import connecting, handshake, link, messages
from lingting.cluster.connecting import Listener, dial
from lingting.cluster.failures import raised, told
from lingting.cluster.handshake import HomeSilent, LinkError, LinkRefused
from lingting.cluster.link import Call, Link
from lingting.cluster.messages import Done, Failure, Flush, Message, More, Recognize, Sound
from lingting.domain import Account, RecognitionOptions
from lingting.errors import LingtingError, Overloaded, RecognitionFailed, StreamBehind
from lingting.streams.errors import MissingPacket, StreamMoved, StreamTooLong, UnknownStream

SECRET = b"a long random text for the tests"


class Home:
    """Answers every recording as `answer` says."""

    def __init__(self, answer: Callable[[Message, Call], None]) -> None:
        self.listener = Listener(SECRET, "home", answer)
        self.address = ""

    async def __aenter__(self) -> Home:
        self.address = await self.listener.start("127.0.0.1:0")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.stop()

    async def door(self, secret: bytes = SECRET) -> Link:
        return await dial(self.address, secret, "door")


def done(message: Message, call: Call) -> None:
    call.send(Done(message.number))
    call.end()


def silent(message: Message, call: Call) -> None:
    """Never answers."""


def question(number: int) -> Message:
    return Recognize(number, Account("t"), RecognitionOptions(), 100, "log", "")


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await work()

    asyncio.run(asyncio.wait_for(whole(), 30))


def test_calls_share_a_connection_and_each_gets_its_own_answer() -> None:
    held: list[tuple[Message, Call]] = []

    def answer(message: Message, call: Call) -> None:
        held.append((message, call))
        if len(held) == 20:
            for each, its in reversed(held):
                its.send(Failure(each.number, "Overloaded", str(each.number), {"retry_after": float(each.number)}))
                its.end()

    async def work() -> None:
        async with Home(answer) as home:
            door = await home.door()
            answers = await asyncio.gather(*(door.ask(question, Done, 10.0) for _ in range(20)), return_exceptions=True)
            assert [(str(each), each.retry_after) for each in answers] == [  # type: ignore[union-attr]
                (str(number), float(number)) for number in range(1, 21)
            ]
            assert len(door) == 0

    run(work)


def test_both_ends_say_more_under_the_number_of_a_call_until_it_ends() -> None:
    heard: list[Message] = []

    def answer(_: Message, call: Call) -> None:
        def take(message: Message) -> None:
            heard.append(message)
            if isinstance(message, Flush):
                call.send(Done(call.number))
                call.end()
            else:
                call.send(More(call.number))

        call.on_message = take

    async def work() -> None:
        async with Home(answer) as home:
            door = await home.door()
            call, told_back = door.begin(), asyncio.Queue[Message]()
            call.on_message = told_back.put_nowait
            call.send(question(call.number))
            call.send(Sound(call.number, b"\1\0"))
            assert isinstance(await told_back.get(), More)
            call.send(Flush(call.number))
            assert isinstance(await told_back.get(), Done)
            assert heard == [Sound(call.number, b"\1\0"), Flush(call.number)]

    run(work)


def test_whoever_does_not_know_the_secret_is_not_let_in_on_either_side() -> None:
    async def work() -> None:
        async with Home(done) as home:
            with pytest.raises(LinkRefused, match="does not know the secret"):
                await home.door(b"another long text for the tests")
            assert await (await home.door()).ask(question, Done, 5.0)

    run(work)


def test_a_door_of_another_version_is_told_so_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with Home(done) as home:
            greeting = handshake._greeting

            def older(node: str) -> tuple[Any, handshake.Hello]:
                private, hello = greeting(node)
                if node == "door":
                    hello.version = 0
                return private, hello

            monkeypatch.setattr(handshake, "_greeting", older)
            with pytest.raises(LinkRefused, match="of the link and door version 0: run one version"):
                await home.door()

    run(work)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0\0\0\5hello",
        b"\0\0\4\0" + b"\xc1" * 1024,
        b"\xff\xff\xff\xff",
        (2).to_bytes(4, "big") + msgspec.msgpack.encode([]) * 2,
        msgspec.msgpack.encode(["lingting", 1]),
    ],
)
def test_what_greets_with_nonsense_is_cut_off_and_others_are_served(sent: bytes) -> None:
    async def work() -> None:
        async with Home(done) as home:
            host, port = home.address.split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(sent)
            writer.write_eof()
            assert len(await reader.read()) < 1024
            writer.close()
            assert await (await home.door()).ask(question, Done, 5.0)
            assert home.listener.refused == 1

    run(work)


def test_a_stranger_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "HANDSHAKE_SECONDS", 0.05)

    async def work() -> None:
        async with Home(done) as home:
            host, port = home.address.split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            assert await reader.read() == b""
            writer.close()

    run(work)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda door: door._writer.write((messages.LARGEST + 1).to_bytes(4, "big")), id="oversize"),
        pytest.param(lambda door: door._writer.write((32).to_bytes(4, "big") + os.urandom(32)), id="not sealed"),
        pytest.param(lambda door: door._writer.write((0).to_bytes(4, "big")), id="empty"),
        pytest.param(lambda door: _sealed(door, b"\xc1\xc1"), id="no MessagePack"),
        pytest.param(lambda door: _sealed(door, msgspec.msgpack.encode(["Nonsense", 1])), id="no message"),
        pytest.param(lambda door: _sealed(door, msgspec.msgpack.encode(["Take", 1, 2, 3])), id="wrong fields"),
        pytest.param(lambda door: _sealed(door, msgspec.msgpack.encode(["Sound", "x", b""])), id="wrong types"),
    ],
)
def test_a_frame_that_is_none_ends_the_connection_and_its_calls_and_nothing_else(
    spoil: Callable[[Link], None],
) -> None:
    async def work() -> None:
        async with Home(silent) as home:
            door, other = await home.door(), await home.door()
            waiting = asyncio.create_task(door.ask(question, Done, 20.0))
            await asyncio.sleep(0)
            spoil(door)
            with pytest.raises(LinkError):
                await waiting
            with pytest.raises(LinkError):
                door.begin()
            assert other.lost is None

    run(work)


def _sealed(door: Link, content: bytes) -> None:
    frame = door._sealing.seal(content)
    door._writer.write(len(frame).to_bytes(4, "big") + frame)


def test_a_frame_that_is_repeated_is_not_taken_again() -> None:
    seen: list[Message] = []

    def answer(message: Message, call: Call) -> None:
        seen.append(message)

    async def work() -> None:
        async with Home(answer) as home:
            door, lost = await home.door(), asyncio.Event()
            call = door.begin()
            call.on_lost = lambda _: lost.set()
            frame = door._sealing.seal(messages.encode(question(call.number)))
            door._writer.write(2 * (len(frame).to_bytes(4, "big") + frame))
            await lost.wait()
            assert len(seen) == 1

    run(work)


def test_an_answer_that_does_not_come_is_waited_for_only_so_long_and_the_home_is_told() -> None:
    left = asyncio.Event()

    def answer(_: Message, call: Call) -> None:
        call.on_lost = lambda _: left.set()

    async def work() -> None:
        async with Home(answer) as home:
            door = await home.door()
            with pytest.raises(Overloaded, match="did not answer within"):
                await door.ask(question, Done, 0.05)
            await left.wait()
            assert door.lost is None

    run(work)


def test_a_home_that_says_nothing_for_a_second_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(link, "_ASK_SECONDS", 0.05)
    monkeypatch.setattr(Link, "_take", lambda self, message: None)  # it hears, and says nothing

    async def work() -> None:
        async with Home(silent) as home:
            door = await home.door()
            with pytest.raises(HomeSilent, match="says nothing"):
                await door.ask(question, Done, 20.0)

    run(work)


def test_a_home_that_says_nothing_is_given_up_by_a_door_that_hardly_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(link, "_ASK_SECONDS", 0.02)
    monkeypatch.setattr(Link, "_take", lambda self, message: None)

    async def busy() -> None:
        while True:
            threading.Event().wait(0.05)
            await asyncio.sleep(0)

    async def work() -> None:
        async with Home(silent) as home:
            door = await home.door()
            working = asyncio.create_task(busy())
            with pytest.raises(HomeSilent):
                await door.ask(question, Done, 20.0)
            working.cancel()

    run(work)


def test_a_call_that_fails_on_what_it_is_told_ends_and_the_others_go_on() -> None:
    def answer(message: Message, call: Call) -> None:
        call.send(Done(message.number))

    def fail(_: Message) -> None:
        raise ValueError("a mistake of ours")

    async def work() -> None:
        async with Home(answer) as home:
            door = await home.door()
            call, lost = door.begin(), asyncio.Event()
            call.on_message, call.on_lost = fail, lambda _: lost.set()
            call.send(question(call.number))
            await lost.wait()
            assert await door.ask(question, Done, 10.0)

    run(work)


def test_a_door_that_does_not_read_what_a_home_says_is_cut_off_and_so_told() -> None:
    def answer(message: Message, call: Call) -> None:
        with contextlib.suppress(LingtingError):
            for _ in range(100):  # without giving the loop a turn, nothing leaves
                call.send(Sound(call.number, bytes(1 << 20)))

    async def work() -> None:
        async with Home(answer) as home:
            door = await home.door()
            with pytest.raises(LinkError):
                await door.ask(question, Done, 20.0)
            assert door.lost is not None

    run(work)


def test_what_nobody_reads_is_bounded() -> None:
    async def work() -> None:
        async with Home(silent) as home:
            door = await home.door()
            call = door.begin()
            with pytest.raises(Overloaded, match="reads too slowly"):
                for _ in range(1000):  # without giving the loop a turn, nothing leaves
                    call.send(Sound(call.number, bytes(1 << 20)))
            assert door._writer.transport.get_write_buffer_size() < link.MOST_UNREAD_BYTES + (2 << 20)

    run(work)


def test_calls_in_flight_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "MOST_CALLS", 3)

    async def work() -> None:
        async with Home(silent) as home:
            door = await home.door()
            for _ in range(3):
                door.begin()
            with pytest.raises(Overloaded, match="too many calls"):
                door.begin()

    run(work)


@pytest.mark.parametrize(
    "error",
    [
        UnknownStream("s", 60.0),
        MissingPacket(7),
        StreamTooLong(3, 3600.0),
        StreamMoved("elsewhere"),
        Overloaded("busy", 2.5),
        StreamBehind("behind", 2.0),
        LimitExceeded(20, 0.5, "live streams at once"),
        RecognitionFailed("broken"),
    ],
)
def test_an_error_is_the_same_at_the_other_end(error: LingtingError) -> None:
    sent = messages.to_door.decode(messages.encode(told(1, error)))
    assert isinstance(sent, Failure)
    there = raised(sent)
    assert type(there) is type(error)
    assert str(there) == str(error)
    assert vars(there) == vars(error)


def test_an_error_that_nobody_foresaw_tells_nothing_of_the_home(caplog: pytest.LogCaptureFixture) -> None:
    there = raised(told(1, ValueError("secret path /srv/x")))
    assert isinstance(there, RecognitionFailed)
    assert "secret" not in str(there)
    assert "secret path" in caplog.text
