"""A row condition keeps the same rows of a frame and in the warehouse, by SQL's three-valued logic."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence_assets.quality import filters
from convergence_assets.row_conditions import (
    All,
    Column,
    Comparison,
    Condition,
    ConditionError,
    In,
    Missing,
    Not,
    columns_of,
    fitted,
    read_condition,
)
from convergence_assets.row_conditions import Any as Either
from convergence_assets.warehouse.duckdb.numeric import install_functions
from convergence_assets.warehouse.frames import frame_from_arrow
from convergence_assets.warehouse.schema import Column as Declared
from tests.examples import examples
from tests.warehouse.duckdb_text import duckdb_text

pytestmark = pytest.mark.xdist_group("great_expectations")

KINDS: dict[str, Any] = {
    "i": ("INT64", pa.int64()), "j": ("INT64", pa.int64()), "n": ("NUMERIC", pa.decimal128(38, 9)),
    "m": ("NUMERIC", pa.decimal128(38, 9)), "s": ("STRING", pa.string()), "b": ("BOOL", pa.bool_()),
    "d": ("DATE", pa.date32()), "t": ("TIMESTAMP", pa.timestamp("us", "UTC")),
}  # fmt: skip
TYPES = {name: kind for name, (kind, _) in KINDS.items()}
INTEGERS = st.sampled_from([0, 1, 2, -5, 4567890123456789012, 4567890123456789013, 2**63 - 1, -(2**63)])
DECIMALS = st.sampled_from([
    Decimal(one) for one in ("0", "0.1", "0.3", "-0.000000001", "12345678901234567890.1", "12345678901234567890.2")
])  # fmt: skip
TEXTS = st.sampled_from(["", "eu", "us", "é", "it's", "a\\b", "eu "])
DAYS = st.sampled_from([date(2026, 3, 1), date(2026, 3, 2), date(1, 1, 1)])
MOMENTS = st.sampled_from([datetime(2026, 3, 1), datetime(2026, 3, 1, 12, 30, 0, 1)])
ROW = st.fixed_dictionaries({
    "i": st.none() | INTEGERS, "j": st.none() | INTEGERS, "n": st.none() | DECIMALS, "m": st.none() | DECIMALS,
    "s": st.none() | TEXTS, "b": st.none() | st.booleans(), "d": st.none() | DAYS, "t": st.none() | MOMENTS,
})  # fmt: skip
NUMBERS = st.one_of(
    INTEGERS.map(Decimal),
    DECIMALS,
    st.sampled_from([Decimal("0.5"), Decimal("1e-10"), Decimal("1e40"), Decimal("-1e30")]),
)
SIGNS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
LEAVES: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Comparison, st.sampled_from("ijnm"), SIGNS, NUMBERS),
    st.builds(Comparison, st.sampled_from("ijnm"), SIGNS, st.sampled_from("ijnm").map(Column)),
    st.builds(Comparison, st.just("s"), SIGNS, TEXTS),
    st.builds(Comparison, st.just("b"), st.sampled_from(["==", "!="]), st.booleans()),
    st.builds(Comparison, st.just("d"), SIGNS, DAYS.map(str)),
    st.builds(Comparison, st.just("t"), SIGNS, MOMENTS.map(lambda moment: f"{moment}Z")),
    st.builds(In, st.sampled_from("in"), st.lists(NUMBERS, max_size=3).map(tuple)),
    st.builds(In, st.just("s"), st.lists(TEXTS, max_size=3).map(tuple)),
    st.builds(Missing, st.sampled_from(list(KINDS))),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Either, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def connection() -> Any:
    with duckdb.connect() as made:
        install_functions(made)
        yield made


@pytest.mark.property
@settings(max_examples=examples(40), deadline=None)
@given(CONDITIONS, st.lists(ROW, min_size=1, max_size=8))
def test_a_frame_and_the_warehouse_keep_the_same_rows(
    connection: Any, condition: Condition, rows: list[dict[str, Any]]
) -> None:
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, (_, kind) in KINDS.items()})
    declared = {name: Declared(name, kind) for name, kind in TYPES.items()}
    right = fitted(condition, TYPES)
    sql = filters.sql(right, TYPES)
    assert sql is not None
    connection.register("batch", table)
    found = connection.sql(duckdb_text(f"SELECT {sql} AS kept FROM batch", {"batch": declared})).fetchall()
    frame = frame_from_arrow(table, list(declared.values()))
    assert [kept for (kept,) in found] == filters.true_rows(right, frame, TYPES).tolist()


ROWS = {"a": ("STRING", ["x", None, None, "y"]), "i": ("INT64", [1, 5, None, 4567890123456789012])}


@pytest.mark.parametrize(
    ("condition", "unexpected", "considered"),
    [
        ('col("i") < 3', 0, 1),
        ("i >= 3", 1, 2),
        ("not i < 3", 1, 2),  # NULL is neither
        ("i != 1", 1, 2),
        ("i.isnull()", 1, 1),
        ("i == 4567890123456789012", 0, 1),
        ("i == 4567890123456789013", 0, 0),
        ("i not in [1]", 1, 2),
    ],
)
def test_great_expectations_judges_the_rows_that_are_kept(
    one: Any, condition: str, unexpected: int, considered: int
) -> None:
    kwargs = {"column": "a", "row_condition": condition, "condition_parser": "great_expectations"}
    outcome = one("expect_column_values_to_not_be_null", kwargs, ROWS)
    assert (outcome.error, outcome.unexpected_count) == (None, unexpected)
    assert next(iter(outcome.partitions.values())).considered == considered


def test_table_level_expectations_count_the_rows_that_are_kept(week: Any, suite_of: Any, in_warehouse: Any) -> None:
    kept = {"row_condition": 'currency == "EUR" and quantity.notnull()'}
    suite = suite_of(
        ("expect_table_row_count_to_be_between", {"max_value": 1, **kept}),
        ("expect_column_sum_to_be_between", {"column": "amount", "max_value": 1, **kept}),
        ("expect_column_unique_value_count_to_be_between", {"column": "quantity", "max_value": 1, **kept}),
        ("expect_column_proportion_of_non_null_values_to_be_between", {"column": "region", "min_value": 1, **kept}),
        ("expect_column_max_to_be_between", {"column": "seen_at", "max_value": "2000-01-01", **kept}),
        ("expect_column_values_to_be_unique", {"column": "id", **kept}),
        ("expect_multicolumn_sum_to_equal", {"column_list": ["amount", "credits"], "sum_total": 1, **kept}),
    )
    outcomes, _, framed = in_warehouse(week, suite)
    assert not framed
    for ours, theirs in zip(outcomes, week.validate(suite), strict=True):
        for key in week.partitions:
            assert ours.partitions[key].observed_value == theirs.partitions[key].observed_value, ours.name
            assert ours.partitions[key].unexpected_count == theirs.partitions[key].unexpected_count, ours.name
            assert ours.partitions[key].passed == theirs.partitions[key].passed, ours.name


def test_a_condition_over_doubles_is_judged_in_the_frame() -> None:
    condition = read_condition({"row_condition": "f > 0.5 or f.isnull()"})
    assert condition is not None
    assert columns_of(condition) == {"f"}
    assert filters.sql(condition, {"f": "FLOAT64"}) is None


@pytest.mark.parametrize(
    "condition", ["a.to_csv('{file}', index=False) == 1", "@open('{file}', 'w')", "open('{file}','w')"]
)
def test_a_condition_that_is_code_fails_its_check_and_runs_nothing(one: Any, tmp_path: Any, condition: str) -> None:
    file = tmp_path / "written"
    kwargs = {"column": "a", "row_condition": condition.format(file=file), "condition_parser": "pandas"}
    for written in (
        kwargs,
        {"column": "a", "row_condition": {"type": "pass_through", "pass_through_filter": kwargs["row_condition"]}},
    ):
        outcome = one("expect_column_values_to_not_be_null", written, ROWS)
        assert not outcome.passed
        assert "row condition" in str(outcome.error)
    assert not file.exists()
    with pytest.raises(ConditionError):
        read_condition(kwargs)
