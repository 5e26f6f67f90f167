import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from convergence_assets.quality.expectations import CheckOutcome


@pytest.fixture
def by_query(week: Any, suite_of: Any) -> Callable[..., CheckOutcome]:
    def run(sql: object, **changed: Any) -> CheckOutcome:
        outcome: CheckOutcome
        (outcome,) = week.validate(suite_of(("unexpected_rows_expectation", {"unexpected_rows_query": sql})), **changed)
        return outcome

    return run


def test_returned_rows_fail_their_own_partition(by_query: Callable[..., CheckOutcome], week: Any) -> None:
    outcome = by_query("SELECT usage_date, id, amount FROM {batch} WHERE usage_date = '2026-03-02' AND id = 'row-5'")
    assert outcome.failed_partitions == ("2026-03-02",)
    assert outcome.unexpected_count == outcome.partitions["2026-03-02"].unexpected_count == 1
    assert outcome.examples[0].startswith("usage_date=2026-03-02, id=row-5, amount=")
    assert set(outcome.partitions) == set(week.partitions)


def test_no_returned_row_passes(by_query: Callable[..., CheckOutcome]) -> None:
    assert by_query("SELECT usage_date FROM {batch} WHERE id = 'nobody'").passed


def test_rows_without_the_partition_column_fail_every_partition_and_say_what_to_select(
    by_query: Callable[..., CheckOutcome], week: Any
) -> None:
    outcome = by_query("SELECT id FROM {batch} WHERE id = 'row-0'")
    assert outcome.failed_partitions == week.partitions
    assert "select it" in str(outcome.error)
    assert outcome.examples == ("id=row-0",)


@pytest.mark.parametrize("day", ["DATE '2025-01-01'", "CAST(NULL AS DATE)"])
def test_rows_of_no_partition_fail_every_partition(by_query: Callable[..., CheckOutcome], week: Any, day: str) -> None:
    outcome = by_query(f"SELECT {day} AS usage_date, 1 AS n")
    assert outcome.failed_partitions == week.partitions
    assert "no partition of this run" in str(outcome.error)


@pytest.mark.parametrize(
    ("sql", "changed", "error"),
    [
        ("SELECT nonsense FROM {batch}", {}, "nonsense"),
        (None, {}, "unexpected_rows_query is missing"),
        ("SELECT 1", {"run_query": None}, "no warehouse"),
    ],
)
def test_a_query_that_cannot_run_is_a_failed_check(
    by_query: Callable[..., CheckOutcome], week: Any, sql: object, changed: dict[str, Any], error: str
) -> None:
    outcome = by_query(sql, **changed)
    assert outcome.failed_partitions == week.partitions
    assert error in str(outcome.error)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT usage_date, region FROM {batch} WHERE region IS NOT NULL",
        "SELECT * FROM {batch} WHERE region = 'eu'",
        "SELECT usage_date, UPPER(region) AS currency FROM {batch} WHERE region IS NOT NULL",
        "WITH a AS (SELECT usage_date, region AS r FROM {batch}) SELECT usage_date, r AS id FROM a WHERE r IS NOT NULL",
        "SELECT usage_date, id FROM {batch} WHERE FALSE UNION ALL SELECT usage_date, region FROM {batch}",
        "SELECT usage_date, TO_JSON_STRING(region) AS text FROM {batch} WHERE region IS NOT NULL",
        "SELECT usage_date, CAST(region AS INT64) AS n FROM {batch} WHERE region IS NOT NULL",
    ],
)
def test_a_sensitive_column_is_masked_under_whatever_name_the_query_gives_it(
    by_query: Callable[..., CheckOutcome], sql: str
) -> None:
    outcome = by_query(sql, sensitive=frozenset({"region", "region2"}))
    assert not outcome.passed
    text = f"{outcome.examples} {outcome.error} {outcome.observed_value} {outcome.partitions}".lower()
    assert re.search(r"""(?<![a-z])(eu|us|asia)(?![a-z])""", text) is None


def test_other_columns_stay_readable_beside_a_masked_one(by_query: Callable[..., CheckOutcome]) -> None:
    outcome = by_query(
        "SELECT usage_date, id, region FROM {batch} WHERE region = 'eu' AND id = 'row-3'",
        sensitive=frozenset({"region"}),
    )
    assert outcome.examples[0].endswith("id=row-3, region=***")


def test_a_large_answer_is_counted_whole_and_shown_in_part(week: Any, suite_of: Any) -> None:
    rows = pa.table({"usage_date": [week.partitions[0]] * 100_000, "n": pa.array(range(100_000))})
    suite = suite_of(("unexpected_rows_expectation", {"unexpected_rows_query": "SELECT 1"}))
    (outcome,) = week.validate(suite, run_query=lambda sql: rows)
    assert outcome.unexpected_count == 100_000
    assert len(outcome.examples) == 20
