"""The billing pipeline on rows that Google really sends: no day is stopped, no row is taken for another."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence_assets.assets.materialize import Report
from tests.library.platform_in_a_folder import Platform

DAY = date(2026, 10, 12)
TENANT = "acme"  # Europe/Berlin
START = datetime(2026, 10, 11, 22)
Row = dict[str, Any]

ROW: Row = {
    "billing_account_id": "AAAAAA-BBBBBB-CCCCCC", "service": {"id": "6F81", "description": "Compute Engine"},
    "sku": {"id": "AB12", "description": "Core"}, "usage_start_time": "2026-10-12T05:00:00Z",
    "usage_end_time": "2026-10-12T06:00:00Z",
    "project": {
        "id": "shop", "number": "1", "name": "Shop", "labels": [{"key": "cost-center", "value": "7"}],
        "ancestry_numbers": "/77/", "ancestors": [{"resource_name": "projects/1", "display_name": "Shop"}],
    },
    "labels": [{"key": "env", "value": "prod"}], "system_labels": [{"key": "cores", "value": "4"}],
    "tags": [{"key": "team", "value": "payments", "inherited": True, "namespace": "123"}],
    "location": {"location": "europe-west9", "country": "FR", "region": "europe-west9", "zone": "europe-west9-a"},
    "transaction_type": "GOOGLE", "seller_name": None, "export_time": "2026-10-12T09:00:00Z", "cost": 5.0,
    "currency": "EUR", "currency_conversion_rate": 0.9,
    "usage": {"amount": 3600.0, "unit": "seconds", "amount_in_pricing_units": 1.0, "pricing_unit": "hour"},
    "credits": [{"name": "c", "amount": -1.0, "full_name": "C", "id": "c", "type": "PROMOTION"}],
    "invoice": {"month": "202610", "publisher_type": "GOOGLE"}, "cost_type": "regular",
    "adjustment_info": {"id": None, "description": None, "mode": None, "type": None},
    "resource": {"name": "vm-1", "global_name": "//compute/vm-1"},
    "price": {
        "effective_price": 5, "tier_start_amount": 0, "unit": "hour", "pricing_unit_quantity": 1, "list_price": 6,
        "effective_price_default": 5, "list_price_consumption_model": 6,
    },
    "cost_at_list": 6.0, "cost_at_effective_price_default": 5.0, "cost_at_list_consumption_model": 6.0,
    "consumption_model": {"id": "7754", "description": "Default"}, "subscription": {"instance_id": None},
}  # fmt: skip
OTHER: dict[type, Callable[[Any], Any]] = {
    str: lambda text: f"{text}x", float: lambda number: number + 1e-11, int: lambda number: number + 1,
    bool: lambda flag: not flag, type(None): lambda _: "x",
}  # fmt: skip
MOMENTS = ("usage_start_time", "usage_end_time", "export_time")


def twins(row: Row) -> list[tuple[str, Row]]:
    """The row once for every exported field, changed in that one alone."""
    made: list[tuple[str, Row]] = []

    def walk(value: Any, path: tuple[str | int, ...]) -> None:
        if isinstance(value, dict | list):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                walk(inner, (*path, key))
            return
        changed = deepcopy(row)
        inside: Any = changed
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = "2026-10-12T07:30:00Z" if path[-1] in MOMENTS else OTHER[type(value)](value)
        made.append((".".join(map(str, path)), changed))

    walk(row, ())
    return made


def load(platform: Platform, folder: Path, rows: list[Row]) -> None:
    """These rows, and one for each hour of the day so that the day is whole."""
    hours = [
        ROW
        | {
            "usage_start_time": f"{START + timedelta(hours=n):%Y-%m-%dT%H:%M:%SZ}",
            "usage_end_time": f"{START + timedelta(hours=n + 1):%Y-%m-%dT%H:%M:%SZ}",
            "export_time": "2026-10-13T03:00:00Z",
            "invoice": {"month": "202610", "publisher_type": "GOOGLE"},
        }
        for n in range(24)
    ]
    file = folder / "bills.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*hours, *rows]))
    platform.load_bills(TENANT, [file])


def stopped_by(report: Report) -> dict[str, Any]:
    return {o.name: o.examples for o in report.outcomes if not o.passed and o.severity == "critical"}


def broken_rules(report: Report) -> set[str]:
    """The rules of FOCUS that rows of a report break, without those that only should hold."""
    return {r.name for o in report.outcomes if o.severity != "info" for r in o.rules if not r.passed}


def told(rows: list[Row]) -> list[tuple[str, ...]]:
    """Values as text, numbers without trailing zeros, in order."""
    return sorted(
        tuple(f"{v.normalize():f}" if isinstance(v, Decimal) else str(v) for v in row.values()) for row in rows
    )


def test_rows_that_differ_in_any_exported_field_are_two_charges(platform: Platform, tmp_path: Path) -> None:
    changed = twins(ROW)
    assert len(changed) > 55
    load(platform, tmp_path, [ROW, *(row for _, row in changed)])
    report = platform.run(TENANT, [DAY], "gcp_cost_line_items")["gcp_cost_line_items"]
    assert stopped_by(report).get("no_row_was_exported_twice") is None
    assert report.staged_rows[DAY] == 24 + 1 + len(changed)


def test_a_row_in_another_order_of_its_lists_is_the_same_charge(platform: Platform, tmp_path: Path) -> None:
    labels = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
    load(platform, tmp_path, [ROW | {"labels": labels}, ROW | {"labels": labels[::-1]}])
    report = platform.run(TENANT, [DAY], "gcp_cost_line_items")["gcp_cost_line_items"]
    assert "no_row_was_exported_twice" in stopped_by(report)


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        ({"credits": [{"name": "c", "amount": 3.0, "id": "c", "type": "DISCOUNT"}]}, "credits_are_never_positive"),
        ({"usage": {"amount": -9.0, "unit": "seconds"}}, "usage_is_never_negative"),
    ],
)
def test_only_an_adjustment_takes_credits_or_usage_back(
    platform: Platform, tmp_path: Path, changed: Row, check: str
) -> None:
    adjusted = {"id": None, "description": None, "mode": "PARTIAL_CORRECTION", "type": None}
    load(platform, tmp_path, [ROW | changed])
    assert check in stopped_by(platform.run(TENANT, [DAY], "gcp_cost_line_items")["gcp_cost_line_items"])
    load(platform, tmp_path, [ROW | changed | {"adjustment_info": adjusted}])
    assert stopped_by(platform.run(TENANT, [DAY], "gcp_cost_line_items")["gcp_cost_line_items"]) == {}


FEE_SKU = {"sku": {"id": "FEE1", "description": "Commitment v1: Cpu for 1 Year"}}
LATER = {"export_time": "2026-12-13T09:00:00Z"}


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        (LATER | FEE_SKU | {"usage_end_time": "2026-11-12T06:00:00Z"}, None),  # 31 days and the hour of a changed clock
        (LATER | FEE_SKU | {"usage_end_time": "2026-11-12T07:00:00Z"}, "usage_window_lies_within_a_day"),
        (LATER | {"usage_end_time": "2026-10-14T05:00:00Z"}, "usage_window_lies_within_a_day"),
        (FEE_SKU | {"usage_end_time": "2026-11-12T05:00:00Z"}, None),
        (FEE_SKU | {"export_time": "2026-10-12T04:00:00Z"}, "usage_ended_before_it_was_exported"),
        ({"usage_end_time": "2026-10-12T10:00:00Z"}, "usage_ended_before_it_was_exported"),
    ],
)
def test_only_a_commitments_fee_may_be_for_a_month_and_be_charged_before_it_ends(
    platform: Platform, tmp_path: Path, changed: Row, check: str | None
) -> None:
    load(platform, tmp_path, [ROW | changed])
    stopped = stopped_by(platform.run(TENANT, [DAY], "gcp_cost_line_items")["gcp_cost_line_items"])
    assert list(stopped) == ([check] if check else [])


PRESENT_MODEL = ROW | {
    "cost": 7.2, "cost_at_list": 11.0, "cost_at_effective_price_default": 10.0, "cost_at_list_consumption_model": 7.9,
    "credits": [], "consumption_model": {"id": "7754-699E", "description": "Compute Flexible CUDs 1 Year"},
    "subscription": {"instance_id": "sub-77"}, "resource": {"name": "vm-present", "global_name": "//x/vm-present"},
    "price": ROW["price"] | {"effective_price": 7.2, "effective_price_default": 10, "list_price": 11},
}  # fmt: skip
"""Usage that a spend-based commitment covers, as Google exports it since 2026."""
FORMER_MODEL = ROW | {
    "credits": [{"name": "cud", "amount": -2.0, "id": "cud-1", "type": "COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE"}],
    "resource": {"name": "vm-former", "global_name": "//x/vm-former"},
}  # fmt: skip
FEE = ROW | {
    "sku": {"id": "FEE1", "description": "Commitment - dollar based v1: Flexible - 1 Year"}, "resource": None,
    "subscription": {"instance_id": "sub-77"},
    "credits": [{"name": "sub-77", "amount": -4.0, "id": "sub-77", "type": "FEE_UTILIZATION_OFFSET"}],
}  # fmt: skip


def test_usage_that_a_commitment_covers_is_committed_under_both_of_googles_models_and_its_fee_is_a_purchase(
    platform: Platform, tmp_path: Path
) -> None:
    load(platform, tmp_path, [PRESENT_MODEL, FORMER_MODEL, FEE])
    assert stopped_by(platform.run(TENANT, [DAY])["gcp_focus"]) == {}
    rows = platform.rows(
        "SELECT ResourceName, ChargeCategory, PricingCategory, CommitmentDiscountCategory, CommitmentDiscountStatus, "
        "CommitmentDiscountId, BilledCost, ContractedCost, ListCost, CommitmentDiscountQuantity, "
        "CommitmentDiscountUnit, InvoiceIssuerName "
        "FROM acme.gcp_focus WHERE CommitmentDiscountId IS NOT NULL OR PricingCategory = 'Committed' "
        "ORDER BY CommitmentDiscountId, ChargeCategory"
    )
    assert [tuple(map(str, row.values())) for row in rows] == [
        ("vm-former", "Usage", "Committed", "None", "None", "None", "0E-9", "2.000000000", "2.400000000",
         "None", "None", "Google Cloud"),
        ("None", "Purchase", "Standard", "Spend", "None", "sub-77", "5.000000000", "5.000000000", "6.000000000",
         "5.000000000", "EUR", "Google Cloud"),
        ("vm-present", "Usage", "Committed", "Spend", "Used", "sub-77", "0E-9", "10.000000000", "11.000000000",
         "7.200000000", "EUR", "Google Cloud"),
    ]  # fmt: skip


def test_tags_are_json_with_each_key_once_the_nearest_first(platform: Platform, tmp_path: Path) -> None:
    rows = [
        ROW
        | {
            "resource": {"name": "vm-tagged", "global_name": None},
            "labels": [{"key": "env", "value": 'a "b"\n\u2028'}, {"key": None, "value": "x"}],
            "tags": [
                {"key": "env", "value": "tag", "inherited": False, "namespace": "1"},
                {"key": "team", "value": "inherited", "inherited": True, "namespace": "1"},
                {"key": "team", "value": "direct", "inherited": False, "namespace": "1"},
            ],
            "project": ROW["project"] | {"labels": [{"key": "team", "value": "p"}, {"key": "cc", "value": "7"}]},
            "system_labels": [{"key": "env", "value": "google"}],
        },
        ROW | {"resource": {"name": "vm-bare", "global_name": None}, "labels": [], "tags": [], "system_labels": []}
        | {"project": None},
    ]  # fmt: skip
    load(platform, tmp_path, rows)
    platform.run(TENANT, [DAY])
    found = platform.rows("SELECT ResourceName, Tags FROM acme.gcp_focus WHERE STARTS_WITH(ResourceName, 'vm-')")
    tags = {str(row["ResourceName"]): str(row["Tags"]) for row in found}

    def once(pairs: list[tuple[str, str]]) -> dict[str, str]:
        assert len({key for key, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    assert json.loads(tags["vm-tagged"], object_pairs_hook=once) == {
        "cc": "7", "env": 'a "b"\n\u2028', "gcp:env": "google", "team": "direct",
    }  # fmt: skip
    assert tags["vm-bare"] == "{}"
