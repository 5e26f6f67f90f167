"""MAX_BY and MIN_BY, which are BigQuery's alone: the reference implementation does not evaluate them."""

from convergence_assets.warehouse.duckdb import answers

ROWS = "UNNEST([STRUCT('a' AS g, 'p' AS x, 1 AS y), ('a', 'q', 3), ('a', 'r', NULL), ('b', NULL, 5), ('b', 's', 4)])"


def test_the_value_of_the_row_with_the_largest_other_value_is_given() -> None:
    assert answers.rows(f"SELECT MAX_BY(x, y), MIN_BY(x, y), COUNT(*) FROM {ROWS} WHERE g = 'a'") == [("q", "p", 3)]


def test_a_value_that_is_null_is_given_too() -> None:
    found = answers.rows(f"SELECT g, MAX_BY(x, y), MIN_BY(x, y) FROM {ROWS} GROUP BY g ORDER BY g")
    assert found == [("a", "q", "p"), ("b", None, "s")]


def test_rows_without_any_other_value_give_null() -> None:
    assert answers.rows(f"SELECT MAX_BY(x, y) FROM {ROWS} WHERE y IS NULL") == [(None,)]


def test_a_column_of_the_name_that_the_extreme_value_has_is_another() -> None:
    sql = "SELECT MAX_BY(extreme, y) AS a, MIN_BY(extreme, y) AS b FROM (SELECT 7 AS extreme, y FROM UNNEST([1.5, 2.5]) AS y)"
    assert answers.rows(sql) == [(7, 7)]
