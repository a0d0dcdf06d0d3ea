"""Opening the database, bringing it up to date, and noticing what other processes changed.

All work here is synchronous; `Access` calls it from its own threads. The one exception is `Changes.version`, a few
microseconds on SQLite, which the event loop may call.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, NoSuchModuleError, OperationalError, SQLAlchemyError

from lingting.access.deadlines import Deadlines
from lingting.access.errors import DatabaseError
from lingting.access.schema import state
from lingting.extras import install_command

HEAD = "0003"
CHECK_SECONDS = 0.25
COMMAND_SECONDS = 30.0
"""How long a command waits for a database server."""

_CONNECT_SECONDS = 3
_POOL_SECONDS = 3.0
_BUSY_SECONDS = 10.0
_MIGRATION_SECONDS = 60.0
_ADVISORY_LOCK = 0x6C696E67  # "ling": one migration at a time on PostgreSQL


class Database:
    """The credentials database behind any SQLAlchemy URL; safe to use from several threads.

    Args:
        url: the SQLAlchemy URL.
        seconds: how long a transaction may take on a database server, whether that answers or not.

    Attributes:
        changes: how many management changes this process has made.

    Raises:
        DatabaseError: the URL is not usable.
    """

    def __init__(self, url: str, seconds: float) -> None:
        self.changes = 0
        self._seconds = seconds
        self._deadlines = Deadlines()
        self.url = _parsed(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        try:
            self._engine = self._sqlite_engine() if self.is_sqlite else self._server_engine()
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise DatabaseError(
                f"the database {self.shown} cannot be used: {error}; for PostgreSQL run "
                f"`{install_command('postgresql')}` and write the URL as postgresql+psycopg://user@host/name"
            ) from None
        self._writing = self._engine.execution_options(lingting_writing=True)

    @property
    def shown(self) -> str:
        """The URL without its password, fit for messages."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in a read transaction."""
        with self._within(self._seconds), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, seconds: float | None = None) -> Iterator[Connection]:
        """A connection in a write transaction, committed when the block ends without an error."""
        with self._within(seconds or self._seconds), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def managing(self) -> Iterator[Connection]:
        """As `writing`, and every server notices that credentials or tenants changed."""
        with self.writing() as connection:
            yield connection
            generation = sa.cast(sa.cast(state.c.value, sa.Integer) + 1, sa.Text)
            connection.execute(sa.update(state).where(state.c.name == "generation").values(value=generation))
        self.changes += 1

    def open(self) -> None:
        """Create or migrate the database; several processes may do so at the same moment.

        Raises:
            DatabaseError: it cannot be reached or written, or a newer Lingting wrote it.
        """
        if self.is_sqlite:
            self._create_private_file()
        deadline = time.monotonic() + _MIGRATION_SECONDS
        while True:
            try:
                return self._migrate()
            except OperationalError as error:
                # SQLite answers "locked" at once, without waiting, while another process turns the new file to WAL.
                if self.is_sqlite and "locked" in str(error) and time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                raise DatabaseError(f"the database {self.shown} cannot be opened: {reason(error)}") from None
            except SQLAlchemyError as error:
                raise DatabaseError(f"the database {self.shown} cannot be opened: {reason(error)}") from None

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _migrate(self) -> None:
        with self.reading() as connection:
            if self._revision(connection) == HEAD:
                return
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        with self.writing(_MIGRATION_SECONDS) as connection:
            if connection.dialect.name == "postgresql":
                for limit in ("statement_timeout", "lock_timeout"):
                    connection.execute(sa.text(f"SET LOCAL {limit} = 0"))
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            revision = self._revision(connection)
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            if revision is not None and revision not in known:
                raise DatabaseError(
                    f"the database {self.shown} was written by a newer Lingting (revision {revision}); upgrade lingting"
                )
            if revision != HEAD:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")

    @staticmethod
    def _revision(connection: Connection) -> str | None:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        return revision

    def _sqlite_engine(self) -> Engine:
        if not self.url.database or self.url.database.startswith((":memory:", "file:")):
            raise DatabaseError("the SQLite database must be a file, such as sqlite:////var/lib/lingting/lingting.db")
        engine = sa.create_engine(self.url, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _server_engine(self) -> Engine:
        psycopg = self.url.get_driver_name() == "psycopg"
        timeouts = {"connect_timeout": _CONNECT_SECONDS, "tcp_user_timeout": 5000} if psycopg else {}
        engine = sa.create_engine(self.url, pool_timeout=_POOL_SECONDS, connect_args=timeouts)

        def connected(connection: Any, _record: object) -> None:
            self._deadlines.uses(connection)
            if engine.dialect.name == "postgresql":  # so that the server gives up what we gave up
                limit = f"{self._seconds * 1000:.0f}"
                cursor = connection.cursor()
                for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
                    cursor.execute(f"SET {name} = {limit}")
                cursor.close()
                connection.commit()

        def taken(connection: Any, _record: object, _proxy: object) -> None:
            self._deadlines.uses(connection)
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error:
                raise InvalidatePoolError from None

        sa.event.listen(engine, "connect", connected, insert=True)
        sa.event.listen(engine, "checkout", taken)
        return engine

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        if self.is_sqlite:
            yield
        else:
            with self._deadlines.limit(seconds):
                yield

    def _create_private_file(self) -> None:
        """The file holds the signing key: readable by its owner only (SQLite gives its side files the same mode).

        A file that exists is not opened here: closing a descriptor of it would drop the locks of every connection that
        this process has to it, and another process would then take the write-ahead log away from under them
        (sqlite.org/howtocorrupt.html, section 2.2).
        """
        path = Path(str(self.url.database))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                with suppress(FileExistsError):
                    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            elif not os.access(path, os.R_OK | os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise DatabaseError(
                f"the database file {path} cannot be written: {error.strerror}; "
                "set LINGTING_DATA_DIR to a folder that can"
            ) from None


class Changes:
    """Tells cheaply whether another connection has written to the database. Event loop only.

    On SQLite `PRAGMA data_version` answers exactly, in microseconds, from the shared-memory index of the write-ahead
    log. Other databases have nothing as cheap: there the answer changes every `interval` seconds, so a change is seen
    that much later.
    """

    def __init__(self, database: Database, interval: float) -> None:
        self._interval = interval
        self._connection: sqlite3.Connection | None = None
        self._unreadable = 0
        if database.is_sqlite:
            self._connection = sqlite3.connect(str(database.url.database), timeout=0, check_same_thread=False)

    @property
    def exact(self) -> bool:
        """Whether every change is noticed at once."""
        return self._connection is not None

    def version(self) -> int:
        """A number that differs from the last one when something may have changed."""
        if self._connection is None:
            return int(time.monotonic() / self._interval) if self._interval else time.monotonic_ns()
        try:
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.OperationalError:  # locked for a moment: look again, in a thread
            self._unreadable -= 1
            return self._unreadable
        return version

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise DatabaseError(
            "LINGTING_DATABASE_URL is not a SQLAlchemy URL such as postgresql+psycopg://user@host/name"
        ) from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite` alone
    cursor = connection.cursor()
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later could fail halfway when another writer came between.
    writing = connection.get_execution_options().get("lingting_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def reason(error: SQLAlchemyError) -> str:
    """The driver's own words, in one line, without the statement and its values."""
    text = str(getattr(error, "orig", None) or error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
