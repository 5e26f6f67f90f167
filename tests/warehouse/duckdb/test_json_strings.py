"""TO_JSON_STRING escapes a STRING as BigQuery does, whatever the text holds."""

import json
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence_assets.warehouse.duckdb.numeric import install_functions
from convergence_assets.warehouse.duckdb.sql_problems import UnportableSQL
from tests.examples import examples
from tests.warehouse.duckdb_text import duckdb_text

ASKED = duckdb_text("SELECT TO_JSON_STRING(@text)")
NESTED = duckdb_text("SELECT TO_JSON_STRING(STRUCT([@one, @other] AS a, @one AS b))")
SPECIAL = ["\\", '"', "/", "\x7f", "\u2028", "\u2029", "\\u001A", "é", "\U0001f600", *map(chr, range(0x20))]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    made = duckdb.connect()
    install_functions(made)
    yield made
    made.close()


def on_bigquery(text: str) -> str:
    """As zetasql's JsonEscapeString has it."""
    return json.dumps(text, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@pytest.mark.property
@settings(max_examples=examples(100), deadline=None)
@given(text=st.lists(st.sampled_from(SPECIAL) | st.text(max_size=3), max_size=6).map("".join))
def test_a_text_is_escaped_as_on_bigquery(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert connection.execute(ASKED, {"text": text}).fetchall() == [(on_bigquery(text),)]


def test_every_control_character_is_escaped(connection: duckdb.DuckDBPyConnection) -> None:
    for text in SPECIAL:
        assert connection.execute(ASKED, {"text": f"a{text}b"}).fetchall() == [(on_bigquery(f"a{text}b"),)], repr(text)


def test_null_is_the_word_null(connection: duckdb.DuckDBPyConnection) -> None:
    for value in ("NULL", "CAST(NULL AS STRING)", "IF(LENGTH(@text) > 5, 'a', NULL)"):
        sql = duckdb_text(f"SELECT TO_JSON_STRING({value})")
        assert connection.execute(sql, {"text": "a"} if "@text" in value else {}).fetchall() == [("null",)]


@pytest.mark.property
@settings(max_examples=examples(20), deadline=None)
@given(one=st.sampled_from(SPECIAL) | st.text(max_size=3), other=st.text(max_size=3))
def test_a_text_within_an_array_or_a_struct_is_escaped_alike(
    connection: duckdb.DuckDBPyConnection, one: str, other: str
) -> None:
    first, second = on_bigquery(one), on_bigquery(other)
    whole = f'{{"a":[{first},{second}],"b":{first}}}'
    assert connection.execute(NESTED, {"one": one, "other": other}).fetchall() == [(whole,)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1", "1"),
        ("9007199254740993", '"9007199254740993"'),
        ("TRUE", "true"),
        ("[1, NULL]", "[1,null]"),
        ("STRUCT(1 AS a, 'x' AS b)", '{"a":1,"b":"x"}'),
        ("DATE '2026-01-01'", '"2026-01-01"'),
        ("TIMESTAMP '2026-01-01'", '"2026-01-01T00:00:00Z"'),
        ("NUMERIC '15'", "15"),
        ("NUMERIC '1.5'", '"1.5"'),
    ],
)
def test_other_types_are_written_as_on_bigquery(connection: duckdb.DuckDBPyConnection, value: str, text: str) -> None:
    for sql in (
        f"SELECT TO_JSON_STRING({value})",
        f"SELECT TO_JSON_STRING(x.v) FROM UNNEST([STRUCT({value} AS v)]) AS x",
    ):
        assert connection.execute(duckdb_text(sql)).fetchall() == [(text,)]


def test_what_is_no_option_is_refused() -> None:
    with pytest.raises(UnportableSQL, match="No matching signature for function TO_JSON_STRING"):
        duckdb_text("SELECT TO_JSON_STRING('a', 1)")
