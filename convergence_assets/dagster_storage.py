"""The storage's class path in a dagster.yaml of former releases."""

from convergence_assets.dagster_internals.sqlite_storage import SqliteStorage

__all__ = ["SqliteStorage"]
