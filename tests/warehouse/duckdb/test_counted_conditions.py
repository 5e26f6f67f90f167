"""COUNTIF counts to nothing where no row is TRUE or FALSE, and numbers may begin with zeros, as on BigQuery."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence_assets.warehouse.duckdb.numeric import install_functions
from convergence_assets.warehouse.schema import Column
from tests.examples import examples
from tests.warehouse.duckdb_text import duckdb_text

ROWS: tuple[tuple[str, list[tuple[Any, ...]]], ...] = (
    ("SELECT COUNTIF(x > 1) FROM UNNEST([1]) AS x WHERE x > 5", [(0,)]),
    ("SELECT COUNTIF(x) FROM UNNEST([CAST(NULL AS BOOL), NULL]) AS x", [(0,)]),
    ("SELECT COUNTIF(DISTINCT x > 1) FROM UNNEST([1, 2, 3, NULL]) AS x", [(1,)]),
    ("SELECT COUNTIF(DISTINCT x > 1) FROM UNNEST([1, NULL]) AS x", [(0,)]),
    (
        "SELECT g, COUNTIF(x = 1) FROM (SELECT 'a' AS g, 1 AS x UNION ALL SELECT 'b', NULL) GROUP BY g ORDER BY g",
        [("a", 1), ("b", 0)],
    ),
    (
        "SELECT x, COUNTIF(x = 1) OVER (ORDER BY x ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING)"
        " FROM UNNEST([1, 2, 3]) AS x ORDER BY x",
        [(1, 0), (2, 1), (3, 1)],
    ),
    ("SELECT COUNTIF(x > 9) + 1, COUNTIF(x > 9) = 0 FROM UNNEST([1]) AS x WHERE x > 5", [(1, True)]),
    ("SELECT s.n FROM (SELECT STRUCT(COUNTIF(x > 9) AS n) AS s FROM UNNEST([1]) AS x WHERE x > 5)", [(0,)]),
    ("SELECT x FROM UNNEST([1, 2]) AS x GROUP BY x HAVING COUNTIF(x > 1) = 0", [(1,)]),
    ("SELECT 01, 007 + 1, -08, 00", [(1, 8, -8, 0)]),
    ("SELECT DIV(010, 03), CAST(01 AS NUMERIC) = 1, [5, 6][SAFE_OFFSET(01)], SUBSTR('abc', 02)", [(3, True, 6, "bc")]),
    ("SELECT x FROM UNNEST([3, 4]) AS x GROUP BY 01 ORDER BY 01 LIMIT 01", [(3,)]),
)


COUNTED = duckdb_text(
    "SELECT g, COUNTIF(b) FROM rows_of GROUP BY g", {"rows_of": {"g": Column("g", "INT64"), "b": Column("b", "BOOL")}}
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        install_functions(opened)
        opened.execute("CREATE TABLE rows_of (g BIGINT, b BOOLEAN)")
        yield opened


@pytest.mark.parametrize(("sql", "rows"), ROWS, ids=[sql for sql, _ in ROWS])
def test_the_select_answers_as_on_bigquery(
    connection: duckdb.DuckDBPyConnection, sql: str, rows: list[tuple[Any, ...]]
) -> None:
    assert connection.execute(duckdb_text(sql)).fetchall() == rows


@pytest.mark.property
@settings(max_examples=examples(4), deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 2), st.none() | st.booleans()), max_size=8))
def test_a_group_counts_its_true_rows(
    connection: duckdb.DuckDBPyConnection, rows: list[tuple[int, bool | None]]
) -> None:
    every = [(9, None), *rows]
    connection.execute("DELETE FROM rows_of")
    connection.executemany("INSERT INTO rows_of VALUES (?, ?)", every)
    expected = {g: sum(b is True for h, b in every if h == g) for g, _ in every}
    assert dict(connection.execute(COUNTED).fetchall()) == expected


def test_a_number_with_leading_zeros_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid integer literal"):
        duckdb_text("SELECT 00009223372036854775808")
