from __future__ import annotations

from collections.abc import Iterator

import pytest

from lingting.errors import RecognitionFailed
from lingting.recognition.batcher import Batcher, Job, Kind
from lingting.recognition.engine import Decoded, DecodeRequest
from tests.recognition.fakes import FakeEngine, loudness, says, tone


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def batcher(engine: FakeEngine) -> Iterator[Batcher]:
    batcher = Batcher(engine, workers=1)
    yield batcher
    engine.gate.set()
    batcher.close()


def job(level: int, kind: Kind = Kind.FILE, seconds: float = 1.0, **options: object) -> Job:
    return Job(audio=lambda: tone(level, seconds), kind=kind, **options)  # type: ignore[arg-type]


def hold(engine: FakeEngine, batcher: Batcher, kind: Kind = Kind.FILE) -> None:
    """Keep the only worker busy with a job of level 999, so that what is submitted next must queue."""
    while engine.entered.acquire(blocking=False):
        pass
    engine.gate.clear()
    batcher.submit(job(999, kind))
    assert engine.entered.acquire(timeout=30)


def test_a_job_gives_its_text_and_character_times(batcher: Batcher) -> None:
    recognised = batcher.submit(job(7)).result(30)
    assert recognised is not None
    assert recognised.text == "7"
    assert recognised.times is not None
    assert (recognised.times.start[0], recognised.times.end[0]) == (0.0, 1.0)


def test_live_finals_go_before_files_and_guesses(engine: FakeEngine, batcher: Batcher) -> None:
    hold(engine, batcher)
    futures = [
        batcher.submit(job(1, Kind.BULK)),
        batcher.submit(job(2, Kind.PARTIAL)),
        batcher.submit(job(3, Kind.FILE)),
        batcher.submit(job(4, Kind.FINAL)),
    ]
    engine.gate.set()
    for future in futures:
        future.result(30)
    assert [level for level, _ in engine.encoded][1] == 4


def test_the_first_guess_at_an_utterance_goes_before_files_and_other_guesses(
    engine: FakeEngine, batcher: Batcher
) -> None:
    hold(engine, batcher)
    later = batcher.submit(job(1, Kind.PARTIAL))
    first = batcher.submit(job(2, Kind.FIRST))
    engine.gate.set()
    later.result(30)
    first.result(30)
    levels = [level for level, _ in engine.encoded]
    assert levels.index(2) < levels.index(1)


def test_a_guess_at_sound_that_waits_for_long_goes_before_one_at_newer_sound(
    engine: FakeEngine, batcher: Batcher
) -> None:
    hold(engine, batcher)
    futures = [batcher.submit(job(1, Kind.PARTIAL)), batcher.submit(job(2, Kind.PARTIAL, waited=1.0))]
    engine.gate.set()
    for future in futures:
        future.result(30)
    assert [level for level, _ in engine.encoded] == [999, 2, 1]


def test_a_final_waits_for_company_while_there_is_other_work(engine: FakeEngine, batcher: Batcher) -> None:
    hold(engine, batcher, Kind.PARTIAL)
    futures = [batcher.submit(job(1, Kind.FINAL)), batcher.submit(job(2, Kind.PARTIAL))]
    engine.gate.set()
    for future in futures:
        future.result(30)
    assert engine.batches == [[999], [2], [1]]


def test_a_guess_takes_the_audio_that_is_newest_when_its_turn_comes(engine: FakeEngine, batcher: Batcher) -> None:
    hold(engine, batcher)
    audio = [tone(1)]
    future = batcher.submit(Job(audio=lambda: audio[-1], kind=Kind.PARTIAL))
    audio.append(tone(2))
    engine.gate.set()
    recognised = future.result(30)
    assert recognised is not None and recognised.text == "2"


def test_audio_that_is_not_wanted_any_more_is_not_encoded(engine: FakeEngine, batcher: Batcher) -> None:
    assert batcher.submit(Job(audio=lambda: None, kind=Kind.PARTIAL)).result(30) is None
    assert engine.encoded == []


def test_a_cancelled_job_is_not_encoded(engine: FakeEngine, batcher: Batcher) -> None:
    hold(engine, batcher)
    cancelled = batcher.submit(job(1))
    assert cancelled.cancel()
    kept = batcher.submit(job(2))
    engine.gate.set()
    kept.result(30)
    assert 1 not in [level for level, _ in engine.encoded]


def test_what_waits_together_is_decoded_together_by_equal_window(engine: FakeEngine, batcher: Batcher) -> None:
    hold(engine, batcher)
    futures = [batcher.submit(job(level)) for level in (1, 2, 3)] + [batcher.submit(job(4, seconds=24.0))]
    engine.gate.set()
    for future in futures:
        future.result(30)
    assert [4] in engine.batches
    assert max(len(batch) for batch in engine.batches) >= 3


@pytest.mark.parametrize(("seconds", "window"), [(0.1, 20), (19.6, 20), (19.7, 25), (24.9, 30), (30.0, 30)])
def test_the_window_leaves_silence_behind_the_speech(
    engine: FakeEngine, batcher: Batcher, seconds: float, window: int
) -> None:
    batcher.submit(job(1, seconds=seconds)).result(30)
    assert engine.encoded == [(1, window)]


def test_live_finals_make_do_with_shorter_windows_when_much_waits(engine: FakeEngine, batcher: Batcher) -> None:
    batcher.submit(job(1, Kind.FINAL)).result(30)
    hold(engine, batcher)
    futures = [batcher.submit(job(level, Kind.FINAL)) for level in (2, 3, 4, 5)]
    engine.gate.set()
    for future in futures:
        future.result(30)
    assert engine.encoded[0] == (1, 20)
    assert engine.encoded[2] == (2, 12)


def _loops_in_short_windows(request: DecodeRequest) -> Decoded:
    if request.encoded.window < 30:
        return says("如同向我招手，" * 12)
    return says("如同向我招手")


def test_a_loop_is_tried_again_in_the_next_window() -> None:
    engine = FakeEngine(_loops_in_short_windows)
    batcher = Batcher(engine, workers=2)
    recognised = batcher.submit(job(5)).result(30)
    batcher.close()
    assert recognised is not None and recognised.text == "如同向我招手"
    assert [window for _, window in engine.encoded] == [20, 25, 30]


def test_a_loop_that_no_window_ends_is_cut_to_its_first_round() -> None:
    batcher = Batcher(FakeEngine(lambda request: says("看到了吗" + "如同向我招手，" * 4)), 1)
    recognised = batcher.submit(job(5)).result(30)
    batcher.close()
    assert recognised is not None and recognised.text == "看到了吗如同向我招手，"


def test_a_guess_is_not_tried_again() -> None:
    engine = FakeEngine(_loops_in_short_windows)
    batcher = Batcher(engine, workers=1)
    batcher.submit(job(5, Kind.PARTIAL)).result(30)
    batcher.close()
    assert [window for _, window in engine.encoded] == [6]


def test_poor_text_that_the_engine_itself_takes_for_silence_is_dropped() -> None:
    batcher = Batcher(FakeEngine(lambda request: says("谢谢观看", average=-1.4, no_speech=0.9)), 1)
    assert batcher.submit(job(5)).result(30) is None
    batcher.close()


def test_an_engine_failure_reaches_its_callers_and_nobody_else() -> None:
    def answer(request: DecodeRequest) -> Decoded:
        if loudness(request) == 13:
            raise RuntimeError("out of memory")
        return says("好")

    batcher = Batcher(FakeEngine(answer), 1)
    with pytest.raises(RecognitionFailed):
        batcher.submit(job(13)).result(30)
    recognised = batcher.submit(job(5)).result(30)
    batcher.close()
    assert recognised is not None and recognised.text == "好"


def test_files_leave_a_worker_to_live_streams() -> None:
    engine = FakeEngine()
    batcher = Batcher(engine, workers=2)
    batcher.live_opened()
    engine.gate.clear()
    files = [batcher.submit(job(level, Kind.BULK)) for level in (1, 2, 3)]
    assert engine.entered.acquire(timeout=30)
    live = batcher.submit(job(9, Kind.PARTIAL))
    assert engine.entered.acquire(timeout=30)
    engine.gate.set()
    live.result(30)
    batcher.live_closed()
    for future in files:
        future.result(30)
    batcher.close()
    assert {level for level, _ in engine.encoded[:2]} == {1, 9}


def test_closing_finishes_what_is_queued_and_refuses_more(engine: FakeEngine, batcher: Batcher) -> None:
    hold(engine, batcher)
    queued = batcher.submit(job(3))
    engine.gate.set()
    batcher.close()
    recognised = queued.result(0)
    assert recognised is not None and recognised.text == "3"
    with pytest.raises(RecognitionFailed):
        batcher.submit(job(4)).result(0)


def test_the_predicted_wait_grows_with_the_queue_and_guesses_do_not_count(engine: FakeEngine, batcher: Batcher) -> None:
    hold(engine, batcher)
    empty = batcher.predicted_wait()
    batcher.submit(job(1, Kind.PARTIAL))
    assert batcher.predicted_wait() == empty
    for level in range(5):
        batcher.submit(job(level))
    assert batcher.predicted_wait() > empty
