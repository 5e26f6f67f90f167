"""Exports of the repository's tenants, from bills in a folder."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from convergence_assets.assets.schema_mapping import table_schema, target_table
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control.publications import Publications
from convergence_assets.control.store import ControlStore
from convergence_assets.focus_export.exporting import Export, focus_steps
from convergence_assets.settings import Settings
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import Tenant, TenantRegistry
from convergence_assets.warehouse.interface import Job, SourceFile
from tests.library.platform_in_a_folder import Platform

TENANTS = Path(__file__).parents[2] / "tenants"


def exported(folder: Path, tenant_id: str, bills: Sequence[Path], days: Sequence[date], version: str = "1.2") -> Path:
    """Run a tenant's days of one month from its bills, and export them: the manifest."""
    settings, registry = deployment(folder)
    platform = Platform(settings, registry)
    platform.load_bills(tenant_id, bills)
    published = platform.run(tenant_id, days)["gcp_focus"].published
    return export_published(settings, registry.tenants[tenant_id], published, folder / "out", version)


def exported_rows(folder: Path, tenant_id: str, rows: Mapping[date, Sequence[Mapping[str, Any]]]) -> Path:
    """Put rows of one month into a tenant's gcp_focus, by day, and export them: the manifest."""
    settings, registry = deployment(folder)
    tenant = registry.tenants[tenant_id]
    [(_, step)] = focus_steps(tenant)
    schema = table_schema(step.spec)
    types = {"DATE": pa.date32(), "NUMERIC": pa.decimal128(38, 9), "TIMESTAMP": pa.timestamp("us", "UTC")}
    flat = [row | {step.spec.partition_column: day} for day, of_day in rows.items() for row in map(dict, of_day)]
    columns = {
        c.name: pa.array([row.get(c.name) for row in flat], types.get(c.type, pa.string())) for c in schema.columns
    }
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    with open_warehouse(settings) as warehouse:
        files = [SourceFile(str(folder / "rows.parquet"), "parquet")]
        warehouse.load_files(target_table(tenant, step.table), schema, files, Job("load"))
    published = {day: len(of_day) for day, of_day in rows.items()}
    return export_published(settings, tenant, published, folder / "out", "1.2")


def deployment(folder: Path) -> tuple[Settings, TenantRegistry]:
    context = LoadContext(landing=folder / "landing")
    registry = load_registry(str(TENANTS), None, today=date(2026, 12, 1), context=context)
    return Settings.from_env({"CONVERGENCE_HOME": str(folder / "home"), "CONVERGENCE_WAREHOUSE": "embedded"}), registry


def export_published(
    settings: Settings, tenant: Tenant, published: Mapping[date, int], out: Path, version: str
) -> Path:
    """Record the days as published, and export their month."""
    store = ControlStore.open(settings, {})
    out.mkdir(exist_ok=True)
    with open_warehouse(settings) as warehouse:
        [(pipeline, step)] = focus_steps(tenant)
        Publications(store).record(tenant.tenant_id, pipeline.name, step.table, published, run_id="run", read_through=0)
        export = Export(tenant, warehouse, store, version, out, "export-test", lambda day, rows: None)
        return export.write(pipeline, step, min(published).replace(day=1)).manifest
