"""What a deployment on SQLite has stored, in bytes of values by table, and how much of that is state.

State is what `convergence prune` must not remove: of each asset's partition the newest event of a kind, of each check's
partition the newest execution with its evaluation, and what the control store has a row a table-day of.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_STATE_OF_CONTROL = {
    "convergence_publications", "convergence_partitions", "convergence_pipelines", "convergence_places",
    "convergence_counters", "convergence_source_owners",
}  # fmt: skip
_NEWEST_EXECUTIONS = """
    SELECT MAX(id) FROM asset_check_executions GROUP BY asset_key, check_name, partition
    UNION SELECT MAX(id) FROM asset_check_executions WHERE evaluation_event_storage_id IS NOT NULL
    GROUP BY asset_key, check_name, partition
"""
_NEWEST_EVENTS = f"""
    SELECT MAX(id) FROM event_logs WHERE asset_key IS NOT NULL AND dagster_event_type IN
    ('ASSET_MATERIALIZATION_PLANNED', 'ASSET_MATERIALIZATION', 'ASSET_OBSERVATION', 'ASSET_FAILED_TO_MATERIALIZE')
    GROUP BY asset_key, dagster_event_type, partition
    UNION SELECT evaluation_event_storage_id FROM asset_check_executions WHERE id IN ({_NEWEST_EXECUTIONS})
"""
_STATE = {
    "event_logs": f"id IN ({_NEWEST_EVENTS})",
    "asset_event_tags": f"event_id IN ({_NEWEST_EVENTS})",
    "asset_check_executions": f"id IN ({_NEWEST_EXECUTIONS})",
    "asset_keys": "1",
} | dict.fromkeys(_STATE_OF_CONTROL, "1")


@dataclass(frozen=True)
class Sizes:
    """Rows and bytes of values by table, of state and of the rest; of the files of single runs their bytes, those of
    the events in them, which are all of these runs' events, and those of the events among them that are state."""

    state_rows: dict[str, int]
    history_rows: dict[str, int]
    state: dict[str, int]
    history: dict[str, int]
    run_files: int
    events_in_run_files: int
    state_in_run_files: int

    @property
    def state_bytes(self) -> int:
        return sum(self.state.values())

    @property
    def history_bytes(self) -> int:
        """Of all that is not state."""
        return sum(self.history.values()) + self.run_files

    @property
    def history_bytes_of_one_database(self) -> int:
        """Of all that is not state where each event is stored once, as on Postgres."""
        rest = sum(self.history.values()) - self.history["event_logs"]
        return rest + self.events_in_run_files - self.state_in_run_files


def stored(dagster: Path, control: Path) -> Sizes:
    """Of a Dagster home with the project's SQLite storage, and a control store."""
    index = dagster / "history/runs/index.db"
    files = [file for file in index.parent.iterdir() if file.is_file() and "index" not in file.name]
    size = sum(file.stat().st_size for file in files)
    run_ids = [file.stem for file in files if file.suffix == ".db"]
    found = Sizes({}, {}, {}, {}, size, *_of_events(index, run_ids))
    for file in (index, dagster / "history/runs.db", dagster / "schedules/schedules.db", control):
        with closing(sqlite3.connect(file)) as connection:
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                is_state, width = _STATE.get(table, "0"), _width(connection, table)
                for condition, rows, held in (
                    (is_state, found.state_rows, found.state), (f"NOT ({is_state})", found.history_rows, found.history),
                ):  # fmt: skip
                    query = f"SELECT COUNT(*), COALESCE(SUM({width}), 0) FROM {table} WHERE {condition}"
                    rows[table], held[table] = connection.execute(query).fetchone()
    return found


def _of_events(index: Path, run_ids: Sequence[str]) -> tuple[int, int]:
    """Bytes of values of these runs' events, and of those of them that are state."""
    events = 0
    for run_id in run_ids:
        with closing(sqlite3.connect(index.with_name(f"{run_id}.db"))) as connection:
            width = _width(connection, "event_logs")
            events += connection.execute(f"SELECT COALESCE(SUM({width}), 0) FROM event_logs").fetchone()[0]
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("CREATE TEMP TABLE with_a_file (run_id TEXT PRIMARY KEY)")
        connection.executemany("INSERT INTO with_a_file VALUES (?)", [(run_id,) for run_id in run_ids])
        width = _width(connection, "event_logs")
        sql = (
            f"SELECT COALESCE(SUM({width}), 0) FROM event_logs WHERE {_STATE['event_logs']}"
            " AND run_id IN (SELECT run_id FROM with_a_file)"
        )
        return events, connection.execute(sql).fetchone()[0]


def _width(connection: sqlite3.Connection, table: str) -> str:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    return " + ".join(f'COALESCE(LENGTH("{column}"), 0)' for column in columns)
