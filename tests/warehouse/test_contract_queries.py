"""What every warehouse adapter promises: the answers to queries, and what is refused."""

import time
from pathlib import Path

import pytest

from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.errors import InvalidQuery, JobTimeout, NotFound
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Query
from tests.warehouse.contract import JOB, SCHEMA, TABLE, Open, published


def test_a_table_that_does_not_exist_is_named_with_the_nearest(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        with pytest.raises(NotFound, match=r"acme.cost does not exist; did you mean costs\?"):
            published(warehouse, "SELECT 1 AS one FROM acme.cost")
        with pytest.raises(NotFound, match="dataset nobody does not exist"):
            published(warehouse, "SELECT 1 AS one FROM nobody.costs")


def test_a_wrong_query_says_where(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        with pytest.raises(InvalidQuery) as caught:
            published(warehouse, "SELECT\n  day,\n  coost\nFROM acme.costs")
        assert (caught.value.line, caught.value.column) == (3, 3)
        with pytest.raises(InvalidQuery, match="line 1"):
            published(warehouse, "SELECT FROM WHERE")


@pytest.mark.parametrize("sql", ["DROP TABLE acme.costs", "DELETE FROM acme.costs WHERE TRUE", "SELECT 1; SELECT 2"])
def test_a_query_cannot_write(opened: Open, sql: str) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        with pytest.raises(InvalidQuery):
            warehouse.read(Query(sql), JOB)
        assert published(warehouse) == []


def test_a_column_without_a_name_is_called_f0_and_the_next_one_f1_(opened: Open) -> None:
    sql = "SELECT COUNT(*), x.a, MAX(x.a) + 1, x.a AS named FROM (SELECT 1 AS a) AS x GROUP BY x.a UNION ALL SELECT 1, 2, 3, 4"
    with opened() as warehouse:
        assert warehouse.read(Query(sql), JOB).column_names == ["f0_", "a", "f1_", "named"]


VALUES = {
    "INT64": "-7", "NUMERIC": "NUMERIC '1.5'", "BIGNUMERIC": "BIGNUMERIC '-0.25'", "FLOAT64": "0.1", "BOOL": "TRUE",
    "DATE": "DATE '2026-03-01'", "DATETIME": "DATETIME '2026-03-01 05:00:00.120'", "TIME": "TIME '05:00:00'",
    "TIMESTAMP": "TIMESTAMP '2026-03-01 05:00:00+00'", "STRING": "'ä'", "BYTES": "CAST('a' AS BYTES)",
    "RECORD": "STRUCT(COUNT(*) AS n, MAX(TIMESTAMP '2026-03-01 05:00:00+00') AS newest)",
    "RECORD with BIGNUMERIC": "STRUCT(NUMERIC '2' AS cost, BIGNUMERIC '3' AS exact)",
    "RECORD of a sum": "STRUCT(COUNTIF(i > 2) AS n)", "NULL": "CAST(NULL AS TIMESTAMP)",
    "REPEATED": "[1, 2]", "REPEATED NUMERIC": "[NUMERIC '1.5']", "AGGREGATE": "SUM(i)", "COUNT": "COUNT(*)",
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES)
def test_rows_have_the_values_that_the_same_query_has_as_arrow(opened: Open, kind: str) -> None:
    query = Query(f"SELECT i, {VALUES[kind]} AS value FROM UNNEST([2, 3]) AS i GROUP BY i ORDER BY i")
    with opened() as warehouse:
        found, arrow = warehouse.rows(query, JOB), warehouse.read(query, JOB).to_pylist()
    assert found == arrow
    assert [str(row["value"]) for row in found] == [str(row["value"]) for row in arrow]
    assert [row["i"] for row in found] == [2, 3]


def test_an_answer_without_rows_has_none(opened: Open) -> None:
    with opened() as warehouse:
        assert list(warehouse.rows(Query("SELECT i FROM UNNEST([1]) AS i WHERE i > 1"), JOB)) == []


def test_the_embedded_warehouse_gives_no_moment_that_bigquery_does_not_have(tmp_path: Path) -> None:
    late = "TIMESTAMP_ADD(TIMESTAMP '9999-12-31 23:59:59+00', INTERVAL 10 DAY)"
    with (
        DuckDBWarehouse(tmp_path) as warehouse,
        pytest.raises(InvalidQuery, match="TIMESTAMP out of range: 10000-01-10"),
    ):
        warehouse.rows(Query(f"SELECT {late} AS late"), JOB)


def test_a_statement_that_runs_too_long_is_cancelled(opened: Open) -> None:
    numbers = "SELECT i FROM UNNEST(GENERATE_DATE_ARRAY(DATE '1900-01-01', DATE '2100-01-01')) AS i"
    sql = f"SELECT COUNT(*) AS n FROM ({numbers}) AS a CROSS JOIN ({numbers}) AS b CROSS JOIN ({numbers}) AS c"
    with opened() as warehouse:
        began = time.monotonic()
        with pytest.raises(JobTimeout):
            warehouse.read(Query(sql), Job("slow", timeout_seconds=0.5))
        assert time.monotonic() - began < 20
        assert warehouse.read(Query("SELECT 1 AS one"), JOB).to_pylist() == [{"one": 1}]
