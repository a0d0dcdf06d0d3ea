"""Engines in processes of their own: the same texts, and a process that dies, hangs or is stopped costs a restart."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest

from lingting.engines.process.engine import ProcessEngine
from lingting.engines.whole import Whole
from lingting.errors import EngineRestarted, ModelError, RecognitionFailed
from lingting.recognition.engine import Before, Need, Request
from lingting.recognition.scheduler import Scheduler, Task
from tests.engines import misbehaving
from tests.engines.sherpa.test_offline import SAID, WRITTEN
from tests.engines.tiny.loaded import hear, recognize, texts, tiny
from tests.engines.tiny.tones import say


def sherpa(kind: str, folder: Path, lanes: int = 2) -> ProcessEngine:
    model = asdict(tiny(kind, folder)) | {"folder": str(folder)}
    return ProcessEngine("tiny", "lingting.engines.sherpa:build", {**model, "punctuates": True}, lanes=lanes)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[ProcessEngine]:
    """An engine that misbehaves; a parameter is the time that its calls may take, for tests in which one hangs."""
    timeout = getattr(request, "param", 60.0)
    engine = ProcessEngine("misbehaving", "tests.engines.misbehaving:build", {}, lanes=2, call_timeout=timeout)
    yield engine
    engine.close()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """So many open descriptors that the next ones have numbers beyond those that select(2) can watch."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("no process may have 2048 descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard) if soft < 2048 else (soft, hard))
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while opened.enter_context(Path(os.devnull).open("rb")).fileno() < 1100:
            pass
        yield


def saying(what: int, samples: int = 1600) -> Request:
    return Request(np.full(samples, what, np.float32))


def test_an_offline_model_hears_the_same_in_its_own_process(tmp_path: Path) -> None:
    engine = sherpa("transducer", tmp_path / "m")
    try:
        assert texts(engine, *(say(tokens) for tokens in SAID)) == WRITTEN
        request = Request(say(["你", "圆"]), Need.BEST, "zh", ("元",), Before("测试", ("zh", "en")))
        (heard,) = recognize(engine, request)
        assert heard.text == "你元"
        assert heard.times is not None and heard.times.start.tolist() == pytest.approx([0.2, 0.48], abs=0.05)
        assert heard.average is not None
        assert engine.punctuates and engine.longest == 28.0
    finally:
        engine.close()


def test_a_streaming_model_hears_the_same_in_its_own_process(tmp_path: Path) -> None:
    engine = sherpa("transducer-streaming", tmp_path / "m")
    try:
        for piece in (400, 1600, 100_000):
            assert [hear(engine, engine.listen(None, ()), say(one), piece)[-1].text for one in SAID] == WRITTEN
        grown = [one.text for one in hear(engine, engine.listen(None, ()), say(SAID[0]))]
        assert len(set(grown)) >= 3
        assert hear(engine, engine.listen(None, ("元",)), say(["圆"]))[-1].text == "元"
        assert engine.listen(None, ()).finish() is None
        assert texts(Whole(engine), *(say(one) for one in SAID)) == WRITTEN
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("what", "engine"),
    [(misbehaving.ABORT, 60.0), (misbehaving.FAULT, 60.0), (misbehaving.HANG, 4.0)],
    indirect=["engine"],
)
def test_what_ends_or_hangs_the_process_costs_a_restart_and_the_next_is_heard(engine: ProcessEngine, what: int) -> None:
    before = engine.pid
    with pytest.raises(EngineRestarted) as caught:
        recognize(engine, saying(what))
    assert caught.value.guilty
    (heard,) = recognize(engine, saying(misbehaving.TEXT, 800))
    assert heard.text == f"800 {engine.pid}"
    assert engine.pid != before and not psutil.pid_exists(before)


def test_a_server_with_more_than_a_thousand_open_connections_has_its_process_replaced_too(
    engine: ProcessEngine, many_descriptors: None
) -> None:
    before = engine.pid
    with pytest.raises(EngineRestarted):
        recognize(engine, saying(misbehaving.ABORT))
    (heard,) = recognize(engine, saying(misbehaving.TEXT, 800))
    assert heard.text == f"800 {engine.pid}"
    assert engine.pid != before


def test_works_that_a_dead_process_held_can_be_begun_again(engine: ProcessEngine) -> None:
    (held,) = engine.step([engine.begin(saying(misbehaving.TEXT))])
    assert held.more is not None
    with pytest.raises(EngineRestarted):
        recognize(engine, saying(misbehaving.ABORT))
    with pytest.raises(EngineRestarted) as caught:
        engine.step([held.more])
    assert not caught.value.guilty


def test_a_process_that_is_stopped_is_replaced_without_anybody_calling_it(engine: ProcessEngine) -> None:
    before = engine.pid
    os.kill(before, signal.SIGSTOP)
    deadline = time.monotonic() + 30
    while engine.pid in (0, before) and time.monotonic() < deadline:
        time.sleep(0.05)
    (heard,) = recognize(engine, saying(misbehaving.TEXT, 5))
    assert heard.text == f"5 {engine.pid}" and engine.pid != before


def test_an_error_in_the_process_is_an_error_here_and_costs_no_restart(engine: ProcessEngine) -> None:
    with pytest.raises(RecognitionFailed, match="a bad work"):
        recognize(engine, saying(misbehaving.RAISE))
    assert engine.restarts == 0


def test_lines_of_the_process_reach_the_log_under_their_own_name(
    engine: ProcessEngine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        recognize(engine, saying(misbehaving.LOG))
    assert ("lingting.engines.test", logging.WARNING, "heard a log line") in caplog.record_tuples


def test_under_the_scheduler_everybody_is_heard_but_the_one_that_kills_the_process_twice(engine: ProcessEngine) -> None:
    scheduler = Scheduler(2)
    try:
        requests = [saying(misbehaving.TEXT, 100 + n) for n in range(12)]
        requests.insert(4, saying(misbehaving.ABORT))
        futures = [scheduler.submit(Task(engine, lambda r=request: engine.begin(r))) for request in requests]  # type: ignore[misc]
        with pytest.raises(RecognitionFailed):
            futures.pop(4).result(60)
        found = [future.result(60) for future in futures]
        assert [one.text.split()[0] for one in found if one] == [str(100 + n) for n in range(12)]
        again = scheduler.submit(Task(engine, lambda: engine.begin(saying(misbehaving.TEXT, 200)))).result(60)
        assert again is not None  # the one that took the place of the second is there
        assert engine.restarts == 2
    finally:
        scheduler.close()


def test_a_work_whose_process_is_killed_from_outside_again_and_again_is_heard_in_the_end(engine: ProcessEngine) -> None:
    scheduler = Scheduler(1)
    try:
        request = saying(misbehaving.SLOW, 7)
        heard = scheduler.submit(Task(engine, lambda: engine.begin(request)))
        killed = 0
        while not heard.done() and killed < 3:
            before = engine.pid
            if before:
                time.sleep(0.2)
                os.kill(before, signal.SIGKILL)
                killed += 1
                while engine.pid == before:
                    time.sleep(0.01)
        found = heard.result(60)
        assert found is not None
        assert found.text.startswith("7 ")
    finally:
        scheduler.close()


def test_a_start_that_fails_once_makes_calls_wait_and_none_fail(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    engine = ProcessEngine("failing", "tests.engines.misbehaving:build", {"broken": str(broken)}, lanes=1)
    try:
        broken.touch()
        os.kill(engine.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while engine.restarts < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        broken.unlink()
        assert recognize(engine, saying(misbehaving.TEXT, 3))[0].text == f"3 {engine.pid}"
    finally:
        engine.close()


def test_a_model_over_which_the_process_ends_is_refused_with_its_last_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    with pytest.raises(ModelError, match="the library says why"):
        ProcessEngine("broken", "tests.engines.misbehaving:build", {"broken": str(broken)}, lanes=1)


def test_a_model_that_the_library_itself_ends_the_process_over_is_refused(tmp_path: Path) -> None:
    model = asdict(tiny("transducer-streaming", tmp_path / "m")) | {"folder": str(tmp_path / "m"), "punctuates": True}
    model["roles"] = {**model["roles"], "decoder": "joiner.onnx", "joiner": "decoder.onnx"}
    with pytest.raises(ModelError, match="cannot be loaded"):
        ProcessEngine("swapped", "lingting.engines.sherpa:build", model, lanes=1)


def test_a_process_that_cannot_start_again_is_tried_ever_more_slowly_and_calls_say_so(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    engine = ProcessEngine(
        "failing", "tests.engines.misbehaving:build", {"broken": str(broken)}, lanes=1, call_timeout=0.5
    )
    try:
        broken.touch()
        os.kill(engine.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while engine.restarts < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(RecognitionFailed, match="the library says why"):
            engine.begin(saying(misbehaving.TEXT))
        broken.unlink()
        while not engine.pid and time.monotonic() < deadline:
            time.sleep(0.05)
        assert recognize(engine, saying(misbehaving.TEXT, 3))[0].text == f"3 {engine.pid}"
        assert engine.restarts < 8
    finally:
        engine.close()


def test_the_process_ends_with_the_server_however_that_ends(tmp_path: Path) -> None:
    program = (
        "import os, signal\n"
        "from lingting.engines.process.engine import ProcessEngine\n"
        "engine = ProcessEngine('m', 'tests.engines.misbehaving:build', {}, lanes=1)\n"
        "print(engine.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    child = int(done.stdout)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(child)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep no process from anything")
def test_the_process_reaches_no_network_and_no_other_process_and_leaves_no_core_dump(engine: ProcessEngine) -> None:
    if "Seccomp:\t2" not in Path(f"/proc/{engine.pid}/status").read_text():
        pytest.skip("this kernel has no seccomp")
    (heard,) = recognize(engine, saying(misbehaving.REACH))
    assert heard.text == ""


def test_the_process_imports_nothing_of_the_server_and_sees_none_of_its_settings(engine: ProcessEngine) -> None:
    environment = psutil.Process(engine.pid).environ()
    assert not [name for name in environment if name.startswith("LINGTING")]
    code = "import sys, lingting.engines.process.far_side; print([m for m in sys.modules if m.startswith('lingting.')])"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    for package in ("access", "api", "settings", "service", "streams", "models"):
        assert f"lingting.{package}'" not in found.stdout
