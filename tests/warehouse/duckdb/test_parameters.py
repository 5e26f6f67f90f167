"""Parameters in the embedded engine: values of BigQuery's types, wherever a parameter stands and nowhere else."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Context, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.parameters import with_values
from convergence_assets.warehouse.errors import InvalidQuery
from convergence_assets.warehouse.schema import ParameterValue

NINTHS = st.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal(n).scaleb(-9, Context(prec=38)))
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    NINTHS,
    st.dates(),
    st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)),
    st.datetimes(
        min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30),
        timezones=st.just(timezone(timedelta(hours=5, minutes=30))),
    ),
    st.text(st.characters(exclude_categories=["Cs"])),
)  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(tmp_path_factory.mktemp("spill"))
    yield engine
    engine.close()


@given(value=VALUES)
def test_a_value_comes_back_as_it_was_given(engine: Engine, value: ParameterValue) -> None:
    assert engine.run("SELECT $value", {"value": value}) == [(value,)]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "BOOLEAN"), (1, "BIGINT"), (Decimal("0.100000000"), "DECIMAL(38,9)"), (date(2026, 3, 29), "DATE"),
        (datetime(2026, 3, 29, 1), "TIMESTAMP"), (datetime(2026, 3, 29, 1, tzinfo=UTC), "TIMESTAMP WITH TIME ZONE"),
        ("2026-03-29", "VARCHAR"),
    ],
)  # fmt: skip
def test_a_value_has_the_type_that_bigquery_gives_it(engine: Engine, value: ParameterValue, kind: str) -> None:
    assert engine.run("SELECT typeof($value)", {"value": value}) == [(kind,)]


def test_one_that_has_no_value_is_named(engine: Engine) -> None:
    with pytest.raises(InvalidQuery, match="parameter @other has no value"):
        engine.run("SELECT $value, $other", {"value": 1})


def test_text_names_and_comments_hold_no_parameters() -> None:
    sql = "SELECT 'it''s $a', \"$a\", $a,$a -- $a\n/* $a\n$a */ , $ab"
    assert with_values(sql, {"a": 1, "ab": True}) == (
        "SELECT 'it''s $a', \"$a\", CAST(1 AS BIGINT),CAST(1 AS BIGINT) -- $a\n/* $a\n$a */ , true"
    )


def test_a_statement_with_values_imports_no_pandas(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from convergence_assets.warehouse.duckdb.engine import Engine
engine = Engine(Path({str(tmp_path)!r}))
assert engine.run("SELECT $a", {{"a": "x"}}) == [("x",)]
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
