"""The billing pipeline on clean bills: sums to the ninth decimal, and weeks in which no check says anything."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from convergence_assets.assets.materialize import Report
from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.licences import generate_licences
from convergence_assets.demo.tenants import DEMO_TENANTS, DemoTenant
from convergence_assets.pipelines.catalog import library

TENANTS = {tenant.tenant_id: tenant for tenant in DEMO_TENANTS}
NINE_PLACES = Decimal("1e-9")

# https://focus.finops.org/focus-specification/v1-2/
FOCUS_1_2 = (
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType",
    "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "CapacityReservationId",
    "CapacityReservationStatus", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory", "CommitmentDiscountId",
    "CommitmentDiscountName", "CommitmentDiscountQuantity", "CommitmentDiscountStatus", "CommitmentDiscountType",
    "CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice",
    "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory",
    "PricingCurrency", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId",
    "RegionName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName",
    "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName",
    "SubAccountType", "Tags",
)  # fmt: skip


def span(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def failed(reports: dict[str, Report]) -> list[str]:
    """What did not pass, but for FOCUS's rules that are for information: tests/quality/test_rules.py says which."""
    return [
        f"{table}.{o.name} {o.severity} {o.failed_partitions} {o.error} {o.examples[:2]}"
        for table, report in reports.items()
        for o in report.outcomes
        if not o.passed and not (o.rules and o.severity == "info")
    ]


def raw_rows(files: Sequence[Path], tenant: DemoTenant, day: date) -> Iterator[dict[str, Any]]:
    local = ZoneInfo(tenant.timezone)
    for path in files:
        for line in path.read_text().splitlines():
            row = json.loads(line, parse_float=Decimal, parse_int=Decimal)
            if datetime.fromisoformat(row["usage_start_time"]).astimezone(local).date() == day:
                yield row


def nine(amount: Decimal) -> Decimal:
    return amount.quantize(NINE_PLACES, rounding=ROUND_HALF_UP)


@pytest.mark.parametrize(
    ("tenant_id", "day", "hours"),
    [
        ("acme", date(2026, 10, 25), 25),
        ("acme", date(2026, 3, 29), 23),
        ("globex", date(2026, 11, 1), 25),
        ("globex", date(2026, 3, 8), 23),
        ("initech", date(2026, 11, 1), 24),
    ],
)
def test_sums_equal_the_raw_export_of_the_local_day(
    platform: Any, tmp_path: Path, tenant_id: str, day: date, hours: int
) -> None:
    tenant = TENANTS[tenant_id]
    around = timedelta(days=1)
    files = generate_bills(tmp_path / "bills", tenant, day - around, day + around, seed=11, rows_per_day=300)
    platform.load_bills(tenant_id, files)
    assert failed(platform.run(tenant_id, [day])) == []

    raw = list(raw_rows(files, tenant, day))
    cost = sum((nine(row["cost"]) for row in raw), Decimal(0))
    credits = sum((nine(c["amount"]) for row in raw for c in row["credits"]), Decimal(0))
    refunds = sum((nine(row["cost"]) for row in raw if row["cost"] < 0), Decimal(0))
    usage = [row for row in raw if not row["sku"]["description"].startswith("Commitment")]
    assert len({row["usage_start_time"] for row in usage}) == hours

    where = f"WHERE usage_date = DATE '{day}'"
    [items] = platform.rows(
        f"SELECT COUNT(*) AS n, SUM(cost) AS cost, SUM(credits) AS credits, SUM(net_cost) AS net, "
        f"SUM(IF(cost < 0, cost, NULL)) AS refunds FROM {tenant_id}.gcp_cost_line_items {where}"
    )
    assert items == {
        "n": len(raw), "cost": cost, "credits": credits, "net": cost + credits, "refunds": refunds or None,
    }  # fmt: skip
    [daily] = platform.rows(
        f"SELECT SUM(line_items) AS n, SUM(gross_cost) AS cost, SUM(credits) AS credits, SUM(net_cost) AS net "
        f"FROM {tenant_id}.gcp_cost_daily {where}"
    )
    assert daily == {"n": len(raw), "cost": cost, "credits": credits, "net": cost + credits}
    [focus] = platform.rows(
        f"SELECT COUNT(DISTINCT x_LineItemId) AS n, SUM(BilledCost) AS net, SUM(x_Credits) AS credits "
        f"FROM {tenant_id}.gcp_focus WHERE x_UsageDate = DATE '{day}'"
    )
    assert focus == {"n": len(raw), "net": cost + credits, "credits": credits}


@pytest.mark.slow
@pytest.mark.parametrize("tenant_id", list(TENANTS))
def test_clean_weeks_raise_nothing(platform: Any, tmp_path: Path, tenant_id: str, landing: Path) -> None:
    weeks = span(date(2026, 10, 24), date(2026, 11, 3))  # both ends of summer time
    files = generate_bills(tmp_path / "bills", TENANTS[tenant_id], weeks[0], weeks[-1], seed=5, rows_per_day=200)
    platform.load_bills(tenant_id, files)
    assert failed(platform.run(tenant_id, weeks[:1])) == []
    assert failed(platform.run(tenant_id, weeks[1:])) == []
    if tenant_id == "initech":
        generate_licences(landing / "initech" / "licences", weeks[0], weeks[-1], seed=5)
        assert failed(platform.run(tenant_id, weeks, pipeline="total_cost")) == []


def test_days_run_one_by_one_equal_days_run_together(
    platform: Any, other_platform: Callable[[], Any], tmp_path: Path
) -> None:
    days = span(date(2026, 10, 24), date(2026, 10, 25))
    files = generate_bills(tmp_path / "bills", TENANTS["acme"], days[0], days[-1], seed=5, rows_per_day=100)
    together = other_platform()
    for one in (platform, together):
        one.load_bills("acme", files)
    for day in reversed(days):
        platform.run("acme", [day])
    together.run("acme", days)
    for table in ("gcp_cost_line_items", "gcp_cost_daily", "gcp_focus"):
        day_column = "x_UsageDate" if table == "gcp_focus" else "usage_date"
        columns = (
            f"{day_column}, COUNT(*) AS n, "
            + {
                "gcp_cost_line_items": "SUM(net_cost) AS net, MIN(line_item_id) AS low, MAX(line_item_id) AS high",
                "gcp_cost_daily": "SUM(net_cost) AS net, SUM(usage_amount) AS used",
                "gcp_focus": "SUM(EffectiveCost) AS net, SUM(PricingQuantity) AS priced",
            }[table]
        )
        sql = f"SELECT {columns} FROM acme.{table} WHERE {day_column} > '2026-10-01' GROUP BY 1 ORDER BY 1"
        assert platform.rows(sql) == together.rows(sql)


def test_a_late_correction_is_counted_in_its_usage_day(platform: Any, tmp_path: Path) -> None:
    day = date(2026, 10, 9)
    files = generate_bills(tmp_path / "bills", TENANTS["acme"], day, day + timedelta(days=1), seed=5, rows_per_day=100)
    before = [path for path in files if date.fromisoformat(path.stem) < day + timedelta(days=3)]
    platform.load_bills("acme", before)
    platform.run("acme", [day])
    sql = f"SELECT COUNT(*) AS n, SUM(cost) AS cost FROM acme.gcp_cost_line_items WHERE usage_date = DATE '{day}'"
    [early] = platform.rows(sql)
    platform.load_bills("acme", [path for path in files if path not in before])
    platform.run("acme", [day])
    [late] = platform.rows(sql)
    assert late["n"] == early["n"] + 1
    assert late["cost"] == sum(nine(row["cost"]) for row in raw_rows(files, TENANTS["acme"], day))


def test_the_focus_table_has_the_specifications_columns(registry: Any) -> None:
    step = next(s for s in registry.tenants["acme"].pipelines[0].steps if s.table == "gcp_focus")
    names = {c.name for c in step.spec.columns if not c.name.startswith("x_")}
    assert names == {*FOCUS_1_2, "HostProviderName", "ServiceProviderName"}  # two of 1.3


@pytest.mark.parametrize("template", ["gcp_billing", "gcp_focus_export"])
def test_a_focus_tables_own_columns_begin_with_x_and_stand_last(template: str) -> None:
    found = library()[template].template
    assert found is not None
    names = [column.name for column in found.spec.steps[-1].columns]
    own = [name.startswith("x_") for name in names]
    assert own == sorted(own)
    assert names[-1] == "x_UsageDate"
