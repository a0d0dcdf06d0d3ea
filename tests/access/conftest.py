"""A real database for each test, a clock that tests turn, and servers for those that need one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from lingting.access import Access
from lingting.access.database import COMMAND_SECONDS, Database
from lingting.access.directory import Directory, opened
from lingting.access.schema import metadata
from lingting.settings import Settings
from tests.access.door import Clock, Door
from tests.conftest import free_port
from tests.requirements import missing, require_program


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """A PostgreSQL server that lives as long as the tests."""
    debian = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/")), reverse=True)
    initdb, server = (
        require_program(name, *(f"{folder}/{name}" for folder in debian)) for name in ("initdb", "postgres")
    )
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    folder = tempfile.mkdtemp(prefix="lingting-pg-")
    try:
        if user:
            shutil.chown(folder, user)
    except LookupError:
        missing("PostgreSQL does not run as root and there is no user postgres")
    port = str(free_port())
    subprocess.run(
        [initdb, "-D", f"{folder}/data", "-U", "lingting", "-A", "trust", "-N"],
        check=True,
        user=user,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    options = ["-p", port, "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    process = subprocess.Popen(
        [server, "-D", f"{folder}/data", *options],
        user=user,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    import psycopg

    address = f"lingting@127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(f"postgresql://{address}/postgres").close()
            break
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    server_process = PostgreSQL(address, process.pid)
    yield server_process
    server_process.thaw()
    process.send_signal(signal.SIGQUIT)
    process.wait(30)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgresql(postgresql_server: PostgreSQL) -> str:
    """The address of the PostgreSQL server."""
    return postgresql_server.address


@dataclass(frozen=True)
class PostgreSQL:
    """A PostgreSQL server, which can be frozen: it then accepts connections and answers nothing."""

    address: str
    pid: int

    def freeze(self) -> None:
        """Stop the server and all its processes where they are."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on; harmless when they run."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in (self.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a Redis server that lives as long as the tests."""
    program = require_program("redis-server")
    import redis

    with RedisServer(program) as server:
        client = redis.Redis.from_url(server.url)
        client.ping()
        client.close()
        yield server.url


class RedisServer:
    """A Redis on a free port, to start and to kill."""

    def __init__(self, program: str) -> None:
        self._program = program
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        import redis

        self._process = subprocess.Popen(
            [self._program, "--port", str(self.port), "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            cwd=tempfile.gettempdir(),
        )
        client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + 30
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        client.close()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def limits_url() -> str:
    """Where limits are counted; a module overrides it to count elsewhere."""
    return "memory://"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'lingting.db'}"
    return new_postgresql_database(request.getfixturevalue("postgresql"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as the first start leaves it, to be copied."""
    path = tmp_path_factory.mktemp("template") / "lingting.db"
    with opened(f"sqlite:///{path}"):
        return path


@dataclass(frozen=True)
class UsedDatabase:
    """A PostgreSQL database that every test finds as the first start leaves it; a copy for each would take longer."""

    url: str
    engine: sa.Engine
    rows: dict[sa.Table, list[dict[str, Any]]]

    def restored(self) -> str:
        with self.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(sa.delete(table))
            for table, rows in self.rows.items():
                connection.execute(sa.insert(table), rows)
        return self.url


@pytest.fixture(scope="session")
def used_postgresql(postgresql: str) -> Iterator[UsedDatabase]:
    url = new_postgresql_database(postgresql)
    with opened(url):
        engine = sa.create_engine(url)
    with engine.begin() as connection:
        found = {table: connection.execute(sa.select(table)).mappings().all() for table in metadata.sorted_tables}
    yield UsedDatabase(url, engine, {table: [dict(row) for row in rows] for table, rows in found.items() if rows})
    engine.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A SQLite database as the first start leaves it."""
    shutil.copy(sqlite_template, tmp_path / "lingting.db")
    return f"sqlite:///{tmp_path / 'lingting.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database as the first start leaves it; a module overrides it where the kind of database makes no difference."""
    if request.param == "sqlite":
        url: str = request.getfixturevalue("sqlite_url")
        return url
    database: UsedDatabase = request.getfixturevalue("used_postgresql")
    return database.restored()


def new_postgresql_database(address: str) -> str:
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"postgresql://{address}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://{address}/{name}"


@pytest.fixture
def settings(tmp_path: Path, database_url: str, limits_url: str) -> Settings:
    return Settings(data_dir=tmp_path, database_url=database_url, limits_url=limits_url)


@pytest.fixture
def node(settings: Settings, clock: Clock) -> Callable[[], contextlib.AbstractAsyncContextManager[Access]]:
    """Starts a server's `Access`; several on one database are the nodes of a cluster."""

    @asynccontextmanager
    async def start(clock: Clock = clock) -> AsyncIterator[Access]:
        access = Access(settings, clock, check_seconds=0, monotonic=clock.monotonic)
        await access.start()
        try:
            yield access
        finally:
            await access.close()

    return start


@pytest.fixture
async def access(node: Callable[[], contextlib.AbstractAsyncContextManager[Access]]) -> AsyncIterator[Access]:
    async with node() as started:
        yield started


@pytest.fixture
def operator(settings: Settings, clock: Clock) -> Iterator[Directory]:
    """The directory as the command has it: its own connections, so for servers another process."""
    database = Database(settings.database, COMMAND_SECONDS)
    database.open()
    yield Directory(database, clock)
    database.close()


@pytest.fixture
def door(access: Access, operator: Directory, clock: Clock) -> Door:
    return Door(access, operator, clock)
