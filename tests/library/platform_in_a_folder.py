"""A platform in a folder: the repository's tenants, a warehouse, generated bills."""

import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import dagster as dg

from convergence_assets.assets.materialize import Report, StepRun
from convergence_assets.assets.schema_mapping import source_schema
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.assets.window import Window
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import TenantRegistry
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import Query, TableRef


@dataclass
class Platform:
    """What a deployment does for one tenant after another, without Dagster's instance around it."""

    settings: Settings
    registry: TenantRegistry
    _name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    _runs: "itertools.count[int]" = field(default_factory=itertools.count)

    def judging_in_warehouse(self) -> "Platform":
        """This platform with the staged rows left in the warehouse, however few they are."""
        tenants = {
            name: replace(
                tenant, pipelines=tuple(replace(p, validate_in_warehouse_above_rows=0) for p in tenant.pipelines)
            )
            for name, tenant in self.registry.tenants.items()
        }
        return Platform(self.settings, replace(self.registry, tenants=tenants))

    def load_bills(self, tenant_id: str, files: Sequence[Path]) -> int:
        """Bring export files into the tenant's export table; the rows loaded."""
        source = self.registry.tenants[tenant_id].pipelines[0].steps[0].sources["billing_export"]
        with open_warehouse(self.settings) as warehouse:
            return warehouse.load_files(
                TableRef.parse(source.tables[0]),
                source_schema(source.spec),
                [SourceFile(str(path), "jsonl") for path in files],
                Job(run_id=f"load-{self._name}-{next(self._runs)}"),
            ).rows

    def run(
        self, tenant_id: str, span: Sequence[date], *tables: str, pipeline: str = "gcp_billing"
    ) -> dict[str, Report]:
        """Materialise the span's partitions of the named tables (all where none is named) in one run."""
        tenant = self.registry.tenants[tenant_id]
        bound = next(p for p in tenant.pipelines if p.name == pipeline)
        partitions = dg.DailyPartitionsDefinition(start_date="2026-01-01", timezone=tenant.timezone)
        window = Window.of(partitions, [day.isoformat() for day in span])
        run_id = f"run-{self._name}-{next(self._runs)}"
        return {
            step.table: StepRun(self.settings, tenant, bound, step).run(window, run_id)
            for step in bound.steps
            if not tables or step.table in tables
        }

    def rows(self, sql: str) -> list[dict[str, object]]:
        """A SELECT's rows, tables fully named."""
        with open_warehouse(self.settings) as warehouse:
            read = warehouse.read(Query(sql), Job(run_id=f"read-{next(self._runs)}"))
            rows: list[dict[str, object]] = read.to_pylist()
            return rows
