"""Bills full of faults: what the warehouse counts of them is what a frame of them says, on both warehouses."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.faults import FAULTS
from convergence_assets.demo.tenants import DEMO_TENANTS
from convergence_assets.quality.expectations import CheckOutcome
from tests.library.platform_in_a_folder import Platform

pytestmark = pytest.mark.slow

ACME = next(tenant for tenant in DEMO_TENANTS if tenant.tenant_id == "acme")
MOVING_ROWS = ("missing_day", "shifted_timezone", "rows_of_another_day", "empty_file")
DAYS = (date(2026, 10, 24), date(2026, 10, 25), date(2026, 10, 26))


def faulty_bills(folder: Path) -> list[Path]:
    """Each day with a share of the faults that leave rows in it."""
    files = list(generate_bills(folder, ACME, DAYS[0], DAYS[-1], seed=11, rows_per_day=240))
    carried = [fault for fault in FAULTS if fault.table != "billing_export" and fault.name not in MOVING_ROWS]
    for number, fault in enumerate(carried):
        fault.apply(files, ACME, DAYS[number % len(DAYS)])
    return files


def comparable(outcome: CheckOutcome) -> CheckOutcome:
    partitions = {
        key: replace(one, examples=() if len(one.examples) == 20 else tuple(sorted(one.examples)))
        for key, one in outcome.partitions.items()
    }
    return replace(outcome, partitions=partitions, examples=())


def assert_judged_alike(platform: Platform, tmp_path: Path) -> None:
    platform.load_bills("acme", faulty_bills(tmp_path / "bills"))
    framed = platform.run("acme", DAYS)
    counted = platform.judging_in_warehouse().run("acme", DAYS)
    failed = 0
    for table, report in framed.items():
        for ours, theirs in zip(counted[table].outcomes, report.outcomes, strict=True):
            assert comparable(ours) == comparable(theirs), (table, ours.name)
        assert counted[table].published == report.published
        assert counted[table].stopped == report.stopped
        failed += sum(not outcome.passed for outcome in report.outcomes)
    assert failed >= 5


def test_the_embedded_warehouse_counts_what_the_frame_holds(platform: Platform, tmp_path: Path) -> None:
    assert_judged_alike(platform, tmp_path)


@pytest.mark.peer
@pytest.mark.soak
def test_bigquery_counts_what_the_frame_holds_and_good_bills_cost_two_queries_a_suite(
    on_bigquery: Platform, tmp_path: Path
) -> None:
    assert_judged_alike(on_bigquery, tmp_path)
    on_bigquery.load_bills("acme", generate_bills(tmp_path / "good", ACME, *DAYS[::2], seed=11, rows_per_day=240))
    for table, report in on_bigquery.judging_in_warehouse().run("acme", DAYS).items():
        # FOCUS asks for more than Google's export has: some rules for information are broken by good bills too.
        broken = [o for o in report.outcomes if not o.passed]
        assert [o.name for o in broken if not (o.rules and o.severity == "info")] == []
        reads = [s for s in report.statements if s.kind.startswith("read")]
        queries = [s for s in reads if "AS marker" not in s.sql and "AS x_total" not in s.sql]
        of_rules = [s for s in queries if "AS convergence_partition" in s.sql]
        # One query counts the rows that break rules, and another one lists examples of those.
        assert len(of_rules) == bool(any(o.rules for o in report.outcomes)) + bool(broken)
        # The question for late data, and that for a day's money, are no suite's.
        assert sum("AS marker" in s.sql for s in reads) == (table == "gcp_cost_line_items")
        assert sum("AS x_total" in s.sql for s in reads) <= 1
        suites = [query.sql for query in queries if query not in of_rules]
        assert len(suites) <= 2, (table, len(report.outcomes), suites)
