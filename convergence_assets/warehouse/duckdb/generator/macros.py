"""Macros and functions that generated SQL calls, besides those of `numeric` and `functions`: made per connection."""

from typing import TYPE_CHECKING

from convergence_assets.warehouse.duckdb.generator import (
    array_subqueries,
    arrays,
    casting,
    conditions,
    dates,
    json_values,
    numbers,
    statistics,
    string_functions,
)

if TYPE_CHECKING:
    import duckdb

MACROS = tuple(
    m
    for module in (conditions, numbers, string_functions, dates, casting, arrays, json_values, array_subqueries)
    for m in module.MACROS
)


def install_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    """Make the macros and functions, for this connection alone."""
    for module in (numbers, string_functions, json_values, dates, statistics):
        module.install_functions(connection)
    connection.execute("; ".join(f"CREATE OR REPLACE TEMP MACRO {macro}" for macro in MACROS))
