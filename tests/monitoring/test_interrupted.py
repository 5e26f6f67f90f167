"""A run that is ended by what it runs on, and by nobody's wish, is no failure: it is canceled and requested again."""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import pytest

from benchmarks.tenant_day import Launching, launching
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control import incidents, partition_states, publications, runs
from convergence_assets.control.location import control_url
from convergence_assets.control.store import ControlStore
from convergence_assets.control.workers import Workers
from convergence_assets.dagster_internals import run_records
from convergence_assets.monitoring.monitor import Monitor
from convergence_assets.monitoring.sweeping import SETTLED, Sweeper
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.warehouse.schema import Dataset
from tests.assets.project import TENANTS, Project, hourly
from tests.dagster_homes import copy_storage

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
FIRST = date(2026, 3, 2)
SHORTEST, LONGEST = 0.0, 6.0
"""Seconds after its launch within which a worker of this project does all of its work."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.at(tmp_path / "home")
    days = [FIRST + timedelta(days=n) for n in range(40)]
    made.load_bills([row for day in days for row in hourly(day, "Europe/Berlin", 1.0)])
    return made


@pytest.fixture
def platform(project: Project) -> Iterator[Launching]:
    home = project.settings.home
    copy_storage(home / "dagster")
    shutil.copy(ROOT / "dagster.yaml", home / "dagster" / "dagster.yaml")
    own = {
        "CONVERGENCE_HOME": str(home), "CONVERGENCE_TENANTS": str(TENANTS), "CONVERGENCE_WAREHOUSE": "embedded",
        "DAGSTER_HOME": str(home / "dagster"),
    }  # fmt: skip
    with patch.dict(os.environ, own), launching(home) as found:
        yield found


class Interrupted:
    """Runs of a platform that are sent SIGTERM, and what is then known of them."""

    def __init__(self, project: Project, platform: Launching) -> None:
        self.project = project
        self.platform = platform
        self.instance = platform.instance
        self.store = ControlStore(control_url(project.settings, {}))
        self.watching = Monitor.of(
            load_registry(project.settings.tenants, None, today=date(2026, 11, 23)), project.settings
        )

    def after(self, seconds: float, day: date) -> dg.DagsterRun:
        """A run for a day, ended so many seconds after its launch, or by itself where that was sooner."""
        run = self.platform.make("acme", "demo_costs", day, day)
        self.platform.launch(run)
        worker = Workers(self.store).find(run.run_id)
        assert worker is not None
        time.sleep(seconds)
        with suppress(ProcessLookupError):
            os.kill(worker.owner.process, signal.SIGTERM)
        return self.ended(run)

    def ended(self, run: dg.DagsterRun) -> dg.DagsterRun:
        deadline = time.monotonic() + 60
        while True:
            found = self.instance.get_run_by_id(run.run_id)
            assert found is not None
            if found.is_finished:
                return found
            assert time.monotonic() < deadline, (
                f"{found.status}: {self.instance.run_launcher.check_run_worker_health(found)}"
            )
            time.sleep(0.05)

    def follow(self) -> None:
        self.watching.follow(self.instance, 20.0)

    def indexed(self, run: dg.DagsterRun) -> runs.IndexedRun:
        with self.store.read() as connection:
            (found,) = runs.parts_of(connection, run.run_id)
        return found

    def due(self) -> dict[date, partition_states.PendingPartition]:
        with self.store.read() as connection:
            return {row.day: row for row in partition_states.all_outstanding(connection)}

    def alerts(self) -> list[str]:
        with self.store.read() as connection:
            return [incident.kind for incident in incidents.open_incidents(connection)]


@pytest.fixture
def interrupted(project: Project, platform: Launching) -> Interrupted:
    return Interrupted(project, platform)


def test_an_interrupted_run_of_a_person_is_canceled_and_its_day_is_asked_for_at_once(interrupted: Interrupted) -> None:
    run = interrupted.after(0.0, FIRST)
    assert (run.status, run_records.is_interrupted(run)) == (dg.DagsterRunStatus.FAILURE, True)
    interrupted.follow()
    found = interrupted.indexed(run)
    assert (found.status, found.dagster_status, found.error_class) == ("canceled", "FAILURE", "interrupted")
    row = interrupted.due()[FIRST]
    assert (row.state, row.attempts, row.interruptions) == ("due", 0, 1)
    assert row.wake_at is not None
    assert row.wake_at <= interrupted.store.now()
    assert row.reason == f"run {run.run_id} was interrupted"
    assert interrupted.alerts() == []


def test_a_day_that_was_given_up_is_asked_for_again_when_a_persons_run_of_it_is_interrupted(
    interrupted: Interrupted,
) -> None:
    gave_up = partition_states.PendingPartition("acme", "demo_costs", FIRST, "gave_up", "after 7 attempts", None, 7)
    with interrupted.store.write("planner") as connection:
        partition_states.write_outstanding(connection, [gave_up])
    run = interrupted.after(0.0, FIRST)
    interrupted.follow()
    row = interrupted.due()[FIRST]
    assert (row.state, row.interruptions, row.reason) == ("due", 1, f"run {run.run_id} was interrupted")


def test_the_fourth_interruption_of_a_day_is_told_of_and_no_longer_asked_for_by_the_follower(
    interrupted: Interrupted,
) -> None:
    for number in range(4):
        interrupted.after(0.0, FIRST)
        interrupted.follow()
        assert interrupted.alerts() == (["run_canceled"] if number == 3 else [])


def test_a_run_that_somebody_ended_is_not_interrupted_and_not_asked_for_again(interrupted: Interrupted) -> None:
    run = interrupted.platform.make("acme", "demo_costs", FIRST, FIRST)
    interrupted.platform.launch(run)
    assert interrupted.instance.run_launcher.terminate(run.run_id)
    ended = interrupted.ended(run)  # one that begins after it was asked to end says that nobody had (dagster 1.13)
    assert not run_records.was_interrupted(interrupted.instance, ended)
    interrupted.follow()
    found = interrupted.indexed(run)
    assert (found.status, found.error_class) == ("canceled", "canceled")
    assert interrupted.due() == {}


def moments(count: int, seed: int) -> list[float]:
    drawn = random.Random(seed)
    return [drawn.uniform(SHORTEST, LONGEST) for _ in range(count)]


def ends_as_it_should(interrupted: Interrupted, seconds: float, day: date) -> str:
    """A worker that gets SIGTERM at any moment has published its day, or says that it was interrupted."""
    run = interrupted.after(seconds, day)
    if run.status == dg.DagsterRunStatus.SUCCESS:
        with interrupted.store.read() as connection:
            found = publications.between(connection, "acme", ["lines", "totals"], day, day)
        assert len(found) == 2
        return "published"
    assert run_records.was_interrupted(interrupted.instance, run), (seconds, run.status, run.tags)
    return "interrupted"


def test_a_worker_ended_at_any_moment_says_so_itself(interrupted: Interrupted) -> None:
    interrupted.ended(launched(interrupted, FIRST))  # the forkserver has imported what it needs
    many = [0.0, 0.02, 0.1, 0.3, *moments(4, seed=int(time.time()))]
    found = [ends_as_it_should(interrupted, s, FIRST + timedelta(days=n + 1)) for n, s in enumerate(many)]
    assert "interrupted" in found
    sweep(interrupted)


def launched(interrupted: Interrupted, day: date) -> dg.DagsterRun:
    run = interrupted.platform.make("acme", "demo_costs", day, day)
    interrupted.platform.launch(run)
    return run


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_thirty_workers_ended_at_any_moment_say_so_themselves(interrupted: Interrupted) -> None:
    interrupted.ended(launched(interrupted, FIRST))
    for number, seconds in enumerate(moments(30, seed=7)):
        ends_as_it_should(interrupted, seconds, FIRST + timedelta(days=number + 1))
    sweep(interrupted)


def sweep(interrupted: Interrupted) -> None:
    """Once nobody repeats them any more, nothing is left of what they had staged."""
    settings, tenants = interrupted.project.settings, interrupted.watching.tenants
    later = ControlStore(control_url(settings, {}), lambda: datetime.now(UTC) + SETTLED)
    Sweeper(interrupted.instance, later, settings).sweep(tenants.values(), 60.0)
    with open_warehouse(settings) as warehouse:
        assert dict(warehouse.staged_runs(Dataset("acme"))) == {}
