"""A check that stands for rules is a row a rule and day among the results."""

from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import dagster as dg

from convergence_assets.assets.check_events import check_result
from convergence_assets.ledger.rows import Event, plain, result_rows
from convergence_assets.quality.expectations import CheckOutcome, PartitionOutcome

DAYS = [date(2026, 10, 1), date(2026, 10, 2)]


def of_rule(name: str, broken: int) -> CheckOutcome:
    days = {
        "2026-10-01": PartitionOutcome(passed=True, unexpected_count=0),
        "2026-10-02": PartitionOutcome(passed=not broken, unexpected_count=broken),
    }
    examples = ("BilledCost=null",) if broken else ()
    return CheckOutcome(
        name=name, type="rule", column="BilledCost", severity="critical", passed=not broken, unexpected_count=broken,
        examples=examples, partitions=days, clause="MUST: BilledCost MUST NOT be null.",
    )  # fmt: skip


def rows_of(rules: tuple[CheckOutcome, ...], days: list[date]) -> list[dict[str, Any]]:
    group = CheckOutcome(
        name="focus_money_critical", type="rules", column=None, severity="critical",
        passed=all(rule.passed for rule in rules), rules=rules,
        partitions={day.isoformat(): rules[0].partitions[day.isoformat()] for day in days},
    )  # fmt: skip
    result = check_result(group, dg.AssetKey("gcp_focus"), days, days[1:])
    metadata = {name: plain(value) for name, value in result.metadata.items()}
    part: Any = SimpleNamespace(run_id="r", tenant_id="acme", pipeline="gcp_billing", partition=days[0].isoformat())
    event = Event(part, "gcp_focus", None, 7, datetime(2026, 10, 3, tzinfo=UTC))  # type: ignore[arg-type]
    return [dict(row.values) for row in result_rows(event, group.name, result.passed, metadata)]


def test_each_rule_of_a_check_is_a_row_of_each_day() -> None:
    rows = rows_of((of_rule("BilledCost-C-003-M", 3), of_rule("BilledCost-C-005-C", 0)), DAYS)
    outcomes = {(row["check_name"], row["partition"]): (row["passed"], row["unexpected_count"]) for row in rows}
    assert outcomes == {
        ("BilledCost-C-003-M", "2026-10-01"): (True, 0),
        ("BilledCost-C-003-M", "2026-10-02"): (False, 3),
        ("BilledCost-C-005-C", "2026-10-01"): (True, 0),
        ("BilledCost-C-005-C", "2026-10-02"): (True, 0),
    }
    assert len({row["result_id"] for row in rows}) == 4
    assert {(row["expectation_type"], row["column_name"], row["severity"]) for row in rows} == {
        ("rule", "BilledCost", "critical")
    }
    assert [row["published"] for row in rows if row["partition"] == "2026-10-02"] == [False, False]
    assert [row["examples"] for row in rows if not row["passed"]] == ['["BilledCost=null"]']


def test_a_rule_that_one_day_holds_is_one_row() -> None:
    [row] = rows_of((of_rule("BilledCost-C-003-M", 0),), DAYS[:1])
    assert (row["check_name"], row["partition"], row["passed"], row["published"]) == (
        "BilledCost-C-003-M", "2026-10-01", True, True,
    )  # fmt: skip
