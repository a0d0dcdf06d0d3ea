"""Who used how much: counted in memory, written in batches, summed for people and for the audio budgets.

Days are UTC. A crash loses at most the last `FLUSH_SECONDS`; a clean stop loses nothing. While the database does not
answer, counts are kept in memory, and written when it is back, each once: a batch has a number that is written with it,
so one whose commit was not answered is not written again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from math import inf
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from lingting.access.database import Database
from lingting.access.errors import AccessUnavailable, ManagementError
from lingting.access.principal import Principal
from lingting.access.schema import api_keys, apps, tenants, usage, usage_batches

FLUSH_SECONDS = 2.0
LOAD_SECONDS = 1.0
OUTAGE_SECONDS = 5.0
CLOSE_SECONDS = 10.0
LAST_USE_SECONDS = 60.0
BATCH_ROWS = 100
"""Rows of a transaction: few, so that a slow database writes them in the time it gets."""

MOST_ROWS = 50_000
"""Rows that are kept while they cannot be written; of what comes on top only the tenant and the day are kept."""

DIMENSIONS = ("tenant", "app", "interface", "model", "day")
_WATCH_SECONDS = 60.0
_MODEL_LENGTH = 200
_ROUNDING = 1e-6
_FORGOTTEN_SECONDS = 30 * 86400
_OTHER = "?"
_logger = logging.getLogger(__name__)
_K = TypeVar("_K")
_V = TypeVar("_V")
_Row = tuple[str, str, str, str, str]
Run = Callable[..., Awaitable[Any]]


@dataclass(slots=True)
class _Count:
    requests: int = 0
    errors: int = 0
    audio_seconds: float = 0.0


@dataclass(slots=True)
class _Batch:
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    counts: dict[_Row, _Count] = field(default_factory=dict)
    last_use: dict[tuple[bool, str], float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.counts or self.last_use)

    def taken(self, most: int) -> _Batch:
        """A batch with at most so many of the counts and of the times of last use, which leave this one."""
        return _Batch(counts=_moved(self.counts, most), last_use=_moved(self.last_use, most))


def _moved(items: dict[_K, _V], most: int) -> dict[_K, _V]:
    """The first of the items, which leave the dictionary."""
    return {key: items.pop(key) for key in list(itertools.islice(items, most))}


@dataclass(frozen=True, slots=True)
class _Sums:
    day: str
    day_seconds: float
    month_seconds: float


class Usage:
    """Counts usage on the event loop and writes it from a thread; every method belongs to the loop.

    `run` calls a function in a thread; `clock` gives Unix seconds, `monotonic` seconds that only go forward.
    """

    def __init__(
        self, database: Database, run: Run, clock: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._run = run
        self._clock = clock
        self._monotonic = monotonic
        self._pending = _Batch()
        self._writing = _Batch()
        self._written = ""
        self._unwritten: dict[str, dict[str, float]] = {}
        self._load_again = -inf
        self._sums: dict[str, _Sums] = {}
        self._asked: dict[str, float] = {}
        self._noted: dict[str, float] = {}
        self._day = (0, "")
        self._flushing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def record(self, principal: Principal, interface: str, model: str, *, error: bool = False) -> None:
        """Count one request; costs microseconds and never fails."""
        count = self._count(principal, interface, model)
        count.requests += 1
        count.errors += error

    def charge(self, principal: Principal, interface: str, model: str, audio_seconds: float) -> None:
        """Count seconds of audio; negative ones take a charge back."""
        self._count(principal, interface, model).audio_seconds += audio_seconds
        days = self._unwritten.setdefault(principal.tenant_id, {})
        days[self.today()] = days.get(self.today(), 0.0) + audio_seconds

    def touch(self, principal: Principal) -> None:
        """Note that a credential was used just now; written at most once a minute."""
        identifier, now = principal.credential_id, self._monotonic()
        if now - self._noted.get(identifier, -inf) >= LAST_USE_SECONDS and len(self._pending.last_use) < MOST_ROWS:
            self._noted[identifier] = now
            self._pending.last_use[principal.app_id is not None, identifier] = self._clock()

    async def load(self, tenant_id: str) -> None:
        """Make `audio_used` of a tenant know what the database has; while that fails, it counts what it knew before."""
        now = self._asked[tenant_id] = self._monotonic()
        sums = self._sums.get(tenant_id)
        if (sums is not None and sums.day == self.today()) or now < self._load_again:
            return
        try:
            async with asyncio.timeout(LOAD_SECONDS), self._flushing:  # what is being written must not count twice
                self._sums |= await self._run(_sums, self._database, [tenant_id], self.today())
        except (TimeoutError, SQLAlchemyError, OSError) as error:
            self._load_again = now + OUTAGE_SECONDS
            _logger.warning("audio budgets are counted without the database: %s", type(error).__name__)

    def audio_used(self, tenant_id: str) -> tuple[float, float]:
        """Seconds of audio of a tenant today and this month (UTC), as far as they are loaded and counted here.

        What other nodes count comes seconds late.
        """
        today = self.today()
        sums = self._sums.get(tenant_id, _Sums(today, 0.0, 0.0))
        unwritten = self._unwritten.get(tenant_id, {})
        day = sums.day_seconds if sums.day == today else 0.0
        month = sums.month_seconds if sums.day[:7] == today[:7] else 0.0
        return (
            day + unwritten.get(today, 0.0),
            month + sum(seconds for each, seconds in unwritten.items() if each[:7] == today[:7]),
        )

    async def summary(self, since: date, until: date, by: Sequence[str]) -> list[dict[str, Any]]:
        """As `summarise`, with everything of this process that was counted so far.

        Raises:
            ManagementError: a dimension is unknown.
            AccessUnavailable: the database does not answer.
        """
        await self.flush()
        try:
            rows: list[dict[str, Any]] = await self._run(summarise, self._database, since, until, by)
        except (SQLAlchemyError, OSError) as error:
            _logger.warning("usage cannot be read: %s", type(error).__name__)
            raise AccessUnavailable("the database of usage does not answer", retry_after=FLUSH_SECONDS) from None
        return rows

    async def start(self) -> None:
        """Begin to write in the background."""
        self._task = asyncio.create_task(self._flush_forever(), name="usage")

    async def close(self) -> None:
        """Stop, with everything written that can be."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.flush()
        except TimeoutError:
            _logger.warning("usage was not written in time: %d rows are lost", len(self._pending.counts))

    async def flush(self) -> None:
        """Write what was counted; on failure it is kept for the next time."""
        async with self._flushing:
            while True:
                if not self._writing:  # else it could not be written before
                    self._writing = self._pending.taken(BATCH_ROWS)
                watched = self._watched()
                if not self._writing and not watched:
                    return
                today = self.today()
                try:
                    self._sums = await self._run(_write, self._database, self._writing, self._written, watched, today)
                except (SQLAlchemyError, OSError) as error:
                    _logger.warning("usage could not be written and is kept: %s", type(error).__name__)
                    return
                self._settle()
                if not self._pending:
                    return

    def _settle(self) -> None:
        """What was being written is in the database, and in its sums."""
        for (tenant_id, day, *_), count in self._writing.counts.items():
            days = self._unwritten.setdefault(tenant_id, {})
            left = days.pop(day, 0.0) - count.audio_seconds
            if abs(left) >= _ROUNDING:
                days[day] = left
            if not days:
                del self._unwritten[tenant_id]
        self._written = self._writing.id
        self._writing = _Batch()

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            # Shielded: a stop in the middle of a write must not make it count again.
            await asyncio.shield(self.flush())

    def _count(self, principal: Principal, interface: str, model: str) -> _Count:
        if len(model) > _MODEL_LENGTH or not model.isprintable():
            model = _OTHER  # no name that a database refuses may hold up the batch
        counts = self._pending.counts
        row = (principal.tenant_id, self.today(), principal.credential_id, interface, model)
        if len(counts) >= MOST_ROWS and row not in counts:
            row = (principal.tenant_id, self.today(), _OTHER, _OTHER, _OTHER)
        return counts.setdefault(row, _Count())

    def _watched(self) -> list[str]:
        now = self._monotonic()
        self._noted = {used: noted for used, noted in self._noted.items() if now - noted < LAST_USE_SECONDS}
        oldest = now - _WATCH_SECONDS
        self._asked = {tenant: asked for tenant, asked in self._asked.items() if asked >= oldest}
        return list(self._asked)

    def today(self) -> str:
        """The day that is counted now, such as `2026-11-21` (UTC)."""
        number = int(self._clock() // 86400)
        if self._day[0] != number:
            self._day = (number, datetime.fromtimestamp(number * 86400, UTC).date().isoformat())
        return self._day[1]


def summarise(database: Database, since: date, until: date, by: Sequence[str]) -> list[dict[str, Any]]:
    """Usage from `since` to `until`, both included, one row for each combination of the dimensions in `by`.

    A row has its dimensions, then `requests`, `errors` and `audio_seconds`. With "app" comes `app_name` beside the id
    of the app or key; a tenant or app that was deleted shows by its id and an empty name. Synchronous.

    Raises:
        ManagementError: a dimension is unknown.
    """
    for dimension in by:
        if dimension not in DIMENSIONS:
            raise ManagementError(f"usage cannot be grouped by {dimension!r}, only by {', '.join(DIMENSIONS)}")
    columns: list[sa.ColumnElement[Any]] = []
    for dimension in dict.fromkeys(by):
        match dimension:
            case "tenant":
                columns.append(sa.func.coalesce(tenants.c.name, usage.c.tenant_id).label("tenant"))
            case "app":
                columns.append(usage.c.credential_id.label("app"))
                columns.append(sa.func.coalesce(apps.c.name, api_keys.c.name, "").label("app_name"))
            case _:
                columns.append(usage.c[dimension])
    query = (
        sa.select(
            *columns,
            sa.func.coalesce(sa.func.sum(usage.c.requests), 0).label("requests"),
            sa.func.coalesce(sa.func.sum(usage.c.errors), 0).label("errors"),
            sa.func.round(sa.func.coalesce(sa.func.sum(usage.c.audio_seconds), 0.0)).label("audio_seconds"),
        )
        .select_from(
            usage.outerjoin(tenants, tenants.c.id == usage.c.tenant_id)
            .outerjoin(apps, apps.c.id == usage.c.credential_id)
            .outerjoin(api_keys, api_keys.c.id == usage.c.credential_id)
        )
        .where(usage.c.day >= since.isoformat(), usage.c.day <= until.isoformat())
        .group_by(*columns)
        .order_by(*columns)
    )
    with database.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


class _AlreadyWritten(Exception):
    """A batch is in the database although its commit was not answered."""


def _write(database: Database, batch: _Batch, previous: str, watched: list[str], today: str) -> dict[str, _Sums]:
    """Write a batch, unless it was written before, and read the sums of the tenants that are watched.

    Rows are written in one order, on every node, so that nodes wait for each other and never in a circle.
    """
    for attempt in range(3):
        try:
            with database.writing() as connection:
                _number(connection, batch.id, previous)
                for row, count in sorted(batch.counts.items(), key=lambda item: item[0]):
                    _add(connection, row, count)
                for (is_app, identifier), at in sorted(batch.last_use.items()):
                    table = apps if is_app else api_keys
                    connection.execute(sa.update(table).where(table.c.id == identifier).values(last_used_at=at))
            break
        except _AlreadyWritten:
            break
        except IntegrityError:  # another node inserted the same row first
            if attempt == 2:
                raise
    return _sums(database, watched, today)


def _number(connection: sa.Connection, batch_id: str, previous: str) -> None:
    """Note that a batch is written, in place of the process's previous one, or of what dead processes left."""
    now = time.time()
    try:
        connection.execute(sa.insert(usage_batches).values(id=batch_id, written_at=now))
    except IntegrityError:
        raise _AlreadyWritten from None
    old = usage_batches.c.id == previous if previous else usage_batches.c.written_at < now - _FORGOTTEN_SECONDS
    connection.execute(sa.delete(usage_batches).where(old))


def _add(connection: sa.Connection, row: _Row, count: _Count) -> None:
    keys = dict(zip(("tenant_id", "day", "credential_id", "interface", "model"), row, strict=True))
    update = sa.update(usage).where(*(usage.c[name] == value for name, value in keys.items()))
    changed = connection.execute(
        update.values(
            requests=usage.c.requests + count.requests,
            errors=usage.c.errors + count.errors,
            audio_seconds=usage.c.audio_seconds + count.audio_seconds,
        )
    )
    if changed.rowcount == 0:
        values = {"requests": count.requests, "errors": count.errors, "audio_seconds": count.audio_seconds}
        connection.execute(sa.insert(usage).values(**keys, **values))


def _sums(database: Database, tenant_ids: list[str], today: str) -> dict[str, _Sums]:
    if not tenant_ids:
        return {}
    month = sa.func.sum(usage.c.audio_seconds)
    day = sa.func.sum(sa.case((usage.c.day == today, usage.c.audio_seconds), else_=0.0))
    query = (
        sa.select(usage.c.tenant_id, day.label("day"), month.label("month"))
        .where(usage.c.tenant_id.in_(tenant_ids), usage.c.day >= f"{today[:7]}-01", usage.c.day <= today)
        .group_by(usage.c.tenant_id)
    )
    sums = {tenant_id: _Sums(today, 0.0, 0.0) for tenant_id in tenant_ids}
    with database.reading() as connection:
        for row in connection.execute(query):
            sums[row.tenant_id] = _Sums(today, float(row.day), float(row.month))
    return sums
