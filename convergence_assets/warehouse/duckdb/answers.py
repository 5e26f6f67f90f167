"""The load's refusals of a statement, and its rows on the embedded engine: for probes and tests."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from convergence_assets.warehouse.duckdb import bignumeric_encoding
from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.outcomes import outcome
from convergence_assets.warehouse.duckdb.sql_problems import SqlProblem, UnportableSQL


def refusals(sql: str) -> tuple[SqlProblem, ...]:
    """Why a SELECT that reads no table is refused at load; empty where it runs."""
    result = outcome(sql, {}, {}, keep=False)
    return result.refusals + result.unsupported


def rows(sql: str) -> list[tuple[Any, ...]]:
    """The rows of a SELECT that reads no table; raises `UnportableSQL` for one that is refused."""
    result = outcome(sql, {}, {}, keep=False)
    if problems := result.refusals + result.unsupported:
        raise UnportableSQL(problems)
    return [tuple(map(_value, row)) for row in _engine().run(result.text)]


@cache
def _engine() -> Engine:
    return Engine(Path(tempfile.mkdtemp(prefix="convergence-answers-")))


def _value(value: Any) -> Any:
    """A value with each BIGNUMERIC as a Decimal, also in arrays and structs."""
    if isinstance(value, dict):
        if tuple(value) == bignumeric_encoding.WORDS:
            return bignumeric_encoding.decimal_of(
                (value["w3"] << 192) + (value["w2"] << 128) + (value["w1"] << 64) + value["w0"]
            )
        return {name: _value(item) for name, item in value.items()}
    return [_value(item) for item in value] if isinstance(value, list) else value
