import logging
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from convergence_assets.quality import engine
from convergence_assets.quality.expectations import Expectation

pytestmark = pytest.mark.xdist_group("great_expectations")

DAY = "2026-03-01"
NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
NOT_ON_FRAMES = {"expect_query_results_to_match_comparison", "expect_table_row_count_to_equal_other_table"}


def test_every_type_is_covered(every_type: list[Expectation]) -> None:
    import great_expectations.expectations as core
    from great_expectations.expectations.expectation import Expectation as OfGreatExpectations

    exported = {
        found.expectation_type
        for found in vars(core).values()
        if isinstance(found, type) and issubclass(found, OfGreatExpectations) and not found.is_abstract()
    }
    assert exported == {expectation.type for expectation in every_type}


def test_every_type_is_judged_without_an_error(day: Any, every_type: list[Expectation]) -> None:
    errors = {o.type: o.error for o in day.validate(every_type) if o.error}
    assert set(errors) == NOT_ON_FRAMES
    assert all("write an unexpected_rows_expectation" in str(error) for error in errors.values())


@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
def test_a_suite_that_great_expectations_exported_drops_in_unchanged(
    day: Any, every_type: list[Expectation], severity: str
) -> None:
    import great_expectations as gx
    from great_expectations.expectations.metadata_types import FailureSeverity
    from great_expectations.expectations.registry import get_expectation_impl

    built = [
        get_expectation_impl(e.type)(
            **e.kwargs, severity=FailureSeverity(severity), meta={"owner": "finops"}, notes="why"
        )
        for e in every_type
    ]
    exported: Any = gx.ExpectationSuite(name="exported", expectations=built).to_json_dict()
    read_back = [
        Expectation(
            ours.name, exported_one["type"], exported_one["kwargs"], exported_one["severity"], exported_one["meta"]
        )
        for ours, exported_one in zip(every_type, exported["expectations"], strict=True)
    ]
    assert {e.severity for e in read_back} == {severity}
    outcomes = day.validate(read_back)
    assert [replace(o, severity="critical") for o in outcomes] == list(day.validate(every_type))


def test_the_order_of_a_suite_changes_no_outcome(week: Any, every_type: list[Expectation]) -> None:
    for staged in (week.only(DAY), week):
        expected = {o.name: o for o in staged.validate(every_type)}
        shuffled = random.Random(3).sample(every_type, len(every_type))
        outcomes = staged.validate(shuffled)
        assert [o.name for o in outcomes] == [e.name for e in shuffled]
        assert {o.name: o for o in outcomes} == expected


def test_the_frame_is_not_changed(week: Any, every_type: list[Expectation]) -> None:
    for staged in (week.only(DAY), week):
        frame = staged.frame
        before = (pd.util.hash_pandas_object(frame).tolist(), frame.dtypes.tolist(), list(frame.columns))
        staged.validate(every_type, frame=frame)
        assert (pd.util.hash_pandas_object(frame).tolist(), frame.dtypes.tolist(), list(frame.columns)) == before


def test_another_warehouses_arrow_types_give_the_same_outcomes(week: Any, every_type: list[Expectation]) -> None:
    kinds = {"usage_date": pa.date32(), "seen_at": pa.timestamp("us", tz="UTC"), "amount": pa.decimal256(76, 38)}
    fields = [
        pa.field(f.name, kinds.get(f.name, pa.large_string() if f.type == pa.string() else f.type))
        for f in week.table.schema
    ]
    theirs = replace(week, table=week.table.cast(pa.schema(fields)))
    assert theirs.table.schema != week.table.schema
    assert theirs.validate(every_type, run_query=week.run_query) == week.validate(every_type)


def test_two_threads_are_answered_about_their_own_frames(staged_rows: Any, suite_of: Any) -> None:
    suite = suite_of(
        ("expect_table_row_count_to_equal", {"value": 0}),
        (NOT_NULL, {"column": "region"}),
        ("expect_column_sum_to_be_between", {"column": "quantity", "max_value": 0}),
    )
    many = [staged_rows(5 + number, seed=number) for number in range(12)]
    alone = [staged.validate(suite) for staged in many]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda staged: staged.validate(suite), many)) == alone


# Values as suites write them


@pytest.mark.parametrize(
    ("kind", "values", "kwargs", "bad"),
    [
        ("DATE", [date(2026, 1, 1), date(2026, 2, 1), None], {"min_value": "2026-01-15"}, ["2026-01-01"]),
        ("DATE", [date(2026, 1, 1), date(9999, 12, 31)], {"max_value": "2026-12-31"}, ["9999-12-31"]),
        ("DATE", [date(2026, 1, 1)], {"max_value": "9999-12-31"}, []),
        ("TIMESTAMP", [1_767_225_600_000_000, 0], {"min_value": "2026-01-01"}, ["1970-01-01T00:00:00+00:00"]),
        ("TIMESTAMP", [1_767_225_600_000_000], {"max_value": "2026-01-01T00:00:00Z"}, []),
        ("INT64", [1, 5, None, 2**60], {"max_value": 4}, ["5", str(2**60)]),
        ("NUMERIC", ["0.3", "0.300000001", None], {"max_value": 0.3}, ["0.300000001"]),
        ("STRING", ["a", "c"], {"max_value": "b"}, None),
    ],
)
def test_between_reads_bounds_as_a_suite_writes_them(
    one: Any, kind: str, values: list[Any], kwargs: dict[str, Any], bad: list[str] | None
) -> None:
    outcome = one(BETWEEN, {"column": "c", **kwargs}, {"c": (kind, values)})
    if bad is None:  # GX itself compares no text with bounds of this form
        assert outcome.error
        return
    assert (outcome.error, list(outcome.examples)) == (None, bad)


@pytest.mark.parametrize(
    ("kind", "values", "allowed", "bad"),
    [
        ("DATE", [date(2026, 1, 1), date(2026, 2, 1)], ["2026-01-01"], ["2026-02-01"]),
        ("INT64", [1, 2, None], [1], ["2"]),
        ("BOOL", [True, False, None], [True], ["false"]),
        ("NUMERIC", ["0.1", "0.2"], [0.1], ["0.2"]),
        ("STRING", ["EUR", "eur"], ["EUR"], ["eur"]),
    ],
)
def test_a_set_holds_dates_numbers_truths_and_text(
    one: Any, kind: str, values: list[Any], allowed: list[Any], bad: list[str]
) -> None:
    for type_ in (IN_SET, "expect_column_distinct_values_to_be_in_set"):
        outcome = one(type_, {"column": "c", "value_set": allowed}, {"c": (kind, values)})
        assert (outcome.error, outcome.examples) == (None, tuple(bad))
    outcome = one("expect_column_values_to_not_be_in_set", {"column": "c", "value_set": allowed}, {"c": (kind, values)})
    assert outcome.unexpected_count == 1


def test_a_whole_number_is_matched_as_it_is_written(one: Any) -> None:
    regex = {"column": "c", "regex": r"^\d{12}$"}
    assert one("expect_column_values_to_match_regex", regex, {"c": ("INT64", [123456789012, None])}).passed


def test_two_columns_of_nullable_whole_numbers_are_compared(one: Any) -> None:
    pair = {"column_A": "a", "column_B": "b", "ignore_row_if": "either_value_is_missing"}
    columns = {"a": ("INT64", [1, None, 3]), "b": ("INT64", [1, 2, 4])}
    outcome = one("expect_column_pair_values_to_be_equal", pair, columns)
    assert (outcome.unexpected_count, outcome.examples) == (1, ("a=3, b=4",))


def test_the_most_common_date_is_found_in_a_set_of_text(one: Any) -> None:
    kwargs = {"column": "c", "value_set": ["2026-01-01"]}
    columns = {"c": ("DATE", [date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 2)])}
    assert one("expect_column_most_common_value_to_be_in_set", kwargs, columns).passed


def test_mostly_allows_a_share_of_unexpected_rows(one: Any) -> None:
    columns = {"c": ("STRING", ["a", None, None, "b"])}
    assert one(NOT_NULL, {"column": "c", "mostly": 0.5}, columns).passed
    failed = one(NOT_NULL, {"column": "c", "mostly": 0.51}, columns)
    assert (failed.passed, failed.unexpected_count, failed.unexpected_percent) == (False, 2, 50.0)


def test_a_row_condition_limits_the_rows(one: Any) -> None:
    columns = {"c": ("NUMERIC", ["-1", "1", "-2"]), "kind": ("STRING", ["Credit", "Usage", "Usage"])}
    condition = {"type": "comparison", "column": {"name": "kind"}, "operator": "==", "parameter": "Usage"}
    outcome = one(BETWEEN, {"column": "c", "min_value": 0, "row_condition": condition}, columns)
    assert outcome.examples == ("-2",)
    text = {"column": "c", "min_value": 0, "row_condition": 'kind == "Usage"', "condition_parser": "pandas"}
    assert one(BETWEEN, text, columns).examples == ("-2",)


def test_examples_differ_and_are_at_most_twenty(one: Any) -> None:
    columns = {"c": ("INT64", [1] * 50 + list(range(40)))}
    outcome = one(BETWEEN, {"column": "c", "min_value": 1000}, columns)
    assert outcome.unexpected_count == 90
    assert outcome.examples == tuple(str(n) for n in (1, 0, *range(2, 20)))


# Emptiness


def test_on_an_empty_frame_values_are_as_expected_and_counts_are_judged(
    staged_rows: Any, every_type: list[Expectation]
) -> None:
    outcomes = {o.type: o for o in staged_rows(0).validate(every_type)}
    failed = {type_ for type_, outcome in outcomes.items() if not outcome.passed}
    assert failed == NOT_ON_FRAMES | {"expect_table_row_count_to_be_between", "expect_table_row_count_to_equal"}
    assert outcomes["expect_table_row_count_to_equal"].observed_value == 0


def test_a_wrong_column_is_an_error_on_an_empty_frame_too(staged_rows: Any, suite_of: Any) -> None:
    (outcome,) = staged_rows(0).validate(suite_of((NOT_NULL, {"column": "cots"})))
    assert "no column 'cots'" in outcome.error


# Secrets


def test_no_value_of_a_sensitive_column_is_in_any_outcome_or_log(
    week: Any, suite_of: Any, every_type: list[Expectation], caplog: pytest.LogCaptureFixture
) -> None:
    secret = "secret"
    marked = pa.array([f"{secret}-{n}" for n in range(len(week.table))])
    position = week.table.schema.get_field_index("region")
    staged = replace(week, table=week.table.set_column(position, "region", marked))
    about_region = [e for e in every_type if "region" in str(e.kwargs)]
    suite = about_region + suite_of(
        ("expect_column_max_to_be_between", {"column": "region", "max_value": "a"}),
        ("expect_column_min_to_be_between", {"column": "region", "max_value": "a"}),
        ("expect_column_distinct_values_to_equal_set", {"column": "region", "value_set": ["a"]}),
        ("expect_column_most_common_value_to_be_in_set", {"column": "region", "value_set": ["a"]}),
        ("expect_column_values_to_be_unique", {"column": "region"}),
        (IN_SET, {"column": "region", "value_set": ["a"]}),
        (BETWEEN, {"column": "region", "min_value": 1}),
        ("expect_column_mean_to_be_between", {"column": "region", "min_value": 1}),
        ("expect_column_values_to_match_strftime_format", {"column": "region", "strftime_format": "%Y"}),
        ("unexpected_rows_expectation", {"unexpected_rows_query": "SELECT * FROM {batch}"}),
    )
    with caplog.at_level(logging.DEBUG):
        for one_or_all in (staged.only(DAY), staged):
            outcomes = one_or_all.validate(suite, sensitive=frozenset({"region"}))
            assert secret not in repr(outcomes)
            assert not all(o.passed for o in outcomes)
            open_outcomes = one_or_all.validate(suite)
            assert secret in repr(open_outcomes)
            assert [o.passed for o in outcomes] == [o.passed for o in open_outcomes]
    assert secret not in caplog.text


def test_counts_of_a_sensitive_column_stay_readable(day: Any, suite_of: Any) -> None:
    suite = suite_of(("expect_column_unique_value_count_to_be_between", {"column": "currency", "min_value": 1}))
    (outcome,) = day.validate(suite, sensitive=frozenset({"currency"}))
    assert outcome.observed_value == 2


def test_analytics_are_off_and_nothing_is_printed(day: Any, suite_of: Any, capfd: pytest.CaptureFixture[str]) -> None:
    import os

    day.validate(suite_of((NOT_NULL, {"column": "currency"})))
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
    assert capfd.readouterr() == ("", "")
    assert engine.ID not in repr(day.validate(suite_of((NOT_NULL, {"column": "region"}))))
