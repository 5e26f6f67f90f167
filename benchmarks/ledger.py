"""A tick of the follower over 1 000 tenants and 100 000 runs in Dagster's SQLite storage.

`python -m benchmarks.ledger [--tenants 1000] [--runs 100000]`; seconds of one process, the control store on SQLite.
The runs lie in Dagster's storage without events; the first calls, which find them all, are measured too.
"""

import argparse
import random
import statistics
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from benchmarks.figures import figure
from convergence_assets.control import runs as index
from convergence_assets.control.store import ControlStore
from convergence_assets.ledger.follow import Followed, Follower

BUDGET_SECONDS = 10.0
NEW, ACTIVE = 20, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), arguments.tenants, arguments.runs)


def _measure(folder: Path, tenants: int, runs: int) -> None:
    (folder / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(folder / "dagster")) as instance:
        clock = [timedelta()]
        store = ControlStore(
            sa.URL.create("sqlite", database=str(folder / "control.db")), lambda: datetime.now(UTC) + clock[0]
        )
        _history(instance, tenants, runs)
        follower = Follower(store, instance, {})
        calls, found, began = 0, 0, time.perf_counter()
        while found < runs:
            found += follower.follow(BUDGET_SECONDS).runs
            calls += 1
        print(f"{runs} runs of {tenants} tenants found in {time.perf_counter() - began:.0f} s, {calls} calls")
        _take_as_read(store)
        clock[0] += timedelta(seconds=120)
        follower.follow(BUDGET_SECONDS)
        idle = [_seconds(follower)[0] for _ in range(9)]
        for number in range(ACTIVE):
            _start(instance, number)
        _seconds(follower)
        active = [_seconds(follower)[0] for _ in range(5)]
        for number in range(NEW):
            _end(instance, _start(instance, number))
        new, done = _seconds(follower)
        assert (done.runs, done.run_events, done.complete) == (NEW, NEW, True), done
        figure("the ledger's tick, nothing new", statistics.median(idle), "s", 1)
        figure(f"the ledger's tick, {ACTIVE} runs active", statistics.median(active), "s", 1)
        figure(f"the ledger's tick, {NEW} runs began and ended beside them", new, "s", 1)
        _readers(store)


def _readers(store: ControlStore) -> None:
    failed = index.RunFilter("tenant_0007", "bills", ["failed"])
    with store.read() as connection:
        for name, read in (
            ("active runs", lambda: index.active_runs(connection)),
            ("latest of a pipeline", lambda: index.latest_run(connection, "tenant_0007", "bills")),
            ("a tenant's page", lambda: index.runs_page(connection, index.RunFilter("tenant_0007"))),
            ("failed of a pipeline", lambda: index.runs_page(connection, failed)),
            ("a page of all", lambda: index.runs_page(connection, index.RunFilter())),
            ("running of all", lambda: index.runs_page(connection, index.RunFilter(statuses=["running"]))),
        ):
            read()
            began = time.perf_counter()
            read()
            print(f"reading {name}: {1000 * (time.perf_counter() - began):.1f} ms")


def _history(instance: dg.DagsterInstance, tenants: int, runs: int) -> None:
    """Runs that ended on the day before yesterday, as Dagster keeps them."""
    from dagster._core.storage.runs.schema import RunsTable
    from dagster._serdes import serialize_value

    begin = datetime.now(UTC) - timedelta(days=2)
    rows = []
    for number in range(runs):
        tenant = f"tenant_{number % tenants:04d}"
        status = random.choices([dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE], [9, 1])[0]
        run = dg.DagsterRun(
            "__ASSET_JOB", run_id=str(uuid.uuid4()), status=status, tags={"dagster/partition": "2026-03-01"},
            asset_selection=frozenset({dg.AssetKey([tenant, "bills", table]) for table in ("lines", "costs")}),
        )  # fmt: skip
        moment = (begin + timedelta(seconds=number * 0.1)).replace(tzinfo=None)
        rows.append({
            "run_id": run.run_id, "pipeline_name": run.job_name, "status": status.value,
            "run_body": serialize_value(run), "create_timestamp": moment, "update_timestamp": moment,
            "start_time": moment.timestamp(), "end_time": moment.timestamp() + 30,
        })  # fmt: skip
    storage: Any = instance.run_storage  # an SQL one; what all have in common has no connect()
    with storage.connect() as connection:
        connection.execute(RunsTable.insert(), rows)


def _start(instance: dg.DagsterInstance, number: int) -> dg.DagsterRun:
    key = dg.AssetKey([f"tenant_{number:04d}", "bills", "lines"])
    run = dg.DagsterRun(
        "__ASSET_JOB", run_id=str(uuid.uuid4()), asset_selection=frozenset({key}),
        status=dg.DagsterRunStatus.NOT_STARTED,
    )  # fmt: skip
    instance.add_run(run)
    instance.report_dagster_event(_event(dg.DagsterEventType.RUN_START), run.run_id)
    return run


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    instance.report_dagster_event(_event(dg.DagsterEventType.RUN_SUCCESS), run.run_id)


def _event(kind: dg.DagsterEventType) -> dg.DagsterEvent:
    return dg.DagsterEvent(event_type_value=kind.value, job_name="__ASSET_JOB")


def _take_as_read(store: ControlStore) -> None:
    from convergence_assets.control.tables import followed_runs, ledger_rows

    with store.write() as connection:
        connection.execute(sa.delete(followed_runs))
        connection.execute(sa.delete(ledger_rows))


def _seconds(follower: Follower) -> tuple[float, Followed]:
    began = time.perf_counter()
    done = follower.follow(BUDGET_SECONDS)
    return time.perf_counter() - began, done


if __name__ == "__main__":
    main()
