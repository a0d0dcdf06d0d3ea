"""Tenants, apps, API keys, usage, the signing key and the tenant `default`."""

from __future__ import annotations

import secrets
import time

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _credential_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=True),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("last_used_at", sa.Float, nullable=True),
    ]


def _described_columns(table: str) -> list[sa.Column[object]]:
    tenant = sa.ForeignKey("tenants.id", ondelete="CASCADE", name=f"fk_{table}_tenant_id")
    return [
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), tenant, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("models", sa.JSON, nullable=True),
        sa.Column("hot_words", sa.JSON, nullable=False),
    ]


def upgrade() -> None:
    tenants = op.create_table(
        "tenants",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("limits", sa.JSON, nullable=False),
        sa.Column("hot_words", sa.JSON, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
        sa.UniqueConstraint("name", name="uq_tenants_name"),
    )
    op.create_table(
        "apps",
        *_described_columns("apps"),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("secret_version", sa.Integer, nullable=False),
        sa.Column("token_issued_at", sa.Integer, nullable=True),
        sa.Column("previous_secret_hash", sa.String(64), nullable=True),
        sa.Column("previous_valid_until", sa.Float, nullable=True),
        sa.Column("previous_token_issued_at", sa.Integer, nullable=True),
        *_credential_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_apps"),
    )
    op.create_index("ix_apps_tenant_id", "apps", ["tenant_id"])
    op.create_table(
        "api_keys",
        *_described_columns("api_keys"),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("previous_secret_hash", sa.String(64), nullable=True),
        sa.Column("previous_valid_until", sa.Float, nullable=True),
        *_credential_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("secret_hash", name="uq_api_keys_secret_hash"),
    )
    op.create_index("ix_api_keys_tenant_id", "api_keys", ["tenant_id"])
    op.create_index("ix_api_keys_previous_secret_hash", "api_keys", ["previous_secret_hash"])
    op.create_table(
        "usage",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("credential_id", sa.String(64), nullable=False),
        sa.Column("interface", sa.String(40), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("errors", sa.Integer, nullable=False),
        sa.Column("audio_seconds", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "day", "credential_id", "interface", "model", name="pk_usage"),
    )
    op.create_index("ix_usage_day", "usage", ["day"])
    state = op.create_table(
        "state",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_state"),
    )
    op.bulk_insert(
        tenants,
        [
            {
                "id": "default",
                "name": "default",
                "note": "",
                "limits": {},
                "hot_words": [],
                "disabled": False,
                "created_at": time.time(),
            }
        ],
    )
    op.bulk_insert(
        state,
        [
            {"name": "signing_key", "value": secrets.token_hex(32)},
            {"name": "retired_signing_keys", "value": "[]"},
            {"name": "generation", "value": "1"},
        ],
    )


def downgrade() -> None:
    for table in ("state", "usage", "api_keys", "apps", "tenants"):
        op.drop_table(table)
