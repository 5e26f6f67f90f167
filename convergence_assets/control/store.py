"""An open control store: its transactions, and the migration of its tables at opening."""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, InterfaceError, NoSuchModuleError, OperationalError, ProgrammingError

from convergence_assets.connections import KEPT, shared_engine
from convergence_assets.control.errors import ControlError, DamagedStore, is_damage
from convergence_assets.control.location import control_url
from convergence_assets.control.tables import HEAD, VERSION_TABLE, compatibility
from convergence_assets.settings import Settings

BUSY_TIMEOUT_SECONDS = 30
_WRITES = "convergence_writes"


@dataclass(frozen=True)
class Connections:
    """Of a Postgres server: how many ordinary users may have at a time, and how many there are now."""

    allowed: int
    used: int


def utc_now() -> datetime:
    """The current moment, timezone-aware."""
    return datetime.now(UTC)


class ControlStore:
    """Transactions over the control store. It may be used across a fork: no connection is shared.

    `now` is the clock for every moment that is written or compared (UTC, timezone-aware).
    """

    def __init__(self, url: sa.URL, now: Callable[[], datetime] = utc_now) -> None:
        """Open the store, and migrate it if its tables are older than this code.

        Tables of a newer release are used as they are where that release says so, as in a roll-out and after a
        rollback. Raises `ControlError` where it does not.
        """
        self.now = now
        self.shown = url.render_as_string(hide_password=True)
        self._url = url
        self._engine = _engine(url)
        with self._errors():
            revision = self._revision()
            self.is_newer = revision is not None and revision > HEAD
            if self.is_newer:
                self._expect_usable()
            elif revision != HEAD:
                self._migrate()

    @classmethod
    def open(
        cls, settings: Settings, environ: Mapping[str, str] = os.environ, now: Callable[[], datetime] = utc_now
    ) -> "ControlStore":
        """The store of these settings. Raises `ControlError`, and `SettingsError` for an invalid location."""
        return cls(control_url(settings, environ), now)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with self._errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, key: str | None = None) -> Iterator[sa.Connection]:
        """A transaction, committed at the end; those with the same `key` run one after the other.

        On SQLite all of them do. Raises `ControlError` where it waited longer than `BUSY_TIMEOUT_SECONDS`.
        """
        options = {_WRITES: True}
        with self._errors(), self._engine.connect().execution_options(**options) as connection, connection.begin():
            if key is not None:
                self.wait_for(connection, key)
            yield connection

    def server_clock(self) -> datetime | None:
        """The time of the server's own clock; None where the store is a file of this machine."""
        if not self._on_postgres:
            return None
        with self.read() as connection:
            clock: datetime | None = connection.scalar(sa.select(sa.func.clock_timestamp()))
            return clock

    def connections(self) -> "Connections | None":
        """What the server allows and has now; None where the store is a file. Raises `ControlError`."""
        if not self._on_postgres:
            return None
        reserved = (
            "current_setting('superuser_reserved_connections')::int"
            " + coalesce(current_setting('reserved_connections', true)::int, 0)"
        )
        used = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        with self.read() as connection:
            row = connection.exec_driver_sql(
                f"SELECT current_setting('max_connections')::int - ({reserved}), ({used})"
            ).one()
        return Connections(allowed=row[0], used=row[1])

    def wait_for(self, connection: sa.Connection, key: str) -> None:
        """Let the rest of this transaction and those with `key` run one after the other, too."""
        if self._on_postgres:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_number(key))))

    @property
    def file(self) -> Path | None:
        """The store's file; None on Postgres."""
        return None if self._on_postgres else Path(str(self._url.database))

    def back_up(self, older_than: timedelta) -> Path | None:
        """Copy its file next to itself where the last copy is older; returns the copy. Raises `ControlError`."""
        file = self.file
        if file is None:
            return None
        copy = backup_of(file)
        if copy.exists() and self.now() - datetime.fromtimestamp(copy.stat().st_mtime, UTC) < older_than:
            return None
        scratch = copy.with_name(f"{copy.name}.{os.getpid()}")
        try:
            with self._errors(), closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(scratch)) as target:
                source.backup(target)
            scratch.replace(copy)
        finally:
            scratch.unlink(missing_ok=True)
        return copy

    @property
    def _on_postgres(self) -> bool:
        return self._url.get_backend_name() == "postgresql"

    def _revision(self) -> str | None:
        if not self._on_postgres and not Path(str(self._url.database)).exists():
            return None
        return self._one_value(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))

    def _expect_usable(self) -> None:
        """Raises `ControlError` where a newer release's tables are not for this one."""
        oldest = self._one_value(sa.select(compatibility.c.oldest_revision))
        if oldest is None or oldest > HEAD:
            raise self._too_new()

    def _too_new(self) -> ControlError:
        return ControlError(
            f"control store {self.shown} was migrated by a newer version of Convergence, and this one cannot use its "
            "tables. Next: bring this installation to that version, or restore the backup from before the upgrade"
        )

    def _one_value(self, query: sa.Executable) -> str | None:
        try:
            with self._engine.connect() as connection:
                value: str | None = connection.scalar(query)
                return value
        except (OperationalError, ProgrammingError) as error:
            # No such table; where the database itself fails, `_migrate` hits the same failure and raises it.
            if isinstance(error, OperationalError) and self._on_postgres:
                raise
            return None

    def _migrate(self) -> None:
        if self._on_postgres:
            with self.write("migrate") as connection:
                self._upgrade(connection)
            return
        file = Path(str(self._url.database))
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ControlError(f"control store {self.shown}: {error}. Next: make that folder writable") from None
        with self._locked(file):
            with closing(sqlite3.connect(file)) as plain:  # SQLAlchemy's would already be in a transaction
                plain.execute("PRAGMA journal_mode = WAL")
            with self.write() as connection:
                self._upgrade(connection)

    @contextmanager
    def _locked(self, file: Path) -> Iterator[None]:
        """Exclusive access to the file. Raises `ControlError` where this user may not write there, and `Timeout`."""
        from filelock import FileLock  # it brings asyncio, and a store that needs no migration is opened without it

        lock = FileLock(f"{file}.lock", timeout=BUSY_TIMEOUT_SECONDS)
        try:
            lock.acquire()
        except PermissionError as error:
            raise ControlError(
                f"control store {self.shown} cannot be written ({error.strerror}: {error.filename}). "
                "Next: make it writable for this user"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _upgrade(self, connection: sa.Connection) -> None:
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "convergence_assets.control:migrations")
        try:
            command.upgrade(config, "head")
        except CommandError as error:  # a newer version has migrated it since its revision was read
            raise self._too_new() from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, InterfaceError, sqlite3.Error, TimeoutError) as error:
            cause = getattr(error, "orig", None) or error
            message = " ".join(str(cause).split())
            if is_damage(cause):
                raise DamagedStore(
                    f"control store {self.shown} is damaged ({message}). What is published stays as it is; what is "
                    "planned, locked and was told is kept there. Next: end what uses it, then "
                    "`convergence doctor --repair`"
                ) from error
            if isinstance(error, DatabaseError) and not isinstance(error, OperationalError):
                raise
            raise ControlError(
                f"control store {self.shown}: {message}. Next: see that it can be reached and written"
            ) from error


def backup_of(file: Path) -> Path:
    """The copy of a control store's file."""
    return file.with_name(f"{file.name}.backup")


def upsert(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT with `on_conflict_do_update`, which SQLAlchemy has only per dialect."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def _engine(url: sa.URL) -> sa.Engine:
    try:
        if url.get_backend_name() == "postgresql":
            arguments = {"connect_timeout": 10, "application_name": "convergence"}
            name = f"control store {url.render_as_string(hide_password=False)}"
            return shared_engine(name, lambda: sa.create_engine(url, connect_args=arguments, **KEPT))
        engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ControlError(f"{error}. Next: pip install 'convergence-assets[postgres]'") from error

    @sa.event.listens_for(engine, "connect")
    def _plain(connection: Any, record: object) -> None:
        connection.isolation_level = None  # sqlite3 would begin implicitly, and too late

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _number(key: str) -> int:
    """A key for Postgres's advisory locks: 64 bits, signed."""
    return int.from_bytes(hashlib.blake2b(f"convergence:{key}".encode(), digest_size=8).digest(), signed=True)
