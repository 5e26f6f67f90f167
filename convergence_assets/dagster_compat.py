"""The names of Dagster 1.13 that are not public API, each used here alone and held by a test of its own."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._serdes import ConfigurableClass
from dagster._serdes.config_class import ConfigurableClassData

__all__ = [
    "CheckRunHealthResult",
    "ConfigurableClass",
    "ConfigurableClassData",
    "LaunchRunContext",
    "RunLauncher",
    "WorkerStatus",
]


def add_run_tags(instance: dg.DagsterInstance, run_id: str, tags: Mapping[str, str]) -> None:
    """Add or replace tags of a run."""
    instance.add_run_tags(run_id, dict(tags))


def stopped_schedules(instance: dg.DagsterInstance) -> set[str]:
    """The names of the schedules that somebody has switched off; one that nobody touched follows its definition."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import InstigatorStatus

    states: Iterable[Any] = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    return {state.instigator_name for state in states if state.status == InstigatorStatus.STOPPED}


def set_pool_limit(instance: dg.DagsterInstance, pool: str, limit: int) -> None:
    """How many runs of a pool may be in progress at once."""
    instance.event_log_storage.set_concurrency_slots(pool, limit)


def pool_limits(instance: dg.DagsterInstance) -> Mapping[str, int]:
    """The limits that were set, by pool; those that follow the default are left out."""
    return {p.name: p.limit for p in instance.event_log_storage.get_pool_limits() if not p.from_default}


def worker_command(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """What executes a run in a process of its own, as `python -m` takes it; raises `DagsterLaunchFailedError` where the
    run does not say which code it is of."""
    from dagster._core.errors import DagsterLaunchFailedError
    from dagster._grpc.types import ExecuteRunArgs

    if run.job_code_origin is None:
        raise DagsterLaunchFailedError(f"run {run.run_id} names no code to execute")  # type: ignore[no-untyped-call]
    said = ExecuteRunArgs(run.job_code_origin, run.run_id, instance.get_ref())
    # The first words are an executable and how it takes `dagster`; this worker has its own.
    return ["dagster", *said.get_command_args()[-3:]]


def run_is_canceling(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Say that somebody asked for the run's end."""
    instance.report_run_canceling(run)


def run_was_canceled(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Bring a run whose process cannot do so itself to its end."""
    instance.report_run_canceled(run, message)


def run_has_failed(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Bring a run whose process cannot do so itself to its end."""
    instance.report_run_failed(run, message)


def say_of_run(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """A line in the run's log that is no step's."""
    instance.report_engine_event(message, run)


def free_slots(instance: dg.DagsterInstance, run_id: str) -> None:
    """Give back the places in pools that a run holds by its steps."""
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)
