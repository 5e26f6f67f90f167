"""The base of a run launcher, the command of a worker, and its health."""

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


def worker_command(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """The arguments of `python -m` that execute a run in its own process; raises `DagsterLaunchFailedError` where the
    run does not name its code."""
    from dagster._core.errors import DagsterLaunchFailedError
    from dagster._grpc.types import ExecuteRunArgs

    if run.job_code_origin is None:
        raise DagsterLaunchFailedError(f"run {run.run_id} names no code to execute")  # type: ignore[no-untyped-call]
    arguments = ExecuteRunArgs(run.job_code_origin, run.run_id, instance.get_ref())
    # The first words are an executable and its way to start `dagster`; this worker has its own.
    return ["dagster", *arguments.get_command_args()[-3:]]


def worker_is_healthy(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool | None:
    """Whether the run launcher finds a run's worker healthy; None where that is unknown."""
    launcher = instance.run_launcher
    if not launcher.supports_check_run_worker_health:
        return None
    health = launcher.check_run_worker_health(run)
    if health.transient or health.status == WorkerStatus.UNKNOWN:
        return None
    return health.status in (WorkerStatus.RUNNING, WorkerStatus.SUCCESS)


def launch_later(message: str) -> Exception:
    """An error on which the daemon puts a run back into the queue, and launches none for a while.

    How often, and for how long: `max_user_code_failure_retries` and `user_code_failure_retry_delay` of the run
    coordinator, which Dagster means for a code server that does not answer.
    """
    from dagster._core.errors import DagsterUserCodeUnreachableError

    return DagsterUserCodeUnreachableError(message)


def was_requeued(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the run was put back into the queue after an attempt to launch it."""
    enqueued = {dg.DagsterEventType.RUN_ENQUEUED}
    return len(instance.get_records_for_run(run.run_id, None, enqueued, 2, ascending=True).records) > 1
