"""A real run's rows in Dagster's SQLite files, written again as those of another tenant, day and moment.

Dagster takes ten times as long to make the same rows of its objects; `tests/monitoring/test_year.py` holds that they
are the same.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.snap import ExecutionPlanSnapshot, JobSnap
from sqlalchemy.engine import Connection

Row = dict[str, Any]
TENANT = "acme"
"""Whose runs are recorded."""
_TIMESTAMP = re.compile(r'(?<!"TimestampWithTimezone", )"timestamp": (\d+\.\d+)')
"""Of an event."""
_WINDOWS = re.compile(r'"included_time_windows": \[[^\]]*\]')
_MIDNIGHT = re.compile(r'"timestamp": (\d+\.\d+), "timezone": "([^"]+)"')
_STORAGE_ID = re.compile(r'"storage_id": (\d+)')
_MOMENTS = {
    "timestamp", "event_timestamp", "evaluation_event_timestamp", "last_materialization_timestamp", "create_timestamp",
    "update_timestamp",
}  # fmt: skip
_SECONDS = {"start_time", "end_time"}
_EVENT_IDS = {"event_id", "evaluation_event_storage_id", "materialization_event_storage_id"}
_INDEXED = ("asset_event_tags", "asset_check_executions")


@dataclass(frozen=True)
class Recorded:
    """A run of `TENANT`, the only one of its instance at its time: its rows by table, and what they refer to."""

    run: dg.DagsterRun
    day: date
    began: float
    job: JobSnap
    plan: ExecutionPlanSnapshot
    runs: dict[str, list[Row]]
    file: list[Row]
    """Its events in the file of the run."""
    index: dict[str, list[Row]]
    """Of `asset_keys` the columns that the run has changed."""

    @classmethod
    def of(cls, instance: dg.DagsterInstance, day: date, run_it: Callable[[], str]) -> "Recorded":
        """What is stored by `run_it`, which returns the run's id."""
        storage: Any = instance.event_log_storage
        with storage.index_connection() as index:
            before = {row["asset_key"]: row for row in _rows(index, "asset_keys")}
        run_id = run_it()
        with storage.index_connection() as index:
            tables = {"event_logs": _rows(index, "event_logs", run_id)}
            first, last = tables["event_logs"][0]["id"], tables["event_logs"][-1]["id"]
            assert last - first == len(tables["event_logs"]) - 1, "another run wrote at the same time"
            tables["asset_check_executions"] = _rows(index, "asset_check_executions", run_id)
            tags = _rows(index, "asset_event_tags")
            tables["asset_event_tags"] = [row for row in tags if first <= row["event_id"] <= last]
            tables["asset_keys"] = [
                _changed(row, before.get(row["asset_key"], {})) for row in _rows(index, "asset_keys")
            ]
        with storage.run_connection(run_id) as connection:
            file = _rows(connection, "event_logs", run_id)
        runs: Any = instance.run_storage
        with runs.connect() as connection:
            of_run = {table: _rows(connection, table, run_id) for table in ("runs", "run_tags")}
        run, began = instance.get_run_by_id(run_id), next(iter(instance.all_logs(run_id))).timestamp
        assert run is not None
        assert run.job_snapshot_id
        assert run.execution_plan_snapshot_id
        job = instance.get_job_snapshot(run.job_snapshot_id)
        plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
        return cls(run, day, began, job, plan, of_run, file, tables)

    def write(
        self,
        instance: dg.DagsterInstance,
        run_id: str,
        tenant_id: str,
        day: date,
        at: datetime,
        named: Mapping[str, str],
    ) -> None:
        """Write the run as that tenant's, of that day and about that moment; `named` are other texts that change."""
        texts = {**named, self.run.run_id: run_id, TENANT: tenant_id, str(self.day): str(day)}
        runs: Any = instance.run_storage
        storage: Any = instance.event_log_storage
        with storage.index_connection() as connection:
            newest = connection.exec_driver_sql("SELECT COALESCE(MAX(id), 0) FROM event_logs").scalar()
        ids = newest + 1 - self.index["event_logs"][0]["id"]
        again = _Again(texts, day - self.day, round(at.timestamp() - self.began), ids)
        with runs.connect() as connection:
            for table, rows in self.runs.items():
                _insert(connection, table, [again.row(row) for row in rows])
        with storage.run_connection(run_id) as connection:
            _insert(connection, "event_logs", [again.row(row) | {"id": row["id"]} for row in self.file])
        with storage.index_transaction() as connection:
            events = [again.row(row) | {"id": row["id"] + again.ids} for row in self.index["event_logs"]]
            _insert(connection, "event_logs", events)
            for table in _INDEXED:
                _insert(connection, table, [again.row(row) for row in self.index[table]])
            for row in self.index["asset_keys"]:
                _upsert(connection, again.row(row))


@dataclass(frozen=True)
class _Again:
    """What changes: texts; by how much days, moments in seconds, and ids of events in the index."""

    texts: Mapping[str, str]
    days: timedelta
    seconds: int
    ids: int

    def row(self, row: Row) -> Row:
        """Without its own id, which the table gives."""
        return {name: self._value(name, value) for name, value in row.items() if name != "id"}

    def _value(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        if name in _MOMENTS:
            moved = datetime.fromisoformat(value) + timedelta(seconds=self.seconds)
            return moved.isoformat(" ", "microseconds")
        if name in _SECONDS:
            return value + self.seconds
        if name in _EVENT_IDS:
            return value + self.ids
        if not isinstance(value, str):
            return value
        for old, new in self.texts.items():
            value = value.replace(old, new)
        if '"timestamp": ' in value:
            value = _TIMESTAMP.sub(lambda found: f'"timestamp": {float(found[1]) + self.seconds!r}', value)
        if '"storage_id": ' in value:
            value = _STORAGE_ID.sub(lambda found: f'"storage_id": {int(found[1]) + self.ids}', value)
        if '"included_time_windows": ' in value:
            value = _WINDOWS.sub(lambda found: _MIDNIGHT.sub(self._midnight, found[0]), value)
        return value

    def _midnight(self, found: re.Match[str]) -> str:
        was = datetime.fromtimestamp(float(found[1]), ZoneInfo(found[2]))
        return f'"timestamp": {(was + self.days).timestamp()!r}, "timezone": "{found[2]}"'


def _rows(connection: Connection, table: str, run_id: str | None = None) -> list[Row]:
    """The oldest first; SQLite's own values, and without when Dagster has made the row, which is the clock's."""
    where, values = ("WHERE run_id = ?", (run_id,)) if run_id else ("", ())
    found = connection.exec_driver_sql(f"SELECT * FROM {table} {where} ORDER BY id", values).mappings()
    return [{k: v for k, v in row.items() if table == "runs" or k != "create_timestamp"} for row in found]


def _changed(row: Row, before: Row) -> Row:
    return {k: v for k, v in row.items() if k == "asset_key" or (v is not None and v != before.get(k))}


def _insert(connection: Connection, table: str, rows: list[Row]) -> None:
    if rows:
        names = list(rows[0])
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        connection.exec_driver_sql(sql, [tuple(row.values()) for row in rows])


def _upsert(connection: Connection, row: Row) -> None:
    names = ", ".join(f"{name} = excluded.{name}" for name in row)
    sql = f"INSERT INTO asset_keys ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
    connection.exec_driver_sql(f"{sql} ON CONFLICT (asset_key) DO UPDATE SET {names}", tuple(row.values()))
