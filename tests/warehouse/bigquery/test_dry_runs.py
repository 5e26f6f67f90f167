"""Dry runs of every tenant's queries: side by side, and once for what did not change."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from convergence_assets.assets.dry_run import StepEstimate, bytes_by_tenant, dry_run
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_registry
from tests.warehouse.bigquery.fake_bigquery import PROJECT, FakeBigQuery

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def tenants(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "tenants", tmp_path / "tenants"))


def estimates(fake: FakeBigQuery, tenants: Path, now: datetime = NOW) -> list[StepEstimate]:
    settings = Settings.from_env(
        {
            "CONVERGENCE_HOME": str(tenants.parent / "home"),
            "GCP_PROJECT_ID": PROJECT,
            "BIGQUERY_EMULATOR_HOST": fake.url,
        }
    )
    registry = load_registry(str(tenants), None, today=date(2026, 12, 1))
    assert not registry.problems
    return dry_run(list(registry.tenants.values()), settings, now=now, progress=lambda: None)


def test_every_query_is_planned_once_with_a_cost_for_each_tenant(fake: FakeBigQuery, tenants: Path) -> None:
    found = estimates(fake, tenants)
    assert [e.problem for e in found if e.problem] == []
    assert len(fake.dry_runs) == len(found) > 9
    assert bytes_by_tenant(found) == {
        t: 1000 * sum(e.tenant_id == t for e in found) for t in ("acme", "globex", "initech")
    }
    assert fake.inserted == [], "nothing was run"


def test_what_did_not_change_is_not_planned_again(fake: FakeBigQuery, tenants: Path) -> None:
    first = estimates(fake, tenants)
    sent = len(fake.dry_runs)
    assert estimates(fake, tenants) == first
    assert len(fake.dry_runs) == sent
    sql = tenants / "initech" / "pipelines" / "total_cost" / "total_cost_daily.sql"
    sql.write_text(sql.read_text().replace("SELECT", "SELECT ALL", 1))
    estimates(fake, tenants)
    again = [body["configuration"]["query"]["query"] for body in fake.dry_runs[sent:]]
    assert any("SELECT ALL" in query for query in again)
    assert len(again) == sum(e.tenant_id == "initech" for e in first), "one tenant's change is its own"
    estimates(fake, tenants, datetime(2026, 11, 21, 12, tzinfo=UTC))
    assert len(fake.dry_runs) == 2 * sent + len(again), "another day has other partitions"


def test_tenants_are_planned_side_by_side(fake: FakeBigQuery, tenants: Path) -> None:
    fake.dry_run_seconds = 0.2
    estimates(fake, tenants)
    assert fake.dry_runs_at_once == 3
