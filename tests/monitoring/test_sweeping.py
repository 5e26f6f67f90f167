"""What runs have staged: gone with a dead run, kept where it is the evidence of a failed check."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.assets.structure import NOT_EMPTY
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control.remediations import Part
from convergence_assets.monitoring.remediation import Remediation
from convergence_assets.monitoring.stuck import Activity, Stuck
from convergence_assets.monitoring.sweeping import KEPT, SETTLED, UNKNOWN_FOR, Sweeper
from convergence_assets.settings import Settings
from convergence_assets.warehouse.bigquery.administration import FILES
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import STAGING_PREFIX, Column, Dataset, Query, TableRef, TableSchema
from tests.monitoring.watched import DAY, Watched
from tests.peer.peer_server import Peer

TARGET = TableRef("acme", "lines")
SCHEMA = TableSchema((Column("n", "INT64"),))


@pytest.fixture(params=["embedded", pytest.param("bigquery", marks=pytest.mark.peer)])
def deployment(request: pytest.FixtureRequest, watched: Watched, tmp_path: Path) -> Settings:
    if request.param == "bigquery":
        peer: Peer = request.getfixturevalue("peer")
        return peer.settings(tmp_path / "home")
    return watched.project.settings


def staged(deployment: Settings) -> set[str]:
    with open_warehouse(deployment) as warehouse:
        return set(warehouse.staged_runs(Dataset("acme")))


def stage(deployment: Settings, run_id: str) -> None:
    with open_warehouse(deployment) as warehouse:
        warehouse.stage_query(TARGET, SCHEMA, [Query("SELECT 1 AS n")], Job(run_id))


def under_way(instance: dg.DagsterInstance, root: str | None = None) -> str:
    """A run that has not ended; `root` is the one that it repeats."""

    @dg.asset(key=["acme", "demo_costs", "lines"])
    def lines() -> None: ...

    job = dg.Definitions(assets=[lines]).resolve_implicit_global_asset_job_def()
    tags = {"dagster/root_run_id": root, "dagster/parent_run_id": root} if root else {}
    run = instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.STARTED, tags=tags, root_run_id=root, parent_run_id=root,
        asset_selection=frozenset([lines.key]),
    )  # fmt: skip
    return run.run_id


def over(instance: dg.DagsterInstance, error_class: str = "internal", stopped_by: list[str] | None = None) -> str:
    """A run that failed; `stopped_by` are the checks that stopped a day before."""

    @dg.asset(key=["acme", "demo_costs", "lines"])
    def lines(context: dg.AssetExecutionContext) -> None:
        if stopped_by:
            event_metadata = {"stopped_by": dg.MetadataValue.json(stopped_by)}
            context.log_event(dg.AssetObservation(context.asset_key, metadata=event_metadata, partition="2026-11-01"))
        raise dg.Failure("it failed", metadata={"error_class": dg.MetadataValue.text(error_class)})

    return dg.materialize([lines], instance=instance, raise_on_error=False).run_id


@pytest.fixture
def sweeper(watched: Watched, instance: dg.DagsterInstance, deployment: Settings) -> Sweeper:
    watched.now = datetime.now(UTC)
    return Sweeper(instance, watched.store, deployment)


def test_rows_of_a_run_that_died_go_and_those_of_failed_checks_stay_for_seven_days(
    watched: Watched, instance: dg.DagsterInstance, deployment: Settings, sweeper: Sweeper
) -> None:
    dead, no_data = over(instance), over(instance, "no_data", [NOT_EMPTY])
    evidence = {over(instance, "quality_failed"), over(instance, "unavailable", ["cost_is_positive"])}
    works, unknown = under_way(instance), "restore-7"
    for run_id in (dead, no_data, *evidence, works, unknown):
        stage(deployment, run_id)
    tenants = [watched.project.tenant]
    assert sweeper.sweep(tenants, 60.0) == [], "whoever repeats it may still take it up"
    watched.now += SETTLED + timedelta(minutes=1)
    lines = {f"acme: rows that run {run_id} had staged" for run_id in (dead, no_data)}
    assert set(sweeper.sweep(tenants, 60.0)) == lines
    assert staged(deployment) == {*evidence, works, unknown}
    watched.now += UNKNOWN_FOR
    sweeper.sweep(tenants, 60.0)
    assert staged(deployment) == {*evidence, works}
    watched.now += KEPT
    sweeper.sweep(tenants, 60.0)
    assert staged(deployment) == set()


def test_rows_that_a_repetition_still_works_on_stay(
    watched: Watched, instance: dg.DagsterInstance, deployment: Settings, sweeper: Sweeper
) -> None:
    first = over(instance, "unavailable")
    under_way(instance, root=first)
    stage(deployment, first)
    watched.now += SETTLED + timedelta(minutes=1)
    assert sweeper.sweep([watched.project.tenant], 60.0) == []


def test_a_run_that_staged_long_before_it_ended_may_still_be_repeated(
    watched: Watched, instance: dg.DagsterInstance, deployment: Settings, sweeper: Sweeper
) -> None:
    run_id = over(instance)
    now = watched.now
    watched.now += SETTLED / 2
    assert not sweeper.is_not_needed(run_id, now - timedelta(hours=3))
    watched.now += SETTLED
    assert sweeper.is_not_needed(run_id, now - timedelta(hours=3))


@pytest.mark.peer
def test_the_files_that_a_run_had_loaded_on_bigquery_go_with_its_rows(
    watched: Watched, instance: dg.DagsterInstance, peer: Peer, tmp_path: Path
) -> None:
    settings, run_id = peer.settings(tmp_path / "home"), over(instance)
    staging, table = f"{STAGING_PREFIX}acme", f"lines__{run_id.replace('-', '_')}{FILES}"
    with open_warehouse(settings) as warehouse:
        warehouse.ensure_table(TableRef(staging, table), SCHEMA)
    assert staged(settings) == {run_id}
    Sweeper(instance, watched.store, settings).drop(watched.project.tenant, run_id)
    assert staged(settings) == set()


def test_the_remedy_of_a_dead_run_removes_what_it_staged_at_once(
    watched: Watched, instance: dg.DagsterInstance, deployment: Settings, sweeper: Sweeper
) -> None:
    dead, other = under_way(instance), under_way(instance)
    for run_id in (dead, other):
        stage(deployment, run_id)
    part = Part("acme", "demo_costs", DAY, DAY)
    activity = Activity(dead, "STARTED", (part,), watched.now, watched.now, gone=True)
    remediation = Remediation(instance, watched.store, deployment, watched.tenants)
    report = remediation.run(remediation.begin(Stuck(activity, "dead", watched.now, None), 2))
    assert any("what it staged removed" in line for line in report), report
    assert staged(deployment) == {other}


def test_the_remedy_of_a_dead_run_keeps_what_its_checks_had_stopped(
    watched: Watched, instance: dg.DagsterInstance, deployment: Settings, sweeper: Sweeper
) -> None:
    dead = over(instance, "internal", ["cost_is_positive"])
    stage(deployment, dead)
    assert sweeper.has_evidence(dead)
    part = Part("acme", "demo_costs", DAY, DAY)
    activity = Activity(dead, "STARTED", (part,), watched.now, watched.now, gone=True)
    remediation = Remediation(instance, watched.store, deployment, watched.tenants)
    report = remediation.run(remediation.begin(Stuck(activity, "dead", watched.now, None), 2))
    assert any("is kept for those" in line for line in report), report
    assert staged(deployment) == {dead}
