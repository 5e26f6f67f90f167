"""What Dagster shows and plots of each published day: its rows, its money, how its checks went."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

import dagster as dg

from convergence_assets.pipelines.models import StepSpec
from convergence_assets.quality.expectations import CheckOutcome
from convergence_assets.warehouse.interface import Job, Staged, Warehouse
from convergence_assets.warehouse.schema import Query

Totals = Mapping[date, Mapping[str, Decimal]]
"""By day and currency the sum of the step's money."""
NO_CURRENCY = "no currency"


def money_totals(warehouse: Warehouse, spec: StepSpec, staged: Staged, job: Job) -> Totals:
    """The staged rows' money, added exactly; none where the step names no such column. Raises `WarehouseError`."""
    if spec.money is None:
        return {}
    day, currency, amount = spec.partition_column, spec.money.currency_column, spec.money.column
    sql = (
        f"SELECT `{day}` AS x_day, `{currency}` AS x_currency, SUM(`{amount}`) AS x_total "
        f"FROM {staged.table.quoted} GROUP BY `{day}`, `{currency}`"
    )
    totals: dict[date, dict[str, Decimal]] = defaultdict(dict)
    for row in warehouse.rows(Query(sql), job):
        if row["x_day"] is not None and row["x_total"] is not None:
            totals[row["x_day"]][row["x_currency"] or NO_CURRENCY] = Decimal(row["x_total"])
    return totals


def day_metadata(
    day: date, rows: int, totals: Totals, spec: StepSpec, outcomes: Sequence[CheckOutcome]
) -> dict[str, dg.MetadataValue]:
    """The metadata of one day's materialisation.

    Money is a number that plots, one a currency where there are several, and also exact, as text.
    """
    failed = {o.name: o.severity for o in outcomes if not _has_passed(o, day)}
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(rows),
        "dagster/partition_row_count": dg.MetadataValue.int(rows),
        "checks_passed": dg.MetadataValue.int(len(outcomes) - len(failed)),
        "checks_failed": dg.MetadataValue.json(failed),
    }
    if spec.money is None or not totals.get(day):
        return metadata
    column, day_totals = spec.money.column, dict(sorted(totals[day].items()))
    for currency, total in day_totals.items():
        name = column if len(day_totals) == 1 else f"{column} {currency}"
        metadata[name] = dg.MetadataValue.float(float(total))
    metadata[f"{column}_by_currency"] = dg.MetadataValue.json({c: f"{total:f}" for c, total in day_totals.items()})
    return metadata


def _has_passed(outcome: CheckOutcome, day: date) -> bool:
    day_outcome = outcome.partitions.get(day.isoformat())
    return outcome.passed if day_outcome is None else day_outcome.passed
