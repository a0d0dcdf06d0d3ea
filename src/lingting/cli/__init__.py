"""The `lingting` command."""
