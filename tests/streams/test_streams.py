"""Streams: order, retries, ends, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lingting.errors import Overloaded, RecognitionFailed, StreamBehind
from lingting.streams import StreamPacket
from lingting.streams.errors import (
    FinalBeforeOthers,
    InvalidFirstNumber,
    MissingPacket,
    NumberOutsideWindow,
    PacketAfterFinal,
    PacketConflict,
    StreamAborted,
    StreamAlreadyLive,
    StreamTooLong,
    TooMuchAhead,
    UnknownStream,
)
from tests.streams.sessions import ABORT, CONTINUE, END, ID, START, Bench, NoPlace, Session, Tenant, pcm


def run(scenario: Callable[[], Awaitable[Any]]) -> None:
    """A scenario on a loop of its own; nothing may be left running."""

    async def whole() -> None:
        await scenario()
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left

    asyncio.run(whole())


async def settle() -> None:
    """Lets every task run as far as it gets by itself."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("base", [0, 1])
def test_a_stream_may_begin_at_0_or_at_1(base: int) -> None:
    async def scenario() -> None:
        bench = Bench()
        assert await bench.send(base, START, pcm(1, 2)) == "2 so far"
        assert await bench.send(base + 1, CONTINUE, pcm(3)) == "3 so far"
        assert await bench.send(base + 2, END, pcm(4)) == "final 4"
        assert bench.sessions[0].samples == [1, 2, 3, 4]
        assert bench.places.free == 20
        assert bench.streams.live == 0

    run(scenario)


def test_a_stream_that_begins_at_2_is_refused_and_takes_no_place() -> None:
    async def scenario() -> None:
        bench = Bench()
        with pytest.raises(InvalidFirstNumber) as error:
            await bench.send(2, START)
        assert error.value.field == "sequence_id"
        assert bench.places.free == 20
        assert not bench.sessions

    run(scenario)


def test_a_packet_sent_again_is_answered_again_and_counted_once() -> None:
    async def scenario() -> None:
        bench = Bench()
        for _ in range(2):
            assert await bench.send(0, START, pcm(1)) == "1 so far"
        for _ in range(3):
            assert await bench.send(1, CONTINUE, pcm(2)) == "2 so far"
        assert await bench.send(0, START, pcm(1)) == "2 so far"
        first = await bench.streams.packet(Tenant(), StreamPacket.of(ID, 2, CONTINUE, pcm(3) * 16000))
        again = await bench.streams.packet(Tenant(), StreamPacket.of(ID, 2, CONTINUE, pcm(3) * 16000))
        assert (first.audio_seconds, again.audio_seconds) == (1.0, 0.0)
        assert await bench.send(3, ABORT) == ""

    run(scenario)


def test_the_first_packet_can_be_sent_again_long_after() -> None:
    async def scenario() -> None:
        bench = Bench(window=4)
        await bench.send(0, START, pcm(0))
        for number in range(1, 50):
            await bench.send(number, CONTINUE, pcm(number))
        assert await bench.send(0, START, pcm(0)) == "50 so far"
        with pytest.raises(NumberOutsideWindow):
            await bench.send(10, CONTINUE, pcm(10))
        await bench.send(0, ABORT)

    run(scenario)


def test_a_number_sent_again_with_other_content_is_refused() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.send(0, START, pcm(1))
        await bench.send(1, CONTINUE, pcm(2))
        with pytest.raises(PacketConflict, match="packet 1 was sent before"):
            await bench.send(1, CONTINUE, pcm(3))
        with pytest.raises(PacketConflict):
            await bench.send(1, END, pcm(2))
        with pytest.raises(StreamAlreadyLive):
            await bench.send(0, START, pcm(9))
        assert await bench.send(2, END) == "final 2"

    run(scenario)


def test_packets_that_overtake_each_other_are_put_in_order() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.send(0, START, pcm(0))
        assert await bench.send(3, CONTINUE, pcm(3)) == "1 so far"
        assert await bench.send(2, CONTINUE, pcm(2)) == "1 so far"
        assert await bench.send(2, CONTINUE, pcm(2)) == "1 so far"
        assert await bench.send(1, CONTINUE, pcm(1)) == "4 so far"
        assert await bench.send(4, END) == "final 4"
        assert bench.sessions[0].samples == [0, 1, 2, 3]

    run(scenario)


def test_a_sample_split_between_packets_is_one_sample() -> None:
    async def scenario() -> None:
        bench = Bench()
        audio = pcm(258, -2, 1000)
        await bench.send(0, START, audio[:1])
        await bench.send(2, CONTINUE, audio[4:])
        await bench.send(1, CONTINUE, audio[1:4])
        assert await bench.send(3, END, b"\x07") == "final 3"
        assert bench.sessions[0].samples == [258, -2, 1000]

    run(scenario)


def test_a_number_outside_the_window_is_refused_and_the_stream_goes_on() -> None:
    async def scenario() -> None:
        bench = Bench(window=4)
        await bench.send(0, START)
        with pytest.raises(NumberOutsideWindow, match="the next packet is number 1"):
            await bench.send(6, CONTINUE)
        await bench.send(5, CONTINUE, pcm(5))
        for number in range(1, 5):
            await bench.send(number, CONTINUE, pcm(number))
        assert await bench.send(6, END) == "final 5"

    run(scenario)


def test_a_final_packet_waits_shortly_for_those_it_overtook() -> None:
    async def scenario() -> None:
        bench = Bench(grace_seconds=10)
        await bench.send(0, START, pcm(0))
        final = asyncio.create_task(bench.send(2, END, pcm(2)))
        await asyncio.sleep(0)
        assert await bench.send(1, CONTINUE, pcm(1)) == "3 so far"
        assert await final == "final 3"

    run(scenario)


def test_a_missing_packet_is_named_in_the_final_answer_and_in_its_repetition() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.send(0, START)
        await bench.send(2, CONTINUE)
        for _ in range(2):
            with pytest.raises(MissingPacket, match="packet 1 is missing") as error:
                await bench.send(3, END)
            assert error.value.value == "1"
        assert bench.sessions[0].aborted
        assert bench.places.free == 20
        await bench.send(0, START)
        await bench.send(0, ABORT)

    run(scenario)


def test_nothing_is_taken_behind_the_final_packet() -> None:
    async def scenario() -> None:
        bench = Bench(grace_seconds=10)
        await bench.send(0, START)
        await bench.send(4, CONTINUE)
        with pytest.raises(FinalBeforeOthers):
            await bench.send(3, END)
        final = asyncio.create_task(bench.send(5, END))
        await asyncio.sleep(0)
        with pytest.raises(PacketAfterFinal):
            await bench.send(6, CONTINUE)
        with pytest.raises(PacketAfterFinal):
            await bench.send(2, END)
        for number in (1, 2, 3):
            await bench.send(number, CONTINUE)
        assert await final == "final 0"

    run(scenario)


def test_a_final_packet_sent_again_shares_one_recognition() -> None:
    async def scenario() -> None:
        bench = Bench()
        session = bench.next_session = Session(gate=asyncio.Event())
        await bench.send(0, START, pcm(1))
        first = asyncio.create_task(bench.send(1, END, pcm(2)))
        await settle()
        first.cancel()
        second = asyncio.create_task(bench.send(1, END, pcm(2)))
        await settle()
        assert session.gate is not None
        session.gate.set()
        assert await second == "final 2"
        assert session.finished == 1
        with pytest.raises(asyncio.CancelledError):
            await first

    run(scenario)


def test_a_sender_that_leaves_does_not_stop_its_final_text() -> None:
    async def scenario() -> None:
        bench = Bench()
        session = bench.next_session = Session(gate=asyncio.Event())
        await bench.send(0, START, pcm(1))
        only = asyncio.create_task(bench.send(1, END))
        await settle()
        only.cancel()
        await asyncio.gather(only, return_exceptions=True)
        assert session.gate is not None
        session.gate.set()
        await settle()
        assert bench.streams.live == 0
        assert await bench.send(1, END) == "final 1"
        assert bench.places.free == 20

    run(scenario)


def test_a_final_text_is_remembered_for_a_minute() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.send(0, START, pcm(1))
        assert await bench.send(1, END) == "final 1"
        bench.now += 59
        assert await bench.send(1, END) == "final 1"
        with pytest.raises(UnknownStream):
            await bench.send(2, END)
        with pytest.raises(UnknownStream):
            await bench.send(1, CONTINUE)
        bench.now += 2
        with pytest.raises(UnknownStream):
            await bench.send(1, END)
        bench.streams.sweep()
        assert bench.streams.remembered == 0

    run(scenario)


def test_an_id_is_free_again_after_its_end() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.send(0, START, pcm(1))
        await bench.send(1, END)
        assert await bench.send(0, START, pcm(7)) == "1 so far"
        assert await bench.send(1, END, pcm(8)) == "final 2"
        assert bench.sessions[1].samples == [7, 8]

    run(scenario)


def test_an_abort_drops_the_audio_and_is_fine_for_unknown_streams() -> None:
    async def scenario() -> None:
        bench = Bench()
        assert await bench.send(9, ABORT) == ""
        await bench.send(0, START, pcm(1))
        assert await bench.send(1, ABORT, pcm(2)) == ""
        assert bench.sessions[0].aborted
        assert bench.places.free == 20
        with pytest.raises(UnknownStream, match="unknown or has expired"):
            await bench.send(1, CONTINUE)

    run(scenario)


def test_an_abort_answers_the_final_packet_that_still_waits() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.next_session = Session(gate=asyncio.Event())
        await bench.send(0, START, pcm(1))
        final = asyncio.create_task(bench.send(1, END))
        await settle()
        assert await bench.send(2, ABORT) == ""
        with pytest.raises(StreamAborted):
            await final
        assert bench.places.free == 20

    run(scenario)


def test_an_idle_stream_ends_and_frees_its_place() -> None:
    async def scenario() -> None:
        bench = Bench(idle_seconds=60)
        await bench.send(0, START)
        bench.now += 60
        bench.streams.sweep()
        await bench.send(1, CONTINUE)
        bench.now += 61
        bench.streams.sweep()
        assert bench.streams.live == 0
        assert bench.sessions[0].aborted
        assert bench.places.free == 20
        with pytest.raises(UnknownStream):
            await bench.send(2, CONTINUE)

    run(scenario)


def test_the_sweeper_ends_idle_streams_by_itself() -> None:
    async def scenario() -> None:
        bench = Bench(idle_seconds=0.02)
        await bench.streams.start()
        await bench.send(0, START)
        bench.now += 1
        while bench.streams.live:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert bench.places.free == 20
        await bench.streams.stop()

    run(scenario)


def test_a_stream_does_not_end_because_the_server_stood_still() -> None:
    async def scenario() -> None:
        bench = Bench(idle_seconds=60, awake=30)
        await bench.send(0, START)
        bench.now += 3600
        assert await bench.send(1, CONTINUE, pcm(1)) == "1 so far"
        for _ in range(61):
            bench.now += 1
            bench.streams.sweep()
        assert bench.streams.live == 0

    run(scenario)


def test_an_expired_stream_is_gone_even_before_it_is_swept() -> None:
    async def scenario() -> None:
        bench = Bench(idle_seconds=60)
        await bench.send(0, START, pcm(1))
        bench.now += 61
        with pytest.raises(UnknownStream):
            await bench.send(1, END)
        assert await bench.send(0, START, pcm(2)) == "1 so far"
        await bench.send(0, ABORT)
        assert bench.places.free == 20

    run(scenario)


def test_a_stream_past_the_longest_is_told_how_to_end() -> None:
    async def scenario() -> None:
        bench = Bench(max_seconds=1)
        await bench.send(0, START, pcm(1) * 12000)
        with pytest.raises(StreamTooLong, match="sequence_id 1 and no audio"):
            await bench.send(1, CONTINUE, pcm(1) * 5000)
        assert await bench.send(1, END) == "final 12000"

    run(scenario)


def test_audio_ahead_of_a_missing_packet_is_bounded() -> None:
    async def scenario() -> None:
        bench = Bench(max_waiting_bytes=1000)
        await bench.send(0, START)
        await bench.send(2, CONTINUE, bytes(900))
        with pytest.raises(TooMuchAhead, match="send packet 1 first"):
            await bench.send(3, CONTINUE, bytes(200))
        assert await bench.send(1, CONTINUE, bytes(5000)) == "2950 so far"
        assert await bench.send(3, END, bytes(200)) == "final 3050"

    run(scenario)


def test_a_tenant_without_a_place_is_told_so_and_the_others_go_on() -> None:
    async def scenario() -> None:
        bench = Bench(places=1)
        await bench.send(0, START, stream_id="one")
        with pytest.raises(NoPlace):
            await bench.send(0, START, stream_id="two")
        assert await bench.send(1, CONTINUE, pcm(1), stream_id="one") == "1 so far"
        await bench.send(2, END, stream_id="one")
        await bench.send(0, START, stream_id="two")
        await bench.send(0, ABORT, stream_id="two")

    run(scenario)


def test_the_same_id_of_two_tenants_is_two_streams() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.send(0, START, pcm(1), tenant="one")
        assert await bench.send(0, START, pcm(1, 2), tenant="two") == "2 so far"
        assert await bench.send(1, END, tenant="one") == "final 1"
        assert await bench.send(1, END, tenant="two") == "final 2"

    run(scenario)


def test_two_first_packets_at_once_open_one_stream() -> None:
    async def scenario() -> None:
        bench = Bench()
        texts = await asyncio.gather(*(bench.send(0, START, pcm(1)) for _ in range(3)), bench.send(1, CONTINUE, pcm(2)))
        assert texts[-1] == "2 so far"
        assert len(bench.sessions) == 1
        assert bench.places.free == 19
        await bench.send(0, ABORT)

    run(scenario)


@pytest.mark.parametrize("error", [Overloaded("busy", 2.0), RuntimeError("broken")])
def test_a_recognition_that_cannot_start_gives_the_place_back(error: Exception) -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.open_error = error
        with pytest.raises(type(error)):
            await bench.send(0, START)
        assert bench.places.free == 20
        assert bench.streams.live == 0

    run(scenario)


@pytest.mark.parametrize("error", [RecognitionFailed("no"), RuntimeError("broken")])
def test_a_recognition_that_fails_ends_the_stream(error: Exception) -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.next_session = Session(error=error)
        await bench.send(0, START)
        for _ in range(2):
            with pytest.raises(RecognitionFailed):
                await bench.send(1, END)
        bench.next_session = Session(accept_error=error)
        with pytest.raises(RecognitionFailed):
            await bench.send(0, START, pcm(1))
        assert bench.streams.live == 0
        assert bench.places.free == 20

    run(scenario)


def test_a_final_packet_whose_text_is_not_ready_in_time_gets_it_when_it_is_sent_again() -> None:
    async def scenario() -> None:
        bench = Bench(final_seconds=0.01)
        session = bench.next_session = Session(gate=asyncio.Event())
        assert session.gate is not None
        await bench.send(0, START, pcm(1, 2))
        for _ in range(3):
            with pytest.raises(Overloaded, match="send the same final packet again") as refused:
                await bench.send(1, END, pcm(3))
            assert refused.value.retry_after
            bench.now += 59.0  # its sender takes its time
            bench.streams.sweep()
        assert (bench.streams.live, session.aborted) == (1, False)
        session.gate.set()
        assert await bench.send(1, END, pcm(3)) == "final 3"
        assert session.finished == 1
        assert bench.places.free == 20

    run(scenario)


def test_a_final_text_that_never_comes_and_that_nobody_asks_for_frees_its_place() -> None:
    async def scenario() -> None:
        bench = Bench(final_seconds=0.01)
        bench.next_session = Session(gate=asyncio.Event())
        await bench.send(0, START)
        with pytest.raises(Overloaded):
            await bench.send(1, END)
        bench.now += 61.0
        bench.streams.sweep()
        await settle()
        assert bench.sessions[0].aborted
        assert bench.places.free == 20
        with pytest.raises(UnknownStream):
            await bench.send(1, END)

    run(scenario)


def test_a_stop_refuses_new_streams_and_lets_the_live_ones_end() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.send(0, START, pcm(1))
        draining = asyncio.create_task(bench.streams.drain(10))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await bench.send(0, START, stream_id="new")
        assert await bench.send(1, END) == "final 1"
        await draining
        await bench.streams.stop()

    run(scenario)


def test_a_stop_ends_streams_that_do_not_end_themselves() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.next_session = Session(gate=asyncio.Event())
        await bench.send(0, START, stream_id="idle")
        await bench.streams.start()
        await bench.send(0, START, stream_id="waiting")
        final = asyncio.create_task(bench.send(1, END, stream_id="idle"))
        await settle()
        await bench.streams.drain(0.01)
        await bench.streams.stop()
        with pytest.raises(Overloaded):
            await final
        assert bench.places.free == 20
        assert all(session.aborted for session in bench.sessions)

    run(scenario)


def test_every_answer_says_how_much_of_its_text_is_confirmed() -> None:
    async def scenario() -> None:
        bench = Bench()
        first = await bench.streams.packet(Tenant(), StreamPacket.of(ID, 0, START, pcm(1)))
        assert first.text[: first.confirmed] == "1"
        assert first.confirmed_seconds == 1 / 16000
        final = StreamPacket.of(ID, 1, END, pcm(2))
        for _ in range(2):
            last = await bench.streams.packet(Tenant(), final)
            assert last.text[: last.confirmed] == last.text == "final 2"
            assert last.confirmed_seconds == 2 / 16000

    run(scenario)


def test_who_watches_sees_whose_streams_are_live_and_how_long() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.send(0, START, pcm(*range(16)))
        bench.now += 5
        await bench.send(0, START, pcm(1), "b" * 16, "beta")
        bench.now += 2
        old, new = bench.streams.overview()
        assert (old.owner.tenant_id, old.stream_id, new.owner.tenant_id) == ("acme", ID, "beta")
        assert (old.audio_seconds, old.age_seconds, old.idle_seconds) == (0.001, 7.0, 7.0)
        assert (new.age_seconds, new.ending) == (2.0, False)
        await bench.send(1, ABORT)
        assert [state.owner.tenant_id for state in bench.streams.overview()] == ["beta"]
        await bench.streams.stop()

    run(scenario)


def test_a_packet_that_finds_no_room_is_taken_when_it_is_sent_again() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.send(0, START, pcm(1))
        (session,) = bench.sessions
        session.full = True
        with pytest.raises(StreamBehind):
            await bench.send(1, CONTINUE, pcm(2))
        session.full = False
        await bench.send(1, CONTINUE, pcm(2))
        await bench.send(1, CONTINUE, pcm(2))
        session.full = True
        assert await bench.send(2, END, pcm(3)) == "final 3"
        assert session.samples == [1, 2, 3]

    run(scenario)


def test_streams_are_counted_by_how_they_end() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.send(0, START)
        await bench.send(1, END)
        await bench.send(0, START)
        await bench.send(1, ABORT)
        bench.next_session = Session(error=RecognitionFailed("the engine failed"))
        await bench.send(0, START)
        with pytest.raises(RecognitionFailed):
            await bench.send(1, END)
        await bench.send(0, START)
        with pytest.raises(MissingPacket):
            await bench.send(2, END)
        await bench.send(0, START)
        await bench.streams.stop()
        assert +bench.streams.ends == {"final": 1, "aborted": 1, "failed": 1, "missing_packet": 1, "stopping": 1}

    run(scenario)
