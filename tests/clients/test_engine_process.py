"""A server whose Whisper runs in a process of its own: what ends that process costs a second, and no text."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests

from tests.clients.hearing import assert_heard, mandarin
from tests.conftest import LiveServer, start_server

pytestmark = [pytest.mark.engine, pytest.mark.slow]

FLASH = "/v1/audio/asr/flash"


def _engine(server: LiveServer) -> psutil.Process:
    """The process that holds the model: the largest of the server's children."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    return max(children, key=lambda child: child.memory_info().rss)


def _text(server: LiveServer, times: int = 1) -> str:
    headers = {"Authorization": f"Bearer {server.key}", "format": "pcm"}
    answer = requests.post(server.url + FLASH, data=mandarin().pcm * times, headers=headers, timeout=120)
    assert answer.status_code == 200, answer.text
    return "".join(sentence["text"] for sentence in answer.json()["flash_result"]["sentences"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[LiveServer]:
    """A server of which no process is left when it has been stopped."""
    settings = {"engine_processes": "all", "max_wait_seconds": "300", "drain_seconds": "1"}
    started = start_server(tmp_path_factory.mktemp("server"), model_dir, **settings)
    engine = _engine(started)
    yield started
    engines = [engine, _engine(started)]
    assert started.stop() == 0
    assert not [each for each in engines if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="module")
def undisturbed(server: LiveServer) -> tuple[str, str]:
    """What it hears in the recording, and in three of it, one behind the other."""
    return _text(server), _text(server, 3)


def _restarts(server: LiveServer) -> float:
    shown = requests.get(server.url + "/metrics", timeout=10).text
    return float(re.findall(r"^lingting_engine_restarts_total (\S+)$", shown, re.MULTILINE)[0])


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_an_engine_that_is_killed_or_stopped_under_load_costs_a_delay_and_no_call(
    server: LiveServer, undisturbed: tuple[str, str], blow: signal.Signals
) -> None:
    once, thrice = undisturbed
    assert_heard(once, mandarin())
    engine, restarts = _engine(server), _restarts(server)
    assert engine.memory_info().rss > 100e6, "the model lies there, not in the server"
    with ThreadPoolExecutor(4) as callers:
        calls = [callers.submit(_text, server, 3) for _ in range(4)]
        time.sleep(0.7)
        os.kill(engine.pid, blow)
        assert [call.result() for call in calls] == [thrice] * 4
    assert _text(server) == once
    assert _engine(server).pid != engine.pid
    assert _restarts(server) == restarts + 1
    assert not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE
