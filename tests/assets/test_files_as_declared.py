"""What a `files` step's YAML says of its files is what their reader does: delimiter, optional columns, rounding."""

import json
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from convergence_assets.assets.materialize import Report, StepRun
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.warehouse.errors import UnreadableFile
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Query
from tests import commands
from tests.assets.project import TENANTS, Project
from tests.assets.test_day_metadata import TENANT
from tests.clean_environment import clean_environment

DAY = date(2026, 3, 10)
PIPELINE = """name: costs
description: Costs as a customer's tool writes them
steps:
  - kind: files
    table: costs
    description: One row a cost
    path: "{{ landing }}/{date}.csv"
    format: csv
    delimiter: ";"
    partition_column: day
    partition_from_path: true
    columns:
      - {name: day, type: DATE, mode: REQUIRED}
      - {name: cost, type: NUMERIC, round: half_even}
      - {name: fee, type: NUMERIC}
      - {name: region, type: STRING, optional: true}
"""


def run(folder: Path, text: str) -> Report:
    landing = folder / "landing" / "acme"
    landing.mkdir(parents=True)
    (landing / f"{DAY}.csv").write_text(text)
    project = Project.at(folder / "home")
    tenants = folder / "tenants"
    pipeline = tenants / "acme" / "pipelines" / "costs"
    pipeline.mkdir(parents=True)
    shutil.copy(TENANTS / "_defaults.yaml", tenants)
    (tenants / "acme" / "tenant.yaml").write_text(TENANT)
    (pipeline / "pipeline.yaml").write_text(PIPELINE)
    registry = load_registry(str(tenants), None, today=date(2026, 11, 23))
    assert not registry.problems, [problem.render() for problem in registry.problems]
    tenant = registry.tenants["acme"]
    (made,) = tenant.pipelines
    settings = Settings.from_env({"CONVERGENCE_HOME": str(folder / "home"), "CONVERGENCE_TENANTS": str(tenants)})
    assert project.settings.home == settings.home
    return StepRun(settings, tenant, made, made.steps[0]).run(project.window(DAY), "run1")


def test_the_delimiter_the_optional_column_and_the_rounding_of_the_file_are_kept_to(tmp_path: Path) -> None:
    report = run(tmp_path, "cost;fee\n0.1234567885;1.5\n-2;0\n")
    assert report.published == {DAY: 2}
    assert [note for note in report.notes if "cost" in note and "1" in note], report.notes
    with open_warehouse(Project.at(tmp_path / "home").settings) as warehouse:
        rows = warehouse.read(Query("SELECT cost, fee, region FROM acme.costs ORDER BY cost"), Job("r")).to_pylist()
    assert rows == [
        {"cost": Decimal(-2), "fee": Decimal(0), "region": None},
        {"cost": Decimal("0.123456788"), "fee": Decimal("1.5"), "region": None},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cost;fee\n1;0.1234567885\n", r"2026-03-10\.csv:2 fee: 0\.1234567885"),
        ("cost,fee\n1,1\n", "the delimiter is a semicolon, is it a comma in the file"),
        ("cost;region\n1;eu\n", "fee"),
    ],
    ids=["no rounding was declared", "another delimiter", "a column that is not optional is missing"],
)
def test_what_was_not_declared_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UnreadableFile, match=message):
        run(tmp_path, text)


def test_load_says_how_many_rows_it_loaded_and_which_columns_it_ignored(tmp_path: Path) -> None:
    project = Project.at(tmp_path / "home")
    file = tmp_path / "bills.jsonl"
    bill = {"used_at": "2026-03-10T01:00:00Z", "exported_at": "2026-03-11T01:00:00Z", "cost": 1.25, "carbon": 7}
    file.write_text(json.dumps(bill) + "\n")
    environ = clean_environment() | {
        "CONVERGENCE_HOME": str(project.settings.home), "CONVERGENCE_TENANTS": project.settings.tenants,
    }  # fmt: skip
    done = commands.convergence("load", "acme", "demo_costs", "bills", file, "--json", environ=environ)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["files"], printed["rows"]) == (1, 1)
    assert any("carbon" in note for note in printed["notes"])
    loaded = commands.convergence("load", "acme", "demo_costs", "bills", file, environ=environ)
    assert "carbon" in loaded.stdout + loaded.stderr
