"""Twelve things that go wrong with real bills: each is caught by the check that says so, and by its severity."""

import shutil
from datetime import date, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.faults import FAULTS, Fault
from convergence_assets.demo.tenants import DEMO_TENANTS
from convergence_assets.warehouse import errors

TENANTS = {tenant.tenant_id: tenant for tenant in DEMO_TENANTS}
DAY = date(2026, 11, 5)
DAYS = [DAY - timedelta(days=n) for n in (3, 2, 1, 0)]
NAMES = [fault.name for fault in FAULTS]


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    for tenant in DEMO_TENANTS:
        generate_bills(folder, tenant, DAYS[0], DAY + timedelta(days=1), seed=23, rows_per_day=240)
    return folder


def faulty(clean: Path, tmp_path: Path, fault: Fault, tenant_id: str) -> list[Path]:
    folder = tmp_path / "bills"
    shutil.copytree(clean / tenant_id, folder)
    files = sorted(folder.glob("*.jsonl"))
    fault.apply(files, TENANTS[tenant_id], DAY)
    return files


def test_there_are_twelve_faults() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) == 12


# Each at one tenant: they have the same checks, and test_gcp_billing holds the sums of all their timezones.
CAUGHT = [
    pytest.param(fault, tenant_id, id=f"{fault.name}-{tenant_id}")
    for fault, tenant_id in zip([f for f in FAULTS if f.table != "billing_export"], cycle(TENANTS), strict=False)
]


@pytest.mark.parametrize(("fault", "tenant_id"), CAUGHT)
def test_a_fault_is_caught_by_its_check(
    platform: Any, clean: Path, tmp_path: Path, fault: Fault, tenant_id: str
) -> None:
    platform.load_bills(tenant_id, faulty(clean, tmp_path, fault, tenant_id))
    report = platform.run(tenant_id, DAYS, fault.table)[fault.table]
    caught = next(o for o in report.outcomes if o.name == fault.caught_by)
    assert not caught.passed
    assert caught.error is None
    assert caught.severity == fault.severity
    assert DAY.isoformat() in caught.failed_partitions
    assert (DAY in report.stopped) == (fault.severity == "critical")
    assert DAYS[0] in report.published


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.table == "billing_export"], ids=lambda fault: fault.name)
def test_a_fault_of_the_schema_stops_the_load(platform: Any, clean: Path, tmp_path: Path, fault: Fault) -> None:
    with pytest.raises(getattr(errors, fault.caught_by)):
        platform.load_bills("acme", faulty(clean, tmp_path, fault, "acme"))


def test_the_bills_without_a_fault_are_clean(platform: Any, clean: Path) -> None:
    platform.load_bills("acme", sorted((clean / "acme").glob("*.jsonl")))
    reports = platform.run("acme", DAYS)
    assert [
        o.name for report in reports.values() for o in report.outcomes if not o.passed and o.severity != "info"
    ] == []


def test_a_fault_leaves_the_published_partition_as_it_was(platform: Any, clean: Path, tmp_path: Path) -> None:
    sql = f"SELECT COUNT(*) AS n, SUM(net_cost) AS net FROM acme.gcp_cost_line_items WHERE usage_date = DATE '{DAY}'"
    platform.load_bills("acme", sorted((clean / "acme").glob("*.jsonl")))
    platform.run("acme", [DAY], "gcp_cost_line_items")
    before = platform.rows(sql)
    fault = next(f for f in FAULTS if f.name == "duplicated_export_rows")
    platform.load_bills("acme", faulty(clean, tmp_path, fault, "acme"))
    platform.run("acme", [DAY], "gcp_cost_line_items")
    assert platform.rows(sql) == before
