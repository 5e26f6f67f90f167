"""What goes wrong with real bills, done to generated ones, each with the check that must catch it."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from convergence_assets.demo.bills import hours_of
from convergence_assets.demo.templates import compact
from convergence_assets.demo.tenants import DemoTenant

Row = dict[str, Any]
Change = Callable[[int, Row], Iterable[Row]]
"""Maps a row of the day and its number to the rows that replace it."""

_EVERY = 10  # faults of single rows change one row in this many


@dataclass(frozen=True)
class Fault:
    """`apply(files, tenant, day)` puts the fault into the export files of a tenant's local day.

    It must be caught when that day is materialised: by the check `caught_by` of `table`, or, where the table is the
    export itself, by an error of that class when the files are loaded.
    """

    name: str
    table: str
    caught_by: str
    severity: Literal["critical", "warning"]
    apply: Callable[[Sequence[Path], DemoTenant, date], None]


def _missing_day(files: Sequence[Path], tenant: DemoTenant, day: date) -> None:
    _rewrite(files, tenant, day, lambda number, row: ())


def _duplicated_rows(files: Sequence[Path], tenant: DemoTenant, day: date) -> None:
    _rewrite(files, tenant, day, lambda number, row: (row, row) if number % _EVERY == 0 else (row,))


def _negative_usage(files: Sequence[Path], tenant: DemoTenant, day: date) -> None:
    def change(row: Row) -> Row:
        usage = row["usage"]
        turned = {key: -usage[key] for key in ("amount", "amount_in_pricing_units")}
        return {**row, "usage": {**usage, **turned}}

    _rewrite(files, tenant, day, _some(change, lambda row: row["usage"]["amount"] > 0))


def _unknown_currency(files: Sequence[Path], tenant: DemoTenant, day: date) -> None:
    _rewrite(files, tenant, day, _some(lambda row: {**row, "currency": "XQZ"}))


def _shifted_timezone(files: Sequence[Path], tenant: DemoTenant, day: date) -> None:
    """The day's times are local and say that they are UTC."""
    offset = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(tenant.timezone)).utcoffset()
    _rewrite(files, tenant, day, lambda number, row: (_moved(row, offset or timedelta(hours=-8)),))


def _null_project(files: Sequence[Path], tenant: DemoTenant, day: date) -> None:
    _rewrite(files, tenant, day, _some(lambda row: {**row, "project": None}))


def _flipped_credits(files: Sequence[Path], tenant: DemoTenant, day: date) -> None:
    def change(row: Row) -> Row:
        return {**row, "credits": [{**credit, "amount": -credit["amount"]} for credit in row["credits"]]}

    _rewrite(files, tenant, day, lambda number, row: (change(row),))


def _sku_without_description(files: Sequence[Path], tenant: DemoTenant, day: date) -> None:
    _rewrite(files, tenant, day, _some(lambda row: {**row, "sku": {**row["sku"], "description": None}}))


def _cost_spike(files: Sequence[Path], tenant: DemoTenant, day: date) -> None:
    def change(row: Row) -> Row:
        spiked = {key: round(row[key] * 1000, 9) for key in row if key.startswith("cost") and key != "cost_type"}
        credits = [{**credit, "amount": round(credit["amount"] * 1000, 9)} for credit in row["credits"]]
        return {**row, **spiked, "credits": credits}

    _rewrite(files, tenant, day, _some(change))


def _rows_of_another_day(files: Sequence[Path], tenant: DemoTenant, day: date) -> None:
    """Rows exported the day before say that their usage was on this day."""
    moved = timedelta(days=1)
    _rewrite(files, tenant, day - moved, _some(lambda row: _moved(row, moved)))


def _empty_file(files: Sequence[Path], tenant: DemoTenant, day: date) -> None:
    next(path for path in files if path.stem == day.isoformat()).write_text("")


def _changed_column_type(files: Sequence[Path], tenant: DemoTenant, day: date) -> None:
    """The cost is a text with a decimal comma."""
    _rewrite(files, tenant, day, lambda number, row: ({**row, "cost": f"{row['cost']:.2f}".replace(".", ",")},))


_LINE_ITEMS = "gcp_cost_line_items"
_HOURS = "every_hour_of_the_day_has_usage"

FAULTS: tuple[Fault, ...] = (
    Fault("missing_day", _LINE_ITEMS, "partition_is_not_empty", "critical", _missing_day),
    Fault("duplicated_export_rows", _LINE_ITEMS, "no_row_was_exported_twice", "critical", _duplicated_rows),
    Fault("negative_usage", _LINE_ITEMS, "usage_is_never_negative", "critical", _negative_usage),
    Fault("unknown_currency", _LINE_ITEMS, "currency_is_known", "critical", _unknown_currency),
    Fault("shifted_timezone", _LINE_ITEMS, _HOURS, "critical", _shifted_timezone),
    Fault("null_project", _LINE_ITEMS, "project_is_null_for_account_charges_only", "warning", _null_project),
    Fault("credit_sign_flipped", _LINE_ITEMS, "credits_are_never_positive", "critical", _flipped_credits),
    Fault("sku_without_description", _LINE_ITEMS, "sku_has_a_description", "warning", _sku_without_description),
    Fault("cost_spike", _LINE_ITEMS, "cost_stays_in_the_order_of_the_trailing_days", "critical", _cost_spike),
    Fault("rows_of_another_day", _LINE_ITEMS, "usage_ended_before_it_was_exported", "critical", _rows_of_another_day),
    Fault("empty_file", _LINE_ITEMS, _HOURS, "critical", _empty_file),
    Fault("changed_column_type", "billing_export", "SchemaMismatch", "critical", _changed_column_type),
)


def _some(change: Callable[[Row], Row], eligible: Callable[[Row], bool] = lambda row: True) -> Change:
    """`change` for one regular row of a project in ten (of those eligible)."""
    seen = 0

    def changed(number: int, row: Row) -> Iterator[Row]:
        nonlocal seen
        hit = row["cost_type"] == "regular" and row["project"] is not None and row["cost"] > 0 and eligible(row)
        seen += hit
        yield change(row) if hit and seen % _EVERY == 1 else row

    return changed


def _rewrite(files: Sequence[Path], tenant: DemoTenant, day: date, change: Change) -> None:
    """Put every row whose usage starts in the local day through `change`; raises ValueError where there is none."""
    hours = hours_of(day, tenant.timezone)
    first, last = hours[0], hours[-1]
    number = 0
    for path in files:
        if date.fromisoformat(path.stem) < first.date():
            continue
        lines: list[str] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if first <= _moment(row["usage_start_time"]) <= last:
                lines += [compact(new) for new in change(number, row)]
                number += 1
            else:
                lines.append(line)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if number == 0:
        raise ValueError(f"no row of {tenant.tenant_id} has usage on {day}")


def _moved(row: Row, by: timedelta) -> Row:
    times = ("usage_start_time", "usage_end_time")
    return {**row, **{key: (_moment(row[key]) + by).strftime("%Y-%m-%dT%H:%M:%SZ") for key in times}}


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
