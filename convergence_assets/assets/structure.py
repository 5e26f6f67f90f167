"""The checks that every table has besides its suite: it is not empty, its rows lie in their partitions, what it reads
is there, and has no undeclared columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from convergence_assets.quality.expectations import CheckOutcome, PartitionOutcome, Severity
from convergence_assets.warehouse.interface import Staged

WhenEmpty = Literal["fail", "warn", "publish"]
NOT_EMPTY = "partition_is_not_empty"
"""The check that stops a day without rows, where the table's `when_empty` is `fail`."""


@dataclass(frozen=True)
class Structural:
    """The name, severity and sentence of a structural check."""

    name: str
    severity: Severity
    description: str


UPSTREAM = Structural(
    "upstream_partitions_are_published", "warning", "What other pipelines make was published before it was read"
)
SOURCES = Structural("source_columns_are_declared", "info", "Its sources have no column that is not declared")


def declared_structural(when_empty: WhenEmpty, *, reads_pipelines: bool, reads_sources: bool) -> tuple[Structural, ...]:
    """The structural checks of a table, in the order in which they report; the last two only where it reads a table
    that another pipeline makes, and where it reads a source's."""
    severity: dict[WhenEmpty, Severity] = {"fail": "critical", "warn": "warning", "publish": "info"}
    checks: tuple[Structural, ...] = (
        Structural(NOT_EMPTY, severity[when_empty], f"The partition has rows (when_empty: {when_empty})"),
        Structural("rows_lie_in_the_partition", "critical", "Every row's partition column is a day of this run"),
    )
    if reads_pipelines:
        checks += (UPSTREAM,)
    return (*checks, SOURCES) if reads_sources else checks


def structural_checks(when_empty: WhenEmpty, staged: Staged, days: Sequence[date]) -> tuple[CheckOutcome, ...]:
    """The checks of the staged rows. A row outside every partition of the run stops all of them: its partition is
    unknown."""
    empty, outside = declared_structural(when_empty, reads_pipelines=False, reads_sources=False)
    rows = {day: staged.rows_per_partition.get(day, 0) for day in days}
    strays = {day: n for day, n in staged.rows_per_partition.items() if day not in rows}
    return (
        CheckOutcome(
            name=empty.name,
            type="table_row_count",
            column=None,
            severity=empty.severity,
            passed=all(rows.values()),
            observed_value=sum(rows.values()),
            partitions={d.isoformat(): PartitionOutcome(passed=n > 0, observed_value=n) for d, n in rows.items()},
        ),
        CheckOutcome(
            name=outside.name,
            type="partition_bounds",
            column=staged.schema.partition_column,
            severity=outside.severity,
            passed=not strays,
            observed_value=sum(strays.values()),
            unexpected_count=sum(strays.values()),
            examples=tuple(str(day) for day in strays)[:20],
            partitions={d.isoformat(): PartitionOutcome(passed=not strays) for d in days},
        ),
    )


def upstream_check(missing: Mapping[date, Sequence[str]], days: Sequence[date]) -> CheckOutcome:
    """The check of what was there to read; `missing` are the tables that were not, by day."""
    return CheckOutcome(
        name=UPSTREAM.name,
        type="upstream_published",
        column=None,
        severity=UPSTREAM.severity,
        passed=not missing,
        unexpected_count=len(missing),
        examples=tuple(f"{day}: {', '.join(tables)}" for day, tables in missing.items())[:20],
        partitions={d.isoformat(): PartitionOutcome(passed=d not in missing) for d in days},
    )


def source_check(undeclared: Sequence[str], error: str | None, days: Sequence[date]) -> CheckOutcome:
    """The check of undeclared columns of the sources; `error` is why that could not be read."""
    passed = not undeclared and error is None
    return CheckOutcome(
        name=SOURCES.name,
        type="source_columns",
        column=None,
        severity=SOURCES.severity,
        passed=passed,
        unexpected_count=len(undeclared),
        examples=tuple(undeclared)[:20],
        error=error,
        partitions={d.isoformat(): PartitionOutcome(passed=passed) for d in days},
    )
