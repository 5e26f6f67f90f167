"""Whether DuckDB has a plan for a generated text, over empty tables of the declared columns."""

import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convergence_assets.warehouse.duckdb.column_types import duckdb_type
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.errors import WarehouseError
from convergence_assets.warehouse.schema import Column

if TYPE_CHECKING:
    from convergence_assets.warehouse.duckdb.engine import Engine
    from convergence_assets.warehouse.duckdb.outcomes import Outcome

_VALUES = {
    "STRING": "''", "INT64": "CAST(0 AS BIGINT)", "NUMERIC": "CAST(0 AS DECIMAL(38,9))", "FLOAT64": "CAST(0 AS DOUBLE)",
    "BOOL": "true", "DATE": "DATE '2000-01-01'", "DATETIME": "TIMESTAMP '2000-01-01'",
    "TIMESTAMP": "TIMESTAMPTZ '2000-01-01 00:00:00+00'",
}  # fmt: skip
_lock = threading.Lock()
_engines: dict[int, "Engine"] = {}
"""By process: one that this was forked with has no threads here."""
# A child process forked during a plan could never plan anything.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def check_plan(outcome: "Outcome", tables: Mapping[str, Sequence[Column]], parameters: Mapping[str, str]) -> None:
    """Raises `Unsupported` where DuckDB refuses what was generated: correlated subqueries that it cannot take apart."""
    from convergence_assets.warehouse.duckdb.parameters import replaced

    relations = {name.lower(): f"(SELECT {_nulls(columns)} LIMIT 0)" for name, columns in tables.items()}
    text = replaced(outcome.over(relations), {name: _VALUES[kind] for name, kind in parameters.items()})
    try:
        with _lock:
            _engine().run(f"EXPLAIN {text}")
    except WarehouseError as error:
        raise Unsupported(f"the embedded engine has no plan for it: {error}", "write it with plain joins") from None


def release() -> None:
    """Close the engine that makes plans; the next statement opens another."""
    with _lock:
        engine = _engines.pop(os.getpid(), None)
        if engine is not None:
            engine.close()


def _nulls(columns: Sequence[Column]) -> str:
    return ", ".join(f"CAST(NULL AS {duckdb_type(c)}) AS {quoted(c.name)}" for c in columns) or "1 AS one"


def _engine() -> "Engine":
    from convergence_assets.warehouse.duckdb.engine import Engine

    process = os.getpid()
    if process not in _engines:
        engine = Engine(Path(tempfile.gettempdir(), f"convergence-planning-{os.getuid()}"))
        # It works out what is constant: a statement with an array of a billion elements would take the load's memory.
        engine.run("PRAGMA disable_optimizer")
        engine.run("SET enable_external_access = false")
        _engines[process] = engine
    return _engines[process]
