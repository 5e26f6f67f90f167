"""A tenant-day whose worker is ended at work, as a node that is drained ends it, and what is left of it."""

import multiprocessing
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from convergence_assets.cli.canary import Canary
from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.run import Definitions
from convergence_assets.diagnostics.doctor.examine import Finding
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import TenantPipeline
from convergence_assets.warehouse.bigquery.spending import Spending, limited

if TYPE_CHECKING:
    from convergence_assets.diagnostics.certify.project import ProjectSetup

NAME = "drain"
GRACE_SECONDS = 120.0
"""What a run's pod has on Kubernetes before it is killed."""
_BEGINS_WITHIN_SECONDS = 300.0


@dataclass(frozen=True)
class _Day:
    """What a worker is to run, as it reaches another process."""

    settings: Settings
    tenant_id: str
    pipeline: str
    day: date
    run_id: str
    maximum_bytes: int


def drained(setup: "ProjectSetup", canary: Canary) -> Iterator[Finding]:
    """Run the day in a worker of its own, end it by SIGTERM at its first statement, and look for what is left.

    The run has to be interrupted, its locks free, its statements ended, and its tables as they were.
    """
    from dagster import DagsterRunStatus

    from convergence_assets.dagster_internals.run_records import was_interrupted

    pipeline, run_id = canary.pipelines[0], str(uuid.uuid4())
    where = f"{canary.tenant.tenant_id}, pipeline {pipeline.name}, {canary.day}"
    tables = [step.table for step in pipeline.steps]
    before = canary.row_counts(setup, pipeline, tables, run_id)
    left = canary.spending.left
    day = _Day(canary.settings, canary.tenant.tenant_id, pipeline.name, canary.day, run_id, left)
    with open_instance(canary.settings) as instance:
        seconds, billed = _ended_at_work(day)
        # A worker that was killed has not said what it was billed for: all that it might have been.
        canary.spending.billed += left if billed is None else billed
        run = instance.get_run_by_id(run_id)
        interrupted = run is not None and was_interrupted(instance, run)
    if run is not None and run.status == DagsterRunStatus.SUCCESS:
        yield Finding(NAME, "warning", f"{where}: the day was published before its worker could be ended",
                      "take a larger tenant: this one's days take too short")  # fmt: skip
        return
    wrong = [] if interrupted else [f"the run {run_id} is {run.status.value if run else 'unknown'}, not interrupted"]
    if seconds is None:
        wrong.append(f"its worker did not end within {GRACE_SECONDS:.0f} s of SIGTERM and was killed")
    wrong += _left_behind(setup, canary, pipeline, run_id)
    if (after := canary.row_counts(setup, pipeline, tables, run_id)) != before:
        wrong.append(f"its tables held {_shown(before)} rows of the day and hold {_shown(after)}")
    if wrong:
        yield Finding(NAME, "broken", f"{where}: {'; '.join(wrong)}", f"convergence diagnose {run_id[:8]}")
        return
    seen = (
        f"{where}: a run whose worker is ended at work is interrupted after {seconds:.1f} s, and nothing of it is left"
    )
    yield Finding(NAME, "ok", seen)


def _ended_at_work(day: _Day) -> tuple[float | None, int | None]:
    """How long the worker took to end after SIGTERM (None: it was killed), and the bytes that it was billed for."""
    processes = multiprocessing.get_context("spawn")
    here, there = processes.Pipe(duplex=False)
    worker = processes.Process(target=_work, args=(day, there))
    worker.start()
    there.close()
    try:
        here.poll(_BEGINS_WITHIN_SECONDS)  # its first statement, or its end
        asked = time.monotonic()
        worker.terminate()
        worker.join(GRACE_SECONDS)
        seconds = None if worker.is_alive() else time.monotonic() - asked
        return seconds, _last(here)
    finally:
        worker.kill()
        worker.join()


def _last(pipe: Any) -> int | None:
    billed = None
    try:
        while pipe.poll():
            billed = pipe.recv()
    except EOFError:
        pass
    return billed


def _work(day: _Day, pipe: Any) -> None:
    from convergence_assets.tenancy.registry import load_for_a_run

    registry = load_for_a_run(day.settings)
    tenant = registry.tenants[day.tenant_id]
    pipeline = next(one for one in tenant.pipelines if one.name == day.pipeline)
    spending = Spending(day.maximum_bytes, sent=lambda: pipe.send(None))
    try:
        with limited(spending), open_instance(day.settings) as instance:
            definitions = Definitions(day.settings, registry)
            definitions.run(instance, tenant, pipeline, day.day, day.day, run_id=day.run_id)
    finally:
        pipe.send(spending.billed)


def _left_behind(setup: "ProjectSetup", canary: Canary, pipeline: TenantPipeline, run_id: str) -> Iterator[str]:
    from convergence_assets.assets.warehouse_factory import open_bigquery
    from convergence_assets.control.locks import Locks

    locks = Locks(setup.store).all(canary.tenant.tenant_id, pipeline.name)
    if any(lock.run_id == run_id for lock in locks):
        yield "it still holds the day's lock"
    account = canary.tenant.service_account
    with open_bigquery(setup.settings, canary.tenant.location, service_account=account) as warehouse:
        running = [job.job_id for job in warehouse.running_jobs() if job.labels.get("run_id") == run_id]
    if running:
        yield f"{len(running)} of its statements run on ({', '.join(running[:3])})"


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{table} {rows}" for table, rows in counts.items())
