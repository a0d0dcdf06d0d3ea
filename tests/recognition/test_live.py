from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from lingting.audio.voice import VoiceDetector
from lingting.domain import SAMPLE_RATE, RecognitionOptions, Samples
from lingting.errors import RecognitionFailed, StreamBehind
from lingting.recognition.endpoint import Ended, EndpointConfig, Endpointer, Started
from lingting.recognition.engine import Heard, Need, Request
from lingting.recognition.events import Final, Guess, LiveEvent, SpeechStarted, SpeechStopped
from lingting.recognition.live import LiveConfig, LiveSession
from lingting.recognition.oneshot import Recognizer
from lingting.recognition.partials import LiveEngines
from lingting.recognition.scheduler import Scheduler
from lingting.recognition.utterance import Writing
from lingting.text import normalise
from tests.recognition.conftest import Use
from tests.recognition.fakes import FakeEngine, FakeStreaming, says
from tests.recordings import recording

PACKET = SAMPLE_RATE // 5


def speech() -> Samples:
    return recording("asr_example").samples


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def packets(samples: Samples, size: int = PACKET) -> list[Samples]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


# -- endpoints, with the real voice activity ---------------------------------------------------


def ends(samples: Samples, config: EndpointConfig | None = None, size: int = PACKET) -> list[Ended]:
    endpointer = Endpointer(VoiceDetector(), config or EndpointConfig())
    events = [event for piece in packets(samples, size) for event in endpointer.feed(piece)]
    events += endpointer.finish()
    started = [event for event in events if isinstance(event, Started)]
    ended = [event for event in events if isinstance(event, Ended)]
    assert [event.start for event in started] == [event.start for event in ended]
    return ended


def test_two_sentences_with_a_pause_between_are_two_utterances() -> None:
    found = ends(np.concatenate([silence(1), speech(), silence(2), speech(), silence(1)]))
    assert len(found) == 2
    assert found[0].end <= found[1].start
    for utterance in found:
        assert len(utterance.samples) == utterance.end - utterance.start
        assert not utterance.cut


def test_the_size_of_the_packets_does_not_move_utterances() -> None:
    audio = np.concatenate([silence(0.5), speech(), silence(1.5), speech()])
    assert [(e.start, e.end) for e in ends(audio, size=1600)] == [(e.start, e.end) for e in ends(audio, size=48000)]


def test_speech_at_the_very_start_and_end_is_kept() -> None:
    (utterance,) = ends(speech()[4000:-8000])
    assert utterance.start < 1000
    assert utterance.end == len(speech()) - 12000


def test_speech_without_a_pause_is_cut_when_it_is_too_long_and_nothing_is_lost() -> None:
    talk = recording("vad_example").samples[: 40 * SAMPLE_RATE]
    config = EndpointConfig(silence=5.0, long_silence=5.0, longest=6.0)
    found = ends(talk, config)
    assert max(len(utterance.samples) for utterance in found) <= 6.2 * SAMPLE_RATE
    cuts = [(one.end, other.start) for one, other in pairwise(found) if one.cut]
    assert cuts
    assert all(end == start for end, start in cuts)


@pytest.mark.parametrize(("silence_setting", "ends_at"), [(0.6, 0.35), (1.2, 0.7), (float("inf"), float("inf"))])
def test_an_utterance_of_more_than_eight_seconds_ends_at_seven_twelfths_of_the_silence(
    silence_setting: float, ends_at: float
) -> None:
    config = EndpointConfig(silence=silence_setting)
    assert config.enough(8.0) == silence_setting
    assert config.enough(8.1) == pytest.approx(ends_at)


def test_a_longer_silence_is_waited_for_in_a_long_utterance_too() -> None:
    said = speech()[5600:-11200]
    audio = np.concatenate([said, silence(0.2), said, silence(0.2), said, silence(0.5), said, silence(2)])
    assert len(ends(audio, EndpointConfig(silence=0.6))) == 2
    assert len(ends(audio, EndpointConfig(silence=1.5))) == 1


def test_where_somebody_is_heard_in_an_utterance_is_told_without_padding() -> None:
    first, second = speech()[: int(1.4 * SAMPLE_RATE)], speech()[int(1.4 * SAMPLE_RATE) :]
    (utterance,) = ends(np.concatenate([silence(1), first, silence(0.45), second, silence(1)]))
    (one, other) = utterance.voiced
    assert utterance.start + 0.2 * SAMPLE_RATE < one.start < one.end < 2.55 * SAMPLE_RATE
    assert 2.75 * SAMPLE_RATE < other.start < other.end <= utterance.voice
    assert 0.3 < (other.start - one.end) / SAMPLE_RATE < 0.5


@pytest.mark.engine
def test_a_pause_inside_an_utterance_makes_a_comma_live_as_in_a_recording(use: Use[tuple[str, str]]) -> None:
    cut = int(1.4 * SAMPLE_RATE)
    hiss = (np.random.default_rng(3).standard_normal(int(0.45 * SAMPLE_RATE)) * 1e-4).astype(np.float32)
    samples = np.concatenate([speech()[:cut], hiss, speech()[cut:], silence(1)])

    async def work(recognizer: Recognizer) -> tuple[str, str]:
        session = recognizer.open_live()
        for piece in packets(samples):
            session.accept(piece)
        return (await session.finish()).text, (await recognizer.recognize(samples)).text

    for text in use(work):
        assert text.startswith("甚至出现，交易")


def test_audio_that_was_recognised_is_forgotten() -> None:
    endpointer = Endpointer(VoiceDetector(), EndpointConfig())
    for piece in packets(np.concatenate([np.concatenate([speech(), silence(1.5)]) for _ in range(6)])):
        endpointer.feed(piece)
    endpointer.feed(silence(2))
    assert endpointer.audio.end - endpointer.audio.start < 2 * SAMPLE_RATE


# -- sessions over an engine that answers at once ----------------------------------------------


def in_session(
    work: Callable[[LiveSession], Awaitable[None]],
    engine: FakeEngine,
    config: LiveConfig | None = None,
    engines: LiveEngines | None = None,
    listeners: Executor | None = None,
) -> Scheduler:
    scheduler = Scheduler(1)

    async def go() -> None:
        with ThreadPoolExecutor(2) as pool:
            session = LiveSession(
                scheduler,
                engines or LiveEngines.of(engine),
                detector=VoiceDetector(),
                writing=Writing(),
                config=config or LiveConfig(),
                listeners=listeners or pool,
                writers=pool,
                options=RecognitionOptions(timestamps=False),
            )
            await work(session)

    asyncio.run(go())
    scheduler.close()
    return scheduler


def _seconds(request: Request) -> float:
    return len(request.samples) / SAMPLE_RATE


def _characters(request: Request) -> Heard:
    return says("天地玄黄宇宙洪荒日月盈昃辰宿列张"[: 1 + int(_seconds(request) * 2)])


def test_the_confirmed_text_only_grows_and_the_final_text_continues_it() -> None:
    async def work(session: LiveSession) -> None:
        seen = []
        for piece in packets(np.concatenate([speech(), silence(1.5), speech(), silence(1.5), speech()])):
            session.accept(piece)
            await asyncio.sleep(0.002)
            seen.append(session.confirmed)
        transcript = await session.finish()
        for before, after in zip(seen, [*seen[1:], transcript.text], strict=True):
            assert after.startswith(before)
        assert any(seen)
        assert transcript.text.count("。") == 3

    in_session(work, FakeEngine(_characters))


def test_confirmed_text_says_how_much_of_the_sound_it_covers() -> None:
    said = speech()

    async def work(session: LiveSession) -> None:
        changed = asyncio.Event()
        session.on_event = lambda _: changed.set()
        session.accept(np.concatenate([said, silence(1.5), said]))
        assert session.confirmed_seconds == 0
        async with asyncio.timeout(30):
            while not session.confirmed:
                changed.clear()
                await changed.wait()
        assert abs(session.confirmed_seconds - len(said) / SAMPLE_RATE) < 1, "up to a place in the pause"
        session.abort()

    in_session(work, FakeEngine(_characters))


def test_text_is_shown_while_someone_still_speaks() -> None:
    async def work(session: LiveSession) -> None:
        changed = asyncio.Event()
        session.on_event = lambda event: changed.set() if isinstance(event, Guess) else None
        session.accept(speech()[: 2 * SAMPLE_RATE])
        async with asyncio.timeout(30):
            await changed.wait()
        assert session.text == session.guess != ""
        assert session.confirmed == ""
        session.abort()

    in_session(work, FakeEngine(_characters))


def test_a_guess_costs_no_more_at_the_end_of_a_long_utterance_than_at_its_start() -> None:
    guessed: list[float] = []

    def answer(request: Request) -> Heard:
        if request.need is Need.GUESS:
            guessed.append(_seconds(request))
        return says(("天地玄黄宇宙洪荒日月盈昃辰宿列张" * 5)[: 1 + int(_seconds(request) * 4)])

    async def work(session: LiveSession) -> None:
        shown = 0
        for piece in packets(recording("vad_example").samples[: 15 * SAMPLE_RATE]):
            session.accept(piece)
            await asyncio.sleep(0.02)
            shown = max(shown, len(normalise(session.guess)))
        assert shown > 40
        session.abort()

    in_session(work, FakeEngine(answer), LiveConfig(EndpointConfig(silence=5.0, pause=5.0, long_silence=5.0)))
    assert len(guessed) > 10
    assert max(guessed) < 6.0


def test_what_was_begun_at_a_pause_is_not_decoded_when_speech_goes_on_before_its_turn_comes() -> None:
    engine = FakeEngine(_characters)
    first, gap = speech()[: round(1.6 * SAMPLE_RATE)], 0.45

    async def work(session: LiveSession) -> None:
        async def heard() -> None:
            while session._listening is not None:
                await asyncio.wait({session._listening}, timeout=30)

        engine.gate.clear()
        session.accept(first)
        await heard()
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(engine.entered.acquire, timeout=0.1):
                pass
        session.accept(silence(gap))
        await heard()
        session.accept(speech()[SAMPLE_RATE // 2 :])
        await heard()
        engine.gate.set()
        assert (await session.finish()).text

    in_session(work, engine)
    finals = [_seconds(request) for request in engine.requests if request.need is Need.BEST]
    assert len(finals) == 1
    assert finals[0] > len(first) / SAMPLE_RATE + gap


def test_silence_gives_no_text_and_costs_no_decoding() -> None:
    engine = FakeEngine(_characters)

    async def work(session: LiveSession) -> None:
        for piece in packets(silence(10)):
            session.accept(piece)
        assert (await session.finish()).text == ""

    in_session(work, engine)
    assert engine.begun == []


def test_a_stream_without_audio_finishes_at_once() -> None:
    async def work(session: LiveSession) -> None:
        transcript = await session.finish()
        assert (transcript.text, transcript.duration, transcript.sentences) == ("", 0.0, ())

    in_session(work, FakeEngine())


def test_an_aborted_session_leaves_nothing_behind() -> None:
    async def work(session: LiveSession) -> None:
        session.accept(speech())
        await asyncio.sleep(0)
        session.abort()
        session.abort()
        session.accept(speech())
        assert session.text == ""

    assert in_session(work, FakeEngine()).queued == 0


def test_a_failing_engine_fails_the_final_text_in_words_of_the_domain() -> None:
    def answer(request: Request) -> Heard:
        raise RuntimeError("boom")

    async def work(session: LiveSession) -> None:
        session.accept(speech())
        with pytest.raises(RecognitionFailed):
            await session.finish()

    in_session(work, FakeEngine(answer))


def test_an_utterance_on_which_the_engine_fails_is_missing_and_logged_and_the_rest_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quiet = speech() * np.float32(0.3)

    def answer(request: Request) -> Heard:
        if request.samples.max() < quiet.max() * 1.1:
            raise RuntimeError("boom")
        return says("天地玄黄")

    async def work(session: LiveSession) -> None:
        finals: list[Final] = []
        session.on_event = lambda event: finals.append(event) if isinstance(event, Final) else None
        for piece in packets(np.concatenate([speech(), silence(1.5), quiet, silence(1.5), speech(), silence(1.5)])):
            session.accept(piece)
        assert (await session.finish()).text == "天地玄黄。天地玄黄。"
        assert [final.failed for final in finals] == [False, True, False]
        assert session.failures == 1

    in_session(work, FakeEngine(answer), LiveConfig(EndpointConfig(pause=5.0)))
    (line,) = (one for one in caplog.messages if one.startswith("an utterance of a stream could not be recognised"))
    assert "the stream goes on" in line


def test_events_come_in_order_and_finals_are_the_text() -> None:
    async def work(session: LiveSession) -> None:
        events: list[LiveEvent] = []
        session.on_event = events.append
        for piece in packets(np.concatenate([speech(), silence(1.5), speech(), silence(1.5)])):
            session.accept(piece)
            await asyncio.sleep(0.002)
        transcript = await session.finish()
        marks = [event for event in events if isinstance(event, SpeechStarted | SpeechStopped)]
        assert [type(mark) for mark in marks] == [SpeechStarted, SpeechStopped] * 2
        assert [mark.at for mark in marks] == sorted(mark.at for mark in marks)
        finals = [event for event in events if isinstance(event, Final)]
        assert [final.number for final in finals] == [0, 1]
        assert "".join(final.text for final in finals) == transcript.text
        assert [final.start for final in finals] == [mark.at for mark in marks[::2]]

    in_session(work, FakeEngine(_characters))


def test_a_cut_of_long_speech_is_a_final_and_no_end_of_speech() -> None:
    async def work(session: LiveSession) -> None:
        events: list[LiveEvent] = []
        session.on_event = events.append
        session.accept(np.concatenate([speech()[4000:-8000]] * 3))
        await session.finish()
        assert sum(isinstance(event, Final) and event.cut for event in events) >= 1
        assert [type(e) for e in events if isinstance(e, SpeechStarted | SpeechStopped)] == [
            SpeechStarted,
            SpeechStopped,
        ]

    longest = EndpointConfig(silence=5.0, long_silence=5.0, pause=5.0, longest=6.0)
    in_session(work, FakeEngine(_characters), LiveConfig(longest))


def test_a_flush_ends_the_utterance_at_once_and_every_flush_gets_one_final() -> None:
    async def work(session: LiveSession) -> None:
        finals: list[Final] = []
        session.on_event = lambda event: finals.append(event) if isinstance(event, Final) else None
        session.flush()  # nothing was said yet
        session.accept(speech())
        session.flush()
        session.flush()
        session.accept(silence(2))
        session.accept(speech())
        session.flush()
        await session.finish()
        assert [(bool(final.text), final.flushed) for final in finals] == [
            (False, True),
            (True, True),
            (False, True),
            (True, True),
        ]
        assert finals[1].end == pytest.approx(len(speech()) / SAMPLE_RATE)

    in_session(
        work, FakeEngine(_characters), LiveConfig(EndpointConfig(silence=100.0, pause=100.0, long_silence=100.0))
    )


def test_sound_behind_a_flush_is_an_utterance_of_its_own_and_none_of_it_is_lost() -> None:
    async def work(session: LiveSession) -> None:
        finals: list[Final] = []
        session.on_event = lambda event: finals.append(event) if isinstance(event, Final) else None
        session.accept(speech()[: 2 * SAMPLE_RATE])
        session.flush()
        session.accept(speech()[2 * SAMPLE_RATE :])
        await session.finish()
        assert [bool(final.text) for final in finals] == [True, True]
        assert finals[0].flushed and finals[0].end == 2.0
        assert not finals[1].flushed and finals[1].start == pytest.approx(2.0, abs=0.1)

    in_session(work, FakeEngine(_characters))


def test_a_stream_that_is_sent_faster_than_it_can_be_heard_is_told_to_slow_down_and_then_goes_on() -> None:
    engine = FakeEngine(_characters)

    async def work(session: LiveSession) -> None:
        engine.gate.clear()
        talk = packets(recording("vad_example").samples[: 20 * SAMPLE_RATE])
        sent = 0
        with pytest.raises(StreamBehind) as told:
            for piece in talk:
                session.require_room()
                session.accept(piece)
                sent += 1
        assert 10 <= sent / 5 < 15
        assert told.value.retry_after > 0
        engine.gate.set()
        while sent < len(talk):
            try:
                session.require_room()
            except StreamBehind:
                await asyncio.sleep(0.01)
                continue
            session.accept(talk[sent])
            sent += 1
        transcript = await session.finish()
        assert transcript.duration == pytest.approx(20.0)

    in_session(work, engine, LiveConfig(EndpointConfig(silence=0.3, longest=5.0), backlog=10.0))


# -- sessions over an engine that listens ------------------------------------------------------


def two_passes(ear: FakeStreaming, final: FakeEngine, *, ear_is_final: bool = False) -> LiveEngines:
    return LiveEngines(final, final, ear, ear_is_final)


def test_partials_come_from_the_ear_and_finals_from_the_engine_of_the_second_pass() -> None:
    ear, engine = FakeStreaming(), FakeEngine(lambda request: says("第二遍"))

    async def work(session: LiveSession) -> None:
        guesses: list[str] = []
        session.on_event = lambda event: guesses.append(event.text) if isinstance(event, Guess) else None
        for piece in packets(np.concatenate([speech(), silence(1.5)])):
            session.accept(piece)
            await asyncio.sleep(0.005)
        assert (await session.finish()).text == "第二遍。"
        grown = [guess for guess in guesses if guess.startswith("天")]
        assert len(grown) > 3
        assert all(after.startswith(before) for before, after in pairwise(grown))

    in_session(work, engine, LiveConfig(EndpointConfig(pause=5.0)), two_passes(ear, engine))
    assert all(request.need is not Need.GUESS for request in engine.requests)
    assert all(ear.closed for ear in ear.ears)


@pytest.mark.parametrize("size", [PACKET // 2, PACKET, 20 * SAMPLE_RATE])
def test_an_ear_alone_gives_final_text_without_a_second_decode(size: int) -> None:
    ear, engine = FakeStreaming(), FakeEngine()

    async def work(session: LiveSession) -> None:
        finals: list[Final] = []
        session.on_event = lambda event: finals.append(event) if isinstance(event, Final) else None
        for piece in packets(np.concatenate([speech(), silence(1.5), speech(), silence(1.5)]), size):
            session.accept(piece)
        await session.finish()
        assert len(finals) == 2
        for final in finals:
            assert len(normalise(final.text)) >= int((final.end - final.start) / 0.5)

    in_session(work, engine, None, two_passes(ear, engine, ear_is_final=True))
    assert engine.begun == []
    assert len(ear.ears) == 2 and all(ear.closed for ear in ear.ears)


def test_an_ear_that_is_lost_with_its_engine_hears_the_utterance_again() -> None:
    ear, engine = FakeStreaming(failures=1), FakeEngine()

    async def work(session: LiveSession) -> None:
        for piece in packets(np.concatenate([speech(), silence(1.5)])):
            session.accept(piece)
            await asyncio.sleep(0.005)
        text = (await session.finish()).text
        assert text.startswith("天地玄黄")
        assert session.failures == 0

    in_session(work, engine, None, two_passes(ear, engine, ear_is_final=True))
    assert len(ear.ears) == 2 and all(ear.closed for ear in ear.ears)


def test_an_ear_that_is_lost_at_the_end_costs_no_text() -> None:
    ear, engine = FakeStreaming(failures=100), FakeEngine(lambda request: says("整"))

    async def work(session: LiveSession) -> None:
        session.accept(np.concatenate([speech(), silence(1.5)]))
        assert (await session.finish()).text == "整。"
        assert session.failures == 0

    in_session(work, engine, None, two_passes(ear, engine, ear_is_final=True))


class _Overtaken(ThreadPoolExecutor):
    """Threads whose latest result comes only after something else has happened on the event loop.

    Attributes:
        done: called in the thread when the work is done; what it returns is waited for before the result is given.
    """

    def __init__(self) -> None:
        super().__init__(1)
        self.done: Callable[[], threading.Event] | None = None

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        def held() -> Any:
            result = work(*arguments, **named)
            if self.done is not None:
                then, self.done = self.done, None
                assert then().wait(30)
            return result

        return super().submit(held)


def test_an_ear_loses_no_sound_when_a_chunk_is_done_while_voice_activity_finds_the_end_of_the_utterance() -> None:
    ear, engine, listeners = FakeStreaming(), FakeEngine(), _Overtaken()
    decode, overtaken = threading.Event(), threading.Event()
    ear.before_step = lambda: decode.wait(30)

    def the_end_is_found() -> threading.Event:
        decode.set()
        return overtaken

    async def work(session: LiveSession) -> None:
        loop = asyncio.get_running_loop()
        finals: list[Final] = []
        spoken = asyncio.Event()

        def note(event: LiveEvent) -> None:
            match event:
                case SpeechStarted():
                    spoken.set()
                case Guess():
                    loop.call_soon(overtaken.set)
                case Final():
                    finals.append(event)

        session.on_event = note
        said = speech()
        session.accept(said[: 2 * SAMPLE_RATE])
        await asyncio.wait_for(spoken.wait(), 30)
        listeners.done = the_end_is_found
        session.accept(np.concatenate([said[2 * SAMPLE_RATE : 4 * SAMPLE_RATE], silence(2)]))
        await session.finish()
        (final,) = finals
        assert len(normalise(final.text)) == math.ceil((final.end - final.start) / 0.5)

    in_session(work, engine, None, two_passes(ear, engine, ear_is_final=True), listeners)
    listeners.shutdown()


def test_an_utterance_that_is_cut_is_decoded_as_a_whole_as_its_ear_has_heard_too_much() -> None:
    ear, engine = FakeStreaming(), FakeEngine(lambda request: says("整"))

    async def work(session: LiveSession) -> None:
        finals: list[Final] = []
        session.on_event = lambda event: finals.append(event) if isinstance(event, Final) else None
        session.accept(np.concatenate([speech()[4000:-8000]] * 3))
        await session.finish()
        assert {final.text.rstrip("。") == "整" for final in finals if final.cut} == {True}
        assert finals[-1].text.startswith("天")

    longest = EndpointConfig(silence=5.0, long_silence=5.0, pause=5.0, longest=6.0)
    in_session(work, engine, LiveConfig(longest), two_passes(ear, engine, ear_is_final=True))


def test_an_aborted_session_closes_its_ear() -> None:
    ear, engine = FakeStreaming(), FakeEngine()

    async def work(session: LiveSession) -> None:
        started = asyncio.Event()
        session.on_event = lambda event: started.set() if isinstance(event, SpeechStarted) else None
        session.accept(speech()[: 2 * SAMPLE_RATE])
        async with asyncio.timeout(30):
            await started.wait()
        session.abort()

    in_session(work, engine, None, two_passes(ear, engine))
    assert [one.closed for one in ear.ears] == [True]


# -- sessions over the real engine -------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.parametrize("size", [PACKET // 3, PACKET, 10 * SAMPLE_RATE])
def test_real_speech_gives_the_same_words_in_packets_of_any_size(use: Use[str], size: int) -> None:
    async def work(recognizer):  # type: ignore[no-untyped-def]
        session = recognizer.open_live()
        for piece in packets(np.concatenate([silence(0.4), speech(), silence(1.2)]), size):
            session.accept(piece)
        return (await session.finish()).text

    assert "出现交易几乎" in normalise(use(work))
