"""Checks a SELECT's columns against its table's declaration."""

import re
from collections.abc import Mapping
from datetime import date

from convergence_assets.warehouse.duckdb import bignumeric_encoding
from convergence_assets.warehouse.duckdb.column_types import duckdb_type
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.errors import SchemaMismatch
from convergence_assets.warehouse.schema import Column, TableRef, TableSchema

# BigQuery coerces these into a wider column without loss; an engine's SUM over integers is a HUGEINT.
_WIDENS = {
    "BIGINT": ("INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "UINTEGER", "UBIGINT"),
    "DOUBLE": ("BIGINT", "INTEGER", "HUGEINT", "FLOAT"),
    "DECIMAL(38,9)": ("BIGINT", "INTEGER", "HUGEINT"),
    bignumeric_encoding.TYPE: ("BIGINT", "INTEGER", "HUGEINT"),
}


def check_output(table: TableRef, schema: TableSchema, output: Mapping[str, str]) -> None:
    """Raises `SchemaMismatch` naming each column that is missing, not declared or of another type."""
    output_kinds = {name.lower(): kind for name, kind in output.items()}
    wrong: list[str] = []
    for column in schema.columns:
        kind = output_kinds.pop(column.name.lower(), None)
        if kind is None:
            wrong.append(f"column {column.name} is declared and the SQL does not give it")
        elif not _fits(kind, duckdb_type(column)):
            wrong.append(f"column {column.name} is declared {column.type} and the SQL gives {spelled(kind)}")
    wrong += [f"column {name} is given by the SQL and not declared" for name in output_kinds]
    if wrong:
        raise SchemaMismatch(f"table {table}: " + "; ".join(wrong))


def inserted(schema: TableSchema, output: Mapping[str, str]) -> str:
    """The SELECT list that gives each declared column from a checked output as BigQuery stores it.

    A narrower number becomes BIGNUMERIC, a NULL array an empty one.
    """
    output_kinds = {name.lower(): kind for name, kind in output.items()}
    return ", ".join(_inserted(column, output_kinds[column.name.lower()]) for column in schema.columns)


def _inserted(column: Column, kind: str) -> str:
    if column.mode == "REPEATED":
        return f"coalesce({quoted(column.name)}, [])"
    if duckdb_type(column) == bignumeric_encoding.TYPE != kind:
        return f"bq_bignumeric_numeric({quoted(column.name)})"
    return quoted(column.name)


def spelled(kind: str) -> str:
    """A DuckDB type as a reader knows it."""
    return kind.replace(bignumeric_encoding.TYPE, "BIGNUMERIC")


def partition_literal(day: date) -> str:
    """A date as a DuckDB literal; it compares with DATE and TIMESTAMP columns alike."""
    return f"DATE '{day.isoformat()}'"


def _fits(actual: str, declared: str) -> bool:
    if normal(actual) == normal(declared):
        return True
    scaled = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", actual)
    declared_decimal = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", declared)
    if scaled and declared == bignumeric_encoding.TYPE:
        return True
    if scaled and declared_decimal:
        return int(scaled[2]) <= int(declared_decimal[2])
    return actual in _WIDENS.get(declared, ()) or (bool(declared_decimal) and actual in _WIDENS["DECIMAL(38,9)"])


def normal(kind: str) -> str:
    """A type's name less what DuckDB spells now so, now so: spaces, quotes, an alias."""
    return re.sub(r'\s+|"', "", kind).replace("TIMESTAMPTZ", "TIMESTAMPWITHTIMEZONE").upper()
