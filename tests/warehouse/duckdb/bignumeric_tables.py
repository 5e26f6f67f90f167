"""Tables with BIGNUMERIC: `pairs` on a connection, `acme.costs` in a warehouse."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.interface import FileFormat, FileRules, Job, SourceFile
from convergence_assets.warehouse.schema import Column, Query, TableRef, TableSchema
from tests.warehouse.duckdb.bignumeric_numbers import ERROR, D

COLUMNS = {
    "i": "INT64", "a": "BIGNUMERIC", "b": "BIGNUMERIC", "m": "NUMERIC", "f": "FLOAT64", "n": "INT64", "s": "STRING",
}  # fmt: skip
TYPES = {"pairs": {name: Column(name, kind) for name, kind in COLUMNS.items()}}  # type: ignore[arg-type]
NAMES = "abmfns"
Row = tuple[Decimal | None, Decimal | None, Decimal | None, float | None, int | None, str | None]


def fill(connection: duckdb.DuckDBPyConnection, value: Sequence[Row]) -> None:
    connection.execute("DELETE FROM pairs")
    held = [(i, *(format(v, "f") if isinstance(v, Decimal) else v for v in row)) for i, row in enumerate(value)]
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO pairs VALUES (?, bignumeric_from_text(?), bignumeric_from_text(?), ?, ?, ?, ?)", held
    )
    connection.execute("COMMIT")


def answers(connection: duckdb.DuckDBPyConnection, sql: str, count: int) -> dict[int, object]:
    """Answers by row; all rows at once, and one by one where one of them is an error."""
    try:
        return dict(connection.execute(sql).fetchall())
    except duckdb.Error:
        found: dict[int, object] = {}
        for i in range(count):
            try:
                found |= dict(connection.execute(sql.replace("pairs", f"(FROM pairs WHERE i = {i})")).fetchall())
            except duckdb.InvalidInputException:
                found[i] = ERROR
        return found


DAY = date(2026, 3, 1)
TABLE = TableRef("acme", "costs")
MEMBERS = (Column("v", "BIGNUMERIC"), Column("k", "STRING"))
SCHEMA = TableSchema(
    columns=(
        Column("day", "DATE", "REQUIRED"),
        Column("x", "BIGNUMERIC"),
        Column("m", "NUMERIC"),
        Column("r", "RECORD", "REPEATED", "", MEMBERS),
        Column("s", "RECORD", "NULLABLE", "", MEMBERS),
        Column("l", "BIGNUMERIC", "REPEATED"),
    ),
    partition_column="day",
)
JOB = Job("run-1")
ANY_COLUMN = FileRules(optional=frozenset("xmrsl"))
DIGITS = D("-12345678901234567890123456789012345678.12345678901234567890123456789012345678")


def row(x: str, m: str = "NUMERIC '1'", **parameters: Any) -> Query:
    nested = "[STRUCT(BIGNUMERIC '0.5' AS v, 'a' AS k)] AS r, STRUCT(BIGNUMERIC '3' AS v, 'b' AS k) AS s"
    return Query(f"SELECT @day AS day, {x} AS x, {m} AS m, {nested}, [BIGNUMERIC '2'] AS l", {"day": DAY, **parameters})


def read(warehouse: DuckDBWarehouse, sql: str, **parameters: Any) -> list[Any]:
    return [next(iter(r.values())) for r in warehouse.read(Query(sql, parameters), JOB).to_pylist()]


def load(warehouse: DuckDBWarehouse, file: Path, file_format: FileFormat) -> int:
    return warehouse.load_files(TABLE, SCHEMA, [SourceFile(str(file), file_format)], JOB, ANY_COLUMN).rows
