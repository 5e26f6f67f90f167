"""Commitments, credits and purchases in FOCUS: what is billed stays exact, and fees stand on what they cover."""

import json
import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence_assets.assets.late_data import markers
from convergence_assets.assets.materialize import Report
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.assets.window import Window
from convergence_assets.demo.bills import hours_of
from convergence_assets.warehouse.interface import Job
from tests.library.exported_rows import (
    BERLIN,
    HOUR,
    assert_sums_are_exact,
    at,
    credit,
    focus,
    load,
    of,
    published,
)  # fmt: skip
from tests.library.platform_in_a_folder import Platform
from tests.library.test_real_bills import FEE, PRESENT_MODEL, ROW, TENANT, Row, stopped_by, told

NO_OFFSET: Row = {"credits": []}
RESOURCES = FEE | {"sku": {"id": "FEE2", "description": "Commitment v1: Cpu in Paris for 3 Years"}} | NO_OFFSET


def test_the_present_models_fee_its_offset_and_covered_usage_add_up_to_the_fee(
    platform: Platform, tmp_path: Path
) -> None:
    day = date(2026, 10, 12)
    noon = datetime(2026, 10, 12, 10, tzinfo=UTC)
    fee = at(FEE, noon, cost=10.0, cost_at_list=10.0, credits=[credit(-7.2, "FEE_UTILIZATION_OFFSET", "sub-77")])
    # Without the commitment's id, which its only fee tells.
    second = at(PRESENT_MODEL, noon, cost=2.2, cost_at_list=3.3, subscription=None, **of("vm-2"))
    load(platform, tmp_path, [day], [fee, at(PRESENT_MODEL, noon, cost=5.0, cost_at_list=6.6, **of("vm-1")), second])
    columns = (
        "ChargeCategory, CommitmentDiscountStatus, ResourceName, CommitmentDiscountId, PricingCategory, BilledCost, "
        "EffectiveCost, CommitmentDiscountQuantity, CommitmentDiscountUnit, ResourceId"
    )
    assert told(published(platform, [day], columns, "CommitmentDiscountId IS NOT NULL OR x_ChargePart = 'offset'")) == [
        ("Purchase", "None", "None", "sub-77", "Standard", "10", "0", "10", "EUR", "sub-77"),
        ("Usage", "Unused", "None", "sub-77", "Committed", "0", "2.8", "2.8", "EUR", "sub-77"),
        ("Usage", "Used", "vm-1", "sub-77", "Committed", "0", "4.8", "5", "EUR", "//compute/vm-1"),
        ("Usage", "Used", "vm-2", "sub-77", "Committed", "0", "2.4", "2.2", "EUR", "//compute/vm-2"),
    ]  # fmt: skip


def test_usage_that_is_covered_in_part_is_two_rows_and_what_is_left_of_the_commitment_a_third(
    platform: Platform, tmp_path: Path
) -> None:
    day = date(2026, 10, 12)
    noon = datetime(2026, 10, 12, 10, tzinfo=UTC)
    fee = at(
        RESOURCES, noon, cost=6.0, cost_at_list=6.0, subscription=None, resource=of("cpus")["resource"],
        usage=ROW["usage"] | {"amount_in_pricing_units": 4.0},
    )  # fmt: skip
    usage = at(
        ROW, noon, cost=8.0, cost_at_list=10.0, usage=ROW["usage"] | {"amount_in_pricing_units": 4.0},
        credits=[credit(-2.0, "COMMITTED_USAGE_DISCOUNT", "//compute/cpus"), credit(-0.5, "RESELLER_MARGIN")], **of("vm"),
    )  # fmt: skip
    label = at(
        ROW, noon, credits=[credit(-5.0, "COMMITTED_USAGE_DISCOUNT", "Committed Usage Discount: CPU")], **of("x")
    )
    load(platform, tmp_path, [day], [fee, usage, label])
    columns = (
        "x_ChargePart, CommitmentDiscountCategory, CommitmentDiscountStatus, CommitmentDiscountId, PricingCategory, "
        "BilledCost, EffectiveCost, ContractedCost, ListCost, PricingQuantity, CommitmentDiscountQuantity, "
        "CommitmentDiscountUnit, x_CommitmentLabel, x_CommitmentNote"
    )
    assert told(published(platform, [day], columns, "ResourceId IN ('//compute/vm', '//compute/x', '//compute/cpus')")) == [
        ("covered", "None", "None", "None", "Committed", "0", "0", "5", "6", "1", "None", "None",
         "Committed Usage Discount: CPU", "the export does not say which commitment"),
        ("covered", "Usage", "Used", "//compute/cpus", "Committed", "0", "1.5", "2", "2.5", "1", "1", "Hours",
         "//compute/cpus", "None"),
        ("uncovered", "None", "None", "None", "Standard", "5.5", "5.5", "6", "7.5", "3", "None", "None", "None", "None"),
        ("unused", "Usage", "Unused", "//compute/cpus", "Committed", "0", "4.5", "0", "0", "0", "3", "Hours", "None", "None"),
        ("whole", "Usage", "None", "//compute/cpus", "Standard", "6", "0", "6", "6", "4", "4", "Hours", "None", "None"),
    ]  # fmt: skip


def test_a_commitment_of_cores_and_of_memory_is_two_each_with_its_unit_its_usage_and_its_fee(
    platform: Platform, tmp_path: Path
) -> None:
    day = date(2026, 10, 12)
    noon = datetime(2026, 10, 12, 10, tzinfo=UTC)
    resource: Row = {"subscription": None, "resource": {"name": "c-1", "global_name": None}}

    def amounts(quantity: float, unit: str) -> Row:
        return {"usage": ROW["usage"] | {"amount_in_pricing_units": quantity, "pricing_unit": unit}}

    ram = {"sku": {"id": "FEE3", "description": "Commitment v1: Ram in Paris for 3 Years"}}
    fees = [
        at(RESOURCES, noon, cost=6.0, cost_at_list=6.0, **resource, **amounts(4.0, "hour")),
        at(RESOURCES | ram, noon, cost=8.0, cost_at_list=8.0, **resource, **amounts(16.0, "gibibyte hour")),
    ]

    def covered(name: str, cost: float, quantity: float, unit: str) -> Row:
        credits = [credit(-cost, "COMMITTED_USAGE_DISCOUNT", "c-1")]
        return at(ROW, noon, cost=cost, cost_at_list=cost, credits=credits, **amounts(quantity, unit), **of(name))

    usage = [covered("cores", 4.0, 2.0, "hour"), covered("memory", 9.0, 16.0, "gibibyte hour")]
    load(platform, tmp_path, [day], [*fees, *usage])
    columns = (
        "ChargeCategory, CommitmentDiscountId, CommitmentDiscountUnit, CommitmentDiscountStatus, "
        "CommitmentDiscountQuantity, BilledCost, EffectiveCost, ResourceId"
    )
    rows = told(published(platform, [day], columns, "CommitmentDiscountId IS NOT NULL"))
    assert rows == [
        ("Purchase", "c-1", "Hours", "None", "4", "6", "0", "c-1"),
        ("Purchase", "c-1/gibibyte-hour", "GiB-Hours", "None", "16", "8", "0", "c-1/gibibyte-hour"),
        ("Usage", "c-1", "Hours", "Unused", "2", "0", "3", "c-1"),
        ("Usage", "c-1", "Hours", "Used", "2", "0", "3", "//compute/cores"),
        ("Usage", "c-1/gibibyte-hour", "GiB-Hours", "Used", "16", "0", "8", "//compute/memory"),
    ]
    assert_sums_are_exact(platform, [day], focus(platform, [day], "*", "TRUE"))


def test_credits_applied_afterwards_are_rows_that_name_their_charge_and_reductions_of_the_price_stay_in_it(
    platform: Platform, tmp_path: Path
) -> None:
    day = date(2026, 10, 12)
    noon = datetime(2026, 10, 12, 10, tzinfo=UTC)
    credits = [
        credit(-1.0, "PROMOTION", "Trial"), credit(-0.5, "FREE_TIER"), credit(-0.25, "GOODWILL"),
        credit(-0.125, "SUSTAINED_USAGE_DISCOUNT"), credit(-0.0625, "DISCOUNT"), credit(-0.03125, "SUBSCRIPTION_BENEFIT"),
    ]  # fmt: skip
    load(platform, tmp_path, [day], [at(ROW, noon, credits=credits, **of("vm"))])
    columns = "ChargeCategory, x_CreditType, BilledCost, EffectiveCost, ListCost, PricingCategory, ChargeDescription, x_LineItemId"
    rows = told(published(platform, [day], columns, "ResourceName = 'vm'"))
    assert [row[:-1] for row in rows] == [
        ("Credit", "FREE_TIER", "-0.5", "-0.5", "-0.5", "None", "c"),
        ("Credit", "GOODWILL", "-0.25", "-0.25", "-0.25", "None", "c"),
        ("Credit", "PROMOTION", "-1", "-1", "-1", "None", "Trial"),
        ("Usage", "None", "4.78125", "4.78125", "6", "Standard", "Core"),
    ]  # fmt: skip
    assert len({row[-1] for row in rows}) == 1


def test_covered_usage_without_a_fee_in_the_export_keeps_its_cost_and_says_why(
    platform: Platform, tmp_path: Path
) -> None:
    day = date(2026, 10, 12)
    load(platform, tmp_path, [day], [at(PRESENT_MODEL, datetime(2026, 10, 12, 10, tzinfo=UTC))])
    columns = (
        "BilledCost, EffectiveCost, ContractedCost, CommitmentDiscountId, CommitmentDiscountStatus, PricingCategory, "
        "x_CommitmentLabel, x_CommitmentNote"
    )
    assert told(published(platform, [day], columns, "ResourceName = 'vm-present'")) == [
        ("7.2", "7.2", "10", "None", "None", "Committed", "sub-77", "the export has no fee of the commitment for the day in this billing month"),
    ]  # fmt: skip


def test_covered_usage_on_a_day_without_a_fee_leaves_the_sum_of_its_commitment_as_it_is(
    platform: Platform, tmp_path: Path
) -> None:
    days = [date(2026, 10, 12), date(2026, 10, 13)]
    noons = [datetime(2026, 10, day.day, 10, tzinfo=UTC) for day in days]
    back = [credit(-0.5, "DISCOUNT"), credit(-1.0, "PROMOTION"), credit(-7.2, "FEE_UTILIZATION_OFFSET", "sub-77")]
    fees = [at(FEE, noons[0], cost=10.0, credits=back), at(FEE, noons[0], cost=3.0, credits=[])]
    load(platform, tmp_path, days, [*fees, at(PRESENT_MODEL, noons[1])])
    rows = published(platform, days)
    assert_sums_are_exact(platform, days, rows)
    assert {row["EffectiveCost"] for row in rows if row["ResourceName"] == "vm-present"} == {Decimal("7.2")}


def test_other_reductions_of_usage_that_two_commitments_cover_stay_with_the_line_items_that_have_them(
    platform: Platform, tmp_path: Path
) -> None:
    day = date(2026, 10, 12)
    noon = datetime(2026, 10, 12, 10, tzinfo=UTC)
    fees = [at(RESOURCES, noon, cost=6.0, cost_at_list=6.0, subscription={"instance_id": name}) for name in "AB"]

    def usage(name: str, **covers: float) -> Row:
        credits = [credit(-amount, "COMMITTED_USAGE_DISCOUNT", of) for of, amount in covers.items()]
        return at(ROW, noon, credits=[*credits, credit(-0.5, "RESELLER_MARGIN")], **of(name))

    both = [usage(f"vm-{number}", A=4.0, B=1.0) for number in range(8)]
    load(platform, tmp_path, [day], [*fees, *both, usage("vm-8", A=5.0)])
    columns = "ChargeCategory, ResourceName, SubAccountId, BilledCost, EffectiveCost, ChargeDescription"
    rows = told(published(platform, [day], columns, "x_ChargePart IN ('reduction', 'offset')"))
    assert rows == [
        ("Adjustment", f"vm-{number}", "shop", "-0.5", "-0.5", "Reductions of the price of covered usage")
        for number in range(9)
    ]
    assert_sums_are_exact(platform, [day], focus(platform, [day], "*", "TRUE"))


def test_what_an_offset_leaves_is_described_by_the_fee(platform: Platform, tmp_path: Path) -> None:
    day = date(2026, 10, 12)
    noon = datetime(2026, 10, 12, 10, tzinfo=UTC)
    fee = at(FEE, noon, credits=[credit(-20.0, "FEE_UTILIZATION_OFFSET")])
    load(platform, tmp_path, [day], [fee, *(at(PRESENT_MODEL, noon, cost=cost) for cost in (1.0, 2.0, 3.0, 4.0, 5.0))])
    rows = published(platform, [day], "SkuId, SubAccountId, BilledCost", "x_ChargePart = 'offset'")
    assert told(rows) == [("FEE1", "None", "-5")]


def test_dear_usage_of_many_byte_seconds_is_split(platform: Platform, tmp_path: Path) -> None:
    day = date(2026, 10, 12)
    noon = datetime(2026, 10, 12, 10, tzinfo=UTC)
    usage = at(
        ROW, noon, cost=8000.0, cost_at_list=8000.0, credits=[credit(-3000.0, "COMMITTED_USAGE_DISCOUNT")],
        usage={"amount": 4.7e16, "unit": "byte-seconds", "amount_in_pricing_units": 1e16, "pricing_unit": "x"}, **of("vm"),
    )  # fmt: skip
    load(platform, tmp_path, [day], [usage])
    rows = published(
        platform, [day], "x_ChargePart, ListCost, ConsumedQuantity, PricingQuantity", "ResourceName = 'vm'"
    )
    assert told(rows) == [
        ("covered", "3000", "17625000000000000", "3750000000000000"),
        ("uncovered", "5000", "29375000000000000", "6250000000000000"),
    ]


def random_bills(rng: random.Random, days: list[date], places: tuple[int, ...] = (0, 2, 6, 9)) -> list[Row]:
    """Fees of three commitments and usage of them, whatever comes together: fees over days, also of days without any
    other; usage that two commitments cover, at a price or by credits; credits that are taken back."""
    first, last = hours_of(days[0], BERLIN)[0], hours_of(days[-1], BERLIN)[-1]

    def moment() -> datetime:
        return first + rng.randrange(int((last - first) / HOUR)) * HOUR

    def amount(low: float, high: float) -> float:
        return round(rng.uniform(low, high), rng.choice(places))

    def usage(row: Row, **changed: Any) -> Row:
        cost, quantity = amount(0, 9), rng.choice((0.0, 1.0, 0.333333, 7.1))
        used = ROW["usage"] | {"amount_in_pricing_units": quantity}
        prices: Row = {"cost_at_list": amount(cost, cost + 4), "cost_at_effective_price_default": amount(0, 9)}
        whole = at(row, moment(), cost=cost, usage=used, **prices, **of(f"vm-{rng.random()}")) | changed
        # Some usage is metered late and billed with the next month.
        return whole | ({"invoice": {"month": "202611", "publisher_type": "GOOGLE"}} if rng.random() < 0.1 else {})

    def covers(name: str, share: float) -> dict[str, Any]:
        return credit(share, "COMMITTED_USAGE_DISCOUNT", name)

    rows, adjusted = [], {"id": "a", "description": "Taken back", "mode": "PARTIAL_CORRECTION", "type": None}
    for name, kind in (("sub-1", FEE), ("sub-2", FEE), ("sub-3", RESOURCES)):
        present_fields: Row = {"subscription": {"instance_id": name}}
        for number, day in enumerate(days):
            start = hours_of(day, BERLIN)[0] + rng.randrange(24 if number < 2 else 1) * HOUR
            end = min(start + rng.choice((1, 7, 24, 30, 60)) * HOUR, last + HOUR)
            back = [credit(-amount(0, 8), "FEE_UTILIZATION_OFFSET", name)] if kind is FEE else []
            promotions = [credit(-amount(0, 1), t) for t in ("PROMOTION", "DISCOUNT") if rng.random() < 0.3]
            costs = (amount(0, 20), *([-amount(0, 3)] if rng.random() < 0.3 else []))
            # Of a later day without a fee only earlier ones may reach into it.
            if number == 0 or rng.random() < 0.5:
                cents = {"usage": ROW["usage"] | {"amount_in_pricing_units": rng.choice((1.0, 900.0, 4000.0))}}
                fee = at(kind, start, end, credits=[*back, *promotions], **present_fields, **cents)
                rows += [fee | {"cost": cost} for cost in costs]
        for _ in range(8):
            others = [credit(-amount(0, 1), t) for t in ("RESELLER_MARGIN", "FREE_TIER") if rng.random() < 0.5]
            if name == "sub-1":
                rows.append(usage(PRESENT_MODEL, **present_fields, credits=others))
            share, second = -amount(0, 4), rng.choice(("sub-1", "sub-2", "sub-3", "A label"))
            rows.append(usage(ROW, credits=[covers(name, share), covers(second, share), *others]))
            rows.append(usage(ROW, credits=[covers(name, share), *others]))
        taken = [covers(name, amount(0, 4)), credit(amount(0, 1), "RESELLER_MARGIN")]
        rows.append(usage(ROW, cost=0.0, credits=taken, adjustment_info=adjusted))
        rows.append(usage(ROW, cost=-3.0, cost_at_list=-4.0, credits=taken, adjustment_info=adjusted))
        offset = [credit(amount(0, 4), "FEE_UTILIZATION_OFFSET", name)]
        rows.append(at(kind, moment(), cost=0.0, credits=offset, adjustment_info=adjusted, **present_fields))
    return [row | {"labels": [{"key": "number", "value": str(number)}]} for number, row in enumerate(rows)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sums_are_exact_whatever_fees_offsets_credits_and_usage_come_together(
    platform: Platform, tmp_path: Path, seed: int
) -> None:
    days = [date(2026, 10, 24) + timedelta(days=n) for n in range(3)]  # the second one has 25 hours
    load(platform, tmp_path, days, random_bills(random.Random(seed), days))
    rows = published(platform, days)
    assert_sums_are_exact(platform, days, rows)
    assert sum(row["EffectiveCost"] for row in rows) == sum(row["BilledCost"] for row in rows)


def test_a_months_fee_is_spread_over_its_hours_and_adds_up_in_its_billing_period(
    platform: Platform, tmp_path: Path
) -> None:
    days = [date(2026, 10, 1) + timedelta(days=n) for n in range(32)]  # a billing month ends on Nov 1 in Berlin
    start, end = datetime(2026, 10, 1, 7, tzinfo=UTC), datetime(2026, 11, 1, 7, tzinfo=UTC)
    fee = at(FEE, start, end, cost=100.0, cost_at_list=100.0, credits=[], export_time="2026-10-02T00:00:00Z")
    usage = [at(PRESENT_MODEL, hours_of(day, BERLIN)[12], cost=1.0 + day.day / 7) for day in days[::3]]
    usage.append(at(PRESENT_MODEL, hours_of(days[-1], BERLIN)[2], cost=0.5))
    load(platform, tmp_path, days, [fee, *usage])
    rows = published(platform, days)
    assert_sums_are_exact(platform, days, rows)
    parts: dict[date, Decimal] = defaultdict(Decimal)
    for row in rows:
        if row["CommitmentDiscountStatus"]:
            parts[row["x_UsageDate"]] += row["EffectiveCost"]
    hourly = Decimal(100) / (31 * 24)
    hours = {date(2026, 10, 1): 15, date(2026, 10, 2): 24, date(2026, 10, 25): 25, date(2026, 11, 1): 8}
    for day, expected in hours.items():
        assert parts[day] == pytest.approx(hourly * expected, abs=Decimal("2e-9"))
    alone = focus(platform, days, "SUM(EffectiveCost) AS cost", "CommitmentDiscountStatus = 'Unused'")
    platform.run(TENANT, [date(2026, 10, 25)])
    assert focus(platform, days, "SUM(EffectiveCost) AS cost", "CommitmentDiscountStatus = 'Unused'") == alone


def test_an_offset_is_billed_with_its_fee_and_in_effect_on_each_day_of_the_fees_window(
    platform: Platform, tmp_path: Path
) -> None:
    days = [date(2026, 10, 10) + timedelta(days=n) for n in range(3)]
    start = hours_of(days[0], BERLIN)[0]
    fee = at(FEE, start, start + 72 * HOUR, cost=30.0, credits=[credit(-21.6, "FEE_UTILIZATION_OFFSET", "sub-77")])
    load(platform, tmp_path, days, [fee, *(at(PRESENT_MODEL, hours_of(day, BERLIN)[12]) for day in days)])
    rows = published(platform, days)
    assert_sums_are_exact(platform, days, rows)
    of_offset = [
        (row["BilledCost"], row["EffectiveCost"], row["SkuId"]) for row in rows if row["x_ChargePart"] == "offset"
    ]
    assert sorted(of_offset) == [
        (Decimal("-14.4"), 0, "FEE1"),
        (Decimal("7.2"), 0, "FEE1"),
        (Decimal("7.2"), 0, "FEE1"),
    ]
    by_day: dict[date, Decimal] = defaultdict(Decimal)
    for row in rows:
        by_day[row["x_UsageDate"]] += row["EffectiveCost"]
    assert by_day == dict.fromkeys(days, 24 * 5 + 10)


def test_a_day_that_is_run_before_the_fee_that_reaches_into_it_is_told_to_be_run_again(
    platform: Platform, tmp_path: Path
) -> None:
    days = [date(2026, 10, 10), date(2026, 10, 11)]
    start = hours_of(days[0], BERLIN)[0]
    fee = at(FEE, start, start + 48 * HOUR, cost=30.0, cost_at_list=30.0, credits=[])
    load(platform, tmp_path, days, [fee])
    check = "later_days_have_their_parts_of_these_fees"

    def lacking(reports: dict[str, Report]) -> list[str]:
        assert {table: stopped_by(report) for table, report in reports.items() if stopped_by(report)} == {}
        outcomes = {outcome.name: outcome for outcome in reports["gcp_charges"].outcomes}
        return [] if outcomes[check].passed else list(outcomes[check].examples)

    assert lacking(platform.run(TENANT, days[1:])) == []
    [told_of] = lacking(platform.run(TENANT, days[:1]))
    assert "day_to_run_again=2026-10-11, commitment_id=sub-77" in told_of
    assert lacking(platform.run(TENANT, days[1:])) == []
    assert lacking(platform.run(TENANT, days[:1])) == []
    assert_sums_are_exact(platform, days, focus(platform, days, "*", "TRUE"))


def test_a_day_that_read_the_fees_before_an_earlier_one_published_its_own_is_stopped_until_it_reads_them_again(
    platform: Platform, tmp_path: Path
) -> None:
    days = [date(2026, 10, 10), date(2026, 10, 11)]
    start = hours_of(days[0], BERLIN)[0]
    load(platform, tmp_path, days, [at(FEE, start, start + 48 * HOUR, cost=30.0, cost_at_list=30.0, credits=[])])
    platform.run(TENANT, days[1:], "gcp_cost_line_items", "gcp_commitment_fees", "gcp_commitments")
    platform.run(TENANT, days[:1], "gcp_cost_line_items", "gcp_commitment_fees")
    late = platform.run(TENANT, days[1:], "gcp_charges")["gcp_charges"]
    assert list(stopped_by(late)) == ["days_have_their_parts_of_all_fees"]
    assert_sums_are_exact(platform, days, published(platform, days[1:]) + published(platform, days[:1]))


def test_a_fee_that_is_exported_late_asks_for_the_days_of_its_window_alone(platform: Platform, tmp_path: Path) -> None:
    days = [date(2026, 10, 10) + timedelta(days=n) for n in range(4)]
    load(platform, tmp_path, days, [at(PRESENT_MODEL, hours_of(days[1], BERLIN)[12])])
    before = told(published(platform, days, "EffectiveCost, x_CommitmentNote", "ResourceName = 'vm-present'"))
    assert before == [("7.2", "the export has no fee of the commitment for the day in this billing month")]

    def asked() -> dict[date, str]:
        tenant = platform.registry.tenants[TENANT]
        [step] = [step for step in tenant.pipelines[0].steps if step.table == "gcp_commitments"]
        window = Window.local(days[0], days[-1], tenant.timezone)
        with open_warehouse(platform.settings) as warehouse:
            return markers(warehouse, tenant, step, window, Job(f"asked-{len(list(tmp_path.iterdir()))}"))

    assert asked() == {}
    start = hours_of(days[0], BERLIN)[6]
    late = at(FEE, start, start + 48 * HOUR, cost=48.0, credits=[], export_time="2026-10-16T00:00:00Z")
    file = tmp_path / "late.jsonl"
    file.write_text(json.dumps(late) + "\n")
    platform.load_bills(TENANT, [file])
    platform.run(TENANT, days[:1])
    assert set(asked()) == set(days[1:3])
    platform.run(TENANT, days[1:2])
    platform.run(TENANT, days[2:3])
    assert_sums_are_exact(platform, days, focus(platform, days, "*", "TRUE"))
    parts = focus(
        platform, days, "x_UsageDate, SUM(EffectiveCost)", "CommitmentDiscountStatus IS NOT NULL GROUP BY x_UsageDate"
    )
    assert told(parts) == [("2026-10-10", "18"), ("2026-10-11", "24"), ("2026-10-12", "6")]
