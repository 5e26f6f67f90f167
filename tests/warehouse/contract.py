"""A table of costs that every warehouse adapter is tried on."""

from collections.abc import Callable
from datetime import date
from typing import Any

from convergence_assets.warehouse.interface import Job, Staged, Warehouse
from convergence_assets.warehouse.schema import Column, Query, TableRef, TableSchema

Open = Callable[[], Warehouse]
DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)
TABLE = TableRef("acme", "costs")
SCHEMA = TableSchema(
    columns=(
        Column("day", "DATE", "REQUIRED"),
        Column("name", "STRING"),
        Column("cost", "NUMERIC"),
        Column("labels", "RECORD", "REPEATED", "", (Column("key", "STRING"), Column("value", "STRING"))),
    ),
    partition_column="day",
)
JOB = Job("run-1", {"tenant": "acme"})


def rows(day: date, cost: str, n: int = 2) -> Query:
    return Query(
        f"SELECT @day AS day, CONCAT('n', CAST(i AS STRING)) AS name, NUMERIC '{cost}' AS cost, "
        "[STRUCT('team' AS key, 'a' AS value)] AS labels "
        f"FROM UNNEST([{', '.join(str(i) for i in range(n))}]) AS i",
        {"day": day},
    )


def stage(warehouse: Warehouse, *queries: Query, job: Job = JOB, schema: TableSchema = SCHEMA) -> Staged:
    return warehouse.stage_query(TABLE, schema, queries, job)


def published(
    warehouse: Warehouse, sql: str = "SELECT day, name, cost FROM acme.costs ORDER BY day, name"
) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in warehouse.read(Query(sql), JOB).to_pylist()]
