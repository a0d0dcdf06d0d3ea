"""The tables. Times are Unix seconds; scopes, models, limits, words are JSON; secrets are SHA-256 in hexadecimal."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("note", Text, nullable=False),
    Column("limits", JSON, nullable=False),
    Column("hot_words", JSON, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
)

apps = Table(
    "apps",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("models", JSON(none_as_null=True), nullable=True),
    Column("hot_words", JSON, nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("secret_version", Integer, nullable=False),
    Column("token_issued_at", Integer, nullable=True),
    Column("previous_secret_hash", String(64), nullable=True),
    Column("previous_valid_until", Float, nullable=True),
    Column("previous_token_issued_at", Integer, nullable=True),
    Column("disabled", Boolean, nullable=False),
    Column("expires_at", Float, nullable=True),
    Column("created_at", Float, nullable=False),
    Column("last_used_at", Float, nullable=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("models", JSON(none_as_null=True), nullable=True),
    Column("hot_words", JSON, nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("previous_secret_hash", String(64), nullable=True, index=True),
    Column("previous_valid_until", Float, nullable=True),
    Column("disabled", Boolean, nullable=False),
    Column("expires_at", Float, nullable=True),
    Column("created_at", Float, nullable=False),
    Column("last_used_at", Float, nullable=True),
)

usage = Table(
    "usage",
    metadata,
    Column("tenant_id", String(64), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("credential_id", String(64), primary_key=True),
    Column("interface", String(40), primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("requests", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("audio_seconds", Float, nullable=False),
    Index("ix_usage_day", "day"),
)

state = Table(
    "state",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""`signing_key` signs tokens and `retired_signing_keys` did so before (`lingting.access.signing`); `generation` counts
the changes that make caches stale; `demo` is set once the first credentials were made."""
