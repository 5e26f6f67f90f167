"""What every benchmark here starts from: a folder with a warehouse, its tenants and their bills."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from unittest.mock import patch

from convergence_assets.assets.schema_mapping import source_schema
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.tenants import DEMO_TENANTS
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import TableRef

TENANTS = Path(__file__).parents[1] / "tenants"
SECRETS = {"ACME__SLACK_URL": "https://alerts.example/acme"}


@contextmanager
def project(tenants: Path = TENANTS) -> Iterator[Settings]:
    """Settings of a fresh home on the embedded warehouse, while in use also in this process's environment for its
    children."""
    with tempfile.TemporaryDirectory(prefix="convergence-bench-") as home:
        chosen = {"CONVERGENCE_HOME": home, "CONVERGENCE_TENANTS": str(tenants), "CONVERGENCE_WAREHOUSE": "embedded"}
        Path(home, "dagster").mkdir()
        shutil.copy(TENANTS.parent / "dagster.yaml", f"{home}/dagster")
        with patch.dict(os.environ, SECRETS | chosen | {"DAGSTER_HOME": f"{home}/dagster"}):
            yield Settings.from_env()


def load_bills(settings: Settings, tenant_id: str, first: date, last: date, *, rows_per_day: int, seed: int) -> int:
    """Make up a tenant's bills for these days and load them into its export table; the rows loaded."""
    demo = next(t for t in DEMO_TENANTS if t.tenant_id == tenant_id)
    files = generate_bills(settings.home / "bills", demo, first, last, seed=seed, rows_per_day=rows_per_day)
    registry = load_registry(settings.tenants, None, today=last)
    steps = registry.tenants[tenant_id].pipelines[0].steps
    source = next(source for step in steps for source in step.sources.values())
    with open_warehouse(settings) as warehouse:
        return warehouse.load_files(
            TableRef.parse(source.tables[0]), source_schema(source.spec), [SourceFile(str(f), "jsonl") for f in files],
            Job("load"),
        ).rows  # fmt: skip
