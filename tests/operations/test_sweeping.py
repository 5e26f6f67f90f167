"""What runs have staged: gone with a dead run, kept where it is the evidence of a failed check."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from convergence_assets.assets.opening import open_warehouse
from convergence_assets.control import runs, tables
from convergence_assets.control.remediations import Part
from convergence_assets.operations.ladder import Ladder
from convergence_assets.operations.stuck import Activity, Stuck
from convergence_assets.operations.sweeping import KEPT, SETTLED, UNKNOWN_FOR, Sweeper
from convergence_assets.settings import Settings
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Column, Dataset, Query, TableRef, TableSchema
from tests.dagster_homes import dagster_at
from tests.operations.watched import DAY, Watched
from tests.peer.peer_server import Peer

TARGET = TableRef("acme", "lines")
SCHEMA = TableSchema((Column("n", "INT64"),))


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched.at(tmp_path / "home")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dagster_at(tmp_path / "dagster") as found:
        yield found


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


def over(
    watched: Watched, instance: dg.DagsterInstance, status: str, error_class: str | None = None, root: str | None = None
) -> str:
    """A run as Dagster and the index have it; `root` is the one that it repeats."""

    @dg.asset(key=["acme", "demo_costs", "lines"])
    def lines() -> None: ...

    job = dg.Definitions(assets=[lines]).resolve_implicit_global_asset_job_def()
    tags = {"dagster/root_run_id": root, "dagster/parent_run_id": root} if root else {}
    run = instance.create_run_for_job(
        job, status=dg.DagsterRunStatus(status), tags=tags, root_run_id=root, parent_run_id=root,
        asset_selection=frozenset([lines.key]),
    )  # fmt: skip
    known: dict[str, runs.RunStatus] = {"FAILURE": "failed", "SUCCESS": "succeeded", "STARTED": "running"}
    watched.run(run.run_id, status=known[status], dagster_status=status, error_class=error_class)
    return run.run_id


@pytest.fixture
def sweeper(watched: Watched, instance: dg.DagsterInstance, deployment: Settings) -> Sweeper:
    watched.now = datetime.now(UTC)
    return Sweeper(instance, watched.store, deployment)


def test_rows_of_a_run_that_died_go_and_those_of_failed_checks_stay_for_seven_days(
    watched: Watched, instance: dg.DagsterInstance, deployment: Settings, sweeper: Sweeper
) -> None:
    dead = over(watched, instance, "FAILURE", "interrupted")
    evidence = over(watched, instance, "FAILURE", "quality_failed")
    works = over(watched, instance, "STARTED")
    unknown = "restore-7"
    for run_id in (dead, evidence, works, unknown):
        stage(deployment, run_id)
    tenants = [watched.project.tenant]
    assert sweeper.sweep(tenants, 60.0) == [], "whoever repeats it may still take it up"
    watched.now += SETTLED + timedelta(minutes=1)
    assert sweeper.sweep(tenants, 60.0) == [f"acme: rows that run {dead} had staged"]
    assert staged(deployment) == {evidence, works, unknown}
    watched.now += UNKNOWN_FOR
    sweeper.sweep(tenants, 60.0)
    assert staged(deployment) == {evidence, works}
    watched.now += KEPT
    sweeper.sweep(tenants, 60.0)
    assert staged(deployment) == set()


def test_rows_that_a_repetition_still_works_on_stay(
    watched: Watched, instance: dg.DagsterInstance, deployment: Settings, sweeper: Sweeper
) -> None:
    first = over(watched, instance, "FAILURE", "unavailable")
    over(watched, instance, "STARTED", root=first)
    stage(deployment, first)
    watched.now += SETTLED + timedelta(minutes=1)
    assert sweeper.sweep([watched.project.tenant], 60.0) == []


def test_a_run_that_the_index_does_not_know_yet_may_be_evidence(
    watched: Watched, instance: dg.DagsterInstance, deployment: Settings, sweeper: Sweeper
) -> None:
    run_id = over(watched, instance, "FAILURE", "interrupted")
    with watched.store.write() as connection:
        connection.execute(sa.delete(tables.runs))
    stage(deployment, run_id)
    watched.now += SETTLED + timedelta(minutes=1)
    assert sweeper.sweep([watched.project.tenant], 60.0) == []


def test_the_remedy_of_a_dead_run_removes_what_it_staged_at_once(
    watched: Watched, instance: dg.DagsterInstance, deployment: Settings, sweeper: Sweeper
) -> None:
    dead, other = over(watched, instance, "STARTED"), over(watched, instance, "STARTED")
    for run_id in (dead, other):
        stage(deployment, run_id)
    part = Part("acme", "demo_costs", DAY, DAY)
    activity = Activity(dead, "STARTED", (part,), watched.now, watched.now, gone=True)
    ladder = Ladder(instance, watched.store, deployment, watched.tenants)
    said = ladder.climb(ladder.begin(Stuck(activity, "dead", watched.now, None), 2))
    assert any("what it staged removed" in line for line in said), said
    assert staged(deployment) == {other}
