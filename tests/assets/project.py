"""A small project for the tests of assets: one tenant, two tables, bills written by the test."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from convergence_assets.assets.materialize import Report, StepRun
from convergence_assets.assets.schema_mapping import source_schema
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.assets.window import Window
from convergence_assets.control.location import FILE
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import Query, TableRef
from tests.control_stores import sqlite_store

TENANTS = Path(__file__).parent / "project" / "tenants"


@dataclass(frozen=True)
class Project:
    settings: Settings
    tenant: Tenant

    @classmethod
    def at(cls, home: Path) -> "Project":
        settings = Settings.from_env({"CONVERGENCE_HOME": str(home), "CONVERGENCE_TENANTS": str(TENANTS)})
        registry = load_registry(settings.tenants, None, today=date(2026, 11, 23))
        assert not registry.problems, [p.render() for p in registry.problems]
        if not (settings.home / FILE).exists():
            sqlite_store(settings.home / FILE)
        return cls(settings, registry.tenants["acme"])

    def load_bills(self, bills: Iterable[tuple[datetime, datetime, float | None]]) -> int:
        """(used_at, exported_at, cost) rows into the export, replacing their export days."""
        file = self.settings.home / "bills.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w") as lines:
            for used_at, exported_at, cost in bills:
                row = {"used_at": used_at.isoformat(), "exported_at": exported_at.isoformat(), "cost": cost}
                lines.write(json.dumps(row) + "\n")
        source = self.tenant.pipelines[0].steps[0].sources["bills"]
        with open_warehouse(self.settings) as warehouse:
            return warehouse.load_files(
                TableRef.parse(source.tables[0]),
                source_schema(source.spec),
                [SourceFile(str(file), "jsonl")],
                Job("load"),
            ).rows

    def window(self, *days: date) -> Window:
        zone = ZoneInfo(self.tenant.timezone)
        bounds = {
            d: (
                datetime(d.year, d.month, d.day, tzinfo=zone).astimezone(UTC),
                datetime.combine(d + timedelta(days=1), datetime.min.time(), zone).astimezone(UTC),
            )
            for d in days
        }
        return Window(tuple(sorted(days)), bounds)

    def run(self, *days: date, run_id: str = "run1", tables: Iterable[str] = ("lines", "totals")) -> list[Report]:
        pipeline = self.tenant.pipelines[0]
        return [
            StepRun(self.settings, self.tenant, pipeline, step).run(self.window(*days), run_id)
            for step in pipeline.steps
            if step.table in tables
        ]

    def read(self, sql: str) -> list[dict[str, object]]:
        with open_warehouse(self.settings) as warehouse:
            rows: list[dict[str, object]] = warehouse.read(Query(sql), Job("read")).to_pylist()
            return rows


def hourly(day: date, zone: str, cost: float) -> list[tuple[datetime, datetime, float | None]]:
    """A bill for each hour of a local day, exported at the day's end."""
    start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), datetime.min.time(), ZoneInfo(zone)).astimezone(UTC)
    hours = int((end - start).total_seconds() // 3600)
    return [(start + timedelta(hours=h), end + timedelta(hours=1), cost) for h in range(hours)]
