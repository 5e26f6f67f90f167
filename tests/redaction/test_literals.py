"""What an engine quotes of a statement: secrets are hidden, names, moments and numbers stay."""

from pathlib import Path

import pytest

from convergence_assets.redaction import hide_literals
from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.errors import InvalidQuery

SECRETS = ["hunter2hunter2", "sk-live-4242424242", "Tr0ub4dor&3", "AKIAIOSFODNN7EXAMPLE", "p4ss/w0rd=="]
SHOWN = ["not-a-date", "2026-13-01", "2026-10-01T25:00:00", "12345678", "1.5e300000", "a text of 2 words"]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_text_of_letters_and_digits_is_hidden(secret: str) -> None:
    message = hide_literals(f"Could not convert string '{secret}' to INT32", f"SELECT CAST('{secret}' AS INT64)")
    assert message == "Could not convert string '***' to INT32"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 -- it's the token's test\n, CAST('hunter2hunter2' AS INT64)",
        "# don't\nSELECT CAST('hunter2hunter2' AS INT64)",
        "/* don't */ SELECT CAST('hunter2hunter2' AS INT64)",
        'SELECT CAST("""hunter2hunter2""" AS INT64), \'a\'',
        "SELECT 'it''s', CAST(r'hunter2hunter2' AS INT64)",
        "SELECT CAST(b'hunter2hunter2' AS STRING)",
        "SELECT 'never ended, CAST('hunter2hunter2' AS INT64)",
    ],
)
def test_a_text_is_hidden_however_the_statement_is_written(sql: str) -> None:
    assert hide_literals("Could not convert string 'hunter2hunter2'", sql) == "Could not convert string '***'"


def test_an_escaped_text_is_hidden_as_it_is_written_and_as_it_is_read() -> None:
    sql = r"SELECT CAST('hunter2\'s-own-token' AS INT64)"
    assert hide_literals(r"of 'hunter2\'s-own-token': hunter2's-own-token", sql) == "of '***': ***"


@pytest.mark.parametrize("text", SHOWN)
def test_what_says_what_is_wrong_is_shown(text: str) -> None:
    message = f'Could not cast literal "{text}" to type DATE'
    assert hide_literals(message, f'SELECT CAST("{text}" AS DATE)') == message


def test_what_the_statement_does_not_hold_is_data_and_shown() -> None:
    message = "Could not convert string 'hunter2hunter2' to INT32"
    assert hide_literals(message, "SELECT CAST(token AS INT64) FROM bills") == message


def test_the_embedded_engine_quotes_no_secret_of_a_statement(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "spill")
    try:
        with pytest.raises(InvalidQuery, match=r"\*\*\*") as failed:
            engine.run("SELECT CAST('hunter2hunter2' AS BIGINT)", written_as="SELECT CAST('hunter2hunter2' AS INT64)")
    finally:
        engine.close()
    assert "hunter2" not in str(failed.value)
