import subprocess
import sys

import pytest

from convergence_assets.quality.expectations import (
    Expectation,
    PartitionOutcome,
    columns_read,
    outcome_over,
)

NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"


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
    assert columns_read(suite) == known - {"disk_size"}


@pytest.mark.parametrize(
    ("condition", "columns"),
    [
        ('kind == "not a column" and cost > 3', {"kind", "cost"}),
        ("kind.notnull() & 3 < cost", {"kind", "cost"}),
        ('col("kind").isin(["a"])', {"kind"}),
        ("kind in ['a', 'b'] and not open", {"kind", "open"}),
        ("`unit price` > 1", {"unit price"}),
        ("cost > list_cost", {"cost", "list_cost"}),
        ("cost >", set()),
    ],
)
def test_a_row_condition_in_text_names_its_columns_and_nothing_else(condition: str, columns: set[str]) -> None:
    for written in (condition, {"type": "pass_through", "pass_through_filter": condition}):
        assert columns_read([Expectation("e", NOT_NULL, {"column": "c", "row_condition": written})]) == columns | {"c"}


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
