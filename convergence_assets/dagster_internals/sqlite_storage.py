"""Dagster's SQLite storage with persistent connections, and one transaction per event and file.

Dagster 1.13 creates an engine for every event, which is more than half of the CPU time of a warm tenant-day, commits
each of its rows separately, and recompiles its statement. Files, tables and rows are Dagster's own: an instance may
switch between this storage and Dagster's at any time. This module can go once Dagster keeps its engines itself.
"""

import os
import sqlite3
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cached_property, partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import sqlalchemy as db
from dagster import EventLogEntry
from dagster._config import Field, StringSource
from dagster._core.event_api import EventHandlerFn
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS, DagsterEventType
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
    SqliteEventLogStorageWatchdog,
)
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes.config_class import ConfigurableClassData
from sqlalchemy.engine import Connection, Engine
from watchdog.events import FileSystemEvent
from watchdog.observers import Observer

from convergence_assets.dagster_internals.patches import why_off
from convergence_assets.settings import Settings

_IN_THE_INDEX = frozenset({*ASSET_EVENTS, *ASSET_CHECK_EVENTS, *EVENT_TYPE_TO_PIPELINE_RUN_STATUS})
_NEW_EVENT, _NEW_CHECK = SqlEventLogStorageTable.insert(), AssetCheckExecutionsTable.insert()
_EVALUATED = AssetCheckExecutionsTable.update().where(
    AssetCheckExecutionsTable.c.asset_key == db.bindparam("planned_asset_key"),
    AssetCheckExecutionsTable.c.check_name == db.bindparam("planned_check_name"),
    AssetCheckExecutionsTable.c.run_id == db.bindparam("planned_run_id"),
    AssetCheckExecutionsTable.c.partition.is_not_distinct_from(db.bindparam("planned_partition")),
)

READABLE_AFTER_SECONDS = 0.02
KEPT_RUNS = 16
"""Runs whose files stay open in a process: a worker writes one, the daemon follows the active ones."""


class KeptEngine:
    """The engine of one file, for as long as this process and that file live; `prepare` creates what is missing in it.

    `synchronous` is SQLite's setting for when a commit is on the disk: FULL at once, NORMAL some seconds later.
    """

    def __init__(
        self, url: str, prepare: Callable[[], None] = lambda: None, synchronous: Literal["FULL", "NORMAL"] = "FULL"
    ) -> None:
        self._url = url
        self._synchronous = synchronous
        self._path = url.removeprefix("sqlite:///")
        self._prepare = prepare
        self._engine: Engine | None = None
        self._opened_by = 0
        self._file = 0

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self.connection() as connection, connection.begin():
            yield connection

    def connection(self) -> Connection:
        """Rolled back at the end, unless committed."""
        return self._current().connect()

    def _current(self) -> Engine:
        """A connection may not cross a fork, nor outlive its file."""
        file = _inode(self._path)
        if self._engine is None or self._opened_by != os.getpid() or self._file != file or not file:
            self.close()
            self._prepare()
            self._engine = db.create_engine(self._url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})
            db.event.listen(self._engine, "connect", self._set_up)
            self._opened_by, self._file = os.getpid(), _inode(self._path)
        return self._engine

    def _set_up(self, connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA synchronous={self._synchronous}")

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose(close=self._opened_by == os.getpid())
            self._engine = None


class _Transactions:
    def __init__(self, engine_of: Callable[[str], KeptEngine], connections: ExitStack) -> None:
        self._engine_of = engine_of
        self._connections = connections
        self._open: dict[str, Connection] = {}

    def connection(self, shard: str) -> Connection:
        if shard not in self._open:
            connection = self._connections.enter_context(self._engine_of(shard).connection())
            connection.begin()
            self._open[shard] = connection
        return self._open[shard]

    def commit(self) -> None:
        for connection in self._open.values():
            connection.commit()


class _Watchdog(SqliteEventLogStorageWatchdog):
    """Notified of a commit by the write-ahead log: with persistent connections, the file itself seldom changes.

    SQLite writes the log a moment before the commit becomes readable, which triggers no notification.
    """

    def __init__(
        self, storage: SqliteEventLogStorage, run_id: str, callback: EventHandlerFn, cursor: str | None
    ) -> None:
        super().__init__(storage, run_id, callback, cursor)
        path = storage.path_for_shard(run_id)
        self._patterns = [path, f"{path}-wal"]

    def on_modified(self, event: FileSystemEvent) -> None:
        cursor = self._cursor
        self._process_log()
        if self._cursor == cursor:
            time.sleep(READABLE_AFTER_SECONDS)
            self._process_log()


class EventLogStorage(SqliteEventLogStorage):
    """One file per run and an index over all, as Dagster has them.

    A commit does not wait for the disk, as a run would two hundred times: a kill loses nothing, but a power cut may
    lose the events of the last seconds. Runs, and what was published, are on the disk by then.
    """

    _empty: ClassVar[bytes] = b""
    """The file of a run without events, created once per process."""

    def __init__(self, base_dir: str) -> None:
        self._kept_engines: OrderedDict[str, KeptEngine] = OrderedDict()
        self._open: _Transactions | None = None
        self._tables: set[str] = set()
        super().__init__(base_dir)
        self._db_lock = threading.RLock()  # type: ignore[assignment]  # held over a whole event, and for each statement

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event: its rows in the file of its run are written together, and so are those in the index."""
        self.store_event_batch([event])

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of a run, all or none in each file."""
        rows = [self._event_to_row(event) for event in events]
        with self._together():
            for run_id, its in groupby(rows, key=itemgetter("run_id")):
                with self.run_connection(run_id) as connection:
                    connection.execute(_NEW_EVENT, list(its))
            for event, row in zip(events, rows, strict=True):
                if event.dagster_event_type in _IN_THE_INDEX:
                    self._store_in_index(event, row)

    def _store_in_index(self, event: EventLogEntry, row: dict[str, Any]) -> None:
        with self.index_connection() as index:
            event_id = index.execute(_NEW_EVENT, row).inserted_primary_key[0]  # type: ignore[index]
            if event.dagster_event_type in ASSET_EVENTS:
                self._store_asset_event_tags(index, [event], [event_id])
                self._store_asset_event(index, event, event_id)
            elif event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
                index.execute(_NEW_CHECK, list(_planned(event, row, event_id)))
            elif event.dagster_event_type in ASSET_CHECK_EVENTS:
                if event.run_id:
                    _store_evaluation(index, event, row, event_id)
                else:
                    self.store_asset_check_event(event, event_id)

    def has_table(self, table_name: str) -> bool:
        """Whether the index has it; called for every check."""
        if table_name not in self._tables:
            with self.index_connection() as connection:
                self._tables |= set(db.inspect(connection).get_table_names())
        return table_name in self._tables

    def watch(self, run_id: str, cursor: str | None, callback: EventHandlerFn) -> None:
        """Call back for every event of a run from now on."""
        observer: Any = self._obs or Observer()
        if not self._obs:
            observer.start()
            self._obs = observer
        watching = _Watchdog(self, run_id, callback, cursor)
        self._watchers[run_id][callback] = (watching, observer.schedule(watching, self._base_dir, recursive=True))

    @contextmanager
    def _together(self) -> Iterator[None]:
        """One transaction per file until the end; committed in the order of their first use, as Dagster commits."""
        with self._db_lock, ExitStack() as connections:
            self._open = _Transactions(self._of, connections)
            try:
                yield
                self._open.commit()
            finally:
                self._open = None

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            if self._open is not None:
                yield self._open.connection(shard)
                return
            with self._of(shard).transaction() as connection:
                yield connection

    def _of(self, shard: str) -> KeptEngine:
        engine = self._kept_engines.get(shard)
        if engine is None:
            engine = KeptEngine(self.conn_string_for_shard(shard), partial(self._initialise, shard), "NORMAL")
            self._kept_engines[shard] = engine
        self._kept_engines.move_to_end(shard)
        if len(self._kept_engines) > KEPT_RUNS:
            oldest = next(name for name in self._kept_engines if name not in (shard, INDEX_SHARD_NAME))
            self._kept_engines.pop(oldest).close()
        return engine

    def _initialise(self, shard: str) -> None:
        """The file of a run is a copy of an empty one: Dagster takes a tenth of a run's time to create its tables."""
        path = Path(self.path_for_shard(shard))
        if _has(path):
            return
        with tempfile.TemporaryDirectory(dir=self._base_dir, prefix=".new-") as folder:
            new = Path(folder, "empty.db")
            new.write_bytes(self._empty_file(new))
            with new.open("rb") as written:
                os.fsync(written)
            with suppress(OSError):
                os.link(new, path)
        if not _has(path):  # a process was killed while Dagster created it, or these files cannot be linked
            self._initdb(_unkept_engine(path))

    def _empty_file(self, scratch: Path) -> bytes:
        if not EventLogStorage._empty:
            engine = _unkept_engine(scratch)
            self._initdb(engine)
            engine.dispose()
            EventLogStorage._empty = scratch.read_bytes()
        return EventLogStorage._empty

    def delete_run_file(self, run_id: str) -> None:
        """Delete the file of a run; one that is read later begins empty."""
        with self._db_lock:
            engine = self._kept_engines.pop(run_id, None)
            if engine is not None:
                engine.close()
            path = self.path_for_shard(run_id)
            for file in (f"{path}-wal", f"{path}-shm", path):
                Path(file).unlink(missing_ok=True)

    def dispose(self) -> None:
        super().dispose()
        with self._db_lock:
            for engine in self._kept_engines.values():
                engine.close()
            self._kept_engines.clear()


class _OfOneFile:
    """A storage of one file with a persistent engine. Precedes Dagster's class among the bases."""

    _conn_string: str
    _name: ClassVar[str]
    _made_last: ClassVar[str]
    """The table that Dagster creates last in a new file."""

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> Self:
        """The storage of this folder; Dagster looks into a file only where something is missing in it."""
        if _has(Path(base_dir, f"{cls._name}.db"), cls._made_last):
            return cls(create_db_conn_string(base_dir, cls._name), inst_data)  # type: ignore[call-arg]
        return super().from_local(base_dir, inst_data)  # type: ignore[misc, no-any-return]

    @cached_property
    def _kept_engine(self) -> KeptEngine:
        return KeptEngine(self._conn_string)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._kept_engine.transaction() as connection:
            yield connection

    def dispose(self) -> None:
        super().dispose()  # type: ignore[misc]
        self._kept_engine.close()


class RunStorage(_OfOneFile, SqliteRunStorage):
    """`runs.db`."""

    _name = "runs"
    _made_last = "instance_info"


class ScheduleStorage(_OfOneFile, SqliteScheduleStorage):
    """`schedules.db`."""

    _name = "schedules"
    _made_last = "alembic_version"


class SqliteStorage(DagsterSqliteStorage):
    """`storage: {custom: {module: convergence_assets.dagster_instance, class: SqliteStorage}}` in dagster.yaml.

    The files are in `base_dir`, by default in DAGSTER_HOME, or in that of `convergence` if it is not set.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.base_dir = base_dir
        self._inst_data = inst_data
        history = Path(base_dir, "history")
        self._run_storage = RunStorage.from_local(f"{history}{os.sep}")
        self._event_log_storage = EventLogStorage(f"{history / 'runs'}{os.sep}")
        self._schedule_storage = ScheduleStorage.from_local(str(Path(base_dir, "schedules")))
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def config_type(cls) -> Any:
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> DagsterSqliteStorage:
        """The storage in `base_dir`; Dagster's own class where patches are off."""
        home = os.environ.get("DAGSTER_HOME") or str(Settings.from_env().dagster_home)
        storage = cls if why_off() is None else DagsterSqliteStorage
        return storage.from_local(config_value.get("base_dir", home), inst_data=inst_data)


def _store_evaluation(index: Connection, event: EventLogEntry, row: dict[str, Any], event_id: int) -> None:
    """Write a check's evaluation, over the row of its run and partition where the run planned it."""
    evaluation = event.get_dagster_event().asset_check_evaluation_data
    target = evaluation.target_materialization_data
    status = Status.SUCCEEDED if evaluation.passed else Status.FAILED
    values = {
        "execution_status": status.value,
        "evaluation_event": row["event"],
        "evaluation_event_timestamp": row["timestamp"],
        "evaluation_event_storage_id": event_id,
        "materialization_event_storage_id": target.storage_id if target else None,
    }
    names = {
        "asset_key": evaluation.asset_key.to_string(),
        "check_name": evaluation.check_name,
        "run_id": event.run_id,
        "partition": evaluation.partition,
    }
    planned = {f"planned_{name}": value for name, value in names.items()}
    if not index.execute(_EVALUATED, planned | values).rowcount:
        index.execute(_NEW_CHECK, names | values)


def _planned(event: EventLogEntry, row: dict[str, Any], event_id: int) -> Iterator[dict[str, Any]]:
    """The rows of a check that a run plans, one for each partition that it names."""
    planned = event.get_dagster_event().asset_check_planned_data
    for partition in planned.partitions_subset.get_partition_keys() if planned.partitions_subset else [None]:
        yield {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "partition": partition,
            "run_id": event.run_id,
            "execution_status": Status.PLANNED.value,
            "evaluation_event": row["event"],
            "evaluation_event_timestamp": row["timestamp"],
            "evaluation_event_storage_id": event_id,
        }


def _inode(path: str) -> int:
    """0 where there is no such file."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def _unkept_engine(path: Path) -> Engine:
    return db.create_engine(
        f"sqlite:///{path}", poolclass=db.NullPool, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
    )


def _has(path: Path, table: str = "alembic_version") -> bool:
    """Whether the file has its version, and this table: querying Dagster's list of migrations costs more than a run."""
    if not _inode(str(path)):
        return False
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.execute(f"SELECT 1 FROM {table} LIMIT 1")
        return connection.execute("SELECT version_num FROM alembic_version").fetchone() is not None
    return False
