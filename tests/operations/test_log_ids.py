"""Every line of the log that is about a request has its log id: of the request itself, of lanes, and of processes."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lingting import log_ids
from lingting.engines.process.engine import ProcessEngine
from lingting.errors import RecognitionFailed
from lingting.operations.logs import JSONFormatter
from lingting.recognition.engine import Request
from lingting.recognition.scheduler import Scheduler, Task
from tests.api.serving import FLASH, TRANSCRIPTIONS, pcm, serving
from tests.audio.test_decode import _decode, _decoder, _encode, _workers
from tests.engines import misbehaving

WAV = b"RIFF" + pcm(0.5)


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the log has written, as an operator gets it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("INFO")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def engine() -> Iterator[ProcessEngine]:
    engine = ProcessEngine("misbehaving", "tests.engines.misbehaving:build", {}, lanes=2)
    yield engine
    engine.close()


def asked(scheduler: Scheduler, engine: ProcessEngine, log_id: str, *what: int) -> list[Any]:
    """What becomes of requests that one caller sends; errors as they are."""
    with log_ids.about(log_id):
        tasks = [Task(engine, lambda one=one: engine.begin(Request(np.full(1600, one, np.float32)))) for one in what]
    futures = [scheduler.submit(task) for task in tasks]
    return [future.exception(60) or future.result(0) for future in futures]


def test_a_failure_that_nobody_foresaw_is_logged_with_the_id_of_the_answer(
    tmp_path: Path, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    with serving(tmp_path) as server:
        server.service.recognizer.error = ZeroDivisionError("nobody foresaw it")
        one = server.post(FLASH, key=server.key, data=WAV, headers={"format": "wav"})
        form = {"file": ("a.wav", WAV)}
        two = server.post(TRANSCRIPTIONS, key=server.key, files=form, data={"model": "whisper-1", "stream": "true"})
    failed = [line["log_id"] for line in lines() if "nobody foresaw it" in line.get("traceback", "")]
    assert failed == [one.headers["X-Tt-Logid"], two.headers["X-Tt-Logid"]]
    assert all("log_id" in line for line in lines() if line["logger"].startswith("lingting.api.http"))


def test_lines_of_the_engines_process_have_the_id_of_the_request_that_it_worked_for(
    engine: ProcessEngine, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    scheduler = Scheduler(2)
    try:
        asked(scheduler, engine, "one", misbehaving.LOG)
        (failed,) = asked(scheduler, engine, "two", misbehaving.RAISE)
        assert isinstance(failed, RecognitionFailed)
        asked(scheduler, engine, "", misbehaving.TEXT)
        (ended,) = asked(scheduler, engine, "three", misbehaving.ABORT)
        assert isinstance(ended, RecognitionFailed)
    finally:
        scheduler.close()
        engine.close()
    of = {line["log_id"]: line for line in lines() if line["message"] == "heard a log line"}
    assert list(of) == ["one"]
    assert ("two", "the engine misbehaving failed") in [(line.get("log_id"), line["message"]) for line in lines()]
    ends = [line for line in lines() if "it is started anew" in line["message"] or "begin again" in line["message"]]
    assert len(ends) >= 2
    assert {line.get("log_id") for line in ends} == {"three"}


def test_a_step_for_several_requests_has_the_ids_of_all(lines: Callable[[], list[dict[str, Any]]]) -> None:
    class Failing:
        name = "failing"
        longest = 28.0

        def begin(self, request: Request) -> misbehaving._Work:
            return misbehaving._Work(request)

        def step(self, works: Any) -> Any:
            raise RuntimeError("a bad batch")

    engine, scheduler = Failing(), Scheduler(1)
    tasks = []
    for log_id in ("one", "two", "one"):
        with log_ids.about(log_id):
            request = Request(np.zeros(1600, np.float32))
            tasks.append(Task(engine, lambda request=request: engine.begin(request), within=60.0, waits=True))
    all_are_there = threading.Event()
    scheduler.submit(Task(engine, lambda: all_are_there.wait() and None))
    futures = [scheduler.submit(task) for task in tasks]
    all_are_there.set()
    assert [type(future.exception(60)) for future in futures] == [RecognitionFailed] * 3
    scheduler.close()
    assert [line["log_id"] for line in lines() if "each is tried alone" in line["message"]] == ["one,two"]
    assert sorted(line["log_id"] for line in lines() if "failing failed" in line["message"]) == ["one", "one", "two"]


def test_a_file_that_loses_its_decoding_process_is_logged_with_the_id_of_its_request(
    tmp_path: Path, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    path = _encode(tmp_path, "mp3")

    async def main() -> None:
        async with _decoder() as decoder:
            await _decode(decoder, path)
            for worker in _workers():
                worker.kill()
            with log_ids.about("one"):
                await _decode(decoder, path)

    asyncio.run(main())
    assert [line["log_id"] for line in lines() if "decoding process" in line["message"]] == ["one"]
