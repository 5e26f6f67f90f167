"""Whole numbers and decimals are compared by every digit, and the warehouse and a frame say the same of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence_assets.quality import exact
from convergence_assets.quality.expectations import CheckOutcome, Expectation
from convergence_assets.quality.pushdown import Batch
from convergence_assets.quality.validate import validate, validate_in_warehouse
from convergence_assets.warehouse.duckdb.numeric import install_functions
from convergence_assets.warehouse.frames import frame_from_arrow
from convergence_assets.warehouse.schema import Column
from tests.examples import examples
from tests.warehouse.duckdb_text import duckdb_text

pytestmark = pytest.mark.xdist_group("great_expectations")

DAYS = ("2026-03-01", "2026-03-02")
KINDS: dict[str, Any] = {
    "day": ("DATE", pa.date32()), "i": ("INT64", pa.int64()), "k": ("INT64", pa.int64()),
    "n": ("NUMERIC", pa.decimal128(38, 9)), "m": ("NUMERIC", pa.decimal128(38, 9)), "s": ("STRING", pa.string()),
}  # fmt: skip
COLUMNS = tuple(Column(name, kind) for name, (kind, _) in KINDS.items())
NEAR = 4567890123456789012
INTEGERS = st.sampled_from([0, 1, 3, NEAR, NEAR + 1, -NEAR, 2**53, 2**53 + 1])
DECIMALS = st.sampled_from([
    Decimal(text) for text in (
        "0.1", "0.2", "0.3", "-0.1", "1", "12345678901234567.1", "12345678901234567.2", "99999999999999999999.999999999",
    )
])  # fmt: skip
ROWS = st.lists(
    st.fixed_dictionaries({
        "day": st.sampled_from(DAYS).map(date.fromisoformat), "i": st.none() | INTEGERS, "k": st.none() | INTEGERS,
        "n": st.none() | DECIMALS, "m": st.none() | DECIMALS, "s": st.none() | st.sampled_from(["a", "b"]),
    }),
    min_size=1,
    max_size=7,
)  # fmt: skip
BOUNDS = st.one_of(
    INTEGERS,
    DECIMALS,
    st.sampled_from([0.1, 0.3, 0.6, 0.30000000000000004, 1e-10, Decimal("0.30000000000000000001"), 10**40]),
)
NUMBERS = st.sampled_from("iknm")
MOSTLY = st.sampled_from([1.0, 0.5])
CONDITION = st.sampled_from([{}, {}, {"row_condition": "s == 'a'"}, {"row_condition": 'not col("n") > 0.2'}])
PAIRS = st.sampled_from(["both_values_are_missing", "either_value_is_missing", "neither"])
RECORDS = st.sampled_from(["all_values_are_missing", "any_value_is_missing", "never"])


def of(type_: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Expectation]:
    return st.builds(
        lambda kwargs, condition: Expectation("check", type_, {**kwargs, **condition}),
        st.fixed_dictionaries(arguments),
        CONDITION,
    )


AGGREGATES = ("min", "max", "sum", "mean", "median")
EXPECTATIONS = st.one_of(
    *(of(f"expect_column_{name}_to_be_between", column=NUMBERS, min_value=BOUNDS) for name in AGGREGATES),
    *(of(f"expect_column_{name}_to_be_between", column=NUMBERS, max_value=BOUNDS) for name in AGGREGATES),
    of("expect_column_stdev_to_be_between", column=NUMBERS, max_value=BOUNDS),
    of("expect_column_unique_value_count_to_be_between", column=NUMBERS, max_value=st.integers(1, 3)),
    of("expect_column_proportion_of_unique_values_to_be_between", column=NUMBERS, min_value=st.sampled_from([0.5, 0.7])),
    of("expect_column_proportion_of_non_null_values_to_be_between", column=NUMBERS, min_value=st.just(0.6)),
    of("expect_table_row_count_to_be_between", max_value=st.integers(1, 4)),
    of("expect_table_row_count_to_equal", value=st.integers(1, 4)),
    of("expect_column_values_to_be_between", column=NUMBERS, min_value=BOUNDS, strict_min=st.booleans(), mostly=MOSTLY),
    of("expect_column_values_to_be_between", column=NUMBERS, max_value=BOUNDS, strict_max=st.booleans()),
    of("expect_column_values_to_be_in_set", column=NUMBERS, value_set=st.lists(BOUNDS, min_size=1, max_size=3)),
    of("expect_column_values_to_not_be_in_set", column=NUMBERS, value_set=st.lists(BOUNDS, min_size=1, max_size=3)),
    of("expect_column_values_to_be_unique", column=NUMBERS),
    of("expect_column_values_to_be_null", column=NUMBERS, mostly=MOSTLY),
    of("expect_column_values_to_not_be_null", column=NUMBERS, mostly=MOSTLY),
    of("expect_column_pair_values_a_to_be_greater_than_b", column_A=NUMBERS, column_B=NUMBERS, or_equal=st.booleans(), ignore_row_if=PAIRS),
    of("expect_column_pair_values_to_be_equal", column_A=NUMBERS, column_B=NUMBERS, ignore_row_if=PAIRS),
    of(
        "expect_column_pair_values_to_be_in_set",
        column_A=NUMBERS, column_B=st.just("s"), ignore_row_if=PAIRS,
        value_pairs_set=st.lists(st.tuples(st.none() | BOUNDS, st.sampled_from(["a", None])).map(list), min_size=1, max_size=3),
    ),
    of("expect_compound_columns_to_be_unique", column_list=st.sampled_from([["i", "n"], ["n", "s"]]), ignore_row_if=RECORDS),
    of(
        "expect_multicolumn_sum_to_equal",
        column_list=st.sampled_from([["n", "m"], ["i", "k"], ["n", "n", "i"]]), sum_total=BOUNDS, ignore_row_if=RECORDS,
    ),
    of("expect_multicolumn_values_to_be_equal", column_list=st.sampled_from([["n", "m"], ["i", "k"]]), ignore_row_if=RECORDS),
    of("expect_column_distinct_values_to_be_in_set", column=NUMBERS, value_set=st.lists(BOUNDS, min_size=1, max_size=3)),
    of("expect_column_most_common_value_to_be_in_set", column=NUMBERS, value_set=st.lists(BOUNDS, min_size=1, max_size=3)),
    of("expect_column_values_to_be_increasing", column=NUMBERS),
    of(
        "expect_column_quantile_values_to_be_between",
        column=NUMBERS, quantile_ranges=st.just({"quantiles": [0.5], "value_ranges": [[0, 1]]}),
    ),
    of("expect_column_value_z_scores_to_be_less_than", column=NUMBERS, threshold=st.just(1), double_sided=st.booleans()),
)  # fmt: skip


@pytest.fixture(scope="module")
def connection() -> Any:
    with duckdb.connect() as made:
        install_functions(made)
        yield made


def in_the_warehouse(
    connection: Any, table: pa.Table, suite: Sequence[Expectation], few_rows: bool
) -> tuple[CheckOutcome, ...]:
    declared = {column.name: column for column in COLUMNS}
    types = {column.name: str(column.type) for column in COLUMNS}
    connection.register("batch", table)

    def run_query(sql: str) -> pa.Table:
        statement = duckdb_text(sql.replace("{batch}", "batch"), {"batch": declared})
        result: pa.Table = connection.sql(statement).to_arrow_table()
        return result

    def typed(result: pa.Table) -> Any:
        return frame_from_arrow(result, [declared[name] for name in result.column_names])

    return validate_in_warehouse(
        Batch(run_query, typed, typed(table.slice(0, 0)), types),
        lambda names: typed(table.select(sorted(names))),
        suite,
        partition_column="day",
        partitions=DAYS,
        columns=types,
        only_if_exact=few_rows,
    )


@pytest.mark.property
@settings(max_examples=examples(10), deadline=None)
@given(st.lists(EXPECTATIONS, min_size=4, max_size=8), ROWS)
def test_a_frame_and_the_warehouse_say_the_same_of_exact_numbers(
    connection: Any, suite: list[Expectation], rows: list[dict[str, Any]]
) -> None:
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, (_, kind) in KINDS.items()})
    types = {column.name: str(column.type) for column in COLUMNS}
    framed = validate(frame_from_arrow(table, COLUMNS), suite, partition_column="day", partitions=DAYS, columns=types)
    for few_rows in (True, False):
        outcomes = in_the_warehouse(connection, table, suite, few_rows)
        for ours, theirs in zip(outcomes, framed, strict=True):
            for key in DAYS:
                here, there = ours.partitions[key], theirs.partitions[key]
                label = f"{ours.type} on {key}"
                assert set(here.examples) == set(there.examples), label
                assert replace(here, examples=()) == replace(there, examples=()), label


DECIMAL = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40, places=12)


@given(
    st.sampled_from(["INT64", "NUMERIC", "BIGNUMERIC"]),
    st.sampled_from(["==", "<", "<=", ">", ">="]),
    st.one_of(DECIMAL, st.integers(-(2**64), 2**64).map(Decimal)),
    st.integers(-2, 2),
)
def test_a_bound_says_of_every_value_of_its_type_what_arithmetic_says(
    type_: str, sign: str, value: Decimal, off: int
) -> None:
    places = {"INT64": 0, "NUMERIC": 9, "BIGNUMERIC": 38}[type_]
    least, most = exact._LIMITS[type_]
    units = min(max(int(Fraction(value) * 10**places) + off, least), most)
    held, right = Fraction(units, 10**places), Fraction(value)
    expected = {"==": held == right, "<": held < right, "<=": held <= right, ">": held > right, ">=": held >= right}
    found = exact.bound(type_, sign, value)
    if not isinstance(found, bool):
        found = {"<=": units <= found[1], ">=": units >= found[1], "==": units == found[1]}[found[0]]
    assert found == expected[sign]


def test_units_become_the_decimal_with_all_of_its_digits() -> None:
    with localcontext() as context:
        context.prec = 5
        text = exact.literal("BIGNUMERIC", 2**255 - 1)
    assert text == "BIGNUMERIC '578960446186580977117854925043439539266.34992332820282019728792003956564819967'"


@pytest.mark.parametrize(
    ("kwargs", "values", "observed", "passed"),
    [
        ({"min_value": 0.3, "max_value": 0.3}, ["0.1", "0.2"], 0.3, True),
        ({"min_value": 0.3}, ["0.1", "0.199999999"], 0.299999999, False),
        ({"max_value": 10**20}, ["99999999999999999999.999999999", "0.000000002"], "100000000000000000000.000000001", False),
    ],
)  # fmt: skip
def test_a_sum_of_money_is_that_of_its_decimals(
    one: Any, kwargs: dict[str, Any], values: list[str], observed: object, passed: bool
) -> None:
    outcome = one("expect_column_sum_to_be_between", {"column": "n", **kwargs}, {"n": ("NUMERIC", values)})
    assert (outcome.error, outcome.observed_value, outcome.passed) == (None, observed, passed)
