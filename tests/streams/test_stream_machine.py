"""Whatever comes in whatever order, a session gets the packets in order, once, and every place is given back."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lingting.streams.errors import (
    MissingPacket,
    NumberOutsideWindow,
    PacketConflict,
    StreamAlreadyLive,
    StreamError,
    UnknownStream,
)
from lingting.streams.packets import Action
from tests.streams.sessions import ABORT, CONTINUE, END, START, Bench

WINDOW = 4
IDLE = 60.0


class StreamMachine(RuleBasedStateMachine):
    """One stream at a time; `sent` holds what was taken, by number, and `expected` the first number that was not."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.bench = Bench(window=WINDOW, idle_seconds=IDLE, grace_seconds=0.0)
        self.live = False
        self.base = 0
        self.sent: dict[int, tuple[Action, bytes]] = {}
        self.final: tuple[int, bytes, str] | None = None

    def send(self, number: int, action: Action, audio: bytes = b"") -> str:
        return self.loop.run_until_complete(self.bench.send(number, action, audio))

    def refused(self, kind: type[StreamError], number: int, action: Action, audio: bytes = b"") -> None:
        with pytest.raises(kind):
            self.send(number, action, audio)

    @property
    def expected(self) -> int:
        number = self.base
        while number in self.sent:
            number += 1
        return number

    def in_order(self) -> bytes:
        return b"".join(self.sent[number][1] for number in range(self.base, self.expected))

    @initialize()
    def nothing_yet(self) -> None:
        self.refused(UnknownStream, 0, CONTINUE)

    @precondition(lambda self: not self.live)
    @rule(base=st.integers(0, 1), audio=st.binary(max_size=5))
    def start(self, base: int, audio: bytes) -> None:
        self.send(base, START, audio)
        self.live, self.base, self.sent, self.final = True, base, {base: (START, audio)}, None

    @precondition(lambda self: self.live)
    @rule(ahead=st.integers(0, WINDOW), audio=st.binary(max_size=5))
    def another(self, ahead: int, audio: bytes) -> None:
        number = self.expected + ahead
        if number not in self.sent:
            self.send(number, CONTINUE, audio)
            self.sent[number] = (CONTINUE, audio)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.sent)))
        action, audio = self.sent[number]
        before = self.bench.sessions[-1].samples
        if number >= self.expected - WINDOW or number == self.base:
            self.send(number, action, audio)
        else:
            self.refused(NumberOutsideWindow, number, action, audio)
        assert self.bench.sessions[-1].samples == before

    @precondition(lambda self: self.live)
    @rule(data=st.data(), audio=st.binary(min_size=6, max_size=8))
    def same_number_other_content(self, data: st.DataObject, audio: bytes) -> None:
        number = data.draw(st.sampled_from(sorted(self.sent)))
        remembered = number >= self.expected - WINDOW
        self.refused(PacketConflict if remembered else NumberOutsideWindow, number, CONTINUE, audio)

    @precondition(lambda self: self.live)
    @rule(beyond=st.integers(1, 1000), action=st.sampled_from([CONTINUE, END]))
    def too_far(self, beyond: int, action: Action) -> None:
        self.refused(NumberOutsideWindow, self.expected + WINDOW + beyond, action)

    @precondition(lambda self: self.live)
    @rule(audio=st.binary(min_size=6, max_size=8))
    def start_again(self, audio: bytes) -> None:
        self.refused(StreamAlreadyLive, self.base, START, audio)

    @precondition(lambda self: self.live)
    @rule(audio=st.binary(max_size=5))
    def end(self, audio: bytes) -> None:
        number = max(self.sent) + 1
        if number > self.expected + WINDOW:
            return
        if number != self.expected:
            missing = str(self.expected)
            for _ in range(2):
                with pytest.raises(MissingPacket) as error:
                    self.send(number, END, audio)
                assert error.value.value == missing
        else:
            self.sent[number] = (END, audio)
            text = self.send(number, END, audio)
            assert text == f"final {len(self.in_order()) // 2}"
            self.final = (number, audio, text)
        self.check_samples()
        self.live = False

    @precondition(lambda self: not self.live and self.final is not None)
    @rule()
    def end_again(self) -> None:
        assert self.final is not None
        number, audio, text = self.final
        assert self.send(number, END, audio) == text

    @rule()
    def abort(self) -> None:
        assert self.send(0, ABORT) == ""
        self.live, self.final = False, None

    @rule(sweep=st.booleans())
    def wait_long(self, sweep: bool) -> None:
        self.bench.now += IDLE + 1
        if sweep:
            self.loop.run_until_complete(self.swept())
        self.refused(UnknownStream, 1, CONTINUE)
        self.live, self.final = False, None

    async def swept(self) -> None:
        self.bench.streams.sweep()

    def check_samples(self) -> None:
        audio = self.in_order()
        expected = [int.from_bytes(audio[i : i + 2], "little", signed=True) for i in range(0, len(audio) - 1, 2)]
        assert self.bench.sessions[-1].samples == expected

    @invariant()
    def the_session_has_the_packets_in_order_once(self) -> None:
        if self.live:
            self.check_samples()

    @invariant()
    def places_are_taken_by_live_streams_only(self) -> None:
        assert self.bench.streams.live == int(self.live)
        assert self.bench.places.free == 20 - int(self.live)

    def teardown(self) -> None:
        self.loop.run_until_complete(self.bench.streams.stop())
        assert self.bench.places.free == 20
        self.loop.close()


TestStreamMachine = StreamMachine.TestCase
TestStreamMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
