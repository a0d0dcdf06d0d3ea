"""The audit log: who made, changed or revoked which credential, when, and from where.

An entry is written in the transaction of the change, so there is no change without one, and nothing switches it off.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lingting.access.database import Database
from lingting.access.schema import audit

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Actor:
    """Who manages credentials, such as `root (sudo by alice)`, and from where, such as `node1 from 10.0.0.7`."""

    name: str
    origin: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One change.

    Attributes:
        at: when, in Unix seconds.
        actor: who, a user of the system.
        origin: from where: the machine, and the address of the session if it came over SSH.
        action: what was done, for example `key.rotate`.
        subject_id: id of the tenant, app or key; `subject_name` is its name at that time.
        tenant_id: the tenant it belongs to; `tenant_name` is its name at that time.
        details: what else is worth knowing; no secret.
    """

    at: float
    actor: str
    origin: str
    action: str
    subject_id: str
    subject_name: str
    tenant_id: str
    tenant_name: str
    details: dict[str, Any]


@dataclass(slots=True)
class Change:
    """A management change in progress: its transaction, and what the log will say of it."""

    connection: Connection
    subject: tuple[str, str, str, str] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def of(self, subject_id: str, subject_name: str, tenant_id: str, tenant_name: str, **details: Any) -> None:
        """Say what is changed, and how."""
        self.subject = subject_id, subject_name, tenant_id, tenant_name
        self.details = details


def this_process() -> Actor:
    """The user and the machine of this process, through `sudo` and SSH where they tell."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = f"uid {os.getuid()}"
    if by := os.environ.get("SUDO_USER"):
        name = f"{name} (sudo by {by})"
    origin = socket.gethostname()
    if session := os.environ.get("SSH_CONNECTION", "").split():
        origin = f"{origin} from {session[0]}"
    return Actor(_shown(name), _shown(origin))


@contextmanager
def changing(database: Database, actor: Actor, now: float, action: str) -> Iterator[Change]:
    """A management transaction that is committed with its entry in the log, or not at all."""
    with database.managing() as connection:
        change = Change(connection)
        yield change
        if change.subject is None:
            raise RuntimeError(f"{action} does not say what it changes")
        subject = dict(zip(("subject_id", "subject_name", "tenant_id", "tenant_name"), change.subject, strict=True))
        entry = sa.insert(audit).values(at=now, actor=actor.name, origin=actor.origin, action=action)
        connection.execute(entry.values(**subject, details=change.details))


def read(database: Database, since: date | None, until: date | None) -> list[Entry]:
    """The log from one day to another (UTC), both included, oldest first; without days all of it."""
    query = sa.select(*(audit.c[name] for name in Entry.__dataclass_fields__)).order_by(audit.c.at, audit.c.id)
    if since is not None:
        query = query.where(audit.c.at >= _midnight(since))
    if until is not None:
        query = query.where(audit.c.at < _midnight(until + timedelta(days=1)))
    with database.reading() as connection:
        return [Entry(*row) for row in connection.execute(query)]


def _midnight(day: date) -> float:
    return datetime.combine(day, time.min, UTC).timestamp()


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_LONGEST]
