"""An empty control store on SQLite, migrated once a process and copied: alembic takes 0.16 CPU-seconds for each."""

import functools
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from convergence_assets.control.store import ControlStore


def sqlite_store(file: Path) -> str:
    """Make `file` an empty control store; its URL."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_empty())
    return f"sqlite:///{file}"


@functools.cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "control.db")
        ControlStore(sa.make_url(f"sqlite:///{file}"))
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return file.read_bytes()
