"""One DuckDB connection: set up, interruptible, with its exceptions turned into the taxonomy."""

import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from convergence_assets.redaction import hide_literals
from convergence_assets.warehouse.duckdb import bignumeric_encoding
from convergence_assets.warehouse.duckdb.generator.raising import without_cast
from convergence_assets.warehouse.duckdb.numeric import install_functions
from convergence_assets.warehouse.duckdb.parameters import with_values
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.errors import (
    AccessDenied,
    DamagedWarehouse,
    InvalidQuery,
    JobTimeout,
    NotFound,
    ResourcesExceeded,
    SchemaMismatch,
    WarehouseError,
    WarehouseUnavailable,
)
from convergence_assets.warehouse.interface import WAITS_EVERY_SECONDS, Waits, silent
from convergence_assets.warehouse.schema import ParameterValue

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from duckdb.sqltypes import DuckDBPyType

T = TypeVar("T")

# The message of a function of `bignumeric` or `limbs`, between DuckDB's text and Python's traceback.
_OF_PYTHON = re.compile(
    r"Python exception occurred while executing the UDF: \w+: (?P<called>.*?)\n\nAt:.*"
    r"|arrow_scan: get_next failed\(\): (?:Invalid: )*(?P<read>.*?)\. Detail: Python exception:.*",
    re.DOTALL,
)

# DuckDB takes what two expressions share out of these, and then raises its errors (1.5); it leaves CASE as it is.
_HOLDS_ERRORS_BACK = re.compile(r"\bTRY\(|\bcoalesce\(")

_DAMAGED = ("not a valid DuckDB database file", "Corrupt database file", "does not match stored checksum")
_AS_FROM_ARROW = frozenset(
    {"BIGINT", "INTEGER", "HUGEINT", "DECIMAL", "DOUBLE", "BOOLEAN", "VARCHAR", "JSON", "BLOB", "DATE", "TIME",
     "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
)  # fmt: skip
"""Types whose values DuckDB itself gives to Python as Arrow does, the text of each the same."""
_MOMENTS = frozenset({"DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"})

DEFAULT_MEMORY_LIMIT = "768MB"


class _Setting(NamedTuple):
    """What an engine is made for; one of another process cannot be used."""

    process: int
    spill_folder: Path
    memory_limit: str


def _setting(spill_folder: Path) -> _Setting:
    limit = os.environ.get("CONVERGENCE_MEMORY_LIMIT", DEFAULT_MEMORY_LIMIT)
    return _Setting(os.getpid(), spill_folder, limit)


def _writable_folder(spill_folder: Path) -> Path:
    """Where a query spills what does not fit into memory: that folder, or one for temporary files where the disk is
    read-only, on which there is nothing to write but this."""
    try:
        spill_folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        other = Path(tempfile.gettempdir(), f"convergence-spill-{os.getuid()}")
        try:
            other.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise AccessDenied(f"folder {spill_folder} cannot be made: {error.strerror or error}") from None
        return other
    return spill_folder


def threads_per_connection() -> int:
    """Half the processors, so that one tenant's long query leaves some for another tenant's day."""
    return max(1, (os.cpu_count() or 2) // 2)


class Engine:
    """A DuckDB connection over an in-memory catalog, to which dataset files are attached by name.

    A statement runs in a thread of its own: the calling thread stays interruptible, and on any `BaseException`
    (a signal, a terminate from Dagster) the running statement is cancelled before the exception goes on.
    """

    def __init__(self, spill_folder: Path, waits: Waits = silent) -> None:
        import duckdb
        import numpy  # noqa: F401 - DuckDB imports it, and takes a signal that comes meanwhile for its absence

        self._setting = _setting(spill_folder)
        spill_folder = _writable_folder(spill_folder)
        self.connection: duckdb.DuckDBPyConnection = duckdb.connect(
            config={
                "memory_limit": self._setting.memory_limit,
                "threads": threads_per_connection(),
                "temp_directory": str(spill_folder),
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": False,
            }
        )
        self.connection.execute("SET TimeZone = 'UTC'")
        install_functions(self.connection)
        self._shares_expressions = True
        self._waits = waits
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="duckdb")

    @staticmethod
    def taken(spill_folder: Path, waits: Waits = silent) -> "Engine":
        """The engine that this process has kept, or a new one: making one costs as much as a small tenant's SQL."""
        with _idle_lock:
            engine = _idle_engines.pop(_setting(spill_folder), None)
        if engine is None:
            return Engine(spill_folder, waits)
        _writable_folder(spill_folder)
        engine._waits = waits
        return engine

    def give_back(self) -> None:
        """Keep it for the next who takes one; closed where one is kept already, or where it is not as it was made."""
        try:
            attached = self.run("SELECT database_name FROM duckdb_databases() WHERE NOT internal")
            for (name,) in attached:
                if name != "memory":
                    self.run(f"DETACH {quoted(name)}")
            clean = not self.run(
                "SELECT 1 FROM duckdb_tables() UNION ALL SELECT 1 FROM duckdb_views() WHERE NOT internal"
            )
        except WarehouseError:
            clean = False
        self._waits = silent
        left = [self]
        with _idle_lock:
            if clean and self._setting not in _idle_engines:
                others = [s for s in _idle_engines if s.process == self._setting.process]
                left = [_idle_engines.pop(setting) for setting in others]
                _idle_engines[self._setting] = self
        for engine in left:
            engine.close()

    @property
    def spill_folder(self) -> Path:
        """Where what does not fit into memory goes; it exists."""
        return self._setting.spill_folder

    def described(self, sql: str) -> "list[tuple[str, DuckDBPyType]]":
        """The columns that a SELECT gives, with DuckDB's own types."""

        def describe() -> "list[tuple[str, DuckDBPyType]]":
            described = self.connection.execute(f"SELECT * FROM ({sql}) LIMIT 0").description or []
            return [(column[0], column[1]) for column in described]

        return self._interruptible(describe, None, "")

    @contextmanager
    def in_order(self) -> Iterator[None]:
        """While the block runs, a file's rows keep its order."""
        self.run("SET preserve_insertion_order = true")
        try:
            yield
        finally:
            self.run("SET preserve_insertion_order = false")

    def close(self) -> None:
        self._worker.shutdown(wait=True)
        self.connection.close()

    def run(
        self,
        sql: str,
        parameters: Mapping[str, ParameterValue] | None = None,
        *,
        timeout_seconds: float | None = None,
        written_as: str | None = None,
    ) -> list[tuple[Any, ...]]:
        """Run one statement and fetch its rows; `written_as` is the BigQuery text that an error is located in."""
        return self._interruptible(
            lambda: self._executed(sql, parameters).fetchall(), timeout_seconds, written_as or ""
        )

    def arrow(
        self,
        sql: str,
        parameters: Mapping[str, ParameterValue] | None = None,
        *,
        timeout_seconds: float | None = None,
        written_as: str | None = None,
    ) -> "pa.Table":
        """Run one SELECT and fetch its rows as Arrow, a BIGNUMERIC as decimal256(76, 38)."""
        return self._interruptible(
            lambda: bignumeric_encoding.with_decimals(self._executed(sql, parameters).to_arrow_table()),
            timeout_seconds,
            written_as or "",
        )

    def rows(
        self,
        sql: str,
        parameters: Mapping[str, ParameterValue] | None = None,
        *,
        timeout_seconds: float | None = None,
        written_as: str | None = None,
    ) -> list[dict[str, Any]]:
        """Run one SELECT and fetch its rows, with the values that `arrow` would give.

        Without Arrow where all columns are scalars (but BIGNUMERIC): it and pandas, which it imports, are 90 MB in a
        code server that never has a frame.
        """
        return self._interruptible(lambda: _fetched(self._executed(sql, parameters)), timeout_seconds, written_as or "")

    def _executed(self, sql: str, parameters: Mapping[str, ParameterValue] | None) -> "duckdb.DuckDBPyConnection":
        shares = not _HOLDS_ERRORS_BACK.search(sql)
        if shares != self._shares_expressions:
            disabled = "" if shares else "common_subexpressions"
            self.connection.execute(f"SET disabled_optimizers = '{disabled}'")
            self._shares_expressions = shares
        if not parameters:
            return self.connection.execute(sql)
        # Values that Python gives to DuckDB 1.5 make it import pandas: 35 MB in a code server that never has a frame.
        return self.connection.execute(with_values(sql, parameters))

    def _interruptible(self, work: Callable[[], T], timeout_seconds: float | None, written_as: str) -> T:
        import duckdb

        future = self._worker.submit(work)
        deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
        try:
            while True:
                left = deadline - time.monotonic()
                try:
                    return future.result(timeout=min(left, WAITS_EVERY_SECONDS))
                except FutureTimeout:
                    if future.done() or left <= WAITS_EVERY_SECONDS:
                        raise
                    self._waits("statement")
        except FutureTimeout:
            self._cancel(future)
            raise JobTimeout(f"the statement ran longer than {timeout_seconds:.0f} s and was cancelled") from None
        except duckdb.Error as error:
            raise classified(error, written_as) from error
        except OverflowError as error:
            raise InvalidQuery(str(error)) from None
        except BaseException:
            self._cancel(future)
            raise

    def _cancel(self, future: Any) -> None:
        # An interrupt that comes between two statements is lost, so it is repeated until the thread is out.
        while not future.done():
            self.connection.interrupt()
            with suppress(BaseException):
                future.result(timeout=0.05)


def _fetched(result: "duckdb.DuckDBPyConnection") -> list[dict[str, Any]]:
    names = [column[0] for column in result.description]
    kinds = [re.sub(r"^DECIMAL\(\d+,\d+\)$", "DECIMAL", str(column[1])) for column in result.description]
    if not _AS_FROM_ARROW.issuperset(kinds):
        converted: list[dict[str, Any]] = bignumeric_encoding.with_decimals(result.to_arrow_table()).to_pylist()
        return converted
    rows = result.fetchall()
    for row in rows:
        for name, kind, value in zip(names, kinds, row, strict=True):
            if kind in _MOMENTS and isinstance(value, str):
                raise OverflowError(f"column {name} holds {value}, which is no date or time of BigQuery's")
    return [dict(zip(names, row, strict=True)) for row in rows]


_idle_engines: dict[_Setting, Engine] = {}
"""At most one of this process; those that it was forked with stay untouched, since their threads are not here."""
_idle_lock = Lock()


def classified(error: Exception, sql: str) -> WarehouseError:
    """A duckdb.Error as its class of the taxonomy, with the position in the BigQuery text where it is known."""
    import duckdb

    message = re.split(r"\n+(?:LINE |\s*Candidate )", str(error))[0].strip()
    message = without_cast(message)
    message = hide_literals(_OF_PYTHON.sub(lambda match: match["called"] or match["read"], message), sql)
    match error:
        case duckdb.CatalogException():
            return NotFound(message)
        case duckdb.IOException() if "Permission denied" in message:
            return AccessDenied(message)
        case duckdb.Error() if any(sign in message for sign in _DAMAGED):
            return DamagedWarehouse(message)
        case duckdb.IOException():
            return WarehouseUnavailable(message)
        case duckdb.OutOfMemoryException():
            return ResourcesExceeded(message)
        case duckdb.ConstraintException():
            return SchemaMismatch(f"a REQUIRED column holds NULL: {message}")
        case duckdb.PermissionException():
            return AccessDenied(message)
        case duckdb.Error():
            line, column = _position(message, sql)
            return InvalidQuery(message, line=line, column=column)
    return WarehouseUnavailable(message)


def _position(message: str, sql: str) -> tuple[int | None, int | None]:
    # The message is about the generated text; the first quoted name that is in the author's text is located.
    for name in re.findall(r'"([^"]+)"', message):
        match = re.search(rf"\b{re.escape(name)}\b", sql, re.IGNORECASE)
        if match:
            before = sql[: match.start()]
            return before.count("\n") + 1, match.start() - (before.rfind("\n") + 1) + 1
    return None, None
