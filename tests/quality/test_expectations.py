import re
import subprocess
import sys

import pytest

from convergence_assets.quality.expectations import (
    Expectation,
    PartitionOutcome,
    check_name,
    check_names,
    columns_read,
    outcome_over,
)

NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"


@pytest.mark.parametrize(
    ("type_", "kwargs", "name"),
    [
        (NOT_NULL, {"column": "cost", "mostly": 0.9}, "cost_values_to_not_be_null"),
        ("expect_table_row_count_to_be_between", {"min_value": 1}, "table_row_count_to_be_between"),
        ("expect_column_pair_values_to_be_equal", {"column_A": "a", "column_B": "b"}, "a_b_values_to_be_equal"),
        ("expect_compound_columns_to_be_unique", {"column_list": ["a", "b"]}, "a_b_to_be_unique"),
        ("expect_multicolumn_sum_to_equal", {"column_list": ["a", "b"], "sum_total": 3}, "a_b_sum_to_equal"),
        ("unexpected_rows_expectation", {"unexpected_rows_query": "SELECT 1"}, "no_unexpected_rows"),
    ],
)
def test_a_check_is_named_after_its_column_and_what_is_expected(
    type_: str, kwargs: dict[str, object], name: str
) -> None:
    assert check_name(type_, kwargs, {}) == name


def test_a_given_name_wins_and_holds_safe_characters_only() -> None:
    assert check_name(NOT_NULL, {"column": "cost"}, {"name": "cost is known!"}) == "cost_is_known"
    assert re.fullmatch(r"\w{1,100}", check_name(BETWEEN, {"column": "long" * 60}, {}))


def test_a_changed_threshold_does_not_rename_the_check() -> None:
    names = {check_name(BETWEEN, {"column": "c", "min_value": n, "mostly": n / 10}, {}) for n in range(5)}
    assert names == {"c_values_to_be_between"}


def test_names_that_collide_get_a_number_and_a_given_name_is_kept() -> None:
    one = (BETWEEN, {"column": "c"}, {})
    given = (NOT_NULL, {"column": "c"}, {"name": "c_values_to_be_between_2"})
    assert check_names([one, one, given]) == (
        "c_values_to_be_between",
        "c_values_to_be_between_3",
        "c_values_to_be_between_2",
    )
    assert check_names([one, one, given, one])[:3] == check_names([one, one, given])


def test_the_columns_read_include_pairs_lists_and_row_conditions() -> None:
    both = {
        "type": "and",
        "conditions": [
            {"type": "comparison", "column": {"name": "kind"}, "operator": "==", "parameter": "Credit"},
            {"type": "nullity", "column": {"name": "region"}, "is_null": True},
        ],
    }
    suite = [
        Expectation("1", BETWEEN, {"column": "cost", "row_condition": both}),
        Expectation("2", "expect_column_pair_values_to_be_equal", {"column_A": "a", "column_B": "b"}),
        Expectation("3", "expect_multicolumn_sum_to_equal", {"column_list": ["x", "y"]}),
        Expectation("4", NOT_NULL, {"column": "c", "row_condition": 'service == "disk" and day > 3'}),
        Expectation("5", "unexpected_rows_expectation", {"unexpected_rows_query": "SELECT hidden FROM {batch}"}),
        Expectation("6", "expect_column_to_exist", {"column": "unread"}),
    ]
    known = {"cost", "kind", "region", "a", "b", "x", "y", "c", "service", "day", "disk_size"}
    assert columns_read(suite, known) == known - {"disk_size"}
    assert columns_read(suite) >= known - {"disk_size"}


def test_an_outcome_over_partitions_is_the_worst_and_names_the_failed() -> None:
    expectation = Expectation("e", BETWEEN, {"column": "c"}, "warning")
    good = PartitionOutcome(passed=True, unexpected_count=1, considered=10, examples=("7",))
    bad = PartitionOutcome(passed=False, unexpected_count=4, considered=10, examples=("8", "7"))
    outcome = outcome_over(expectation, {"2026-01-01": good, "2026-01-02": bad})
    assert (outcome.passed, outcome.failed_partitions) == (False, ("2026-01-02",))
    assert (outcome.unexpected_count, outcome.unexpected_percent) == (5, 25.0)
    assert outcome.examples == ("7", "8")
    assert outcome.severity == "warning"


def test_an_outcome_over_no_partition_has_failed() -> None:
    outcome = outcome_over(Expectation("e", NOT_NULL, {"column": "c"}), {})
    assert not outcome.passed
    assert outcome.error


def test_loading_the_rooms_modules_imports_neither_great_expectations_nor_pandas() -> None:
    code = (
        "import sys; import convergence_assets.quality.validate, convergence_assets.warehouse.frames; "
        "print([m for m in ('great_expectations', 'pandas', 'numpy', 'pyarrow', 'sqlglot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
