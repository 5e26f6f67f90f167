"""Google's published examples of a spend-based commitment, in both of its billing models, as rows of FOCUS.

A year's commitment to 50 an hour of Cloud SQL at list prices costs 37.50 an hour, 25 % less:
https://cloud.google.com/billing/docs/how-to/cud-analysis-spend-based ("Understanding your bill"). The former model bills
usage at list prices and takes credits off; its fee is priced by the cent of a dollar of such usage:
https://cloud.google.com/billing/docs/how-to/cud-analysis-flexible ("SKU price * 100"). The present one bills covered
usage at its own price and takes the fee back: https://docs.cloud.google.com/docs/cuds-multiprice
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.library.exported_rows import assert_sums_are_exact, at, credit, focus, load, of, published
from tests.library.platform_in_a_folder import Platform
from tests.library.test_real_bills import FEE, PRESENT_MODEL, ROW, Row, told

DAY, HOUR_OF_USE = date(2026, 10, 12), datetime(2026, 10, 12, 10, tzinfo=UTC)
CLOUD_SQL = {"service": {"id": "9662-B51E-5089", "description": "Cloud SQL"}}
COMMITMENT = "//cloudcommerceconsumerprocurement/sql-50"


def line(row: Row, cost: float, at_list: float, credits: list[Row], **changed: Any) -> Row:
    """A line item of Cloud SQL in the hour, priced by the hour."""
    return at(row | CLOUD_SQL, HOUR_OF_USE, cost=cost, cost_at_list=at_list, credits=credits, **changed)


def former_model(usage: float) -> list[Row]:
    used = min(usage, 50.0)
    sku = {"sku": {"id": "FEE", "description": "Commitment - dollar based v1: Cloud SQL database Iowa for 1 year"}}
    cents = {"usage": ROW["usage"] | {"amount_in_pricing_units": 6250.0}, "currency_conversion_rate": 0.8}
    return [
        line(FEE | sku | cents, 37.5, 37.5, [], subscription={"instance_id": COMMITMENT}),
        line(ROW, usage, usage, [credit(-used, "COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE", COMMITMENT)], **of("db")),
    ]


def present_model(usage: float) -> list[Row]:
    used = min(usage, 50.0) * 0.75
    ids = {"subscription": {"instance_id": COMMITMENT}}
    model = {"consumption_model": {"id": "0D29-1234-5678", "description": "Cloud SQL CUD - 1 Year"}}
    rows = [
        line(FEE, 37.5, 37.5, [credit(-used, "FEE_UTILIZATION_OFFSET", COMMITMENT)], **ids),
        line(PRESENT_MODEL, used, min(usage, 50.0), [], **ids, **model, **of("db")),
    ]
    return rows + [line(ROW, usage - 50, usage - 50, [], **of("db"))] * (usage > 50)


PURCHASE = ("Purchase", "None", "37.5", "0")


@pytest.mark.parametrize("model", [former_model, present_model])
@pytest.mark.parametrize(
    ("usage", "billed", "expected"),
    [
        (50.0, "37.5", [PURCHASE, ("Usage", "Used", "0", "37.5")]),
        (80.0, "67.5", [PURCHASE, ("Usage", "None", "30", "30"), ("Usage", "Used", "0", "37.5")]),
        (40.0, "37.5", [PURCHASE, ("Usage", "Unused", "0", "7.5"), ("Usage", "Used", "0", "30")]),
    ],
)
def test_an_hour_of_cloud_sql_under_a_commitment_to_50_of_it_is_billed_and_used_as_google_says(
    platform: Platform,
    tmp_path: Path,
    model: Callable[[float], list[Row]],
    usage: float,
    billed: str,
    expected: list[tuple[str, ...]],
) -> None:
    load(platform, tmp_path, [DAY], model(usage))
    columns = "ChargeCategory, CommitmentDiscountStatus, BilledCost, EffectiveCost"
    cloud_sql = "ServiceName = 'Cloud SQL' AND (BilledCost != 0 OR EffectiveCost != 0)"
    rows = told(published(platform, [DAY], columns, cloud_sql))
    assert rows == expected
    assert_sums_are_exact(platform, [DAY], focus(platform, [DAY], "*", "TRUE"))
    total = platform.rows(f"SELECT SUM(BilledCost) AS billed FROM acme.gcp_focus WHERE {cloud_sql}")
    assert told(total) == [(billed,)]
