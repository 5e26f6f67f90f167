"""The state files of a deployment on one machine, and whether they are intact."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from convergence_assets.control.errors import is_damage
from convergence_assets.control.location import control_url
from convergence_assets.settings import Settings

_DAMAGED = "damaged"


@dataclass(frozen=True)
class StateFile:
    """One SQLite file: `what` it contains, and what is `lost` where it has to be recreated."""

    path: Path
    what: str
    lost: str

    def damage(self) -> str | None:
        """SQLite's report of damage; None where the file is intact, missing, or cannot be opened, which other checks
        report."""
        if not self.path.exists():
            return None
        try:
            with closing(sqlite3.connect(f"file:{quote(str(self.path))}?mode=ro", uri=True, timeout=5.0)) as connection:
                (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            return str(error) if is_damage(error) else None
        return None if verdict == "ok" else str(verdict)

    def put_aside(self) -> Path:
        """Move it, with SQLite's files beside it, so that the next process that opens it recreates it."""
        ending = f".{_DAMAGED}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        aside = self.path.with_name(self.path.name + ending)
        self.path.rename(aside)
        for beside in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + beside).rename(aside.with_name(aside.name + beside))
        return aside


CONTROL_STORE = "the control store"


def state_files(settings: Settings, dagster_home: Path) -> Iterator[StateFile]:
    """The control store's, and Dagster's; none of those that are on Postgres."""
    url = control_url(settings)
    if url.get_backend_name() == "sqlite":
        yield StateFile(
            Path(str(url.database)), CONTROL_STORE,
            "API keys, the audit log, pauses, what was requested over the API, and who was told of what",
        )  # fmt: skip
    history = dagster_home / "history"
    yield StateFile(history / "runs.db", "Dagster's runs", "the list of runs; published rows stay as they are")
    yield StateFile(
        history / "runs" / "index.db", "Dagster's index of events", "the assets' history in the UI, checks and plots"
    )
    yield StateFile(
        dagster_home / "schedules" / "schedules.db", "Dagster's ticks",
        "which schedules and sensors were switched off, and their last ticks",
    )  # fmt: skip


def damaged_datasets(settings: Settings, seconds: float) -> Iterator[tuple[Path, str]]:
    """Files of the embedded warehouse that cannot be read whole, of those that are read within some seconds, the
    smallest first; each with DuckDB's message."""
    import duckdb

    from convergence_assets.warehouse.duckdb.files import DatasetLock, Layout
    from convergence_assets.warehouse.duckdb.quoting import quoted

    layout, end = Layout(settings.warehouse_folder), time.monotonic() + seconds
    datasets = [dataset for dataset in layout.datasets() if layout.dataset_file(dataset).exists()]
    for dataset in sorted(datasets, key=lambda d: layout.dataset_file(d).stat().st_size):
        file = layout.dataset_file(dataset)
        if time.monotonic() > end:
            return
        try:
            with DatasetLock(layout, dataset).shared(5.0), duckdb.connect(":memory:") as connection:
                connection.execute(f"ATTACH '{file}' AS looked_at (READ_ONLY)")
                tables = connection.execute(
                    "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'looked_at'"
                ).fetchall()
                for schema, table in tables:
                    # Every block of every column has a checksum, and is read for it.
                    name = f"looked_at.{quoted(schema)}.{quoted(table)}"
                    connection.execute(f"SELECT bit_xor(hash(COLUMNS(*))) FROM {name}").fetchall()
        except duckdb.Error as error:
            yield file, " ".join(str(error).split())[:300]
