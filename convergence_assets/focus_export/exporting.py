"""A tenant's FOCUS tables of a month as files, with a manifest that says what they hold."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergence_assets.assets.schema_mapping import table_schema, target_table
from convergence_assets.control.publications import Publications
from convergence_assets.control.store import ControlStore
from convergence_assets.focus_export.columns import ExportedColumn, exported_columns, left_out
from convergence_assets.focus_export.writing import Files, digits, sha256_of
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline
from convergence_assets.warehouse.interface import GIGABYTE, Job, Warehouse
from convergence_assets.warehouse.schema import Query, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
_TIMEOUT_SECONDS = 3600.0


class NothingPublished(ValueError):
    """A month of a table without a published day."""


@dataclass
class Exported:
    """What was written of a table: rows, sums of costs by currency and billing period, days that were not published;
    its version, and the one that its step declares."""

    table: str
    manifest: Path
    rows: int = 0
    missing: tuple[date, ...] = ()
    sums: dict[tuple[str, str], dict[str, Decimal]] = field(default_factory=dict)
    read: int = 1
    declared: int = 1


def focus_steps(tenant: Tenant) -> Iterator[tuple[TenantPipeline, Step]]:
    """The tables that are under FOCUS's rules."""
    for pipeline in tenant.pipelines:
        for step in pipeline.steps:
            if step.suite.rules == "focus":
                yield pipeline, step


def days_of(month: date) -> tuple[date, ...]:
    """Every day of the month that begins with this day."""
    after = (month + timedelta(days=31)).replace(day=1)
    return tuple(month + timedelta(days=n) for n in range((after - month).days))


@dataclass(frozen=True)
class Export:
    """A month's export: published days alone, one read from the warehouse a day."""

    tenant: Tenant
    warehouse: Warehouse
    store: ControlStore
    version: str
    folder: Path
    run_id: str
    advance: Callable[[date, int], None]

    def write(self, pipeline: TenantPipeline, step: Step, month: date) -> Exported:
        """Write the table's files and their manifest.

        Raises `NotFocus` for a table that lacks columns of the version, `NothingPublished` for a month without a day.
        Files of a former export stay until the new ones are whole.
        """
        # As it is: where the step declares another version, until `convergence upgrade`, or columns that no run added.
        schema = self.warehouse.existing_schema(target_table(self.tenant, step.table)) or table_schema(step.spec)
        columns = exported_columns(schema.columns, self.version)
        days = days_of(month)
        published = Publications(self.store).between(self.tenant.tenant_id, [step.table], days[0], days[-1])
        name = f"{self.tenant.tenant_id}-{step.table}-{month:%Y-%m}-focus-{self.version}"
        done = Exported(step.table, self.folder / f"{name}.manifest.json")
        done.read, done.declared = schema.version, step.spec.version
        done.missing = tuple(day for day in days if (step.table, day) not in published)
        if len(done.missing) == len(days):
            raise NothingPublished(f"no day is published; `convergence schedule {self.tenant.tenant_id}` says why")
        rows_by_day: dict[str, int] = {}
        with Files(self.folder, name) as files:
            for day in days:
                if day in done.missing:
                    self.advance(day, 0)
                    continue
                rows = self._read(pipeline, step, schema, columns, day)
                files.write(rows)
                _add_up(done, rows)
                rows_by_day[day.isoformat()] = rows.num_rows
                self.advance(day, rows.num_rows)
            paths = files.finish()
        text = json.dumps(self._manifest(step, schema, columns, done, month, rows_by_day, paths), indent=1)
        done.manifest.write_text(text + "\n", encoding="utf-8")
        return done

    def _read(
        self, pipeline: TenantPipeline, step: Step, schema: TableSchema, columns: tuple[ExportedColumn, ...], day: date
    ) -> "pa.Table":
        names = ", ".join(f"`{column.source}` AS `{column.name}`" for column in columns)
        table = target_table(self.tenant, step.table)
        sql = f"SELECT {names}\nFROM {table.quoted}\nWHERE `{schema.partition_column}` = @exported_day"
        labels = {"tenant": self.tenant.tenant_id, "asset": "export", "run_id": self.run_id}
        cap = pipeline.maximum_gigabytes_billed * GIGABYTE
        job = Job(f"{self.run_id}-{step.table}-{day}", labels, _TIMEOUT_SECONDS, cap)
        return self.warehouse.read(Query(sql, {"exported_day": day}), job)

    def _manifest(
        self,
        step: Step,
        schema: TableSchema,
        columns: tuple[ExportedColumn, ...],
        done: Exported,
        month: date,
        rows_by_day: Mapping[str, int],
        paths: tuple[Path, Path],
    ) -> dict[str, Any]:
        return {
            "tenant": self.tenant.tenant_id,
            "table": step.table,
            "focus_version": self.version,
            "month": f"{month:%Y-%m}",
            "days_are_of": self.tenant.timezone,
            "rows": done.rows,
            "rows_by_day": dict(rows_by_day),
            "days_not_published": [day.isoformat() for day in done.missing],
            "sums": [
                {"BillingCurrency": currency, "BillingPeriodStart": period}
                | {name: digits(value) for name, value in sums.items()}
                for (currency, period), sums in sorted(done.sums.items())
            ],
            "columns": [{"name": column.name, "type": column.type} for column in columns],
            "columns_left_out": list(left_out(schema.columns, self.version)),
            "files": [{"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in paths],
        }


def _add_up(done: Exported, rows: "pa.Table") -> None:
    done.rows += rows.num_rows
    sums: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(lambda: dict.fromkeys(COSTS, Decimal(0)))
    sums.update(done.sums)
    for row in rows.select([*COSTS, "BillingCurrency", "BillingPeriodStart"]).to_pylist():
        group = sums[row["BillingCurrency"], f"{row['BillingPeriodStart']:%Y-%m-%dT%H:%M:%SZ}"]
        for name in COSTS:
            group[name] += row[name]
    done.sums = dict(sums)
