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
    Column("weight", Float, nullable=False, server_default="1"),
    Column("model", String(200), nullable=False, server_default=""),
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

usage_batches = Table(
    "usage_batches",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("written_at", Float, nullable=False),
)
"""The batches of usage that were written last, one for each process: what is written again is known by it."""

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("origin", String(200), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject_id", String(64), nullable=False),
    Column("subject_name", String(200), nullable=False),
    Column("tenant_id", String(64), nullable=False),
    Column("tenant_name", String(200), nullable=False),
    Column("details", JSON, nullable=False),
    Index("ix_audit_at", "at"),
)
"""Every management change: rows are added in the transaction of the change, and never changed or removed."""

state = Table(
    "state",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""`signing_key` signs tokens and `retired_signing_keys` did so before (`lingting.access.signing`); `generation` counts
the changes that make caches stale; `demo` is set once the first credentials were made."""
