"""What management shows of tenants, apps and API keys: no secret and no hash among it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lingting.access.principal import TenantLimits


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant; `created_at` is in Unix seconds, `weight` says how much of the computing it gets beside others, and
    `model` is its default model, empty where it has none of its own."""

    id: str
    name: str
    note: str
    limits: TenantLimits
    disabled: bool
    created_at: float
    weight: float = 1.0
    model: str = ""
    hot_words: tuple[str, ...] = ()
    apps: int = 0
    keys: int = 0


@dataclass(frozen=True, slots=True)
class Credential:
    """What apps and API keys have in common; times are Unix seconds, None where there is none."""

    id: str
    tenant: str
    name: str
    owner: str
    note: str
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None
    hot_words: tuple[str, ...]
    disabled: bool
    expires_at: float | None
    created_at: float
    last_used_at: float | None
    previous_valid_until: float | None


@dataclass(frozen=True, slots=True)
class App(Credential):
    """An app: logs in with its id and secret for a tenant access token."""


@dataclass(frozen=True, slots=True)
class ApiKey(Credential):
    """An API key; `prefix` is its first characters, enough to recognise it by."""

    prefix: str = ""


@dataclass(frozen=True, slots=True)
class CreatedApp:
    """A new app, or one with a new secret: the only time its secret is seen."""

    app: App
    app_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new API key, or one with a new secret: the only time it is seen."""

    record: ApiKey
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewCredential:
    """An app or key to be made; `expires_at` is in Unix seconds, `models` None allows every model."""

    name: str
    tenant: str
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None = None
    owner: str = ""
    note: str = ""
    expires_at: float | None = None


def tenant_from(row: Any) -> Tenant:
    """A tenant from its row, which may carry the counts `apps` and `keys`."""
    counts = {name: getattr(row, name) for name in ("apps", "keys") if hasattr(row, name)}
    limits = TenantLimits.stored(row.limits)
    return Tenant(
        row.id,
        row.name,
        row.note,
        limits,
        row.disabled,
        row.created_at,
        weight=row.weight,
        model=row.model,
        hot_words=tuple(row.hot_words),
        **counts,
    )


def app_from(row: Any) -> App:
    """An app from its row, joined with `tenant_name`."""
    return App(**_common(row))


def key_from(row: Any) -> ApiKey:
    """An API key from its row, joined with `tenant_name`."""
    return ApiKey(**_common(row), prefix=row.prefix)


def _common(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "tenant": row.tenant_name,
        "name": row.name,
        "owner": row.owner,
        "note": row.note,
        "scopes": tuple(row.scopes),
        "models": None if row.models is None else tuple(row.models),
        "hot_words": tuple(row.hot_words),
        "disabled": row.disabled,
        "expires_at": row.expires_at,
        "created_at": row.created_at,
        "last_used_at": row.last_used_at,
        "previous_valid_until": row.previous_valid_until,
    }
