"""A platform in a folder: the repository's tenants, an embedded warehouse, generated bills."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.assets.materialize import Report, StepRun, Window
from convergence_assets.assets.translation import source_schema
from convergence_assets.settings import Settings
from convergence_assets.tenancy.model import TenantRegistry
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import Query, TableRef

ROOT = Path(__file__).parents[2]


@dataclass
class Platform:
    """What a deployment does for one tenant after another, without Dagster's instance around it."""

    settings: Settings
    registry: TenantRegistry
    _runs: "itertools.count[int]" = field(default_factory=itertools.count)

    def load_bills(self, tenant_id: str, files: Sequence[Path]) -> int:
        """Bring export files into the tenant's export table; the rows loaded."""
        source = self.registry.tenants[tenant_id].pipelines[0].steps[0].sources["billing_export"]
        with DuckDBWarehouse(self.settings.warehouse_folder) as warehouse:
            return warehouse.load_files(
                TableRef.parse(source.table),
                source_schema(source.spec),
                [SourceFile(str(path)) for path in files],
                "jsonl",
                Job(run_id=f"load-{next(self._runs)}"),
            )

    def run(
        self, tenant_id: str, span: Sequence[date], *tables: str, pipeline: str = "gcp_billing"
    ) -> dict[str, Report]:
        """Materialise the span's partitions of the named tables (all where none is named) in one run."""
        tenant = self.registry.tenants[tenant_id]
        bound = next(p for p in tenant.pipelines if p.name == pipeline)
        partitions = dg.DailyPartitionsDefinition(start_date="2026-01-01", timezone=tenant.timezone)
        window = Window.of(partitions, [day.isoformat() for day in span])
        run_id = f"run-{next(self._runs)}"
        return {
            step.table: StepRun(self.settings, tenant, bound, step).run(window, run_id)
            for step in bound.steps
            if not tables or step.table in tables
        }

    def rows(self, sql: str) -> list[dict[str, object]]:
        """A SELECT's rows, tables fully named."""
        with DuckDBWarehouse(self.settings.warehouse_folder) as warehouse:
            return warehouse.read(Query(sql), Job(run_id=f"read-{next(self._runs)}")).to_pylist()


@pytest.fixture(scope="session")
def registry() -> TenantRegistry:
    found = load_registry(str(ROOT / "tenants"), None, today=date(2026, 12, 1))
    assert not found.problems, "\n".join(p.render() for p in found.problems)
    return found


@pytest.fixture
def platform(tmp_path: Path, registry: TenantRegistry) -> Platform:
    return Platform(_settings(tmp_path / "home"), registry)


def _settings(home: Path) -> Settings:
    return Settings.from_env({"CONVERGENCE_HOME": str(home), "CONVERGENCE_WAREHOUSE": "embedded"})


@pytest.fixture
def other_platform(tmp_path: Path, registry: TenantRegistry) -> Callable[[], Platform]:
    """Makes a second platform with a home of its own."""
    return lambda: Platform(_settings(tmp_path / "other-home"), registry)
