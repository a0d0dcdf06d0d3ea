"""Managing tenants, apps and API keys, synchronously: what the `lingting` command does and every server then sees."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from lingting.access import credentials, signing
from lingting.access.audit import Actor, Change, Entry, changing, read, this_process
from lingting.access.database import COMMAND_SECONDS, Database, reason
from lingting.access.errors import DatabaseError, ManagementError
from lingting.access.hot_words import HotWordsChange, check_together
from lingting.access.principal import ALL_SCOPES, DEFAULT_SCOPES, TenantLimits
from lingting.access.records import (
    ApiKey,
    App,
    CreatedApp,
    CreatedKey,
    NewCredential,
    Tenant,
    app_from,
    key_from,
    tenant_from,
)
from lingting.access.schema import api_keys, apps, state, tenants
from lingting.access.usage import summarise

DEFAULT_TENANT = "default"
LEAST_WEIGHT, MOST_WEIGHT = 0.01, 100.0
_NAME_LENGTH = 200


@contextmanager
def opened(url: str) -> Iterator[Directory]:
    """The directory of the database at a SQLAlchemy URL, created or brought up to date first.

    Raises:
        DatabaseError: it cannot be opened; the message says what to do.
    """
    database = Database(url, COMMAND_SECONDS)
    try:
        database.open()
        yield Directory(database)
    except SQLAlchemyError as error:
        raise DatabaseError(f"the database {database.shown} does not do what it should: {reason(error)}") from None
    finally:
        database.close()


class Directory:
    """Every management call. Each raises ManagementError, which says what to do, when it cannot be carried out.

    Where a call takes an app or key it takes the id, or the name where only one has it; for a tenant likewise.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time, actor: Actor | None = None) -> None:
        """`actor`: who the audit log says it was; the user of this process unless said."""
        self._database = database
        self._clock = clock
        self._actor = actor or this_process()

    def acting_as(self, actor: Actor) -> Directory:
        """The same, for changes that the audit log says somebody else made."""
        return Directory(self._database, self._clock, actor)

    # -- tenants ------------------------------------------------------------------------------------------------------

    def create_tenant(self, name: str, note: str = "", limits: TenantLimits = TenantLimits()) -> Tenant:  # noqa: B008
        """Make a tenant with a name that no other has."""
        _check_name(name)
        _check_note(note)
        tenant = Tenant(credentials.new_tenant_id(), name, note, limits, False, self._clock())
        row = {"id": tenant.id, "name": name, "note": note, "limits": limits.as_dict(), "disabled": False}
        row["hot_words"] = []
        try:
            with self._changing("tenant.create") as change:
                change.of(tenant.id, name, tenant.id, name, limits=limits.as_dict())
                change.connection.execute(sa.insert(tenants).values(**row, created_at=tenant.created_at))
        except IntegrityError:
            raise ManagementError(f"there is a tenant {name!r} already; `lingting tenants list` shows all") from None
        return tenant

    def tenants(self) -> list[Tenant]:
        """All tenants with their counts of apps and keys, oldest first."""
        with self._database.reading() as connection:
            return [tenant_from(row) for row in connection.execute(_tenants_query())]

    def tenant(self, reference: str) -> Tenant:
        """One tenant."""
        with self._database.reading() as connection:
            return tenant_from(self._tenant_row(connection, reference))

    def set_limits(self, reference: str, changes: dict[str, int | None]) -> Tenant:
        """Set limits of a tenant; None gives a limit back to the settings."""
        with self._changing("tenant.limits") as change:
            row = self._tenant_row(change.connection, reference)
            limits = TenantLimits.from_dict({**row.limits, **changes})
            change.of(row.id, row.name, row.id, row.name, **changes)
            self._update(change, tenants, row.id, limits=limits.as_dict())
        return self.tenant(row.id)

    def set_weight(self, reference: str, weight: float) -> Tenant:
        """Set how much of the computing a tenant gets beside others when all are busy; 1 is everybody's."""
        if not LEAST_WEIGHT <= weight <= MOST_WEIGHT:
            raise ManagementError(f"a weight is a number from {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}, got {weight:g}")
        with self._changing("tenant.weight") as change:
            row = self._tenant_row(change.connection, reference)
            change.of(row.id, row.name, row.id, row.name, weight=weight)
            self._update(change, tenants, row.id, weight=weight)
        return self.tenant(row.id)

    def set_model(self, reference: str, model: str) -> Tenant:
        """Set the model that answers a tenant's requests which name none; empty gives that back to the settings."""
        if model:
            _check_name(model)
        with self._changing("tenant.model") as change:
            row = self._tenant_row(change.connection, reference)
            change.of(row.id, row.name, row.id, row.name, model=model)
            self._update(change, tenants, row.id, model=model)
        return self.tenant(row.id)

    def set_tenant_disabled(self, reference: str, disabled: bool) -> Tenant:
        """Shut a tenant out with all its apps and keys, or let it in again."""
        with self._changing("tenant.disable" if disabled else "tenant.enable") as change:
            row = self._tenant_row(change.connection, reference)
            change.of(row.id, row.name, row.id, row.name)
            self._update(change, tenants, row.id, disabled=disabled)
        return self.tenant(row.id)

    def delete_tenant(self, reference: str) -> Tenant:
        """Remove a tenant with all its apps and keys; its usage stays."""
        with self._changing("tenant.delete") as change:
            row = self._tenant_row(change.connection, reference)
            if row.id == DEFAULT_TENANT:
                raise ManagementError("the tenant 'default' cannot be deleted; disable it instead")
            gone = {
                name: list(
                    change.connection.execute(sa.select(table.c.id).where(table.c.tenant_id == row.id)).scalars()
                )
                for name, table in (("apps", apps), ("keys", api_keys))
            }
            change.of(row.id, row.name, row.id, row.name, **gone)
            change.connection.execute(sa.delete(tenants).where(tenants.c.id == row.id))
        return tenant_from(row)

    # -- apps ---------------------------------------------------------------------------------------------------------

    def create_app(self, new: NewCredential) -> CreatedApp:
        """Make an app and the only copy of its secret."""
        secret = credentials.new_app_secret()
        with self._changing("app.create") as change:
            values = self._values(change, new, credentials.new_app_id())
            values |= {"secret_hash": credentials.hashed(secret), "secret_version": 1}
            change.connection.execute(sa.insert(apps).values(**values))
        return CreatedApp(self.app(values["id"]), secret)

    def apps(self, tenant: str | None = None) -> list[App]:
        """All apps, or those of one tenant, oldest first."""
        with self._database.reading() as connection:
            return [app_from(row) for row in self._rows(connection, apps, tenant)]

    def app(self, reference: str) -> App:
        """One app."""
        with self._database.reading() as connection:
            return app_from(self._row(connection, apps, reference))

    def rotate_app(self, reference: str, grace_seconds: float = 0) -> CreatedApp:
        """Give an app a new secret; the old one and its tokens go on for `grace_seconds`."""
        secret = credentials.new_app_secret()
        with self._changing("app.rotate") as change:
            row = self._credential(change, apps, reference, grace_seconds=grace_seconds)
            values = self._rotation(row, secret, grace_seconds)
            values |= {"secret_version": row.secret_version + 1, "token_issued_at": None}
            values["previous_token_issued_at"] = row.token_issued_at
            self._update(change, apps, row.id, **values)
        return CreatedApp(self.app(row.id), secret)

    def set_app_disabled(self, reference: str, disabled: bool) -> App:
        """Shut an app out, or let it in again."""
        return app_from(self._set_disabled(apps, reference, disabled))

    def delete_app(self, reference: str) -> App:
        """Remove an app; its usage stays."""
        return app_from(self._delete(apps, reference))

    # -- API keys -----------------------------------------------------------------------------------------------------

    def create_key(self, new: NewCredential) -> CreatedKey:
        """Make an API key and the only copy of it."""
        key = credentials.new_key()
        with self._changing("key.create") as change:
            values = self._values(change, new, credentials.new_key_id())
            values |= {"secret_hash": credentials.hashed(key), "prefix": key[:8]}
            change.connection.execute(sa.insert(api_keys).values(**values))
        return CreatedKey(self.key(values["id"]), key)

    def keys(self, tenant: str | None = None) -> list[ApiKey]:
        """All API keys, or those of one tenant, oldest first."""
        with self._database.reading() as connection:
            return [key_from(row) for row in self._rows(connection, api_keys, tenant)]

    def key(self, reference: str) -> ApiKey:
        """One API key, by id or name, never by the key itself."""
        with self._database.reading() as connection:
            return key_from(self._row(connection, api_keys, reference))

    def rotate_key(self, reference: str, grace_seconds: float = 0) -> CreatedKey:
        """Replace an API key; the old one goes on for `grace_seconds`."""
        key = credentials.new_key()
        with self._changing("key.rotate") as change:
            row = self._credential(change, api_keys, reference, grace_seconds=grace_seconds)
            self._update(change, api_keys, row.id, **self._rotation(row, key, grace_seconds), prefix=key[:8])
        return CreatedKey(self.key(row.id), key)

    def set_key_disabled(self, reference: str, disabled: bool) -> ApiKey:
        """Shut an API key out, or let it in again."""
        return key_from(self._set_disabled(api_keys, reference, disabled))

    def delete_key(self, reference: str) -> ApiKey:
        """Remove an API key; its usage stays."""
        return key_from(self._delete(api_keys, reference))

    # -- hot words ----------------------------------------------------------------------------------------------------

    def change_tenant_hot_words(self, reference: str, change: HotWordsChange) -> Tenant:
        """Change the words that are listened for in everything a tenant sends."""
        with self._changing("tenant.hot-words") as changing:
            row = self._tenant_row(changing.connection, reference)
            words = change.applied(row.hot_words)
            for table in (apps, api_keys):
                query = sa.select(table.c.name, table.c.hot_words).where(table.c.tenant_id == row.id)
                for credential in changing.connection.execute(query):
                    check_together(words, credential.hot_words, credential.name)
            changing.of(row.id, row.name, row.id, row.name, words=len(words))
            self._update(changing, tenants, row.id, hot_words=list(words))
        return self.tenant(row.id)

    def change_app_hot_words(self, reference: str, change: HotWordsChange) -> App:
        """Change the words that are listened for in what an app sends, besides its tenant's."""
        return app_from(self._change_hot_words(apps, reference, change))

    def change_key_hot_words(self, reference: str, change: HotWordsChange) -> ApiKey:
        """Change the words that are listened for in what comes with an API key, besides its tenant's."""
        return key_from(self._change_hot_words(api_keys, reference, change))

    # -- tokens -------------------------------------------------------------------------------------------------------

    def rotate_signing_key(self, grace_seconds: float = signing.DEFAULT_GRACE) -> float | None:
        """Replace the key that signs tokens; until when tokens of the old one count, None when they end now.

        With the default every old token goes on to its own end; with 0 all tokens of all apps end.
        """
        now = self._clock()
        with self._changing("signing-key.rotate") as change:
            change.of("signing_key", "", "", "", grace_seconds=grace_seconds)
            signing.rotate(change.connection, now, grace_seconds)
        return now + grace_seconds if grace_seconds > 0 else None

    # -- usage --------------------------------------------------------------------------------------------------------

    def usage(self, since: date, until: date, by: Sequence[str]) -> list[dict[str, Any]]:
        """What was used, as `lingting.access.usage.summarise` says."""
        return summarise(self._database, since, until, by)

    # -- the audit log ------------------------------------------------------------------------------------------------

    def audit(self, since: date | None = None, until: date | None = None) -> list[Entry]:
        """Every change that was made here, as `lingting.access.audit.read` says."""
        return read(self._database, since, until)

    # -- the first start ----------------------------------------------------------------------------------------------

    def create_demo(self) -> tuple[CreatedApp, CreatedKey] | None:
        """Make the app `demo` and the key `demo`, unless this database ever had an app or key; then None.

        Of several processes that start together exactly one makes them.
        """
        try:
            with self._database.writing() as connection:
                connection.execute(sa.insert(state).values(name="demo", value="made"))
                any_yet = any(connection.execute(sa.select(table.c.id).limit(1)).first() for table in (apps, api_keys))
        except IntegrityError:
            return None
        if any_yet:
            return None
        new = NewCredential("demo", DEFAULT_TENANT, DEFAULT_SCOPES, note="made by the first start")
        return self.create_app(new), self.create_key(new)

    # -- shared -------------------------------------------------------------------------------------------------------

    def _changing(self, action: str) -> AbstractContextManager[Change]:
        return changing(self._database, self._actor, self._clock(), action)

    @staticmethod
    def _update(change: Change, table: sa.Table, identifier: str, **values: Any) -> None:
        change.connection.execute(sa.update(table).where(table.c.id == identifier).values(**values))

    def _credential(self, change: Change, table: sa.Table, reference: str, **details: Any) -> Any:
        """The row of the app or key that is changed."""
        row = self._row(change.connection, table, reference)
        change.of(row.id, row.name, row.tenant_id, row.tenant_name, **details)
        return row

    def _values(self, change: Change, new: NewCredential, identifier: str) -> dict[str, Any]:
        _check_name(new.name)
        _check_name(new.owner or new.name, "an owner")
        _check_note(new.note)
        for model in new.models or ():
            _check_name(model, "a model's name")
        unknown = [scope for scope in new.scopes if scope not in ALL_SCOPES]
        if unknown or not new.scopes:
            named = f"there is no scope {unknown[0]!r}" if unknown else "at least one scope is needed"
            raise ManagementError(f"{named}; the scopes are {', '.join(ALL_SCOPES)}")
        if new.expires_at is not None and new.expires_at <= self._clock():
            raise ManagementError("the expiry lies in the past")
        may = {
            "owner": new.owner or new.name,
            "scopes": sorted(set(new.scopes)),
            "models": None if new.models is None else sorted(set(new.models)),
            "expires_at": new.expires_at,
        }
        tenant = self._tenant_row(change.connection, new.tenant)
        change.of(identifier, new.name, tenant.id, tenant.name, **may)
        return {
            "id": identifier,
            "tenant_id": tenant.id,
            "name": new.name,
            "note": new.note,
            "hot_words": [],
            "disabled": False,
            "created_at": self._clock(),
            **may,
        }

    def _rotation(self, row: Any, secret: str, grace_seconds: float) -> dict[str, Any]:
        keep = grace_seconds > 0
        return {
            "secret_hash": credentials.hashed(secret),
            "previous_secret_hash": row.secret_hash if keep else None,
            "previous_valid_until": self._clock() + grace_seconds if keep else None,
        }

    def _set_disabled(self, table: sa.Table, reference: str, disabled: bool) -> Any:
        with self._changing(f"{_kind(table)}.{'disable' if disabled else 'enable'}") as change:
            row = self._credential(change, table, reference)
            self._update(change, table, row.id, disabled=disabled)
            return self._row(change.connection, table, row.id)

    def _change_hot_words(self, table: sa.Table, reference: str, words: HotWordsChange) -> Any:
        with self._changing(f"{_kind(table)}.hot-words") as change:
            row = self._credential(change, table, reference)
            kept = words.applied(row.hot_words)
            change.details["words"] = len(kept)
            check_together(self._tenant_row(change.connection, row.tenant_id).hot_words, kept, row.name)
            self._update(change, table, row.id, hot_words=list(kept))
            return self._row(change.connection, table, row.id)

    def _delete(self, table: sa.Table, reference: str) -> Any:
        with self._changing(f"{_kind(table)}.delete") as change:
            row = self._credential(change, table, reference)
            change.connection.execute(sa.delete(table).where(table.c.id == row.id))
        return row

    @staticmethod
    def _tenant_row(connection: Connection, reference: str) -> Any:
        query = _tenants_query().where(sa.or_(tenants.c.id == reference, tenants.c.name == reference))
        rows = connection.execute(query).all()
        if not rows:
            raise ManagementError(
                f"there is no tenant {reference!r}; `lingting tenants create` makes one, "
                "`lingting tenants list` shows all"
            )
        return next((row for row in rows if row.id == reference), rows[0])

    def _rows(self, connection: Connection, table: sa.Table, tenant: str | None) -> list[Any]:
        query = _credentials_query(table).order_by(table.c.created_at, table.c.id)
        if tenant is not None:
            query = query.where(table.c.tenant_id == self._tenant_row(connection, tenant).id)
        return list(connection.execute(query))

    @staticmethod
    def _row(connection: Connection, table: sa.Table, reference: str) -> Any:
        kind = _kind(table)
        command = f"{kind}s"
        if reference.startswith(credentials.KEY_PREFIX):
            raise ManagementError(f"name a key by its id or name, not by the key; `lingting {command} list` shows them")
        query = _credentials_query(table).where(sa.or_(table.c.id == reference, table.c.name == reference))
        rows = connection.execute(query).all()
        exact = [row for row in rows if row.id == reference] or rows
        if not exact:
            raise ManagementError(f"there is no {kind} {reference!r}; `lingting {command} list` shows all")
        if len(exact) > 1:
            raise ManagementError(
                f"several {command} are called {reference!r}; use an id: {', '.join(row.id for row in exact)}"
            )
        return exact[0]


def _kind(table: sa.Table) -> str:
    return "app" if table is apps else "key"


def _tenants_query() -> sa.Select[Any]:
    counts = [
        sa.select(sa.func.count()).where(table.c.tenant_id == tenants.c.id).scalar_subquery().label(name)
        for table, name in ((apps, "apps"), (api_keys, "keys"))
    ]
    return sa.select(tenants, *counts).order_by(tenants.c.created_at, tenants.c.id)


def _credentials_query(table: sa.Table) -> sa.Select[Any]:
    return sa.select(table, tenants.c.name.label("tenant_name")).join(tenants, tenants.c.id == table.c.tenant_id)


def _check_name(name: str, what: str = "a name") -> None:
    if not name.strip() or len(name) > _NAME_LENGTH or not name.isprintable():
        raise ManagementError(f"{what} needs 1 to {_NAME_LENGTH} printable characters, got {name!r}")


def _check_note(note: str) -> None:
    if not note.replace("\n", "").isprintable():
        raise ManagementError("a note needs printable characters")
