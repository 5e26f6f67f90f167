"""Rows that stay in the warehouse are judged as a frame of them is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convergence_assets.quality.expectations import CheckOutcome, Expectation
from tests.examples import examples

pytestmark = pytest.mark.xdist_group("great_expectations")


@pytest.fixture
def pushed(in_warehouse: Any) -> Any:
    """The suite's outcomes with the rows in the warehouse, the queries sent and the columns read as a frame."""
    return in_warehouse


def assert_same(ours: CheckOutcome, framed: CheckOutcome) -> None:
    for key, outcome in ours.partitions.items():
        expected = framed.partitions[key]
        where = f"{ours.name} on {key}"
        if isinstance(outcome.observed_value, float) and isinstance(expected.observed_value, float | int):
            assert outcome.observed_value == pytest.approx(expected.observed_value, rel=1e-12), where
            outcome = replace(outcome, observed_value=expected.observed_value)
        if len(expected.examples) == 20:  # of more, both show twenty
            assert len(outcome.examples) == 20, where
            outcome = replace(outcome, examples=expected.examples)
        assert set(outcome.examples) == set(expected.examples), where
        assert replace(outcome, examples=()) == replace(expected, examples=()), where


def assert_as_on_a_frame(staged: Any, pushed: Any, suite: Sequence[Expectation]) -> None:
    outcomes, _, _ = pushed(staged, suite)
    for ours, framed in zip(outcomes, staged.validate(suite), strict=True):
        assert_same(ours, framed)


def test_every_type_says_of_rows_in_the_warehouse_what_it_says_of_a_frame(
    week: Any, every_type: list[Expectation], pushed: Any
) -> None:
    assert_as_on_a_frame(week, pushed, every_type)
    assert_as_on_a_frame(week.only(week.partitions[0]), pushed, every_type)


TEXTS = st.sampled_from(["EUR", "USD", "xx", "", "it's", "a\\b", 'say "x"', "é", "eu", "line\nbreak", "٣"])
BOUNDS = st.one_of(
    st.none(), st.integers(-10, 100), st.floats(-10, 100, allow_nan=False), st.sampled_from([0.1, 1e-9, 2**60, 10**30])
)
MOMENTS = st.one_of(st.none(), st.sampled_from(["2026-03-01", "2026-03-02T04:00:00Z", "2026-03-03T05:30:00+02:00"]))
NUMBERS = st.sampled_from(["amount", "credits", "quantity"])
MOSTLY = st.sampled_from([1.0, 0.95, 0.5, 0.0])


def between(type_: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Expectation]:
    return st.builds(lambda kwargs: Expectation("check", type_, kwargs), st.fixed_dictionaries(arguments))


ROW_LEVEL = st.one_of(
    between(
        "expect_column_values_to_be_between",
        column=NUMBERS,
        min_value=BOUNDS,
        max_value=BOUNDS,
        strict_min=st.booleans(),
        strict_max=st.booleans(),
        mostly=MOSTLY,
    ),
    between(
        "expect_column_values_to_be_between",
        column=st.sampled_from(["usage_date", "seen_at"]),
        min_value=MOMENTS,
        max_value=MOMENTS,
        strict_max=st.booleans(),
    ),
    between(
        "expect_column_values_to_be_in_set",
        column=st.sampled_from(["currency", "region"]),
        value_set=st.lists(TEXTS, max_size=4),
        mostly=MOSTLY,
    ),
    between(
        "expect_column_values_to_not_be_in_set",
        column=st.sampled_from(["quantity", "amount", "active", "currency"]),
        value_set=st.lists(st.one_of(st.integers(0, 5), st.booleans(), TEXTS, st.floats(0, 5)), max_size=3),
    ),
    between(
        "expect_column_values_to_match_regex",
        column=st.sampled_from(["currency", "region", "id", "day_text"]),
        regex=st.sampled_from(
            ["^[A-Z]{3}$", r"\d", "^row-[0-9]+$", "u|e", "(?i)eur", r"\w+", "e(?=u)", "[^a-z]", "x$|R$"]
        ),
        mostly=MOSTLY,
    ),
    between(
        "expect_column_value_lengths_to_be_between",
        column=st.sampled_from(["currency", "id"]),
        min_value=st.one_of(st.none(), st.integers(0, 6)),
        max_value=st.one_of(st.none(), st.integers(0, 6)),
        strict_min=st.booleans(),
    ),
    between(
        "expect_column_values_to_be_unique", column=st.sampled_from(["id", "amount", "quantity", "active", "seen_at"])
    ),
    between(
        "expect_compound_columns_to_be_unique",
        column_list=st.sampled_from([["id", "currency"], ["region", "region2"], ["quantity", "active"]]),
        ignore_row_if=st.sampled_from(["all_values_are_missing", "any_value_is_missing", "never"]),
    ),
    between(
        "expect_column_pair_values_a_to_be_greater_than_b",
        column_A=NUMBERS,
        column_B=NUMBERS,
        or_equal=st.booleans(),
        ignore_row_if=st.sampled_from(["both_values_are_missing", "either_value_is_missing", "neither"]),
    ),
    between(
        "expect_column_pair_values_to_be_equal",
        column_A=st.sampled_from(["region", "amount"]),
        column_B=st.sampled_from(["region2", "credits"]),
        ignore_row_if=st.sampled_from(["both_values_are_missing", "either_value_is_missing", "neither"]),
    ),
)


@pytest.mark.slow
@pytest.mark.property
@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROW_LEVEL, min_size=1, max_size=6), st.integers(0, 3), st.booleans())
def test_whatever_is_expected_the_warehouse_says_what_the_frame_says(
    staged_rows: Any, pushed: Any, suite: list[Expectation], seed: int, one_day: bool
) -> None:
    staged = staged_rows(12, 0, 9, seed=seed)
    assert_as_on_a_frame(staged.only(staged.partitions[0]) if one_day else staged, pushed, suite)


FIFTEEN = [
    ("expect_column_values_to_not_be_null", {"column": "usage_date"}),
    ("expect_column_values_to_not_be_null", {"column": "id"}),
    ("expect_column_values_to_be_in_set", {"column": "active", "value_set": [True, False]}),
    ("expect_column_values_to_match_regex", {"column": "id", "regex": "^row-[0-9]+$"}),
    ("expect_column_values_to_be_between", {"column": "amount", "min_value": -100, "max_value": 1000}),
    ("expect_column_values_to_be_between", {"column": "quantity", "min_value": 0}),
    ("expect_column_values_to_be_between", {"column": "seen_at", "min_value": "2026-01-01"}),
    ("expect_column_value_lengths_to_be_between", {"column": "currency", "min_value": 2, "max_value": 3}),
    ("expect_column_values_to_be_unique", {"column": "id", "mostly": 0.5}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["id", "seen_at"], "mostly": 0.5}),
    ("expect_column_sum_to_be_between", {"column": "amount", "min_value": -1000}),
    ("expect_table_row_count_to_be_between", {"min_value": 1}),
    ("unexpected_rows_expectation", {"unexpected_rows_query": "SELECT usage_date, id FROM {batch} WHERE amount < -50"}),
    ("unexpected_rows_expectation", {"unexpected_rows_query": "SELECT usage_date FROM {batch} WHERE quantity > 50"}),
    ("unexpected_rows_expectation", {"unexpected_rows_query": "SELECT usage_date FROM {batch} WHERE id IS NULL"}),
]


def test_a_suite_of_fifteen_that_holds_costs_two_queries_and_no_frame(
    staged_rows: Any, pushed: Any, suite_of: Any
) -> None:
    outcomes, sent, framed = pushed(staged_rows(30, 25), suite_of(*FIFTEEN))
    assert [o.name for o in outcomes if not o.passed] == []
    # One that counts for twelve expectations, one that finds examples of what `mostly` let through, one for three queries.
    assert len(sent) == 3
    assert not framed


def test_only_the_columns_that_sql_cannot_judge_become_a_frame(week: Any, pushed: Any, suite_of: Any) -> None:
    suite = suite_of(
        ("expect_column_values_to_be_dateutil_parseable", {"column": "day_text"}),
        ("expect_column_values_to_not_be_null", {"column": "id"}),
        ("expect_column_median_to_be_between", {"column": "quantity", "min_value": 0}),
    )
    _, _, framed = pushed(week, suite)
    assert framed == {"usage_date", "day_text", "quantity"}


def test_sensitive_values_stay_hidden_when_the_warehouse_judges(week: Any, pushed: Any, suite_of: Any) -> None:
    suite = suite_of(("expect_column_values_to_be_in_set", {"column": "currency", "value_set": ["EUR"]}))
    (outcome,), _, _ = pushed(week, suite, sensitive=frozenset({"currency"}))
    assert not outcome.passed
    assert set(outcome.examples) == {"***"}


def test_unexpected_rows_of_no_partition_fail_every_partition_in_the_warehouse_too(
    week: Any, pushed: Any, suite_of: Any
) -> None:
    suite = suite_of(("expect_column_values_to_be_in_set", {"column": "currency", "value_set": ["EUR", "USD"]}))
    fewer = replace(week, partitions=tuple(k for k in week.partitions if k != "2026-03-02"))
    (outcome,), _, _ = pushed(fewer, suite)
    (framed,) = fewer.validate(suite)
    assert "lie in no partition" in str(outcome.error)
    assert outcome.failed_partitions == framed.failed_partitions == fewer.partitions


def test_a_query_that_is_wrong_does_not_spoil_the_others_counted_with_it(week: Any, pushed: Any, suite_of: Any) -> None:
    outcomes, _, _ = pushed(
        week,
        suite_of(
            (
                "unexpected_rows_expectation",
                {"unexpected_rows_query": "SELECT usage_date FROM {batch} WHERE amount < -50"},
            ),
            (
                "unexpected_rows_expectation",
                {"unexpected_rows_query": "SELECT usage_date FROM {batch} WHERE nobody = 1"},
            ),
            (
                "unexpected_rows_expectation",
                {"unexpected_rows_query": "SELECT usage_date FROM {batch} WHERE amount > 0"},
            ),
        ),
    )
    assert [o.passed for o in outcomes] == [True, False, False]
    assert "nobody" in str(outcomes[1].error)


def refusing(staged: Any, column: str) -> Any:
    """The staged rows in a warehouse that refuses every query which names the column."""

    def run_query(self: Any, sql: str) -> pa.Table:
        if column in sql:
            raise ConnectionError(f"{column} is beyond its type")
        return staged.run_query(sql)

    return type("Refusing", (type(staged),), {"run_query": run_query})(staged.table, staged.partitions)


@pytest.mark.parametrize("only_if_exact", [True, False])
def test_a_query_that_the_warehouse_refuses_fails_its_checks_alone_and_no_frame_answers_for_it(
    week: Any, pushed: Any, suite_of: Any, only_if_exact: bool
) -> None:
    suite = suite_of(
        ("expect_column_sum_to_be_between", {"column": "amount", "max_value": 10_000_000}),
        ("expect_column_values_to_not_be_null", {"column": "amount", "mostly": 0}),
        ("expect_column_sum_to_be_between", {"column": "quantity", "max_value": 10_000_000}),
    )
    outcomes, _, framed = pushed(refusing(week, "amount"), suite, only_if_exact=only_if_exact)
    assert [o.passed for o in outcomes] == [False, False, True]
    assert all("amount" in str(o.error) for o in outcomes[:2])
    assert outcomes[0].failed_partitions == week.partitions
    assert not framed


def test_an_error_of_the_warehouse_about_a_sensitive_column_is_not_shown(week: Any, pushed: Any, suite_of: Any) -> None:
    suite = suite_of(("expect_column_max_to_be_between", {"column": "amount", "max_value": 10}))
    (outcome,), _, _ = pushed(refusing(week, "amount"), suite, sensitive=frozenset({"amount"}))
    assert "is not shown" in str(outcome.error)
