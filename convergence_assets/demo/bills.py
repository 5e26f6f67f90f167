"""A tenant's cloud bills for a span of days, as Google's detailed export would have written them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from convergence_assets.demo.commitments import COMMITMENTS, FLEXIBLE, day_capacity, fee_row, paid
from convergence_assets.demo.templates import (
    NANO,
    SHIFTS,
    RowTemplate,
    account_row,
    compact,
    decimal_text,
    row_templates,
)  # fmt: skip
from convergence_assets.demo.tenants import DemoTenant

_HOUR = timedelta(hours=1)
_BATCHES = 8  # power of two: three random bits choose one
_LATE_DAYS = 3
_OPEN_DAYS = 2  # an hour's last batch is exported five hours after it
_BILLING_TIMEZONE = ZoneInfo("America/Los_Angeles")  # Google's invoice months begin there


def generate_bills(
    folder: Path,
    tenant: DemoTenant,
    first: date,
    last: date,
    *,
    seed: int,
    rows_per_day: int,
    progress: Callable[[], None] | None = None,
) -> list[Path]:
    """Write `<folder>/<tenant_id>/<export day>.jsonl` for the usage of the local days `first` to `last`, inclusive.

    One file an export day (UTC); the last ones hold what is exported after `last`. The same arguments give the same
    bytes. `progress` is called after each local day.
    """
    templates = row_templates(tenant, seed)
    files = _ExportFiles(folder / tenant.tenant_id)
    try:
        for day in _days(first, last):
            rng = random.Random(f"bills/{seed}/{tenant.tenant_id}/{day}")
            hours = hours_of(day, tenant.timezone)
            used = {hour: _write_hour(files, templates, hour, rows_per_day, rng) for hour in hours}
            rare = [*_fees(tenant, day, templates, used, rows_per_day, rng), *_rare_rows(tenant, templates, day, rng)]
            for row, exported in rare:
                files.write(exported.date(), compact(row) + "\n")
            files.close_before(hours[0].date() - timedelta(days=_OPEN_DAYS))
            if progress:
                progress()
    finally:
        files.close()
    return sorted(files.written)


def bounds_of(day: date, timezone: str) -> tuple[datetime, datetime]:
    """When a local day starts and ends (UTC)."""
    zone = ZoneInfo(timezone)
    start, end = (datetime(d.year, d.month, d.day, tzinfo=zone) for d in (day, day + timedelta(days=1)))
    return start.astimezone(UTC), end.astimezone(UTC)


def hours_of(day: date, timezone: str) -> list[datetime]:
    """The whole hours (UTC) that start within a local day: 23, 24 or 25."""
    start, end = bounds_of(day, timezone)
    hour = start.replace(minute=0, second=0)
    hours = []
    while hour < end:
        if hour >= start:
            hours.append(hour)
        hour += _HOUR
    return hours


@dataclass
class _ExportFiles:
    """The files being written, one an export day; a file that was closed is appended to if a late row needs it."""

    folder: Path
    written: set[Path] = field(default_factory=set)
    _open: dict[date, TextIO] = field(default_factory=dict)

    def write(self, day: date, text: str) -> None:
        if day not in self._open:
            path = self.folder / f"{day}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[day] = path.open("a" if path in self.written else "w", encoding="utf-8", newline="\n")
            self.written.add(path)
        self._open[day].write(text)

    def close_before(self, day: date) -> None:
        for old in [d for d in self._open if d < day]:
            self._open.pop(old).close()

    def close(self) -> None:
        self.close_before(date.max)


def _write_hour(
    files: _ExportFiles, templates: list[RowTemplate], hour: datetime, rows_per_day: int, rng: random.Random
) -> int:
    """An hour's usage of every resource that runs in it, spread over the hour's export batches.

    Returns what the usage at the flexible commitment's price is charged, in billionths.
    """
    rows = max(1, rows_per_day * (hour.hour + 1) // 24 - rows_per_day * hour.hour // 24)
    weekend = 700 if hour.weekday() >= 5 else 1000
    load = weekend * (700 + 25 * min(hour.hour, 23 - hour.hour)) // 1000
    times = f',"usage_start_time":"{_text(hour)}","usage_end_time":"{_text(hour + _HOUR)}"'
    month = f',"invoice":{{"month":"{invoice_month(hour)}",'
    exported = [_export_time(hour, rng) for _ in range(_BATCHES)]
    opening = [f'{times},"export_time":"{_text(moment)}"{month}' for moment in exported]
    texts: list[list[str]] = [[] for _ in range(_BATCHES)]
    running = len(templates) // SHIFTS
    shift = hour.hour % SHIFTS * running
    bits = rng.getrandbits
    used = 0
    for number in range(rows):
        template = templates[shift + number % running]
        drawn = bits(16)
        cost = template.base_cost * load * (800 + drawn % 401) // 1_000_000
        batch = drawn >> 13
        texts[batch].append(_row(template, opening[batch], number // running, cost))
        if template.commitment is FLEXIBLE:
            used += paid(cost, FLEXIBLE)
    for batch, lines in enumerate(texts):
        if lines:
            files.write(exported[batch].date(), "".join(lines))
    return used


def _row(template: RowTemplate, opening: str, copy: int, cost: int) -> str:
    amount = cost / NANO / template.price
    name, global_name = template.resource
    credits = ",".join([f"{text}{decimal_text(cost * share // 1000)}}}" for text, share in template.credits])
    usage_unit, pricing_unit = template.units
    charged, negotiated = decimal_text(paid(cost, template.commitment)), decimal_text(cost)
    listed = cost * template.list_permille // 1000
    return (
        f'{template.head}{opening}{template.invoice},"resource":{{"name":"{name}{copy}","global_name":"{global_name}{copy}"}}'
        f',"cost":{charged},"cost_at_list":{decimal_text(listed)},"cost_at_effective_price_default":{negotiated}'
        f',"cost_at_list_consumption_model":{decimal_text(paid(listed, template.commitment))}'
        f',"usage":{{"amount":{amount * template.units_per_pricing_unit!r},"unit":"{usage_unit}"'
        f',"amount_in_pricing_units":{amount!r},"pricing_unit":"{pricing_unit}"}},"credits":[{credits}]}}\n'
    )


def _fees(
    tenant: DemoTenant, day: date, templates: list[RowTemplate], used: dict[datetime, int], rows_per_day: int,
    rng: random.Random,
) -> Iterator[tuple[dict[str, Any], datetime]]:  # fmt: skip
    """A day's fees of the tenant's commitments, each with the time of its export; `used` has by hour what usage at the
    flexible one's price is charged. A fee is of one billing month."""
    first, last = bounds_of(day, tenant.timezone)
    exported = _export_time(max(used), rng)
    for commitment in COMMITMENTS:
        capacity = day_capacity(templates, commitment, rows_per_day, SHIFTS)
        price = next((t.price for t in templates if t.commitment is commitment), None)
        for month in dict.fromkeys(map(invoice_month, used)):
            hours = [hour for hour in used if invoice_month(hour) == month]
            if price is None or not capacity:
                continue
            covered = sum(used[hour] for hour in hours) if commitment is FLEXIBLE else 0
            whole = account_row(tenant, ("", ""), ("", ""))
            row, cost = fee_row(whole, commitment, capacity * len(hours) // len(used), price, covered)
            start = first if hours[0] == min(used) else hours[0]
            end = last if hours[-1] == max(used) else hours[-1] + _HOUR
            yield _dated(row, start, end, exported, cost, month)


def _dated(
    row: dict[str, Any], start: datetime, end: datetime, exported: datetime, cost: int, month: str
) -> tuple[dict[str, Any], datetime]:
    costs = ("cost", "cost_at_list", "cost_at_effective_price_default", "cost_at_list_consumption_model")
    whole = {
        **row,
        "usage_start_time": _text(start),
        "usage_end_time": _text(end),
        "export_time": _text(exported),
        "invoice": {**row["invoice"], "month": month},
    } | dict.fromkeys(costs, float(decimal_text(cost)))
    return whole, exported


def _rare_rows(
    tenant: DemoTenant, templates: list[RowTemplate], day: date, rng: random.Random
) -> Iterator[tuple[dict[str, Any], datetime]]:
    """The day's rows that are not usage, and its corrections, each with the time of its export."""
    hours = hours_of(day, tenant.timezone)
    local = ZoneInfo(tenant.timezone)
    rate = int(tenant.usd_rate * 100)
    paid_templates = [template for template in templates if template.base_cost]

    def dated(
        row: dict[str, Any], hour: datetime, exported: datetime, cost: int, month: str
    ) -> tuple[dict[str, Any], datetime]:
        return _dated(row, hour, hour + _HOUR, exported, cost, month)

    support = account_row(tenant, ("2062-016F-44A2", "Support"), ("3B1D-7F4C-55E0", "Enhanced Support"))
    yield dated(support, hours[0], _export_time(hours[0], rng), 16_666_666_667 * rate // 100, invoice_month(hours[0]))
    if day.day == 1:
        before = (day - timedelta(days=1)).strftime("%Y%m")
        assert hours[0].astimezone(local).date() == day
        invoice = ("INVO-ICE0-0000", "Invoice")
        tax = account_row(tenant, invoice, ("TAX0-0000-0000", "Tax"), cost_type="tax")
        yield dated(tax, hours[0], _export_time(hours[0], rng), 190_123_456_789 * rate // 100, before)
        rounding = account_row(tenant, invoice, ("ROUN-DING-0000", "Rounding error"), cost_type="rounding_error")
        yield dated(rounding, hours[0], _export_time(hours[0], rng), -4_217_000, before)
        # Most tenants' first hours of a month are the last ones of the month before in Los Angeles.
        corrected = _adjustment(
            rng.choice(paid_templates), "PRICE_CORRECTION", "PARTIAL_CORRECTION", "Price corrected", day
        )
        yield dated(corrected, hours[0], _export_time(hours[0], rng), -rate * NANO // 100, day.strftime("%Y%m"))
    if day.day % 5 == 0:
        refund = _adjustment(
            rng.choice(paid_templates), "GOODWILL", "COMPLETE_NEGATION", "Refund agreed with support", day
        )
        yield dated(
            refund,
            hours[9],
            _export_time(hours[9], rng),
            -rng.randrange(NANO, 9 * NANO) * rate // 100,
            invoice_month(hours[9]),
        )
    if day.day % 4 == 1:
        late = _adjustment(
            rng.choice(paid_templates), "USAGE_CORRECTION", "PARTIAL_CORRECTION", "Usage metered late", day
        )
        exported = _export_time(hours[12], rng) + timedelta(days=_LATE_DAYS)
        yield dated(late, hours[12], exported, rng.randrange(-NANO, NANO) * rate // 100, invoice_month(exported))


def _adjustment(template: RowTemplate, kind: str, mode: str, description: str, day: date) -> dict[str, Any]:
    return {
        **template.row,
        "cost_type": "adjustment",
        "adjustment_info": {"id": f"adj-{kind.lower()}-{day}", "description": description, "mode": mode, "type": kind},
        "invoice": {"publisher_type": "GOOGLE"},
        "credits": [],
    }


def invoice_month(moment: datetime) -> str:
    """The month, YYYYMM, on whose invoice Google puts usage of this moment."""
    return moment.astimezone(_BILLING_TIMEZONE).strftime("%Y%m")


def _export_time(hour: datetime, rng: random.Random) -> datetime:
    return hour + _HOUR + timedelta(seconds=rng.randrange(3600, 4 * 3600))


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _days(first: date, last: date) -> Iterator[date]:
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)
