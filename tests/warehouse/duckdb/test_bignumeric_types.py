"""BIGNUMERIC beside other types: literals, what is brought to it, and what is refused."""

from decimal import Decimal

import duckdb
import pytest

from convergence_assets.warehouse.duckdb.sql_problems import UnportableSQL
from tests.warehouse.duckdb.bignumeric_numbers import D
from tests.warehouse.duckdb.bignumeric_tables import TYPES, fill
from tests.warehouse.duckdb_text import duckdb_text


@pytest.mark.parametrize(
    "literal", ["BIGNUMERIC '{}'", "BIGDECIMAL '{}'", "CAST('{}' AS BIGNUMERIC)", "CAST({} AS BIGNUMERIC)"]
)
def test_literals_keep_all_38_decimals(connection: duckdb.DuckDBPyConnection, literal: str) -> None:
    digits = "-12345678901234567890123456789012345678.12345678901234567890123456789012345678"
    sql = f"SELECT CAST({literal.format(digits)} AS STRING) AS x"
    assert connection.execute(duckdb_text(sql)).fetchall() == [(digits,)]


NOT_SQL = {
    "SELECT\n  LENGTH(a) AS x FROM pairs": "No matching signature for function LENGTH for argument types: BIGNUMERIC",
    "SELECT\n  STRING_AGG(a ORDER BY i) AS x FROM pairs": "No matching signature for aggregate function STRING_AGG",
    "SELECT\n  a LIKE '1%' AS x FROM pairs": "No matching signature for operator LIKE for argument types: BIGNUMERIC",
    "SELECT\n  CAST(a AS DATE) AS x FROM pairs": "Invalid cast from BIGNUMERIC to DATE",
    "SELECT\n  a = s AS x FROM pairs": "No matching signature for operator = for argument types: BIGNUMERIC, STRING",
}
NO_FORM = {
    "SELECT\n  ROUND(a, 1, 'ROUND_HALF_EVEN') AS x FROM pairs": "ROUND(BIGNUMERIC, INT64, ENUM) has no form",
    "SELECT\n  CAST(a AS STRING FORMAT '9.99') AS x FROM pairs": "CAST of BIGNUMERIC AS STRING with FORMAT has no form",
}


@pytest.mark.parametrize("sql", NOT_SQL)
def test_what_bigquery_refuses_is_refused_at_its_position_in_its_words(sql: str) -> None:
    with pytest.raises(UnportableSQL) as raised:
        duckdb_text(sql, TYPES)
    (problem,) = raised.value.problems
    assert problem.line == 2
    assert problem.message.startswith(NOT_SQL[sql])
    assert problem.remedy == ""


@pytest.mark.parametrize("sql", NO_FORM)
def test_what_has_no_exact_form_is_refused_at_its_position_with_a_remedy(sql: str) -> None:
    with pytest.raises(UnportableSQL) as raised:
        duckdb_text(sql, TYPES)
    (problem,) = raised.value.problems
    assert problem.line == 2
    assert problem.message.startswith(NO_FORM[sql])
    assert problem.remedy


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("a > 1.5", False),
        ("a IN (1, -1.5, 1.25)", True),
        ("CAST(a * 1.5 AS STRING)", "1.875"),
        ("CAST(a + @p AS STRING)", "1.35"),
        ("CAST(COALESCE(b, @p) AS STRING)", "0.1"),
        ("CAST(ARRAY<BIGNUMERIC>[1, m, 1.5][OFFSET(1)] AS STRING)", "7.000000001"),
        ("CAST(a AS NUMERIC) * 2", D("2.5")),
        ("CAST(CAST(a AS BIGNUMERIC) * 2 AS STRING)", "2.5"),
        ("CAST(a AS FLOAT64) * 2", 2.5),
        ("CAST(a AS STRING)", "1.25"),
        ("CAST(a AS INT64)", 1),
    ],
)
@pytest.mark.parametrize("of", ["pairs", "(SELECT CAST(a AS NUMERIC) AS a, b, m FROM pairs)"])
def test_another_type_beside_it_is_brought_to_bignumeric(
    connection: duckdb.DuckDBPyConnection, expression: str, answer: object, of: str
) -> None:
    fill(connection, [(D("1.25"), None, D("7.000000001"), None, None, None)])
    query = duckdb_text(f"SELECT {expression} AS x FROM {of}", TYPES, {"p": "NUMERIC"})
    bound = {"p": D("0.1")} if "@p" in expression else {}
    assert connection.execute(query, bound).fetchall() == [(answer,)]


@pytest.mark.parametrize(("expression", "expected"), [("a * 2", [(D("2.5"),)] * 2), ("SUM(a)", [(D("2.5"),)])])
def test_a_name_that_hides_a_bignumeric_has_its_own_type(
    connection: duckdb.DuckDBPyConnection, expression: str, expected: list[tuple[Decimal]]
) -> None:
    fill(connection, [(D("1.25"), None, None, None, None, None)] * 2)
    sql = f"WITH q AS (SELECT CAST(a AS NUMERIC) AS a FROM pairs) SELECT {expression} AS x FROM q"
    assert connection.execute(duckdb_text(sql, TYPES)).fetchall() == expected


def test_a_union_brings_its_branches_to_bignumeric(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, [(D("1e-38"), None, D("1.5"), None, 7, None)])
    sql = (
        "WITH q AS (SELECT n, 1 AS o FROM pairs UNION ALL SELECT m, 2 FROM pairs UNION ALL SELECT a, 3 FROM pairs "
        "UNION ALL SELECT NULL, 4) SELECT CAST(CAST(n AS BIGNUMERIC) AS STRING) AS t FROM q ORDER BY o"
    )
    found = connection.execute(duckdb_text(sql, TYPES)).fetchall()
    assert found == [("7",), ("1.5",), ("0." + "0" * 37 + "1",), (None,)]
