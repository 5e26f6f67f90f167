"""The operator's check that the parts of a shared source make the whole, and who is told where they do not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.alerting.alert import Alert
from convergence_assets.assets import share_checks
from convergence_assets.assets.factory import build_assets
from convergence_assets.assets.share_checks import CHECK, JOB, build_share_checks
from convergence_assets.monitoring.conditions import shares_wrong
from convergence_assets.settings import Settings
from convergence_assets.tenancy.sharing import SharedSource
from convergence_assets.tenancy.tenant import TenantRegistry
from tests.library.test_shared_sources import EXPORT, SHARES, bills, load, loaded, write


class Overlapping(SharedSource):
    """Every row is everybody's: what a fault in the conditions would do."""

    def condition(self, owner: str) -> str:
        return "TRUE"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


@pytest.fixture
def registry(tmp_path: Path) -> TenantRegistry:
    return load(write(tmp_path, SHARES, ["rockets", "sky", "control"]))


@pytest.fixture
def deployment(tmp_path: Path) -> Settings:
    return Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_WAREHOUSE": "embedded"})


def evaluated(instance: dg.DagsterInstance, registry: TenantRegistry, deployment: Settings) -> dg.AssetCheckEvaluation:
    """The check, evaluated as its schedule does it."""
    checks, schedules = build_share_checks(registry, deployment)
    assets, _ = build_assets(registry, deployment)
    definitions = dg.Definitions(assets=assets, asset_checks=checks, schedules=schedules)
    done = definitions.resolve_job_def(JOB).execute_in_process(instance=instance)
    (found,) = done.get_asset_check_evaluations()
    return found


def alerts_raised(instance: dg.DagsterInstance, registry: TenantRegistry) -> list[Alert]:
    return list(shares_wrong(instance, registry))


def test_a_source_that_adds_up_passes_with_what_everybody_has(
    tmp_path: Path, instance: dg.DagsterInstance, registry: TenantRegistry, deployment: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(share_checks, "DAYS", 10_000)
    assert alerts_raised(instance, registry) == [], "not looked at yet"
    rows = loaded(deployment, registry, bills(tmp_path))
    found = evaluated(instance, registry, deployment)
    assert (found.check_name, found.asset_key) == (CHECK, dg.AssetKey(["source", *EXPORT.split(".")]))
    assert found.passed
    counts = [found.metadata[f"rows of {who}"].value for who in ("rockets", "sky", "control", "the rest")]
    assert sum(int(str(count)) for count in counts) == found.metadata["rows of all"].value == len(rows)
    assert alerts_raised(instance, registry) == []


def test_the_operator_is_told_critically_where_a_row_is_two_tenants(
    tmp_path: Path, instance: dg.DagsterInstance, registry: TenantRegistry, deployment: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(share_checks, "DAYS", 10_000)
    rows = loaded(deployment, registry, bills(tmp_path))
    (shared,) = registry.shared_sources
    wrong = replace(registry, shared_sources=(Overlapping(shared.table, shared.shares),))
    found = evaluated(instance, wrong, deployment)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    (alert,) = alerts_raised(instance, registry)
    assert (alert.kind, alert.severity, alert.tenant_id, alert.table) == ("shares_wrong", "critical", None, EXPORT)
    assert f"the parts have {4 * len(rows):,} rows, the whole {len(rows):,}" in alert.happened
    assert evaluated(instance, registry, deployment).passed
    assert alerts_raised(instance, registry) == [], "it is over with the next count"


def test_what_cannot_be_counted_did_not_pass_and_is_a_warning(
    instance: dg.DagsterInstance, registry: TenantRegistry, deployment: Settings
) -> None:
    found = evaluated(instance, registry, deployment)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    (alert,) = alerts_raised(instance, registry)
    assert alert.severity == "warning"
    assert "cannot be counted" in alert.title


def test_a_deployment_that_shares_nothing_out_has_no_check(deployment: Settings, tmp_path: Path) -> None:
    registry = replace(load(write(tmp_path, SHARES, ["sky"])), shared_sources=())
    assert build_share_checks(registry, deployment) == ([], [])
