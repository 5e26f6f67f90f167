"""Each day of a run has its own rows, money and checks in Dagster, and a day that was stopped can be seen."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from convergence_assets.cli.run import Definitions, RunResult
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from tests.assets.project import TENANTS

DAYS = [date(2026, 3, 10) + timedelta(days=n) for n in range(3)]
COSTS = dg.AssetKey(["acme", "costs", "costs"])
TENANT = """tenant_id: acme
display_name: Acme
timezone: UTC
paused: true
owners: [a@b.example]
pipelines: [{template: costs, start_date: 2026-03-01}]
"""
PIPELINE = """name: costs
description: Costs in two currencies
steps:
  - kind: files
    table: costs
    description: One row a cost
    path: "%s/{date}.jsonl"
    format: jsonl
    partition_column: day
    money: {column: net_cost, currency_column: currency}
    columns:
      - {name: day, type: DATE, mode: REQUIRED}
      - {name: net_cost, type: NUMERIC}
      - {name: currency, type: STRING}
"""
SUITE = """name: costs
expectations:
  - type: expect_column_values_to_be_between
    kwargs: {column: net_cost, max_value: 100}
    severity: critical
    meta: {name: cost_is_possible}
  - type: expect_column_values_to_be_between
    kwargs: {column: net_cost, max_value: 10}
    severity: warning
    meta: {name: cost_is_plausible}
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as made:
        yield made


def run(folder: Path, instance: dg.DagsterInstance, costs: list[list[tuple[str, str | None]]]) -> RunResult:
    """Run the first days, each with these costs and their currencies."""
    own = folder / "tenants" / "acme"
    landing = folder / "landing" / "acme"
    (own / "pipelines" / "costs" / "expectations").mkdir(parents=True)
    landing.mkdir(parents=True)
    (folder / "tenants" / "_defaults.yaml").write_bytes((TENANTS / "_defaults.yaml").read_bytes())
    (own / "tenant.yaml").write_text(TENANT)
    (own / "pipelines" / "costs" / "pipeline.yaml").write_text(PIPELINE % landing)
    (own / "pipelines" / "costs" / "expectations" / "costs.yaml").write_text(SUITE)
    for day, rows in zip(DAYS, costs, strict=False):
        lines = [json.dumps({"day": str(day), "net_cost": cost, "currency": currency}) for cost, currency in rows]
        (landing / f"{day}.jsonl").write_text("\n".join(lines))
    settings = Settings.from_env(
        {
            "CONVERGENCE_HOME": str(folder / "home"),
            "CONVERGENCE_TENANTS": str(folder / "tenants"),
            "CONVERGENCE_LANDING": str(folder / "landing"),
        }
    )
    registry = load_tenants(settings)
    assert not registry.problems, [problem.render() for problem in registry.problems]
    tenant = registry.tenants["acme"]
    last = DAYS[len(costs) - 1]
    return Definitions(settings).run(instance, tenant, tenant.pipelines[0], DAYS[0], last)


def by_day(instance: dg.DagsterInstance, *names: str) -> dict[str, tuple[Any, ...]]:
    """The values of these metadata of each materialised day."""
    records = instance.fetch_materializations(COSTS, limit=10).records
    found = {}
    for record in records:
        materialization = record.asset_materialization
        assert materialization is not None
        found[str(materialization.partition)] = tuple(
            materialization.metadata[name].value if name in materialization.metadata else None for name in names
        )
    return found


def test_each_day_of_a_range_has_its_own_rows_money_and_checks(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    costs: list[list[tuple[str, str | None]]] = [
        [("0.1", "EUR"), ("0.2", "EUR")], [("20", "EUR")], [("1.000000001", "EUR"), ("2", "USD"), ("3", None)],
    ]  # fmt: skip
    result = run(tmp_path, instance, costs)
    assert result.succeeded, result.failure
    assert by_day(instance, "dagster/row_count", "net_cost", "net_cost_by_currency", "checks_failed") == {
        "2026-03-10": (2, 0.3, {"EUR": "0.300000000"}, {}),
        "2026-03-11": (1, 20.0, {"EUR": "20.000000000"}, {"cost_is_plausible": "warning"}),
        "2026-03-12": (
            3, None, {"EUR": "1.000000001", "USD": "2.000000000", "no currency": "3.000000000"}, {},
        ),
    }  # fmt: skip
    assert by_day(instance, "net_cost EUR", "net_cost USD")["2026-03-12"] == (1.000000001, 2.0)
    assert result.published == {"costs": {"2026-03-10": 2, "2026-03-11": 1, "2026-03-12": 3}}


def test_a_day_alone_has_the_same_metadata(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    result = run(tmp_path, instance, [[("0.1", "EUR"), ("0.2", "EUR")]])
    assert result.succeeded, result.failure
    found = by_day(instance, "dagster/row_count", "dagster/partition_row_count", "net_cost", "checks_passed")
    assert found == {"2026-03-10": (2, 2, 0.3, 4)}


def test_a_stopped_day_is_seen_beside_the_published_ones(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    result = run(tmp_path, instance, [[("1", "EUR")], [("500", "EUR"), ("1", "EUR")], [("2", "EUR")]])
    assert not result.succeeded
    assert by_day(instance, "dagster/row_count", "net_cost") == {"2026-03-10": (1, 1.0), "2026-03-12": (1, 2.0)}
    (observed,) = instance.fetch_observations(COSTS, limit=5).records
    seen = observed.asset_observation
    assert seen is not None
    assert (seen.partition, seen.description) == ("2026-03-11", "not published: cost_is_possible")
    assert seen.metadata["staged_rows"].value == 2
