"""The default model of a tenant."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenants", sa.Column("model", sa.String(200), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("tenants", "model")
