"""Dagster's SQLite storage with its connections kept.

Dagster 1.13 makes a new engine for every event, which is more than half of the CPU time of a warm tenant-day. Files,
tables and statements are Dagster's own: an instance may change between this storage and Dagster's at any time. Where
Dagster keeps its engines itself, this module goes.
"""

import os
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self, cast

import sqlalchemy as db
from dagster._config import Field, StringSource
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes.config_class import ConfigurableClassData
from sqlalchemy.engine import Connection, Engine

from convergence_assets.settings import Settings

KEPT_RUNS = 16
"""Runs whose files stay open in a process: a worker writes one, the daemon follows those at work."""


class KeptEngine:
    """The engine of one file, for as long as this process and that file live; `prepare` makes what is not in it yet."""

    def __init__(self, url: str, prepare: Callable[[], None] = lambda: None) -> None:
        self._url = url
        self._path = url.removeprefix("sqlite:///")
        self._prepare = prepare
        self._engine: Engine | None = None
        self._opened_by = 0
        self._file = 0

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._current().connect() as connection, connection.begin():
            yield connection

    def _current(self) -> Engine:
        """A connection may not cross a fork, nor outlive its file."""
        file = _inode(self._path)
        if self._engine is None or self._opened_by != os.getpid() or self._file != file or not file:
            self.close()
            self._prepare()
            self._engine = db.create_engine(self._url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})
            self._opened_by, self._file = os.getpid(), _inode(self._path)
        return self._engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose(close=self._opened_by == os.getpid())
            self._engine = None


class EventLogStorage(SqliteEventLogStorage):
    """One file a run and an index over all, as Dagster keeps them."""

    def __init__(self, base_dir: str) -> None:
        self._kept: OrderedDict[str, KeptEngine] = OrderedDict()
        super().__init__(base_dir)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock, self._of(shard).transaction() as connection:
            yield connection

    def _of(self, shard: str) -> KeptEngine:
        kept = self._kept.get(shard)
        if kept is None:
            kept = KeptEngine(self.conn_string_for_shard(shard), partial(self._initialise, shard))
            self._kept[shard] = kept
        self._kept.move_to_end(shard)
        if len(self._kept) > KEPT_RUNS:
            oldest = next(name for name in self._kept if name not in (shard, INDEX_SHARD_NAME))
            self._kept.pop(oldest).close()
        return kept

    def _initialise(self, shard: str) -> None:
        if not _is_stamped(self.path_for_shard(shard)):
            engine = db.create_engine(
                self.conn_string_for_shard(shard), poolclass=db.NullPool,
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
            )  # fmt: skip
            self._initdb(engine)

    def dispose(self) -> None:
        super().dispose()
        with self._db_lock:
            for kept in self._kept.values():
                kept.close()
            self._kept.clear()


class _OfOneFile:
    """A storage of one file, with its engine kept. Goes before Dagster's class."""

    _conn_string: str

    @cached_property
    def _kept(self) -> KeptEngine:
        return KeptEngine(self._conn_string)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._kept.transaction() as connection:
            yield connection

    def dispose(self) -> None:
        super().dispose()  # type: ignore[misc]
        self._kept.close()


class RunStorage(_OfOneFile, SqliteRunStorage):
    """`runs.db`."""


class ScheduleStorage(_OfOneFile, SqliteScheduleStorage):
    """`schedules.db`."""


class SqliteStorage(DagsterSqliteStorage):
    """`storage: {custom: {module: convergence_assets.dagster_storage, class: SqliteStorage}}` in dagster.yaml.

    The files are in `base_dir`, by default in DAGSTER_HOME, or where `convergence` has its own if that is not set.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.base_dir = base_dir
        self._inst_data = inst_data
        history = Path(base_dir, "history")
        self._run_storage = RunStorage.from_local(f"{history}{os.sep}")
        self._event_log_storage = EventLogStorage(f"{history / 'runs'}{os.sep}")
        self._schedule_storage = cast(ScheduleStorage, ScheduleStorage.from_local(str(Path(base_dir, "schedules"))))
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def config_type(cls) -> Any:
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        home = os.environ.get("DAGSTER_HOME") or str(Settings.from_env().dagster_home)
        return cls.from_local(config_value.get("base_dir", home), inst_data=inst_data)


def _inode(path: str) -> int:
    """0 where there is no such file."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def _is_stamped(path: str) -> bool:
    """Whether the file has its tables; reading Dagster's list of migrations to find that out costs more than a run."""
    if not _inode(path):
        return False
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone() is not None
    return False
