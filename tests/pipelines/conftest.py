"""A small pipeline whose files a test changes, and what is then said of it."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.pipelines.catalog import load_template
from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy.registry import load_registry

Files = dict[str, str]

PIPELINE = """\
name: costs
parameters:
  export: {type: table}
  region: {type: string, default: eu, allowed: [eu, us]}
  floor: {type: number, default: 0.5}
sources:
  bills:
    table: "{{ export }}"
    columns:
      - {name: day, type: DATE}
      - {name: region, type: STRING}
      - {name: cost, type: NUMERIC}
      - name: project
        type: RECORD
        fields: [{name: id, type: STRING}]
steps:
  - kind: bigquery
    table: costs_daily
    partition_column: day
    clustering: [region]
    columns:
      - {name: day, type: DATE, mode: REQUIRED}
      - {name: region, type: STRING}
      - {name: cost, type: NUMERIC}
"""
SQL = """\
SELECT
    day,
    region,
    SUM(cost) AS cost
FROM bills
WHERE day BETWEEN @first_partition_date AND @last_partition_date AND cost > @floor
GROUP BY day, region
"""
SUITE = """\
expectations:
  - type: expect_column_values_to_not_be_null
    kwargs: {column: day}
"""
TENANT = """\
tenant_id: acme
display_name: Acme
timezone: Europe/Berlin
pipelines:
  - template: costs
    with: {export: raw.bills}
    start_date: 2026-10-01
"""
DEFAULTS = """\
plans: {standard: {max_concurrent_runs: 2, daily_runs: 10, monthly_runs: 100}}
plan: standard
schedule: "0 6 * * *"
"""


@pytest.fixture
def files() -> Files:
    """The pipeline's files, and the tenant's that uses it."""
    return {
        "pipeline.yaml": PIPELINE,
        "costs_daily.sql": SQL,
        "expectations/costs_daily.yaml": SUITE,
        "tenant.yaml": TENANT,
    }


@pytest.fixture
def problems(tmp_path: Path) -> Callable[[Files], list[Problem]]:
    """Everything that is wrong with the files, the pipeline being a shared one."""

    def found(files: Files) -> list[Problem]:
        own = {path: text.encode() for path, text in files.items() if path != "tenant.yaml"}
        (tmp_path / "acme").mkdir(exist_ok=True)
        (tmp_path / "acme" / "tenant.yaml").write_text(files["tenant.yaml"])
        (tmp_path / "_defaults.yaml").write_text(DEFAULTS)
        template = load_template("costs", "library/costs", own)
        registry = load_registry(str(tmp_path), None, today=date(2026, 11, 23), templates={"costs": template})
        assert bool(registry.problems) == ("acme" not in registry.tenants)
        return list(registry.problems)

    return found
