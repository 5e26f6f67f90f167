"""SQL is compared by what BigQuery reads of it."""

import pytest

from convergence_assets.pipelines.sql_content import sql_content

SQL = "SELECT day, SUM(cost) AS total FROM lines WHERE kind = 'a' GROUP BY day"


@pytest.mark.parametrize(
    "same",
    [
        "select day, sum(cost) as total\nfrom lines\nwhere kind = 'a'\ngroup by day;",
        f"-- a comment\n{SQL} /* and\nanother */",
        SQL.replace("'a'", '"a"'),
        SQL.replace("SUM(cost)", "SUM( cost )  # why\n"),
    ],
)
def test_a_comment_a_layout_or_the_case_of_a_keyword_is_no_part_of_it(same: str) -> None:
    assert sql_content(same) == sql_content(SQL)


@pytest.mark.parametrize(
    "other",
    [
        SQL.replace("'a'", "'A'"),
        SQL.replace("'a'", "'-- a'"),
        SQL.replace("'a'", "r'a'"),
        SQL.replace("lines", "LINES"),
        SQL.replace("SUM(cost)", "SUM(-cost)"),
        SQL.replace("SUM(cost)", "SUM(cost /* all */ + 0)"),
        SQL.replace("GROUP BY day", "GROUP BY day, kind"),
    ],
)
def test_a_value_a_name_or_an_operator_is_a_part_of_it(other: str) -> None:
    assert sql_content(other) != sql_content(SQL)


def test_functions_that_a_statement_makes_keep_their_case() -> None:
    own = "CREATE TEMP FUNCTION f(x INT64) AS (x); SELECT f(1)"
    assert sql_content(own) != sql_content(own.replace("SELECT f(1)", "SELECT F(1)"))


def test_text_that_is_no_sql_is_compared_as_it_is() -> None:
    assert sql_content("SELECT 'a") != sql_content("SELECT 'b")
