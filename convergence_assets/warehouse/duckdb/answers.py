"""What the load says of a statement, and the rows that the embedded engine gives for it: for probes and tests."""

import tempfile
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.statement import generated
from convergence_assets.warehouse.duckdb.portability import SqlProblem
from convergence_assets.warehouse.googlesql.analysis import analyzed
from convergence_assets.warehouse.googlesql.client import Failed, Refused
from convergence_assets.warehouse.schema import Column

_NO_TABLES: Mapping[str, Sequence[Column]] = {}


def refusals(sql: str) -> tuple[SqlProblem, ...]:
    """Why a SELECT that reads no table is refused at load; empty where it runs."""
    try:
        _bound(generated(analyzed(sql, _NO_TABLES).statement, {}))
    except Refused as refused:
        return (SqlProblem(refused.line or 1, refused.column or 1, refused.message, "correct the SQL"),)
    except Failed as failed:
        return (SqlProblem(1, 1, f"the analyzer broke down: {failed}", "write it in another way"),)
    except Unsupported as unsupported:
        line, column = place(sql, unsupported.place)
        return (SqlProblem(line, column, unsupported.message, unsupported.remedy),)
    return ()


def rows(sql: str) -> list[tuple[Any, ...]]:
    """The rows of a SELECT that reads no table."""
    return [tuple(map(_value, row)) for row in _engine().run(generated(analyzed(sql, _NO_TABLES).statement, {}))]


def place(sql: str, byte: int | None) -> tuple[int, int]:
    """Line and column, 1-based, of a byte of the statement; (1, 1) where there is none."""
    before = sql.encode()[: byte or 0].decode(errors="ignore")
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _bound(text: str) -> None:
    """Raises `Unsupported` where DuckDB cannot plan a generated statement."""
    import duckdb

    from convergence_assets.warehouse.errors import WarehouseError

    try:
        _engine().run(f"EXPLAIN {text}")
    except (WarehouseError, duckdb.Error) as error:
        raise Unsupported(f"the embedded engine has no plan for it: {error}", "write it with plain joins") from None


@cache
def _engine() -> Engine:
    return Engine(Path(tempfile.mkdtemp(prefix="convergence-answers-")))


def _value(value: Any) -> Any:
    """A BIGNUMERIC as a Decimal, wherever it stands."""
    if isinstance(value, dict):
        if tuple(value) == ("w3", "w2", "w1", "w0"):
            units = (value["w3"] << 192) + (value["w2"] << 128) + (value["w1"] << 64) + value["w0"]
            return Decimal((units < 0, tuple(map(int, str(abs(units)))), -38))
        return {name: _value(held) for name, held in value.items()}
    return [_value(held) for held in value] if isinstance(value, list) else value
