"""A statement that names its tables in full gets a bare name for each."""

import pytest

from convergence_assets.warehouse.errors import InvalidQuery
from convergence_assets.warehouse.schema import TableRef
from convergence_assets.warehouse.statements import only_reads, shortened


@pytest.mark.parametrize(
    ("sql", "text", "tables"),
    [
        ("SELECT a FROM `acme.t`", "SELECT a FROM `t`", {"t": "acme.t"}),
        ("SELECT t.a FROM acme.t WHERE t.a > 1", "SELECT t.a FROM `t` WHERE t.a > 1", {"t": "acme.t"}),
        ("SELECT q.a FROM `p-x.acme.t` AS q", "SELECT q.a FROM `t` AS q", {"t": "p-x.acme.t"}),
        (
            "SELECT 1 FROM a.t JOIN b.t AS u ON TRUE JOIN b.t ON TRUE",
            "SELECT 1 FROM `t` JOIN `t_` AS u ON TRUE JOIN `t_` AS `t` ON TRUE",
            {"t": "a.t", "t_": "b.t"},
        ),
        ("SELECT 1 FROM `_staging_a.t__3f`", "SELECT 1 FROM `t`", {"t": "_staging_a.t__3f"}),
        (
            "WITH t AS (SELECT 1 AS x) SELECT x FROM a.t JOIN t USING (x)",
            "WITH t AS (SELECT 1 AS x) SELECT x FROM `t_` AS `t` JOIN t USING (x)",
            {"t_": "a.t"},
        ),
        ("SELECT 'a.t' AS x FROM UNNEST([1])", "SELECT 'a.t' AS x FROM UNNEST([1])", {}),
    ],
)
def test_each_table_gets_a_bare_name(sql: str, text: str, tables: dict[str, str]) -> None:
    found = shortened(sql)
    assert found.sql == text
    assert found.tables == {name: TableRef.parse(full) for name, full in tables.items()}


def test_a_place_behind_a_shortened_name_is_that_of_the_original() -> None:
    original = "SELECT a,\n b FROM `p.acme.t` WHERE a >\n  c"
    found = shortened(original)
    for word in ("WHERE", "a >", "c", "b FROM"):
        lines = found.sql[: found.sql.index(word)].split("\n")
        line, column = found.place(len(lines), len(lines[-1]) + 1)
        assert "\n".join(original.split("\n")[line - 1 :])[column - 1 :].startswith(word)


FUNCTION = "CREATE TEMP FUNCTION f(x INT64) AS (x + 1); "


def test_temporary_functions_may_stand_before_a_select() -> None:
    only_reads(f"{FUNCTION}SELECT f(a) AS b FROM d.t; -- done")
    only_reads(
        "CREATE TEMP FUNCTION f(x INT64) AS ((WITH t AS (SELECT x AS y) SELECT MAX(y) FROM t)); SELECT f(1) AS b"
    )
    found = shortened(f"{FUNCTION}SELECT f(a) AS b FROM d.t")
    assert (found.sql, found.tables) == (f"{FUNCTION}SELECT f(a) AS b FROM `t`", {"t": TableRef("d", "t")})


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("CREATE TEMP FUNCTION f() AS ((SELECT MAX(a) FROM d.t)); SELECT f() AS b", "function that reads d.t"),
        # A name in backticks may hold a dot, and is no table with its dataset.
        (
            "CREATE TEMP FUNCTION f() AS ((WITH `d.t` AS (SELECT 1 AS a) SELECT MAX(a) FROM d.t)); SELECT f() AS b",
            "function that reads d.t",
        ),
        (
            "CREATE TEMP FUNCTION f() AS ((WITH t AS (SELECT 1 AS a) SELECT MAX(a) FROM `d.t`)); SELECT f() AS b",
            "function that reads d.t",
        ),
        ("CREATE TEMP TABLE FUNCTION f() AS (SELECT a FROM d.t); SELECT a FROM f()", "statements|function that reads"),
        (
            "CREATE TEMP FUNCTION f() AS ((FROM d.t |> AGGREGATE MAX(a))); SELECT f() AS b",
            "function that reads d.t|SQL|query",
        ),
        ("CREATE FUNCTION d.f(x INT64) AS (x); SELECT 1 AS a", "found 2 statements"),
        ("CREATE TEMP TABLE t AS SELECT 1 AS a; SELECT a FROM t", "found 2 statements"),
        ("SELECT 1 AS a; SELECT 2 AS b", "found 2 statements"),
        (f"{FUNCTION}DELETE FROM d.t WHERE TRUE", "cannot write"),
        (FUNCTION, "cannot write"),
        (";", "found no statement"),
    ],
)
def test_nothing_else_may(sql: str, why: str) -> None:
    with pytest.raises(InvalidQuery, match=why):
        only_reads(sql)
