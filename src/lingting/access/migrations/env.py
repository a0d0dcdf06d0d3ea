"""Alembic's entry: runs the migrations on the connection that `lingting.access.database` hands over."""

from __future__ import annotations

from alembic import context

from lingting.access.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction spans everything
)
context.run_migrations()
