"""What `/metrics` counts."""

from __future__ import annotations

import asyncio
import time

import pytest
from prometheus_client import generate_latest

from lingting.operations.lag import watch_lag
from lingting.operations.metrics import Metrics


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def shown(metrics: Metrics) -> list[str]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    return [line for line in lines if line.startswith("lingting_")]


def test_requests_are_counted_by_interface_and_outcome() -> None:
    metrics = Metrics()
    metrics.observe("flash", 0, 0.2, 3.5, "whisper-base")
    metrics.observe("flash", 0, 0.02, 1.0, "whisper-base")
    metrics.observe("flash", 415, 0.001, 0.0, "whisper-base")
    lines = shown(metrics)
    assert 'lingting_requests_total{interface="flash",outcome="ok"} 2.0' in lines
    assert 'lingting_requests_total{interface="flash",outcome="415"} 1.0' in lines
    assert 'lingting_audio_seconds_total{interface="flash",model="whisper-base"} 4.5' in lines
    assert 'lingting_request_seconds_bucket{interface="flash",le="0.1"} 2.0' in lines
    assert 'lingting_request_seconds_count{interface="flash"} 3.0' in lines


def test_numbers_of_now_are_read_when_they_are_asked_for() -> None:
    live = [0]
    metrics = Metrics()
    metrics.gauge("lingting_live_streams", "Live streams.", lambda: live[0])
    live[0] = 3
    assert "lingting_live_streams 3.0" in shown(metrics)


def test_steps_waits_and_live_text_are_timed_and_failures_counted() -> None:
    metrics = Metrics()
    metrics.stepped("whisper-base", 6, 0.2, failed=False)
    metrics.stepped("whisper-base", 1, 0.1, failed=True)
    metrics.waited("final", 0.3)
    metrics.shown("first", 0.7)
    metrics.lost()
    lines = shown(metrics)
    assert 'lingting_step_seconds_count{engine="whisper-base"} 2.0' in lines
    assert 'lingting_step_works_sum{engine="whisper-base"} 7.0' in lines
    assert 'lingting_failed_steps_total{engine="whisper-base"} 1.0' in lines
    assert 'lingting_task_wait_seconds_count{kind="final"} 1.0' in lines
    assert 'lingting_live_text_seconds_count{what="first"} 1.0' in lines
    assert "lingting_failed_utterances_total 1.0" in lines


def test_what_others_count_is_read_when_it_is_asked_for() -> None:
    ends = {"final": 0}
    metrics = Metrics()
    metrics.total("lingting_journal_errors", "Errors.", lambda: sum(ends.values()))
    metrics.totals("lingting_streams_ended", "Ends.", "cause", lambda: ends)
    metrics.gauges("lingting_model_memory_bytes", "Memory.", "model", lambda: {"whisper-base": 5})
    ends["final"] = 3
    lines = shown(metrics)
    assert "lingting_journal_errors_total 3.0" in lines
    assert 'lingting_streams_ended_total{cause="final"} 3.0' in lines
    assert 'lingting_model_memory_bytes{model="whisper-base"} 5.0' in lines


@pytest.mark.anyio
async def test_a_blocked_event_loop_shows_as_lag() -> None:
    seen: list[float] = []
    enough = asyncio.Event()

    def observe(seconds: float) -> None:
        seen.append(seconds)
        enough.set()

    watching = asyncio.create_task(watch_lag(observe, 0.01))
    await asyncio.sleep(0)
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        pass
    await enough.wait()
    watching.cancel()
    assert seen[0] > 0.05
