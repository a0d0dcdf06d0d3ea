"""Links that sign in on the page: a code in the terminal, taken once and soon, becomes an API key of its own."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf

from sqlalchemy.exc import SQLAlchemyError

from lingting.access.audit import Actor
from lingting.access.directory import DEFAULT_TENANT, Directory
from lingting.access.errors import AccessUnavailable, InvalidCredential
from lingting.access.principal import ALL_SCOPES
from lingting.access.records import NewCredential

VALID_SECONDS = 15 * 60.0
KEY_SECONDS = 7 * 86400.0
OWNER = "sign-in link"


class Invitations:
    """The codes of this process that nobody has taken yet; only their digests are kept. Any thread may use it.

    `clock` gives Unix seconds, by which keys end; `monotonic` seconds that only go forward, by which codes do.
    """

    def __init__(
        self,
        directory: Directory,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._codes: dict[bytes, float] = {}

    def create(self) -> str:
        """A new code, good once within `VALID_SECONDS`."""
        code = secrets.token_urlsafe(24)
        with self._lock:
            self._codes[_digest(code)] = self._monotonic() + VALID_SECONDS
        return code

    def redeem(self, code: str, address: str) -> str:
        """Take a code: a new API key with every scope, which ends after `KEY_SECONDS`.

        `address` is where it was taken, for the audit log.

        Raises:
            InvalidCredential: the code is unknown, was taken, or is too old.
            AccessUnavailable: the database does not answer; the code is good still.
        """
        with self._lock:
            until = self._codes.pop(_digest(code), -inf)
        if until < self._monotonic():
            raise InvalidCredential("this sign-in link was used already or is older than 15 minutes", "unknown")
        try:
            return self._new_key(self._directory.acting_as(Actor(OWNER, address)), self._clock())
        except SQLAlchemyError:
            with self._lock:
                self._codes[_digest(code)] = until
            raise AccessUnavailable("the database of credentials does not answer", retry_after=2.0) from None

    @staticmethod
    def _new_key(directory: Directory, now: float) -> str:
        for key in directory.keys():  # noqa: SIM118
            if key.owner == OWNER and key.expires_at is not None and key.expires_at < now:
                directory.delete_key(key.id)
        name = f"page {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} {secrets.token_hex(2)}"
        new = NewCredential(name, DEFAULT_TENANT, ALL_SCOPES, owner=OWNER, expires_at=now + KEY_SECONDS)
        return directory.create_key(new).key


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()
