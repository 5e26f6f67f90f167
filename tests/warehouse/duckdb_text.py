"""DuckDB's text of a statement, as the load works it out."""

import re
from collections.abc import Mapping

from convergence_assets.warehouse.duckdb.outcomes import outcome
from convergence_assets.warehouse.duckdb.sql_problems import UnportableSQL
from convergence_assets.warehouse.schema import Column


def duckdb_text(
    sql: str, types: Mapping[str, Mapping[str, Column]] | None = None, parameters: Mapping[str, str] | None = None
) -> str:
    """`types` are columns by table, `parameters` types by name, STRING where none is given. Raises `UnportableSQL`."""
    tables = {name: tuple(columns.values()) for name, columns in (types or {}).items()}
    typed = {name: (parameters or {}).get(name, "STRING") for name in re.findall(r"@(\w+)", sql)}
    found = outcome(sql, tables, typed, keep=False)
    if problems := found.refusals + found.unsupported:
        raise UnportableSQL(problems)
    return found.over({name.lower(): name for name in tables})
