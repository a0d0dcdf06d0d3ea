"""Audio is charged when its recognition begins: leaving early costs what staying does, and nothing is free."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime

import pytest
import requests

from lingting.errors import Overloaded
from tests.api.serving import FILE, FLASH, STREAM, TRANSCRIPTIONS, Running, file_body, packet_body, pcm

WAV = b"RIFF" + pcm(1.0)
WAYS = {
    FILE: {"json": file_body(pcm(1.0))},
    FLASH: {"data": WAV},
    TRANSCRIPTIONS: {"files": {"file": ("a.wav", WAV)}},
    f"{TRANSCRIPTIONS}?stream": {"files": {"file": ("a.wav", WAV), "stream": (None, "true")}},
}


def charged(server: Running) -> float:
    """Seconds of audio of the tenant that was made last."""
    today = datetime.now(UTC).date()
    summary = server.service.access.usage.summary(today, today, ["tenant"])
    rows = asyncio.run_coroutine_threadsafe(summary, server.loop).result(10)
    mine = server.service.access.directory.tenants()[-1].name
    return sum(row["audio_seconds"] for row in rows if row["tenant"] == mine)


def post(server: Running, way: str, key: str, **named: object) -> requests.Response:
    return server.post(way.partition("?")[0], key=key, **WAYS[way], **named)


@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_leaves_has_paid_and_its_budget_is_used(server: Running, way: str) -> None:
    recognizer = server.service.recognizer
    recognizer.released = server.call(asyncio.Event)
    key = server.new_key(limits={"audio_seconds_per_day": 1})
    before = recognizer.cancelled
    try:
        leaving = threading.Thread(target=lambda: _leave(server, way, key))
        leaving.start()
        while not recognizer.running:
            time.sleep(0.01)
        assert post(server, way, key).status_code == 429  # while it is recognised
        leaving.join()
        while recognizer.cancelled == before:
            time.sleep(0.01)
        assert post(server, way, key).status_code == 429
        assert charged(server) == 1
    finally:
        recognizer.released = None


def _leave(server: Running, way: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(server.url + way.partition("?")[0], headers=headers, timeout=(5, 0.7), **WAYS[way])  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_refused_as_too_busy_costs_nothing(server: Running, way: str) -> None:
    key = server.new_key(limits={"audio_seconds_per_day": 1})
    server.service.recognizer.error = Overloaded("the predicted wait is 40 s")
    assert post(server, way, key).status_code in (500, 503)
    server.service.recognizer.error = None
    assert post(server, way, key).status_code == 200
    assert charged(server) == 1


def test_requests_at_once_cannot_together_pass_a_budget(server: Running) -> None:
    key = server.new_key(limits={"audio_seconds_per_day": 3})
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(post(server, FLASH, key).status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 3 + [429] * 5
    assert charged(server) == 3


def test_packets_are_charged_when_they_are_taken_and_once(server: Running) -> None:
    key = server.new_key(limits={"audio_seconds_per_day": 3})
    stream = "chargedbypackets"

    def send(sequence: int, action: int, seconds: float) -> int:
        answer = server.post(STREAM, key=key, json=packet_body(stream, sequence, action, pcm(seconds)))
        return answer.status_code

    assert send(0, 1, 1) == 200
    assert [send(1, 0, 1) for _ in range(3)] == [200] * 3
    assert send(2, 0, 1) == 200
    assert send(3, 0, 1) == 429
    assert charged(server) == 3
    assert send(3, 2, 0.5) == 200  # what was let in may end
    assert charged(server) == 4  # rounded from 3.5
    assert send(0, 1, 0) == 429


def test_a_stream_that_is_aborted_has_been_charged(server: Running) -> None:
    key = server.new_key()
    server.post(STREAM, key=key, json=packet_body("abortedandcharge", 0, 1, pcm(1)))
    assert server.post(STREAM, key=key, json=packet_body("abortedandcharge", 1, 3, None)).status_code == 200
    assert charged(server) == 1


@pytest.mark.parametrize("way", WAYS)
def test_the_recogniser_is_told_how_much_the_tenant_weighs(server: Running, way: str) -> None:
    key = server.new_key()
    directory = server.service.access.directory
    tenant = directory.tenants()[-1]
    for weight in (1.0, 2.5):
        directory.set_weight(tenant.id, weight)
        assert post(server, way, key).status_code == 200
        account = server.service.recognizer.accounts[-1]
        assert account is not None
        assert (account.tenant, account.weight) == (tenant.id, weight)
