"""The demo's bills: whole days, true schema, the rare rows of real bills, the same for the same seed."""

import json
import random
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from convergence_assets.demo.bills import generate_bills, hours_of
from convergence_assets.demo.licences import generate_licences
from convergence_assets.demo.tenants import DEMO_TENANTS, DemoTenant
from convergence_assets.pipelines.catalog import library
from convergence_assets.pipelines.models import ColumnSpec

ACME = DEMO_TENANTS[0]
FIRST, LAST = date(2026, 10, 23), date(2026, 11, 2)


def rows_of(files: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=Decimal) for path in files for line in path.read_text().splitlines()]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return generate_bills(tmp_path_factory.mktemp("bills"), ACME, FIRST, LAST, seed=7, rows_per_day=240)


@pytest.fixture(scope="module")
def rows(bills: list[Path]) -> list[dict[str, Any]]:
    return rows_of(bills)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, bills: list[Path]) -> None:
    again = generate_bills(tmp_path, ACME, FIRST, LAST, seed=7, rows_per_day=240)
    assert {p.name: p.read_bytes() for p in again} == {p.name: p.read_bytes() for p in bills}


def test_another_seed_gives_other_bills(tmp_path: Path, bills: list[Path]) -> None:
    other = generate_bills(tmp_path, ACME, FIRST, LAST, seed=8, rows_per_day=240)
    assert other[3].read_bytes() != bills[3].read_bytes()


def test_a_day_is_the_same_whatever_days_are_made_with_it(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    day = date(2026, 10, 28)
    alone = rows_of(generate_bills(tmp_path, ACME, day, day, seed=7, rows_per_day=240))
    hours = hours_of(day, ACME.timezone)
    among = [row for row in rows if hours[0] <= moment(row["usage_start_time"]) <= hours[-1]]
    assert sorted(map(str, alone)) == sorted(map(str, among))


def test_the_random_state_of_the_process_is_left_alone(tmp_path: Path) -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    generate_bills(tmp_path, ACME, FIRST, FIRST, seed=7, rows_per_day=24)
    assert random.random() == expected


@pytest.mark.parametrize(
    ("day", "timezone", "hours"),
    [
        (date(2026, 10, 25), "Europe/Berlin", 25),
        (date(2026, 3, 29), "Europe/Berlin", 23),
        (date(2026, 11, 1), "America/New_York", 25),
        (date(2026, 3, 8), "America/New_York", 23),
        (date(2026, 10, 25), "Asia/Kolkata", 24),
    ],
)
def test_every_whole_hour_of_the_local_day_has_usage(tmp_path: Path, day: date, timezone: str, hours: int) -> None:
    tenant = DemoTenant("some", timezone)
    rows = rows_of(generate_bills(tmp_path, tenant, day, day, seed=1, rows_per_day=48))
    starts = {moment(row["usage_start_time"]) for row in rows}
    assert len(starts) == hours
    assert {start.astimezone(ZoneInfo(timezone)).date() for start in starts} == {day}


def test_a_file_holds_what_was_exported_on_its_day(bills: list[Path]) -> None:
    for path in bills:
        assert {row["export_time"][:10] for row in rows_of([path])} == {path.stem}


def test_a_day_has_about_the_rows_that_were_asked_for(rows: list[dict[str, Any]]) -> None:
    local = ZoneInfo(ACME.timezone)
    days = Counter(moment(row["usage_start_time"]).astimezone(local).date() for row in rows)
    assert set(days) == {FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)}
    for day, count in days.items():
        assert count == pytest.approx(240 * len(hours_of(day, ACME.timezone)) / 24, abs=12)


def test_rows_have_the_exports_nested_schema(rows: list[dict[str, Any]]) -> None:
    template = library()["gcp_billing"].template
    assert template is not None
    columns = template.spec.sources["billing_export"].columns
    for row in rows:
        assert set(row) == {c.name for c in columns}
        _fits(row, columns)


def _fits(value: dict[str, Any], columns: tuple[ColumnSpec, ...]) -> None:
    declared = {c.name: c for c in columns}
    for key, inner in value.items():
        column = declared[key]
        if column.mode == "REPEATED":
            assert isinstance(inner, list), key
        for member in inner if isinstance(inner, list) else [inner]:
            if column.type == "RECORD" and member is not None:
                _fits(member, column.fields)


def test_money_has_at_most_nine_decimals(rows: list[dict[str, Any]]) -> None:
    amounts = [Decimal(row[key]) for row in rows for key in ("cost", "cost_at_list")]
    amounts += [Decimal(credit["amount"]) for row in rows for credit in row["credits"]]
    assert all(amount == amount.quantize(Decimal("1e-9")) for amount in amounts)


def test_the_rare_rows_of_real_bills_are_there(rows: list[dict[str, Any]]) -> None:
    assert {row["cost_type"] for row in rows} == {"regular", "tax", "adjustment", "rounding_error"}
    without_project = {row["service"]["description"] for row in rows if row["project"] is None}
    assert without_project == {"Support", "Invoice", "Compute Engine"}  # the last one's are commitments' fees
    refunds = [row for row in rows if row["cost_type"] == "adjustment" and row["cost"] < 0]
    assert refunds
    assert all(row["adjustment_info"]["mode"] for row in refunds)
    delays = [moment(row["export_time"]) - moment(row["usage_end_time"]) for row in rows]
    assert min(delays) > timedelta(0)
    assert max(delays) > timedelta(days=3)
    credits = {credit["type"] for row in rows for credit in row["credits"]}
    assert len(credits) >= 4
    assert all(credit["amount"] <= 0 for row in rows for credit in row["credits"])
    assert any(row["cost"] == 0 for row in rows)
    assert len({row["service"]["description"] for row in rows}) >= 5


def test_commitments_of_both_models_have_fees_and_cover_usage(rows: list[dict[str, Any]]) -> None:
    fees = [row for row in rows if row["sku"]["description"].startswith("Commitment")]
    assert {fee["subscription"]["instance_id"] for fee in fees} == {"4711000815", "cud-flex-3y", "9f1c2d7e-flexible"}
    covering = {c["type"] for row in rows for c in row["credits"] if c["type"].startswith("COMMITTED")}
    assert covering == {"COMMITTED_USAGE_DISCOUNT", "COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE"}
    present = [
        row for row in rows if (row["consumption_model"] or {}).get("description") == "Compute Flexible CUDs 1 Year"
    ]
    offsets = [c["amount"] for fee in fees for c in fee["credits"]]
    assert sum(row["cost"] for row in present if row["cost_type"] == "regular") == -sum(offsets)
    assert all(0 < -c["amount"] < fee["cost"] for fee in fees for c in fee["credits"])


def test_invoice_months_begin_in_los_angeles(rows: list[dict[str, Any]]) -> None:
    months = {
        row["invoice"]["month"]
        for row in rows
        if row["usage_start_time"] == "2026-11-01T05:00:00Z" and row["cost_type"] == "regular"
    }
    assert months == {"202610"}


def test_licences_are_one_folder_a_day(tmp_path: Path) -> None:
    written = generate_licences(tmp_path, FIRST, LAST, seed=3)
    assert [path.parent.name for path in written] == [str(FIRST + timedelta(days=n)) for n in range(11)]
    again = generate_licences(tmp_path / "again", FIRST, LAST, seed=3)
    assert [p.read_bytes() for p in written] == [p.read_bytes() for p in again]
