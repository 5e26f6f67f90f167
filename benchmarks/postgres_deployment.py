"""A deployment on Postgres with many tenants of one schedule: their files and bills."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from benchmarks.many_tenants import write
from benchmarks.project import TENANTS
from convergence_assets.assets.schema_mapping import source_schema
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control.store import ControlStore
from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.tenants import DEMO_TENANTS
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.warehouse.duckdb.files import Layout
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import Dataset, TableRef

DEPLOYED = Path(__file__).parents[1] / "deploy" / "dagster.postgres.yaml"
DEPLOYED_SLOTS = "max_concurrent_runs: 25"
TEMPLATE = "gcp_billing"
ZONES = ("UTC", "Asia/Tokyo", "America/Los_Angeles")


@dataclass(frozen=True)
class Deployment:
    """`due` is the minute (UTC) in which the day of every tenant is due, the only one that it has."""

    settings: Settings
    environ: Mapping[str, str]
    url: sa.URL
    due: datetime
    day: date

    def store(self) -> ControlStore:
        return ControlStore(self.url)

    def postmaster(self) -> int:
        """The process that every process of Postgres is a child of."""
        import psutil

        engine = sa.create_engine(self.url)
        with engine.connect() as connection:
            found = psutil.Process(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()).ppid()
        engine.dispose()
        return found


def deployment(
    home: Path, postgres: str, *, tenants: int, beside: int, rows: int, slots: int, lead: timedelta
) -> Deployment:
    """In this folder and an empty database at this URL: tenants with bills of `rows` rows, one day due after `lead`;
    `beside` them tenants that are paused."""
    now = datetime.now(UTC)
    due = (now + lead).replace(second=0, microsecond=0) + timedelta(minutes=1)
    # Far from midnight: the day that is due now is due until the end.
    zone = min(ZONES, key=lambda z: abs(due.astimezone(ZoneInfo(z)).hour - 12))
    local = due.astimezone(ZoneInfo(zone))
    day = local.date() - timedelta(days=1)
    folder = home / "tenants"
    folder.mkdir(parents=True)
    shutil.copy(TENANTS / "_defaults.yaml", folder)
    names = [f"tenant{number:04d}" for number in range(tenants)]
    for name in (*names, *(f"paused{number:04d}" for number in range(beside))):
        export = f"{name}_billing_export.gcp_billing_export_resource_v1_0A1B2C_3D4E5F_6A7B8C"
        pipeline = {"template": TEMPLATE, "with": {"export_table": export}, "start_date": day}
        content = {"tenant_id": name, "display_name": name, "timezone": zone, "owners": [f"owner@{name}.example"]}
        cron = {"schedule": f"{local.minute} {local.hour} * * *"}
        write(folder / name / "tenant.yaml", content | {"paused": name not in names, "pipelines": [pipeline | cron]})
    url = sa.make_url(postgres).set(drivername="postgresql+psycopg2")
    environ = _environment(home, folder, url, slots)
    settings = Settings.from_env(environ)
    _load_bills(settings, names, zone, day, rows)
    return Deployment(settings, environ, url, due, day)


def _environment(home: Path, tenants: Path, url: sa.URL, slots: int) -> Mapping[str, str]:
    (home / "dagster").mkdir()
    text = DEPLOYED.read_text()
    assert DEPLOYED_SLOTS in text
    (home / "dagster" / "dagster.yaml").write_text(text.replace(DEPLOYED_SLOTS, f"max_concurrent_runs: {slots}"))
    others = {k: v for k, v in os.environ.items() if not k.startswith(("CONVERGENCE_", "GCP_", "DAGSTER_"))}
    own = {"HOME": home, "TENANTS": tenants, "WAREHOUSE": "embedded"}
    of_postgres = {
        "HOST": url.host, "PORT": url.port, "USERNAME": url.username, "PASSWORD": url.password, "DB": url.database
    }  # fmt: skip
    return (
        others
        | {f"CONVERGENCE_{name}": str(value) for name, value in own.items()}
        | {f"DAGSTER_PG_{name}": str(value) for name, value in of_postgres.items()}
        | {"DAGSTER_HOME": str(home / "dagster")}
    )


def _load_bills(settings: Settings, names: list[str], zone: str, day: date, rows: int) -> None:
    """One tenant's export is made and loaded, and its file copied for the others."""
    demo = replace(DEMO_TENANTS[0], tenant_id=names[0], timezone=zone)
    files = generate_bills(settings.home / "bills", demo, day, day, seed=7, rows_per_day=rows)
    source = load_tenants(settings).tenants[names[0]].pipelines[0].steps[0].sources["billing_export"]
    table = TableRef.parse(source.tables[0])
    with open_warehouse(settings) as warehouse:
        warehouse.load_files(table, source_schema(source.spec), [SourceFile(str(f), "jsonl") for f in files], Job("b"))
    layout = Layout(settings.warehouse_folder)
    generated = layout.dataset_file(Dataset.of(table))
    for name in names[1:]:
        shutil.copy(generated, layout.dataset_file(Dataset(f"{name}_billing_export")))
