"""TO_JSON_STRING of a STRING escapes as BigQuery does, whatever the text holds."""

import json
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence_assets.warehouse.duckdb.portability import UnportableSQL
from convergence_assets.warehouse.duckdb.transpile import install_functions, transpile
from tests.examples import examples

ASKED = transpile("SELECT TO_JSON_STRING(CAST(@text AS STRING))")
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
    assert connection.execute(ASKED, {"text": None}).fetchall() == [("null",)]


@pytest.mark.parametrize("value", ["1", "[1]", "STRUCT(1 AS a)", "TRUE", "'a', true", "DATE '2026-01-01'"])
def test_other_types_and_options_are_refused(value: str) -> None:
    with pytest.raises(UnportableSQL, match="TO_JSON_STRING of anything but a STRING"):
        transpile(f"SELECT TO_JSON_STRING({value})")


@pytest.mark.parametrize("value", ["1", "TRUE", "DATE '2026-01-01'", "NUMERIC '1.5'", "TIMESTAMP '2026-01-01'"])
def test_another_type_that_is_only_known_as_it_runs_is_an_error(
    connection: duckdb.DuckDBPyConnection, value: str
) -> None:
    with pytest.raises((UnportableSQL, duckdb.Error)):
        connection.execute(transpile(f"SELECT TO_JSON_STRING(x) FROM UNNEST([{value}]) AS x")).fetchall()
