"""A deployment whose days pass as fast as they can be written, with Dagster's storage and the control store on SQLite.

The rows that two real tenant-days have left in Dagster's files, one published and one stopped by a check, are written
again for each tenant and day, with other ids, days and moments. The follower, the planner's tables, the publications
and the removal of history are the real ones, on the deployment's clock. Rows of the ledger are taken out of their
queue: they are the warehouse's.
"""

import json
import multiprocessing
import random
import shutil
import uuid
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_shared.record import copy as copy_record

from benchmarks.recorded_runs import Recorded
from convergence_assets.alerting.links import Links
from convergence_assets.alerting.routes import Routes
from convergence_assets.cli.run import Definitions
from convergence_assets.control import run_requests
from convergence_assets.control.locks import Claim
from convergence_assets.control.publications import Publications
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import ledger_rows
from convergence_assets.ledger.follow import Follower
from convergence_assets.monitoring.history import History
from convergence_assets.monitoring.monitor import Monitor
from convergence_assets.monitoring.run_alerts import RunAlerts
from convergence_assets.scheduling.planner import Planner
from convergence_assets.scheduling.targets import Targets, targets_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Tenant, TenantRegistry
from tests.assets.project import Project, hourly
from tests.dagster_homes import dagster_at, dagster_home

FIRST = date(2026, 3, 1)
GOOD, STOPPED = 1.0, 9000.0
"""Costs of an hour of the two recorded days."""
FAILS, AGAIN = 0.1, 0.1
"""How many of a tenant's days are stopped before they are published, and published again some days later."""
SENSORS = ("catch_up", "ledger", "stuck_runs", "staging", "history", "alerts")
RELEASED_EVERY_DAYS = 7
"""A release changes the definitions of every tenant, and with them Dagster's snapshots."""
TICKS_A_DAY = 4
"""Of a sensor; in fact there are thousands, and `retention` of dagster.yaml removes those that did nothing sooner."""
PIPELINE, TABLES = "demo_costs", ("lines", "totals")
_FORK = multiprocessing.get_context("fork")


@dataclass
class SimulatedDeployment:
    """`folder` holds everything; `tenants` is how many there are; a day has one run of each, and some more."""

    folder: Path
    tenants: int
    keep_events_days: int = 90
    keep_runs_days: int = 365
    seed: int = 1
    now: datetime = datetime(2026, 3, 1, 8, tzinfo=UTC)
    days: list[date] = field(default_factory=list)
    """Those that have passed."""

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._project = Project.at(self.folder / "home")
        self.settings = replace(
            self._project.settings, keep_events_days=self.keep_events_days, keep_runs_days=self.keep_runs_days
        )
        self.instance = dagster_at(self.folder / "dagster")
        self.store = self._store()
        self.names = [f"tenant_{n:03d}" for n in range(self.tenants)]
        self._released: dict[tuple[str, int], Mapping[str, str]] = {}
        self._good, self._stopped = self._record()
        self._sensors = [self._sensor(name) for name in SENSORS]

    def _store(self) -> ControlStore:
        url = sa.URL.create("sqlite", database=str(self.folder / "control.db"))
        return ControlStore(url, lambda: self.now)

    def copied(self, folder: Path) -> "SimulatedDeployment":
        """As it is now, in an empty folder, without the files of single runs."""
        duplicate = copy(self)
        duplicate.folder, duplicate.days = folder, list(self.days)
        home = dagster_home(folder / "dagster")
        for file in ("history/runs.db", "history/runs/index.db", "schedules/schedules.db"):
            for part in (file, f"{file}-wal"):
                (home / part).unlink(missing_ok=True)
                if (self.folder / "dagster" / part).exists():
                    shutil.copy(self.folder / "dagster" / part, home / part)
        for database in self.folder.glob("control.db*"):
            shutil.copy(database, folder)
        duplicate.instance, duplicate.store = dg.DagsterInstance.from_config(str(home)), duplicate._store()
        for cached in ("monitor", "planner"):
            duplicate.__dict__.pop(cached, None)
        return duplicate

    def close(self) -> None:
        self.instance.dispose()

    @cached_property
    def registry(self) -> TenantRegistry:
        """The tenants, whose days are due as soon as they are over."""
        own = self._project.tenant
        tenants: dict[str, Tenant] = {
            name: replace(own, tenant_id=name, dataset=name, paused=False) for name in self.names
        }
        return TenantRegistry(tenants, {})

    @cached_property
    def monitor(self) -> Monitor:
        targets = targets_of(self.registry.tenants.values())
        return Monitor(self.registry, self.settings, self.store, targets, Routes({}, ()), Links())

    @cached_property
    def planner(self) -> Planner:
        return Planner(self.store, Targets(self.monitor.targets), lambda requests: {})

    @property
    def history(self) -> History:
        return History(self.instance, self.store, self.settings)

    @property
    def asset_keys(self) -> list[dg.AssetKey]:
        return [dg.AssetKey([name, PIPELINE, table]) for name in self.names for table in TABLES]

    @cached_property
    def checks(self) -> list[dg.AssetCheckKey]:
        """Of all tables, as the recorded day has them."""
        executions = self._good.index["asset_check_executions"]
        found = sorted({(str(row["asset_key"]), str(row["check_name"])) for row in executions})
        return [
            dg.AssetCheckKey(dg.AssetKey([tenant, *json.loads(key)[1:]]), name)
            for tenant in self.names for key, name in found
        ]  # fmt: skip

    def pruned_and_killed(self, seconds: float) -> bool:
        """Let a process remove what is old and kill it after some seconds; whether it was killed before its end."""
        process = _FORK.Process(target=_prune, args=(self.folder, self.settings, self.now))
        process.start()
        process.join(seconds)
        process.kill()
        process.join()
        return process.exitcode != 0

    def pass_a_day(self) -> None:
        """Runs of every tenant's newest day, of some twice, and ticks; nothing old is removed."""
        day = FIRST + timedelta(days=len(self.days))
        self.days.append(day)
        self.now += timedelta(hours=22)
        morning = self.now
        for number, tenant_id in enumerate(self.names):
            at = morning + timedelta(seconds=30 * number)
            if self._chance.random() < FAILS:
                self._run(self._stopped, tenant_id, day, at)
            self._run(self._good, tenant_id, day, at + timedelta(seconds=10))
            if self._chance.random() < AGAIN:
                self._run(self._good, tenant_id, self._chance.choice(self.days[-7:]), at + timedelta(seconds=20))
        self._tick()
        self.now = morning + timedelta(hours=2)
        self.follow()
        requested = self.planner.catch_up(Targets(self.monitor.targets).schedules)
        assert not requested, requested
        self.monitor.remedy(self.instance, 30)
        self.monitor.alert(self.instance, 30)

    def follow(self) -> None:
        """What the sensor `ledger` does, but for the writing of rows into the warehouse."""
        observe = RunAlerts(self.registry.tenants, self.store).observe
        done = Follower(self.store, self.instance, self.registry.tenants, observe).follow(300)
        assert done.complete, done
        with self.store.write() as connection:
            connection.execute(sa.delete(ledger_rows))

    def _run(self, recorded: Recorded, tenant_id: str, day: date, at: datetime) -> None:
        run_id = str(uuid.uuid4())
        claim, key = Claim(tenant_id, PIPELINE, day, day), f"{tenant_id}/{day}/{run_id}"
        with self.store.write() as connection:
            run_requests.insert_request(connection, key, claim, "schedule", at, run_id)
        recorded.write(self.instance, run_id, tenant_id, day, at, self._of_the_release(recorded))
        succeeded = recorded is self._good
        self.now = at + timedelta(seconds=5)
        publications = Publications(self.store)
        for table in TABLES if succeeded else ():
            seen = publications.newest_version()
            publications.record(tenant_id, PIPELINE, table, {day: 24}, run_id=run_id, read_through=seen)
        with self.store.write() as connection:
            run_requests.write_outcomes(connection, {key: "succeeded" if succeeded else "failed"})

    def _record(self) -> tuple[Recorded, Recorded]:
        project, zone = self._project, self._project.tenant.timezone
        days = {GOOD: FIRST, STOPPED: FIRST + timedelta(days=1)}
        project.load_bills([row for cost, day in days.items() for row in hourly(day, zone, cost)])
        tenant, definitions = project.tenant, Definitions(project.settings)
        recorded = []
        with dagster_at(self.folder / "recorded") as instance:
            for cost, day in days.items():

                def run_it(day: date = day, succeeds: bool = cost == GOOD) -> str:
                    done = definitions.run(instance, tenant, tenant.pipelines[0], day, day)
                    assert done.succeeded == succeeds, done
                    return done.run_id

                recorded.append(Recorded.of(instance, day, run_it))
        return recorded[0], recorded[1]

    def _of_the_release(self, recorded: Recorded) -> Mapping[str, str]:
        """The snapshots of the release of this day, by those of the recorded run."""
        number, run = len(self.days) // RELEASED_EVERY_DAYS, recorded.run
        if (names := self._released.get((run.run_id, number))) is None:
            storage: Any = self.instance.run_storage
            job_id = storage.add_job_snapshot(copy_record(recorded.job, description=f"release {number}"))
            plan_id = storage.add_execution_plan_snapshot(recorded.plan._replace(job_snapshot_id=job_id))
            names = {str(run.job_snapshot_id): job_id, str(run.execution_plan_snapshot_id): plan_id}
            self._released[run.run_id, number] = names
        return names

    def _sensor(self, name: str) -> InstigatorState:
        location = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file="definitions.py"))
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
        status, data = InstigatorStatus.DECLARED_IN_CODE, SensorInstigatorData(min_interval=15)
        return self.instance.add_instigator_state(InstigatorState(origin, InstigatorType.SENSOR, status, data))

    def _tick(self) -> None:
        for state in self._sensors:
            for number in range(TICKS_A_DAY):
                at = self.now + timedelta(minutes=number)
                self.instance.create_tick(
                    TickData(
                        state.instigator_origin_id, state.instigator_name, InstigatorType.SENSOR, TickStatus.SKIPPED,
                        at.timestamp(), selector_id=state.selector_id, skip_reason="nothing is due",
                        end_timestamp=at.timestamp() + 1,
                    )
                )  # fmt: skip


def _prune(folder: Path, settings: Settings, now: datetime) -> None:
    """In a process of its own, which shares no connection."""
    store = ControlStore(sa.URL.create("sqlite", database=str(folder / "control.db")), lambda: now)
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        assert History(instance, store, settings).prune(()).finished
