"""A database that accepts connections and answers nothing delays callers for a bounded time, and loses no usage."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import sqlalchemy as sa

from lingting.access import Access, AccessUnavailable, InvalidCredential, Principal, UnknownApp
from lingting.access.directory import Directory, opened
from lingting.access.errors import DatabaseError
from lingting.access.records import CreatedApp, CreatedKey
from lingting.access.schema import usage_batches
from lingting.settings import Settings
from tests.access.conftest import PostgreSQL, UsedDatabase, new_postgresql_database
from tests.access.door import Clock, new, record
from tests.api.serving import FILE, FLASH, TENANT_TOKEN, Running, file_body, pcm, serving

pytestmark = pytest.mark.anyio

WHO = Principal("default", "default", None, "key_1", "x", frozenset())
BOUND = 30.0
"""Seconds: far more than is promised, so that a busy machine fails no test, and far less than for ever."""


@pytest.fixture
def database_url(used_postgresql: UsedDatabase) -> str:
    return used_postgresql.restored()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limits, shorter, so that the tests are."""
    monkeypatch.setattr("lingting.access.access.CALL_SECONDS", 2.5)
    monkeypatch.setattr("lingting.access.access._TRANSACTION_SECONDS", 2.0)
    monkeypatch.setattr("lingting.access.access._OUTAGE_SECONDS", 0.2)
    monkeypatch.setattr("lingting.access.directory.COMMAND_SECONDS", 1.0)
    monkeypatch.setattr("lingting.access.database._CONNECT_SECONDS", 2)  # less is 2 to libpq too


@pytest.fixture
def frozen(postgresql_server: PostgreSQL) -> Iterator[PostgreSQL]:
    """The PostgreSQL server, which a test may freeze; it goes on afterwards."""
    yield postgresql_server
    postgresql_server.thaw()


@pytest.fixture
async def access(settings: Settings, clock: Clock) -> AsyncIterator[Access]:
    started = Access(settings, clock, check_seconds=0, monotonic=time.monotonic)
    await started.start()
    yield started
    await started.close()


@pytest.fixture
def made(operator: Directory) -> tuple[CreatedKey, CreatedKey, CreatedApp]:
    """A key that is used before the silence, one that is not, and an app."""
    return operator.create_key(new("known")), operator.create_key(new("unknown")), operator.create_app(new("bot"))


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that accepts connections and never says anything."""
    held = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(listener.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in held:
        connection.close()


async def test_a_start_with_a_database_that_never_answers_ends_in_a_sentence(tmp_path: Path) -> None:
    with silent_server() as port:
        url = f"postgresql+psycopg://lingting@127.0.0.1:{port}/lingting"
        access = Access(Settings(data_dir=tmp_path, database_url=url))
        async with asyncio.timeout(BOUND):
            with pytest.raises(DatabaseError, match="cannot be opened"):
                await access.start()
            await access.close()


def test_a_command_on_a_database_that_never_answers_ends_in_a_sentence(frozen: PostgreSQL, database_url: str) -> None:
    began = time.monotonic()
    with pytest.raises(DatabaseError, match="does not do what it should"), opened(database_url) as directory:
        frozen.freeze()
        directory.apps()
    assert time.monotonic() - began < BOUND


async def test_known_credentials_go_on_and_others_are_told_to_try_again(
    access: Access, made: tuple[CreatedKey, CreatedKey, CreatedApp], frozen: PostgreSQL
) -> None:
    known, unknown, app = made
    await access.authenticate(known.key)
    frozen.freeze()
    async with asyncio.timeout(BOUND):
        assert (await access.authenticate(known.key)).key_id == known.record.id
        for _ in range(2):
            for attempt in (
                access.authenticate(unknown.key),
                access.authenticate("lt-nobody"),
                access.issue_token(app.app.id, app.app_secret),
            ):
                with pytest.raises(AccessUnavailable) as caught:
                    await attempt
                assert caught.value.retry_after > 0
        assert (await access.authenticate(known.key)).key_id == known.record.id
    frozen.thaw()
    async with asyncio.timeout(BOUND):
        await back(access, unknown.key)
        await access.issue_token(app.app.id, app.app_secret)


async def back(access: Access, key: str) -> None:
    """Wait until the database is found to answer again."""
    while True:
        with contextlib.suppress(AccessUnavailable):
            await access.authenticate(key)
            return
        await asyncio.sleep(0.05)


async def test_many_at_once_are_answered_as_soon_as_one_is(
    access: Access, made: tuple[CreatedKey, CreatedKey, CreatedApp], frozen: PostgreSQL
) -> None:
    known, unknown, _ = made
    await access.authenticate(known.key)
    frozen.freeze()
    async with asyncio.timeout(BOUND):
        answers = await asyncio.gather(
            *(access.authenticate(key) for key in (known.key, unknown.key, "lt-nobody") for _ in range(40)),
            return_exceptions=True,
        )
    assert [type(answer) for answer in answers] == [Principal] * 40 + [AccessUnavailable] * 80


async def test_known_credentials_do_not_go_on_for_ever(
    settings: Settings, clock: Clock, made: tuple[CreatedKey, CreatedKey, CreatedApp], frozen: PostgreSQL
) -> None:
    access = Access(settings, clock, check_seconds=0, monotonic=clock.monotonic)
    await access.start()
    await access.authenticate(made[0].key)
    frozen.freeze()
    async with asyncio.timeout(BOUND):
        with pytest.raises(AccessUnavailable):
            await access.authenticate(made[1].key)
        clock.turn(3500)
        await access.authenticate(made[0].key)
        clock.turn(200)
        with pytest.raises(AccessUnavailable):
            await access.authenticate(made[0].key)
        frozen.thaw()
        await access.close()


async def test_budgets_are_counted_on_without_the_database(access: Access, frozen: PostgreSQL, clock: Clock) -> None:
    from dataclasses import replace

    from lingting.access import LimitExceeded, TenantLimits

    who = replace(WHO, limits=TenantLimits(audio_seconds_per_day=10))
    frozen.freeze()
    async with asyncio.timeout(BOUND):
        (await access.limits.reserve_audio(who, 10, interface="flash", model="x")).charge(10)
        with pytest.raises(LimitExceeded):
            await access.limits.reserve_audio(who, 1, interface="flash", model="x")


async def test_usage_of_a_silent_hour_is_written_once_when_the_database_is_back(
    access: Access, operator: Directory, frozen: PostgreSQL
) -> None:
    record(access.usage, WHO, "file", "whisper-base", 1)
    frozen.freeze()
    async with asyncio.timeout(BOUND):
        for _ in range(2):  # over the connection that there is, and over a new one
            record(access.usage, WHO, "file", "whisper-base", 1)
            await access.usage.flush()
        with pytest.raises(AccessUnavailable):
            await access.usage.summary(
                datetime(2027, 1, 15, tzinfo=UTC).date(), datetime(2027, 1, 15, tzinfo=UTC).date(), []
            )
    frozen.thaw()
    async with asyncio.timeout(BOUND):
        while used(operator) != (3, 3.0):
            await access.usage.flush()
        for _ in range(2):
            await access.usage.flush()
    assert used(operator) == (3, 3.0)


def used(operator: Directory) -> tuple[int, float]:
    (row,) = operator.usage(datetime(2027, 1, 15, tzinfo=UTC).date(), datetime(2027, 1, 15, tzinfo=UTC).date(), [])
    return row["requests"], row["audio_seconds"]


class DeafProxy:
    """A connection to PostgreSQL whose answers can be lost from the next COMMIT on."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.lose_commits = False
        self.lost = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        answering = asyncio.create_task(self._copy(from_server, writer))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if self.lose_commits and b"COMMIT" in data:
                    self.lost += 1
                    answering.cancel()
                to_server.write(data)
        to_server.close()
        writer.close()

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)


async def test_a_batch_whose_commit_was_not_answered_is_counted_once(
    settings: Settings, operator: Directory, clock: Clock
) -> None:
    address = urlsplit(settings.database)
    proxy = DeafProxy(address.port or 0)
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = settings.database.replace(f":{address.port}/", f":{port}/")
    access = Access(settings.model_copy(update={"database_url": url}), clock, check_seconds=0)
    await access.start()
    async with asyncio.timeout(BOUND):
        record(access.usage, WHO, "file", "whisper-base", 1)
        proxy.lose_commits = True
        await access.usage.flush()
        assert proxy.lost == 1
        proxy.lose_commits = False
        record(access.usage, WHO, "file", "whisper-base", 1)
        await access.usage.flush()
        await access.close()
    server.close()
    assert used(operator) == (2, 2.0)
    with operator._database.reading() as connection:
        assert len(connection.execute(sa.select(usage_batches)).all()) == 1


async def test_nodes_that_count_the_same_rows_in_another_order_never_deadlock(
    settings: Settings, clock: Clock, operator: Directory, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"model-{number}" for number in range(200)]
    nodes = [Access(settings, clock, check_seconds=0) for _ in range(2)]
    for node in nodes:
        await node.start()
    for _ in range(4):
        for node, models in zip(nodes, (rows, rows[::-1]), strict=True):
            for model in models:
                record(node.usage, WHO, "file", model, 1)
        await asyncio.gather(*(node.usage.flush() for node in nodes))
    for node in nodes:
        await node.close()
    assert used(operator) == (1600, 1600.0)
    assert "could not be written" not in caplog.text


async def test_usage_kept_in_memory_is_bounded_and_its_sums_are_right(
    access: Access, operator: Directory, monkeypatch: pytest.MonkeyPatch, frozen: PostgreSQL
) -> None:
    monkeypatch.setattr("lingting.access.usage.MOST_ROWS", 10)
    frozen.freeze()
    for number in range(50):
        record(access.usage, WHO, "file", f"model-{number}", 1)
    assert len(access.usage._pending.counts) == 11
    frozen.thaw()
    async with asyncio.timeout(BOUND):
        await access.usage.flush()
    assert used(operator) == (50, 50.0)


def test_callers_get_the_answers_of_their_protocol_in_time(tmp_path: Path, postgresql: str, frozen: PostgreSQL) -> None:
    with serving(tmp_path, database_url=new_postgresql_database(postgresql)) as server:
        unknown, operator = server.new_key(), server.new_key(scopes=("operator",))
        link = server.service.access.invitations.create()
        wav = b"RIFF" + pcm(0.1)
        assert server.post(FLASH, key=server.key, data=wav).status_code == 200
        assert watch(server, operator) == 200
        frozen.freeze()
        try:
            assert server.post(FLASH, key=server.key, data=wav).status_code == 200
            flash = server.post(FLASH, key=unknown, data=wav)
            file = server.post(FILE, key=unknown, json=file_body())
            login = server.post(TENANT_TOKEN, json={"app_id": server.app.app.id, "app_secret": server.app.app_secret})
            health = requests.get(server.url + "/healthz", timeout=20)
            answering = server.call(asyncio.run_coroutine_threadsafe, server.service.access.answers(), server.loop)
            assert answering.result(3) is False, "which /readyz asks"
            assert server.service.access.outages >= 1
            status = watch(server, operator)
            sign_in = server.post("/console/sign-in", data=link)
        finally:
            frozen.thaw()
        assert (flash.status_code, health.status_code) == (503, 200)
        assert (status, sign_in.status_code) == (503, 503)
        assert int(flash.headers["Retry-After"]) >= 1
        assert (file.status_code, file.json()["code"]) == (500, 1040102)
        assert (login.status_code, login.json()["code"]) == (200, 1040102)


def watch(server: Running, key: str) -> int:
    """The status of what an operator's page asks for."""
    headers = {"Authorization": f"Bearer {key}"}
    return requests.get(server.url + "/console/status", headers=headers, timeout=20).status_code


async def test_an_unknown_app_is_unknown_again_when_the_database_is_back(
    access: Access, made: tuple[CreatedKey, CreatedKey, CreatedApp], frozen: PostgreSQL
) -> None:
    frozen.freeze()
    async with asyncio.timeout(BOUND):
        with pytest.raises(AccessUnavailable):
            await access.issue_token("cli_0000000000000000", "secret")
        frozen.thaw()
        await back(access, made[0].key)
        with pytest.raises(UnknownApp):
            await access.issue_token("cli_0000000000000000", "secret")
        with pytest.raises(InvalidCredential):
            await access.authenticate("lt-nobody")
