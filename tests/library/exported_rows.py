"""Google's billing export as rows that tests write, and what of them is published as FOCUS."""

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from convergence_assets.demo.bills import hours_of
from tests.library.platform_in_a_folder import Platform
from tests.library.test_real_bills import ROW, TENANT, Row, broken_rules, stopped_by

BERLIN, LOS_ANGELES = "Europe/Berlin", ZoneInfo("America/Los_Angeles")
HOUR = timedelta(hours=1)


def at(row: Row, start: datetime, end: datetime | None = None, **changed: Any) -> Row:
    """The row in another window, billed in the month in which it starts."""
    end = end or start + HOUR
    text = "%Y-%m-%dT%H:%M:%SZ"
    return row | {
        "usage_start_time": start.strftime(text), "usage_end_time": end.strftime(text),
        "export_time": max(end, start + HOUR).strftime(text),
        "invoice": {"month": start.astimezone(LOS_ANGELES).strftime("%Y%m"), "publisher_type": "GOOGLE"},
    } | changed  # fmt: skip


def credit(amount: float, kind: str, name: str = "c") -> dict[str, Any]:
    return {"name": name, "full_name": name, "id": name, "type": kind, "amount": amount}


def of(name: str) -> Row:
    return {"resource": {"name": name, "global_name": f"//compute/{name}"}}


def load(platform: Platform, folder: Path, days: Iterable[date], rows: Iterable[Row]) -> None:
    """These rows, and one for each hour of the days so that they are whole."""
    hours = [at(ROW, hour, credits=[]) for day in days for hour in hours_of(day, BERLIN)]
    file = folder / "bills.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*hours, *rows]))
    platform.load_bills(TENANT, [file])


def published(platform: Platform, days: list[date], columns: str = "*", where: str = "TRUE") -> list[dict[str, Any]]:
    reports = platform.run(TENANT, days)
    assert {table: stopped_by(report) for table, report in reports.items() if stopped_by(report)} == {}
    assert broken_rules(reports["gcp_focus"]) == set()
    return focus(platform, days, columns, where)


def focus(platform: Platform, days: list[date], columns: str, where: str) -> list[dict[str, Any]]:
    span = f"x_UsageDate BETWEEN DATE '{days[0]}' AND DATE '{days[-1]}'"
    return platform.rows(f"SELECT {columns} FROM {TENANT}.gcp_focus WHERE {span} AND {where}")


def assert_sums_are_exact(platform: Platform, days: list[date], rows: list[dict[str, Any]]) -> None:
    """By day what is billed is the net cost; by commitment and billing period fees stand on what they cover."""
    span = f"usage_date BETWEEN DATE '{days[0]}' AND DATE '{days[-1]}'"
    items = platform.rows(
        f"SELECT usage_date, SUM(net_cost) AS net FROM {TENANT}.gcp_cost_line_items WHERE {span} GROUP BY usage_date"
    )
    billed: dict[Any, Decimal] = defaultdict(Decimal)
    fees: dict[Any, Decimal] = defaultdict(Decimal)
    effective: dict[Any, Decimal] = defaultdict(Decimal)
    for row in rows:
        billed[row["x_UsageDate"]] += row["BilledCost"]
        key = row["CommitmentDiscountId"], row["BillingPeriodStart"]
        if row["CommitmentDiscountId"] and row["ChargeCategory"] == "Purchase":
            fees[key] += row["BilledCost"]
            assert row["EffectiveCost"] == 0
        elif row["CommitmentDiscountId"]:
            effective[key] += row["EffectiveCost"]
    assert billed == {row["usage_date"]: row["net"] for row in items}
    assert fees
    assert {key: effective.pop(key, Decimal(0)) for key in fees} == fees
    assert set(effective.values()) <= {Decimal(0)}
