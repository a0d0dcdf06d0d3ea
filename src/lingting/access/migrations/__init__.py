"""Alembic migrations of the access database, run by `lingting.access.database`."""
