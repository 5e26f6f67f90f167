"""What every warehouse adapter promises: staged rows, their publication, and the columns of a table."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.errors import JobTimeout, SchemaMismatch, StagingChanged
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Column, Query, TableRef
from tests.warehouse.contract import DAY, JOB, NEXT, SCHEMA, TABLE, Open, published, rows, stage


def test_staged_rows_are_invisible_until_they_are_published(opened: Open) -> None:
    with opened() as warehouse:
        assert warehouse.ensure_table(TABLE, SCHEMA).created
        staged = stage(warehouse, rows(DAY, "1.123456789"), rows(NEXT, "2", n=1))
        assert (staged.rows, staged.rows_per_partition) == (3, {DAY: 2, NEXT: 1})
        assert published(warehouse) == []
        assert warehouse.publish(staged, [DAY], JOB) == 2
        assert published(warehouse) == [(DAY, "n0", Decimal("1.123456789")), (DAY, "n1", Decimal("1.123456789"))]
        warehouse.discard(staged)


def test_a_query_may_make_temporary_functions_before_its_select(tmp_path: Path) -> None:
    """The local BigQuery server plans none."""
    given = rows(DAY, "1.5")
    functions = (
        "CREATE TEMP FUNCTION doubled(x NUMERIC) AS (x * 2);\n"
        "CREATE TEMP FUNCTION shown(x STRING) RETURNS STRING AS (CONCAT('<', x, '>'));\n"
    )
    select = f"SELECT day, shown('a') AS name, doubled(cost) AS cost, labels FROM ({given.sql});"
    with DuckDBWarehouse(tmp_path / "warehouse") as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        staged = stage(warehouse, Query(functions + select, given.parameters))
        warehouse.publish(staged, [DAY], JOB)
        assert published(warehouse) == [(DAY, "<a>", Decimal(3))] * 2


def test_a_null_array_is_kept_as_an_empty_one(opened: Open) -> None:
    nothing = Query(
        "SELECT @day AS day, 'n' AS name, NUMERIC '1' AS cost, CAST(NULL AS ARRAY<STRUCT<key STRING, value STRING>>) AS labels",
        {"day": DAY},
    )
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.publish(stage(warehouse, nothing), [DAY], JOB)
        assert published(warehouse, "SELECT labels FROM acme.costs") == [([],)]


def test_publishing_a_partition_replaces_it_and_no_other(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.publish(stage(warehouse, rows(DAY, "1"), rows(NEXT, "2")), [DAY, NEXT], JOB)
        other = Job("run-2")
        warehouse.publish(stage(warehouse, rows(DAY, "5", n=1), job=other), [DAY], other)
        assert [r[2] for r in published(warehouse)] == [Decimal(5), Decimal(2), Decimal(2)]


def test_publishing_an_empty_partition_empties_it(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.publish(stage(warehouse, rows(DAY, "1"), rows(NEXT, "2")), [DAY, NEXT], JOB)
        warehouse.publish(stage(warehouse, rows(NEXT, "2")), [DAY], JOB)
        assert {r[0] for r in published(warehouse)} == {NEXT}


def test_rows_that_were_staged_again_cannot_be_published_as_the_validated_ones(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        validated = stage(warehouse, rows(DAY, "1"))
        stage(warehouse, rows(DAY, "999"))
        with pytest.raises(StagingChanged):
            warehouse.publish(validated, [DAY], JOB)
        assert published(warehouse) == []


def test_a_new_nullable_column_is_added_and_old_rows_have_null_in_it(opened: Open) -> None:
    wider = replace(SCHEMA, columns=(*SCHEMA.columns, Column("team", "STRING")))
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.publish(stage(warehouse, rows(DAY, "1", n=1)), [DAY], JOB)
        assert warehouse.ensure_table(TABLE, wider).added == ("team",)
        assert warehouse.ensure_table(TABLE, wider).added == ()
        assert published(warehouse, "SELECT name, team FROM acme.costs") == [("n0", None)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (SCHEMA.columns[:-1], "labels is in the table and no longer declared"),
        ((*SCHEMA.columns[:2], Column("cost", "FLOAT64"), SCHEMA.columns[3]), "cost is NUMERIC NULLABLE in the table and FLOAT64"),
        ((*SCHEMA.columns[:2], Column("cost", "NUMERIC", "REQUIRED"), SCHEMA.columns[3]), "NUMERIC REQUIRED as declared"),
        ((*SCHEMA.columns, Column("new", "STRING", "REQUIRED")), "new and REQUIRED"),
    ],
)  # fmt: skip
def test_a_change_that_is_not_additive_is_refused_and_writes_nothing(
    opened: Open, columns: tuple[Column, ...], message: str
) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.publish(stage(warehouse, rows(DAY, "1")), [DAY], JOB)
        before = published(warehouse)
        with pytest.raises(SchemaMismatch, match=message):
            warehouse.ensure_table(TABLE, replace(SCHEMA, columns=columns))
        assert published(warehouse) == before


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT @day AS day, 'a' AS name, NUMERIC '1' AS cost", "labels is declared and the SQL does not give it"),
        (rows(DAY, "1").sql.replace("SELECT", "SELECT 1 AS extra,", 1), "extra is given by the SQL and not declared"),
        (rows(DAY, "1").sql.replace("NUMERIC '1'", "'1'"), "cost is declared NUMERIC and the SQL gives"),
        (rows(DAY, "1").sql.replace("@day AS day", "CAST(NULL AS DATE) AS day"), "REQUIRED"),
    ],
)
def test_rows_that_do_not_fit_the_declared_columns_are_refused(opened: Open, sql: str, message: str) -> None:
    with opened() as warehouse, pytest.raises(SchemaMismatch, match=message):
        stage(warehouse, Query(sql, {"day": DAY} if "@day" in sql else {}))


def test_a_long_read_of_one_dataset_does_not_hold_another_ones_publish(opened: Open) -> None:
    numbers = "SELECT i FROM UNNEST(GENERATE_DATE_ARRAY(DATE '1900-01-01', DATE '2100-01-01')) AS i"
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.ensure_table(TableRef("globex", "costs"), SCHEMA)
    slow = (
        f"SELECT COUNT(*) AS n FROM acme.costs CROSS JOIN ({numbers}) AS a CROSS JOIN ({numbers}) AS b "
        f"CROSS JOIN ({numbers}) AS c RIGHT JOIN ({numbers}) AS d ON a.i < d.i AND b.i < c.i"
    )
    with reading(opened, slow), opened() as warehouse:
        began = time.monotonic()
        staged = warehouse.stage_query(TableRef("globex", "costs"), SCHEMA, [rows(DAY, "1")], Job("run-9"))
        warehouse.publish(staged, [DAY], Job("run-9"))
        assert time.monotonic() - began < 10


@contextmanager
def reading(opened: Open, sql: str) -> Iterator[None]:
    """A thread that reads until the block ends."""
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            with opened() as warehouse:
                try:
                    warehouse.read(Query(sql), Job("reader", timeout_seconds=3))
                except JobTimeout:
                    return

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
