"""What the load says of a statement, and the rows that the embedded engine gives for it: for probes and tests."""

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
    found = outcome(sql, {}, {}, keep=False)
    return found.refusals + found.unsupported


def rows(sql: str) -> list[tuple[Any, ...]]:
    """The rows of a SELECT that reads no table; raises `UnportableSQL` for one that is refused."""
    found = outcome(sql, {}, {}, keep=False)
    if problems := found.refusals + found.unsupported:
        raise UnportableSQL(problems)
    return [tuple(map(_value, row)) for row in _engine().run(found.text)]


@cache
def _engine() -> Engine:
    return Engine(Path(tempfile.mkdtemp(prefix="convergence-answers-")))


def _value(value: Any) -> Any:
    """A BIGNUMERIC as a Decimal, wherever it stands."""
    if isinstance(value, dict):
        if tuple(value) == bignumeric_encoding.WORDS:
            return bignumeric_encoding.decimal_of(
                (value["w3"] << 192) + (value["w2"] << 128) + (value["w1"] << 64) + value["w0"]
            )
        return {name: _value(held) for name, held in value.items()}
    return [_value(held) for held in value] if isinstance(value, list) else value
