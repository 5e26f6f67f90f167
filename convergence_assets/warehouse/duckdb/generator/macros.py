"""Macros and functions that generated SQL calls, besides those of `numeric` and `functions`: made per connection."""

from typing import TYPE_CHECKING

from convergence_assets.warehouse.duckdb.generator import (
    arrays,
    casting,
    conditions,
    dates,
    json_values,
    lists,
    numbers,
    statistics,
    texts,
)

if TYPE_CHECKING:
    import duckdb

MACROS = tuple(
    m for module in (conditions, numbers, texts, dates, casting, arrays, json_values, lists) for m in module.MACROS
)


def install_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    """Make the macros and functions, for this connection alone."""
    for module in (numbers, texts, json_values, dates, statistics):
        module.install_functions(connection)
    connection.execute("; ".join(f"CREATE OR REPLACE TEMP MACRO {macro}" for macro in MACROS))
