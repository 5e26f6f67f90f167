from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convergence_assets.quality import engine
from convergence_assets.quality.expectations import CheckOutcome, Expectation, PartitionOutcome
from tests.examples import examples

pytestmark = pytest.mark.xdist_group("great_expectations")

AGGREGATED: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_min_to_be_between", {"min_value": 0}),
    ("expect_column_max_to_be_between", {"max_value": 50, "strict_max": True}),
    ("expect_column_sum_to_be_between", {"min_value": 100, "max_value": 900}),
    ("expect_column_mean_to_be_between", {"min_value": 20, "strict_min": True}),
    ("expect_column_stdev_to_be_between", {"max_value": 30}),
    ("expect_column_median_to_be_between", {"max_value": 45}),
    ("expect_column_unique_value_count_to_be_between", {"min_value": 3, "max_value": 25}),
    ("expect_column_proportion_of_unique_values_to_be_between", {"min_value": 0.5}),
    ("expect_column_proportion_of_non_null_values_to_be_between", {"min_value": 0.9}),
]


def assert_as_alone(staged: Any, suite: Sequence[Expectation]) -> None:
    """A range's outcomes are, partition by partition, those of the partitions validated alone."""
    together = staged.validate(suite)
    for key in staged.partitions:
        for ours, alone in zip(together, staged.only(key).validate(suite), strict=True):
            assert_same(ours.partitions[key], alone.partitions[key], f"{ours.name} on {key}")


def assert_same(ours: PartitionOutcome, alone: PartitionOutcome, where: str) -> None:
    if isinstance(ours.observed_value, float) and isinstance(alone.observed_value, float | int):
        assert ours.observed_value == pytest.approx(alone.observed_value, rel=1e-12), where
        ours = replace(ours, observed_value=alone.observed_value)
    assert ours == alone, where


def test_every_type_judges_a_partition_in_a_range_as_alone(week: Any, every_type: list[Expectation]) -> None:
    assert_as_alone(week, every_type)


def test_the_warehouse_judges_exact_columns_as_the_frame_does(
    week: Any, every_type: list[Expectation], in_warehouse: Any
) -> None:
    with_sql, _, framed = in_warehouse(week, every_type, only_if_exact=True)
    assert "credits" not in framed
    for ours, theirs in zip(with_sql, week.validate(every_type), strict=True):
        for key in week.partitions:
            here, there = ours.partitions[key], theirs.partitions[key]
            assert set(here.examples) == set(there.examples)
            assert_same(replace(here, examples=()), replace(there, examples=()), f"{ours.name} on {key}")


MAP_EXPECTATIONS = st.sampled_from([
    ("expect_column_values_to_not_be_null", {"column": "region"}),
    ("expect_column_values_to_be_null", {"column": "region"}),
    ("expect_column_values_to_be_in_set", {"column": "region", "value_set": ["eu", "us"]}),
    ("expect_column_values_to_not_be_in_set", {"column": "quantity", "value_set": [1, 2]}),
    ("expect_column_values_to_be_between", {"column": "amount", "min_value": 0, "max_value": 60}),
    ("expect_column_values_to_be_between", {"column": "quantity", "max_value": 3, "strict_max": True}),
    ("expect_column_values_to_be_between", {"column": "seen_at", "max_value": "2026-03-02T05:00:00Z"}),
    ("expect_column_value_lengths_to_equal", {"column": "id", "value": 5}),
    ("expect_column_values_to_match_regex", {"column": "quantity", "regex": "^[0-2]$"}),
    ("expect_column_values_to_be_unique", {"column": "id"}),
    ("expect_column_values_to_be_unique", {"column": "quantity"}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["quantity", "region"]}),
    (
        "expect_compound_columns_to_be_unique",
        {"column_list": ["quantity", "region"], "ignore_row_if": "any_value_is_missing"},
    ),
    ("expect_compound_columns_to_be_unique", {"column_list": ["quantity", "region"], "ignore_row_if": "never"}),
    ("expect_select_column_values_to_be_unique_within_record", {"column_list": ["region", "region2"]}),
    ("expect_column_pair_values_to_be_equal", {"column_A": "region", "column_B": "region2"}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "quantity", "column_B": "amount"}),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "amount", "column_B": "credits", "ignore_row_if": "neither"},
    ),
    ("expect_multicolumn_sum_to_equal", {"column_list": ["quantity", "quantity"], "sum_total": 2}),
    ("expect_multicolumn_values_to_be_equal", {"column_list": ["region", "region2"]}),
    ("expect_column_values_to_be_increasing", {"column": "quantity"}),
    ("expect_column_values_to_be_decreasing", {"column": "amount", "strictly": True}),
    ("expect_column_value_z_scores_to_be_less_than", {"column": "amount", "threshold": 1.2, "double_sided": True}),
    ("expect_column_values_to_not_be_outliers", {"column": "amount", "method": "iqr", "multiplier": 0.5}),
])  # fmt: skip
CONDITIONS = st.sampled_from([
    {},
    {"row_condition": {"type": "comparison", "column": {"name": "currency"}, "operator": "==", "parameter": "EUR"}},
    {"row_condition": {"type": "nullity", "column": {"name": "credits"}, "is_null": False}},
])  # fmt: skip


@pytest.mark.property
@settings(max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chosen=st.lists(
        st.tuples(MAP_EXPECTATIONS, st.sampled_from([1.0, 0.95, 0.8, 0.5, 0.3, 0.0]), CONDITIONS),
        min_size=4,
        max_size=6,
    ),
    counts=st.lists(st.integers(0, 12), min_size=2, max_size=4),
    seed=st.integers(0, 10_000),
)
def test_whatever_the_rows_a_partition_is_judged_in_a_range_as_alone(
    staged_rows: Any, suite_of: Any, chosen: list[Any], counts: list[int], seed: int
) -> None:
    suite = suite_of(*((type_, {**kwargs, "mostly": mostly, **row}) for (type_, kwargs), mostly, row in chosen))
    assert_as_alone(staged_rows(*counts, seed=seed), suite)


@pytest.mark.parametrize("column", ["amount", "quantity", "seen_at", "currency", "active", "usage_date"])
def test_aggregates_by_sql_are_those_of_great_expectations(
    week: Any, suite_of: Any, in_warehouse: Any, column: str
) -> None:
    moments = {"seen_at": "2026-03-02T00:00:00Z", "usage_date": "2026-03-02"}
    pairs = []
    for type_, kwargs in AGGREGATED:
        if ("min_to" in type_ or "max_to" in type_) and column in moments:
            kwargs = {key: moments[column] if "value" in key else value for key, value in kwargs.items()}
        if column in ("amount", "quantity") or "unique" in type_ or "non_null" in type_ or column in moments:
            pairs.append((type_, {"column": column, **kwargs}))
    suite = suite_of(*pairs, ("expect_table_row_count_to_be_between", {"min_value": 1, "max_value": 30}))
    together, sent, _ = in_warehouse(week, suite)
    assert len(sent) == 1
    for key in week.partitions:
        for ours, alone in zip(together, week.only(key).validate(suite), strict=True):
            assert_same(ours.partitions[key], alone.partitions[key], f"{ours.name} on {key}")
    assert {part.passed for outcome in together for part in outcome.partitions.values()} == {True, False}


@pytest.mark.parametrize("with_sql", [True, False])
def test_a_partition_whose_values_are_all_missing_is_aggregated_as_alone(
    week: Any, suite_of: Any, in_warehouse: Any, with_sql: bool
) -> None:
    position = week.table.schema.get_field_index("amount")
    nothing = pa.nulls(week.only("2026-03-01").table.num_rows, week.table.schema.field(position).type)
    rest = week.table.column(position).slice(len(nothing))
    staged = replace(week, table=week.table.set_column(position, "amount", pa.chunked_array([nothing, *rest.chunks])))
    suite = suite_of(*((type_, {"column": "amount", **kwargs}) for type_, kwargs in AGGREGATED))
    together = in_warehouse(staged, suite)[0] if with_sql else staged.validate(suite)
    for ours, alone in zip(together, staged.only("2026-03-01").validate(suite), strict=True):
        assert_same(ours.partitions["2026-03-01"], alone.partitions["2026-03-01"], ours.name)


def test_a_sum_of_money_is_exact_in_a_range(staged_rows: Any, suite_of: Any) -> None:
    staged = staged_rows(10, 10)
    tenth = pa.array([Decimal("0.1")] * 20, pa.decimal128(38, 9))
    staged = replace(staged, table=staged.table.set_column(5, "amount", tenth))
    suite = suite_of(("expect_column_sum_to_be_between", {"column": "amount", "min_value": 1, "max_value": 1}))
    assert sum([0.1] * 10) != 1
    assert staged.validate(suite)[0].passed


@pytest.mark.parametrize("declared", [{"ratio": "FLOAT64", "day": "DATE"}, None])
def test_an_aggregate_reads_nan_as_missing_as_great_expectations_does(
    suite_of: Any, declared: dict[str, str] | None
) -> None:
    from convergence_assets.quality.validate import validate

    frame = pd.DataFrame({
        "day": pd.to_datetime(["2026-03-01"] * 3 + ["2026-03-02"] * 2),
        "ratio": [0.5, float("nan"), 0.25, 2.0, 3.0],
    })  # fmt: skip
    suite = suite_of(
        ("expect_column_max_to_be_between", {"column": "ratio", "max_value": 1}),
        ("expect_column_unique_value_count_to_be_between", {"column": "ratio", "max_value": 2}),
    )

    days = ["2026-03-01", "2026-03-02"]
    most, distinct = validate(frame, suite, partition_column="day", partitions=days, columns=declared)
    assert [part.observed_value for part in most.partitions.values()] == [0.5, 3]
    assert [part.observed_value for part in distinct.partitions.values()] == [2, 2]
    assert most.failed_partitions == ("2026-03-02",)


def test_thirty_partitions_do_not_cost_thirty_validations(
    staged_rows: Any, suite_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    validations: list[int] = []
    run = engine.run

    def counted(*given: Any) -> Any:
        validations.append(1)
        return run(*given)

    monkeypatch.setattr(engine, "run", counted)
    suite = suite_of(
        ("expect_column_values_to_not_be_null", {"column": "id"}),
        ("expect_column_values_to_be_unique", {"column": "id"}),
        ("expect_column_pair_values_to_be_equal", {"column_A": "region", "column_B": "region2"}),
        ("expect_column_sum_to_be_between", {"column": "amount", "min_value": 0}),
        ("expect_table_row_count_to_be_between", {"min_value": 1}),
    )
    outcomes = staged_rows(*[3] * 30).validate(suite)
    assert not validations
    assert all(len(outcome.partitions) == 30 for outcome in outcomes)


def test_an_unexpected_row_of_no_partition_fails_every_partition(week: Any, suite_of: Any) -> None:
    days = week.table["usage_date"].to_pylist()
    days[0] = None
    strayed = replace(week, table=week.table.set_column(0, "usage_date", pa.array(days, pa.date32())))
    (outcome,) = strayed.validate(suite_of(("expect_column_values_to_not_be_null", {"column": "usage_date"})))
    assert outcome.failed_partitions == week.partitions
    assert outcome.error == "1 unexpected rows lie in no partition of this run"


def test_an_error_in_one_partition_is_that_partitions_alone(week: Any, suite_of: Any) -> None:
    broken = [None if i < len(week.table) - 1 else "text" for i in range(len(week.table))]
    staged = replace(week, table=week.table.set_column(3, "region", pa.array(broken)))
    suite = suite_of(("expect_column_values_to_be_between", {"column": "region", "min_value": 1}))
    (outcome,) = staged.validate(suite)
    assert outcome.failed_partitions == (week.partitions[-1],)
    assert_as_alone(staged, suite)


def test_each_partition_has_its_own_examples(week: Any, suite_of: Any) -> None:
    suite = suite_of(("expect_column_values_to_match_regex", {"column": "currency", "regex": "^[A-Z]+$"}))
    outcome: CheckOutcome = week.validate(suite)[0]
    assert {key: part.examples for key, part in outcome.partitions.items() if part.examples} == {"2026-03-02": ("xx",)}
