"""Ticks of `stuck_runs` and `alerts`, and a scrape of metrics: 1 000 tenants, 100 000 runs in Dagster's SQLite storage.

`python -m benchmarks.watching [--tenants 1000] [--runs 100000]`; seconds of one process, the control store on SQLite.
"""

import argparse
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from benchmarks.figures import figure
from benchmarks.ledger import _history, _start
from convergence_assets.alerting.alert import Alert
from convergence_assets.alerting.dispatch import decide
from convergence_assets.alerting.links import Links
from convergence_assets.alerting.routes import Route, Routes
from convergence_assets.control import counters
from convergence_assets.control.incidents import raise_alert
from convergence_assets.control.partition_states import PendingPartition, Progress, write_outstanding, write_progress
from convergence_assets.control.publications import Tables
from convergence_assets.control.run_requests import Quota
from convergence_assets.control.store import ControlStore
from convergence_assets.monitoring.metrics import Platform, Seen
from convergence_assets.monitoring.monitor import Monitor
from convergence_assets.scheduling.targets import Target
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import TenantRegistry

FIRST = date(2025, 1, 1)
ACTIVE, QUEUED, FAILING = 50, 300, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), arguments.tenants, arguments.runs)


def _measure(folder: Path, tenants: int, runs: int) -> None:
    (folder / "dagster").mkdir()
    settings = Settings.from_env({"CONVERGENCE_HOME": str(folder), "CONVERGENCE_WAREHOUSE": "embedded"})
    store = ControlStore(sa.URL.create("sqlite", database=str(folder / "control.db")))
    targets = [_target(f"tenant_{n:04d}", pipeline) for n in range(tenants) for pipeline in ("bills", "costs")]
    routes = Routes({}, (Route(("critical", "warning"), lambda: "json://127.0.0.1:9/"),))
    watching = Monitor(TenantRegistry({}, {}), settings, store, targets, routes, Links())
    now = store.now()
    with store.write() as connection:
        for target in targets:
            through = target.due_through(now)
            write_progress(connection, target.name, Progress(FIRST, through), now - timedelta(days=100))
    with dg.DagsterInstance.local_temp(str(folder / "dagster")) as instance:
        _history(instance, tenants, runs)
        print(f"{tenants} tenants, {len(targets)} pipelines, {runs} runs")
        figure("stuck_runs, nothing at work", _seconds(lambda: watching.remedy(instance, 30)), "s", 1)
        for n in range(ACTIVE):
            _start(instance, n)
        figure(f"stuck_runs, {ACTIVE} runs at work", _seconds(lambda: watching.remedy(instance, 30)), "s", 1)
        for n in range(QUEUED):
            _queue(instance, n % tenants)
        scene = f"stuck_runs, {QUEUED} runs queued beside them"
        figure(scene, _seconds(lambda: watching.remedy(instance, 30)), "s", 1)
        figure("alerts, nothing to tell", _seconds(lambda: watching.alert(instance, 30)), "s", 1)
        with store.write() as connection:
            for n in range(FAILING):
                name = targets[2 * n].name
                due = targets[2 * n].due_through(now)
                write_outstanding(connection, [PendingPartition(*name, due, "due", "its run failed", now)])
                raise_alert(connection, _alert(name), now - timedelta(minutes=1))
        figure(f"alerts, {FAILING} tenants fail: to decide", _once(lambda: decide(store, routes, Links())), "s", 1)
        seconds = _seconds(lambda: watching._check_conditions(instance))
        figure(f"alerts, {FAILING} tenants fail: to look", seconds, "s", 1)
        _count(store, targets)
        figure("a scrape of metrics", _seconds(lambda: _scrape(store, targets)), "s", 0.3)


def _count(store: ControlStore, targets: list[Target]) -> None:
    """What the follower would have counted of each tenant."""
    counted: counters.Increments = counters.Increments(float)
    for target in targets:
        for status in ("succeeded", "failed", "canceled"):
            counted["pipeline_runs", (*target.name, status)] += 7
        counted["pipeline_rows_published", target.name] += 2000
        for severity in ("critical", "warning", "info"):
            for outcome in ("passed", "failed"):
                counted["data_quality_checks", (target.tenant_id, severity, outcome)] += 100
        counted["bigquery_jobs", (target.tenant_id, "succeeded", "")] += 10
        counted["bigquery_bytes_billed", (target.tenant_id,)] += 10**9
    with store.write() as connection:
        counters.add_counts(connection, counted)


def _scrape(store: ControlStore, targets: list[Target]) -> bytes:
    from prometheus_client import CollectorRegistry, generate_latest

    own = CollectorRegistry(auto_describe=False)
    own.register(Platform(lambda: Seen(store, {}, targets)))
    return generate_latest(own)


def _target(tenant: str, pipeline: str) -> Target:
    quota = Quota(tenant, "UTC", 4, 200, 4000)
    return Target(tenant, pipeline, "0 6 * * *", "UTC", FIRST, Tables({pipeline: {}}, "UTC"), frozenset(), quota)


def _alert(name: tuple[str, str]) -> Alert:
    return Alert("run_failed", "critical", "t", "h", "d", "n", "run-failed", *name, str(FIRST), cause="unavailable")


def _queue(instance: dg.DagsterInstance, number: int) -> None:
    key = dg.AssetKey([f"tenant_{number:04d}", "bills", "lines"])
    instance.add_run(
        dg.DagsterRun(
            "__ASSET_JOB", run_id=str(uuid.uuid4()), asset_selection=frozenset({key}),
            status=dg.DagsterRunStatus.NOT_STARTED,
        )
    )  # fmt: skip


def _seconds(work: Callable[[], object]) -> float:
    work()
    return statistics.median(_once(work) for _ in range(5))


def _once(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
