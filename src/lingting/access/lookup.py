"""Reading one credential from the database and deciding what it is worth; runs in the threads of `Access`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any

import sqlalchemy as sa

from lingting.access import credentials, signing
from lingting.access.database import Database
from lingting.access.errors import InvalidCredential, UnknownApp, WrongSecret
from lingting.access.principal import Principal, TenantLimits
from lingting.access.schema import api_keys, apps, state, tenants
from lingting.access.signing import SigningKeys
from lingting.access.tokens import CLOCK_SKEW, LIFETIME, RENEW_BELOW, TokenClaims, encode
from lingting.hot_words import merged

_GENERATION = sa.select(state.c.value).where(state.c.name == "generation")


@dataclass(frozen=True, slots=True)
class Grant:
    """A principal and until when, in Unix seconds; `generation` is the state of the database that said so."""

    principal: Principal
    valid_until: float
    generation: int


def state_of(database: Database) -> tuple[int, SigningKeys]:
    """The count of management changes so far, and the keys that sign tokens on every node."""
    with database.reading() as connection:
        return int(connection.execute(_GENERATION).scalar_one()), signing.read(connection)


def by_key(database: Database, secret_hash: str, now: float) -> Grant:
    """What the API key with this hash grants.

    Raises:
        InvalidCredential: no key has it, or the key or its tenant is disabled or expired.
    """
    with database.reading() as connection:
        row = connection.execute(_KEY, {"secret": secret_hash}).first()
    if row is None:
        raise InvalidCredential("the API key is unknown")
    valid_until = inf
    if not credentials.same(secret_hash, row.secret_hash):
        valid_until = _previous_until(row, secret_hash)
        if valid_until <= now:
            raise InvalidCredential("the API key was replaced", "revoked")
    return _grant(row, valid_until, now, key_id=row.id)


def by_token(
    database: Database, claims: TokenClaims, key_until: float, now: float, before: Sequence[float] = ()
) -> Grant:
    """What a token with these claims grants, which a key proved that counts until `key_until`.

    `before` is what the clock would show had it not been set lately: a token of that time counts by that time.

    Raises:
        InvalidCredential: the token has expired, its secret was rotated, or the app or tenant is gone, disabled or
        expired.
    """
    valid_until: float = claims.issued_at + LIFETIME + CLOCK_SKEW
    reading = next((each for each in (now, *before) if claims.issued_at - CLOCK_SKEW <= each < valid_until), None)
    if reading is None:
        raise InvalidCredential("the tenant access token has expired", "expired")
    valid_until = min(valid_until + now - reading, key_until)
    with database.reading() as connection:
        row = connection.execute(_APP, {"app": claims.app_id}).first()
    if row is None:
        raise InvalidCredential("the app of this token was deleted", "revoked")
    if claims.secret_version != row.secret_version:
        is_previous = claims.secret_version == row.secret_version - 1 and row.previous_valid_until is not None
        valid_until = min(valid_until, row.previous_valid_until) if is_previous else 0
        if valid_until <= now:
            raise InvalidCredential("the secret of this token's app was rotated", "revoked")
    return _grant(row, valid_until, now, app_id=row.id)


def log_in(database: Database, app_id: str, secret_hash: str, now: float) -> tuple[str, int]:
    """The token to hand to an app, and for how many seconds it is good.

    The time of the last token lies with the app, so that every node hands out the same one while 30 minutes remain.

    Raises:
        UnknownApp: no enabled app has this id.
        WrongSecret: the secret is another.
    """
    while True:
        with database.reading() as connection:
            row = connection.execute(_APP, {"app": app_id}).first()
            key = signing.read(connection).current
        if row is None or row.disabled or row.tenant_disabled or _expired(row, now):
            raise UnknownApp("no enabled app has this app_id; `lingting apps list` shows all")
        end = inf if row.expires_at is None else row.expires_at
        if credentials.same(secret_hash, row.secret_hash):
            version, issued_at, column = row.secret_version, row.token_issued_at, apps.c.token_issued_at
        else:
            grace_end = _previous_until(row, secret_hash)
            if grace_end <= now:
                raise WrongSecret("the app secret is wrong; `lingting apps rotate` makes a new one")
            end = min(end, grace_end)
            version, issued_at = row.secret_version - 1, row.previous_token_issued_at
            column = apps.c.previous_token_issued_at
        if issued_at is None or not issued_at - CLOCK_SKEW <= int(now) <= issued_at + LIFETIME - RENEW_BELOW:
            last, issued_at = issued_at, int(now)
            with database.writing() as connection:
                update = sa.update(apps).where(apps.c.id == app_id, apps.c.secret_version == row.secret_version)
                update = update.where(column.is_(None) if last is None else column == last)
                if connection.execute(update.values({column: issued_at})).rowcount == 0:
                    continue  # another node renewed it, or the secret was rotated, in between
        remaining = int(min(LIFETIME, issued_at + LIFETIME - int(now), end - now))
        return encode(TokenClaims(app_id, version, issued_at), key), max(1, remaining)


def _query(table: sa.Table) -> sa.Select[Any]:
    columns = (
        tenants.c.name.label("tenant_name"),
        tenants.c.limits,
        tenants.c.weight,
        tenants.c.model,
        tenants.c.hot_words.label("tenant_hot_words"),
        tenants.c.disabled.label("tenant_disabled"),
        _GENERATION.scalar_subquery().label("generation"),  # of the very state that the row is of
    )
    return sa.select(table, *columns).join(tenants, tenants.c.id == table.c.tenant_id)


# Made once: to build a statement takes as long as to execute it.
_SECRET: sa.BindParameter[str] = sa.bindparam("secret")
_KEY = _query(api_keys).where(sa.or_(api_keys.c.secret_hash == _SECRET, api_keys.c.previous_secret_hash == _SECRET))
_APP = _query(apps).where(apps.c.id == sa.bindparam("app"))


def _previous_until(row: Any, secret_hash: str) -> float:
    until: float | None = row.previous_valid_until
    return until if until is not None and credentials.same(secret_hash, row.previous_secret_hash) else 0.0


def _expired(row: Any, now: float) -> bool:
    return row.expires_at is not None and row.expires_at <= now


def _grant(row: Any, valid_until: float, now: float, *, app_id: str | None = None, key_id: str | None = None) -> Grant:
    if row.tenant_disabled:
        raise InvalidCredential("the tenant is disabled", "disabled")
    if row.disabled:
        raise InvalidCredential("the app or API key is disabled", "disabled")
    if _expired(row, now):
        raise InvalidCredential("the app or API key has expired", "expired")
    if row.expires_at is not None:
        valid_until = min(valid_until, row.expires_at)
    principal = Principal(
        tenant_id=row.tenant_id,
        tenant_name=row.tenant_name,
        app_id=app_id,
        key_id=key_id,
        owner=row.owner,
        scopes=frozenset(row.scopes),
        models=None if row.models is None else frozenset(row.models),
        limits=TenantLimits.stored(row.limits),
        hot_words=_merged(tuple(row.tenant_hot_words), tuple(row.hot_words)),
        weight=row.weight,
        model=row.model,
    )
    return Grant(principal, valid_until, int(row.generation))


@lru_cache(maxsize=1024)
def _merged(*lists: tuple[str, ...]) -> tuple[str, ...]:
    """Kept, so that thousands of credentials of one tenant share one list."""
    return merged(*lists)
