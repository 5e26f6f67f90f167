"""A subquery over a row's own array answers the same as a list function as it does as a subquery."""

from collections.abc import Iterator
from decimal import Decimal

import duckdb
import pytest

from convergence_assets.warehouse.duckdb.numeric import install_functions
from convergence_assets.warehouse.schema import Column
from tests.warehouse.duckdb_text import duckdb_text

_MEMBERS = (Column("amount", "FLOAT64"), Column("kind", "STRING"), Column("n", "INT64"))
TYPES = {"t": {"i": Column("i", "INT64"), "items": Column("items", "RECORD", "REPEATED", "", _MEMBERS)}}
_ROWS = (
    "[{'amount': -0.1, 'kind': 'b', 'n': 1}, {'amount': -0.2, 'kind': 'a', 'n': 2}, {'amount': 5.0, 'kind': NULL, 'n': NULL}]",
    "[{'amount': NULL, 'kind': 'a', 'n': NULL}]",
    "[{'amount': 0.0009765625, 'kind': 'é', 'n': 3}, {'amount': 7.0, 'kind': 'a', 'n': -3}]",
    "[]",
    "NULL",
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        install_functions(opened)
        opened.execute("CREATE TABLE t (i BIGINT, items STRUCT(amount DOUBLE, kind VARCHAR, n BIGINT)[])")
        for i, items in enumerate(_ROWS):
            opened.execute(f"INSERT INTO t VALUES ({i}, {items})")
        yield opened


def answers(connection: duckdb.DuckDBPyConnection, sql: str) -> list[object]:
    return [row[0] for row in connection.execute(f"{duckdb_text(sql, TYPES)} ORDER BY i").fetchall()]


@pytest.mark.parametrize(
    ("subquery", "expected"),
    [
        ("(SELECT SUM(CAST(x.amount AS NUMERIC)) FROM UNNEST(items) AS x)", ["4.7", None, "7.000976563", None, None]),
        ("(SELECT SUM(x.n) FROM UNNEST(items) AS x WHERE x.kind = 'a')", [2, None, -3, None, None]),
        ("(SELECT SUM(x.n) + COUNT(*) FROM UNNEST(items) AS x)", [6, None, 2, None, None]),
        ("(SELECT COUNT(*) FROM UNNEST(items) AS x)", [3, 1, 2, 0, 0]),
        ("(SELECT COUNT(x.n) FROM UNNEST(items) AS x WHERE x.kind = 'a')", [1, 0, 1, 0, 0]),
        ("(SELECT MIN(x.kind) FROM UNNEST(items) AS x)", ["a", "a", "a", None, None]),
        ("(SELECT MAX(CONCAT(x.kind, '!')) FROM UNNEST(items) AS x WHERE x.n > i)", ["b!", None, "é!", None, None]),
        ("ARRAY(SELECT x.kind FROM UNNEST(items) AS x WHERE x.n > 0)", [["b", "a"], [], ["é"], [], []]),
        ("ARRAY(SELECT x.kind AS k FROM UNNEST(items) AS x ORDER BY k)", [[None, "a", "b"], ["a"], ["a", "é"], [], []]),
        (
            "ARRAY(SELECT x.kind AS k FROM UNNEST(items) AS x ORDER BY k DESC)",
            [["b", "a", None], ["a"], ["é", "a"], [], []],
        ),
    ],
)
def test_a_subquery_over_an_array_becomes_a_list_function(
    connection: duckdb.DuckDBPyConnection, subquery: str, expected: list[object]
) -> None:
    sql = f"SELECT {subquery} AS answer, i FROM t"
    assert "unnest(" not in duckdb_text(sql, TYPES).lower()
    expected_items = [Decimal(e) if isinstance(e, str) and e[0].isdigit() else e for e in expected]
    assert answers(connection, sql) == expected_items


@pytest.mark.parametrize(
    ("subquery", "expected"),
    [
        ("(SELECT COUNT(DISTINCT x.kind) FROM UNNEST(items) AS x)", [2, 1, 2, 0, 0]),
        (
            "(SELECT STRING_AGG(x.kind, ',' ORDER BY x.kind) FROM UNNEST(items) AS x)",
            ["a,b", "a", "a,é", None, None],
        ),
        ("(SELECT SUM(x.n) FROM UNNEST(items) AS x WHERE x.n IN (SELECT i FROM t))", [3, None, 3, None, None]),
        ("(SELECT SUM(x.n) FROM UNNEST(items) AS x HAVING COUNT(*) > 1)", [3, None, 0, None, None]),
        ("(SELECT SUM(x.n) FROM UNNEST(items) AS x, UNNEST([1, 2]) AS y)", [6, None, 0, None, None]),
        ("ARRAY(SELECT x.kind FROM UNNEST(items) AS x ORDER BY x.n)", [[None, "b", "a"], ["a"], ["a", "é"], [], []]),
    ],
)
def test_a_subquery_that_is_no_plain_one_stays(
    connection: duckdb.DuckDBPyConnection, subquery: str, expected: list[object]
) -> None:
    sql = f"SELECT {subquery} AS answer, i FROM t"
    assert "unnest(" in duckdb_text(sql, TYPES).lower()
    assert answers(connection, sql) == expected
