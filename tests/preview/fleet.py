"""Two tenants of one small template with money, published by real runs, and edits of their files."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from convergence_assets.assets.schema_mapping import source_schema
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.cli.instance import dagster_home
from convergence_assets.cli.run import Definitions
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import Query, TableRef
from tests import commands
from tests.clean_environment import clean_environment
from tests.dagster_homes import dagster_home as small_dagster_home

TENANTS = Path(__file__).parent / "tenants"
FIRST = date(2026, 10, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(3)]


@dataclass(frozen=True)
class Fleet:
    """A folder with `tenants`, the home of what they have published, and Dagster's."""

    folder: Path
    warehouse: Mapping[str, str] = field(default_factory=lambda: {"CONVERGENCE_WAREHOUSE": "embedded"})

    @classmethod
    def at(cls, folder: Path, **warehouse: Mapping[str, str]) -> "Fleet":
        shutil.copytree(TENANTS, folder / "tenants")
        small_dagster_home(folder / "dagster")
        fleet = cls(folder, **warehouse)
        for number, tenant in enumerate(("acme", "globex"), start=1):
            fleet.load(tenant, number)
        return fleet

    @property
    def variables(self) -> dict[str, str]:
        return {
            "CONVERGENCE_HOME": str(self.folder / "home"), "CONVERGENCE_TENANTS": str(self.folder / "tenants"),
            "DAGSTER_HOME": str(self.folder / "dagster"), **self.warehouse,
        }  # fmt: skip

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.variables)

    def load(self, tenant: str, factor: int, days: Sequence[date] = DAYS) -> None:
        """All bills there are: of each day three services in two regions, in two currencies."""
        file = self.folder / f"{tenant}.jsonl"
        with file.open("w") as lines:
            for day in days:
                at = (day - FIRST).days
                for n in range(6):
                    cost = f"{factor * (n + 1) * 1.111 + at * 0.337:.6f}"
                    row = {
                        "used_at": datetime(day.year, day.month, day.day, 3 * n).isoformat() + "Z",
                        "service": f"service {n % 3}", "region": f"region {n % 2}", "cost": cost,
                        "currency": "EUR" if n == 5 else "USD",
                    }  # fmt: skip
                    lines.write(json.dumps(row) + "\n")
        source = load_tenants(self.settings).tenants[tenant].pipelines[0].steps[0].sources["bills"]
        with open_warehouse(self.settings) as warehouse:
            table, schema = TableRef.parse(source.tables[0]), source_schema(source.spec)
            warehouse.load_files(table, schema, [SourceFile(str(file), "jsonl")], Job("load"))

    def publish(self, *tenants: str, days: tuple[date, date] = (DAYS[0], DAYS[-1]), folder: str = "tenants") -> None:
        """Run every pipeline of these tenants, or of all, as `convergence run` does, by the files of a folder."""
        variables = self.variables | {"CONVERGENCE_TENANTS": str(self.folder / folder)}
        done = commands.forked(_publish, variables, tenants, days)
        done.join(120)
        assert done.exitcode == 0

    def edit(self, file: str, before: str, after: str) -> None:
        path = self.folder / "tenants" / file
        text = path.read_text()
        assert before in text, f"{before!r} is not in {file}"
        path.write_text(text.replace(before, after))

    def command(self, *words: str) -> tuple[int, str, str]:
        done = commands.convergence(*words, environ=clean_environment() | self.variables | {"COLUMNS": "400"})
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    def preview(self, *words: str) -> tuple[int, dict[str, Any]]:
        code, out, err = self.command("preview", "--json", *words)
        assert out, err
        return code, json.loads(out)

    def read(self, sql: str) -> list[Mapping[str, Any]]:
        with open_warehouse(self.settings) as warehouse:
            return list(warehouse.rows(Query(sql), Job("read")))

    def staged(self) -> list[str]:
        folder = self.folder / "home" / "warehouse" / "staging"
        return [file.name for file in folder.glob("*/*") if "billing" not in file.parent.name]


def _publish(variables: Mapping[str, str], tenants: tuple[str, ...], days: tuple[date, date]) -> None:
    import os

    import dagster as dg

    os.environ |= variables
    settings = Settings.from_env()
    dagster_home(settings)
    registry = load_tenants(settings)
    assert not registry.problems, [p.render() for p in registry.problems]
    definitions = Definitions(settings)
    with dg.DagsterInstance.get() as instance:
        for name in tenants or registry.tenants:
            tenant = registry.tenants[name]
            for pipeline in tenant.pipelines:
                definitions.run(instance, tenant, pipeline, *days)
