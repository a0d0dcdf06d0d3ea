"""The keys that sign tokens: one in force, and those before it that still count for a while.

They lie in the table `state`: `signing_key` in hexadecimal, `retired_signing_keys` as JSON, a list of [hexadecimal,
Unix seconds until which it counts].
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from math import inf

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lingting.access.schema import state
from lingting.access.tokens import CLOCK_SKEW, LIFETIME, TokenClaims, decode

DEFAULT_GRACE = LIFETIME + CLOCK_SKEW
"""Seconds after which every token of the old key has expired."""

_CURRENT = "signing_key"
_RETIRED = "retired_signing_keys"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and until when, in Unix seconds, its tokens count."""

    key: bytes = field(repr=False)
    valid_until: float = inf


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The key in force first, then the retired ones."""

    keys: tuple[SigningKey, ...] = ()

    @property
    def current(self) -> bytes:
        """The key that signs new tokens."""
        return self.keys[0].key

    def decode(self, token: str, now: float) -> tuple[TokenClaims, float] | None:
        """What a token of any key that counts says, and until when its key counts; None for anything else."""
        for each in self.keys:
            if each.valid_until > now and (claims := decode(token, each.key)) is not None:
                return claims, each.valid_until
        return None


def read(connection: Connection) -> SigningKeys:
    """The keys of the database."""
    values = _values(connection)
    retired = (SigningKey(bytes.fromhex(key), until) for key, until in json.loads(values[_RETIRED]))
    return SigningKeys((SigningKey(bytes.fromhex(values[_CURRENT])), *retired))


def rotate(connection: Connection, now: float, grace_seconds: float) -> None:
    """Put a new key in force; tokens of the one before count for `grace_seconds` more, at 0 of no older key at all."""
    values = _values(connection)
    retired = [[values[_CURRENT], now + grace_seconds], *json.loads(values[_RETIRED])] if grace_seconds > 0 else []
    kept = json.dumps([[key, until] for key, until in retired if until > now])
    for name, value in ((_CURRENT, secrets.token_hex(32)), (_RETIRED, kept)):
        connection.execute(sa.update(state).where(state.c.name == name).values(value=value))


def _values(connection: Connection) -> dict[str, str]:
    query = sa.select(state.c.name, state.c.value).where(state.c.name.in_((_CURRENT, _RETIRED)))
    return {row.name: row.value for row in connection.execute(query)}
