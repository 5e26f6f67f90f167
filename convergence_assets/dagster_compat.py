"""The names of Dagster 1.13 that are not public API, each used only here and covered by a test."""

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._serdes import ConfigurableClass, deserialize_value, serialize_value
from dagster._serdes.config_class import ConfigurableClassData

from convergence_assets.connections import KEPT, shared_engine

__all__ = [
    "CheckRunHealthResult",
    "ConfigurableClass",
    "ConfigurableClassData",
    "LaunchRunContext",
    "RunLauncher",
    "WorkerStatus",
]

T = TypeVar("T")


def console_loggers_are(
    of_run: Callable[[str | None, Iterable[Sequence[str]], int], logging.Logger],
    of_automation: Callable[[], logging.Logger],
) -> None:
    """Send the console output of runs, sensors and schedules to these loggers in this process.

    `of_run` gets the run's id, the paths of the assets that it materialises and the minimum level.
    """
    from dagster._core.definitions import instigation_logger
    from dagster._core.utils import coerce_valid_log_level

    def logger_fn(context: Any) -> logging.Logger:
        layer = getattr(context.job_def, "asset_layer", None)
        keys = [key.path for key in layer.selected_asset_keys] if layer else []
        return of_run(context.run_id, keys, coerce_valid_log_level(context.logger_config["log_level"]))

    dg.colored_console_logger._logger_fn = logger_fn  # dagster 1.13 has no other way to change the default
    instigation_logger.create_console_logger = lambda name, level: of_automation()  # type: ignore[attr-defined]


def instance_defaults(base_dir: str) -> Mapping[str, Any]:
    """The parts of an instance that its dagster.yaml does not set."""
    from dagster._core.instance.ref import InstanceRef

    defaults: Mapping[str, Any] = InstanceRef.config_defaults(base_dir)
    return defaults


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let an instance on Postgres use this process's shared connections: Dagster opens one for every statement.

    Every tick creates an instance. Connections authenticated by tokens stay Dagster's.
    """
    storages = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    for storage in storages:
        if not type(storage).__module__.startswith("dagster_postgres.") or storage._token_provider:  # type: ignore[union-attr]
            continue
        from dagster_postgres.utils import create_pg_engine

        url = storage.postgres_url  # type: ignore[union-attr]
        storage._engine = shared_engine(  # type: ignore[union-attr]
            f"dagster {url}", partial(create_pg_engine, url, isolation_level="AUTOCOMMIT", **KEPT)
        )


def without_secrets(value: T, redacted: Callable[[str], str]) -> T:
    """The same event or tick with every text in it redacted; the same object where nothing changes."""
    written = json.loads(serialize_value(value))  # type: ignore[arg-type]
    clean = _redacted(written, redacted)
    return value if clean == written else deserialize_value(json.dumps(clean), type(value))  # type: ignore[type-var]


def _redacted(written: Any, redacted: Callable[[str], str]) -> Any:
    if isinstance(written, str):
        return redacted(written)
    if isinstance(written, list):
        return [_redacted(item, redacted) for item in written]
    if isinstance(written, dict):
        return {name: item if name == "__class__" else _redacted(item, redacted) for name, item in written.items()}
    return written


def add_run_tags(instance: dg.DagsterInstance, run_id: str, tags: Mapping[str, str]) -> None:
    """Add or replace tags of a run."""
    instance.add_run_tags(run_id, dict(tags))


def location_of(context: dg.SensorEvaluationContext) -> str | None:
    """The name of the code location that a sensor is in; None outside of a daemon."""
    origin = context.code_location_origin
    return origin.location_name if origin else None


def stopped_schedules(instance: dg.DagsterInstance, location: str | None = None) -> set[str]:
    """The names of the schedules that were switched off, in one code location or in any; one that was never
    switched follows its definition."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import InstigatorStatus

    states: Iterable[Any] = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    return {
        state.instigator_name
        for state in states
        if state.status == InstigatorStatus.STOPPED
        and location in (None, state.origin.repository_origin.code_location_origin.location_name)
    }


def schedule_states(instance: dg.DagsterInstance) -> Mapping[str, Mapping[str, bool]]:
    """By code location the schedules that Dagster knows of, each with whether it was switched off."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import InstigatorStatus

    states: dict[str, dict[str, bool]] = {}
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE):
        location = state.origin.repository_origin.code_location_origin.location_name
        states.setdefault(location, {})[state.instigator_name] = state.status == InstigatorStatus.STOPPED
    return states


def set_pool_limit(instance: dg.DagsterInstance, pool: str, limit: int) -> None:
    """How many runs of a pool may be in progress at once."""
    instance.event_log_storage.set_concurrency_slots(pool, limit)


def pool_limits(instance: dg.DagsterInstance) -> Mapping[str, int]:
    """The limits that were set, by pool; pools with the default are left out."""
    return {p.name: p.limit for p in instance.event_log_storage.get_pool_limits() if not p.from_default}


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


def run_is_canceling(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Report that the run is to be canceled."""
    instance.report_run_canceling(run)


def run_was_canceled(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Bring a run whose process cannot do so itself to its end."""
    instance.report_run_canceled(run, message)


def run_has_failed(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Bring a run whose process cannot do so itself to its end."""
    instance.report_run_failed(run, message)


def run_was_interrupted(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """End a run whose process was ended by its platform, with the event that the process would have written."""
    from dagster._core.events import JobFailureData, RunFailureReason

    data = JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
    instance.report_run_failed(run, message, data)


def cancel_queued(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Take a waiting run out of the queue."""
    if run.status == dg.DagsterRunStatus.QUEUED:
        instance.run_coordinator.cancel_run(run.run_id)
    else:
        instance.report_run_canceled(run)


def say_of_run(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Write a line to the run's log that belongs to no step."""
    instance.report_engine_event(message, run)


def free_slots(instance: dg.DagsterInstance, run_id: str) -> None:
    """Free the pool slots that a run's steps hold."""
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)


@dataclass(frozen=True)
class OwnError:
    """The error of a step's own code; `names` are the classes of the exception and of its causes."""

    message: str
    names: tuple[str, ...]


def runs_in_order(
    instance: dg.DagsterInstance, after: str | None, created_after: datetime | None, limit: int
) -> Sequence[dg.RunRecord]:
    """Runs in the order of their creation; none where the run `after` does not exist."""
    filters = dg.RunsFilter(created_after=created_after) if created_after else None
    return instance.get_run_records(filters, limit=limit, order_by="id", ascending=True, cursor=after)


def run_exists(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the run was not deleted."""
    return instance.has_run(run_id)


def existing_runs(instance: dg.DagsterInstance, run_ids: Collection[str]) -> set[str]:
    """Those among these runs that were not deleted."""
    return set(instance.get_run_ids(dg.RunsFilter(run_ids=list(run_ids)))) if run_ids else set()


def all_runs(instance: dg.DagsterInstance) -> Sequence[str]:
    """The ids of every run, the newest first."""
    return instance.get_run_ids()


def runs_of_other_status(instance: dg.DagsterInstance, run_ids: Collection[str], status: str) -> Sequence[dg.RunRecord]:
    """Those of these runs whose status is not `status`, a name that Dagster may not know."""
    others = [other for other in dg.DagsterRunStatus if other.value != status]
    return instance.get_run_records(dg.RunsFilter(run_ids=list(run_ids), statuses=others)) if run_ids else []


def run_events(
    instance: dg.DagsterInstance,
    run_id: str,
    after: int,
    limit: int,
    kinds: Collection[dg.DagsterEventType] | None = None,
) -> tuple[Sequence[dg.EventLogRecord], bool]:
    """A run's events after that storage id (-1: from the first), and whether there are more."""
    from dagster._core.event_api import EventLogCursor

    cursor = EventLogCursor.from_storage_id(after).to_string()
    page = instance.get_records_for_run(run_id, cursor, set(kinds) if kinds else None, limit, ascending=True)
    return page.records, page.has_more


def own_error(event: dg.DagsterEvent) -> OwnError | None:
    """The error of a failed or repeated step, without what Dagster wraps around it; None where the event has none."""
    error = getattr(event.event_specific_data, "error", None)
    if error is None:
        return None
    while error.cause and error.cls_name and error.cls_name.startswith(("Dagster", "RetryRequested")):
        error = error.cause
    names, inner = [], error
    while inner:
        names.append(str(inner.cls_name))
        inner = inner.cause
    # The text begins with the class's full name; for a dg.Failure its description follows.
    name, colon, text = error.message.partition(": ")
    message = text if colon and name.rsplit(".", 1)[-1] == error.cls_name else error.message
    return OwnError(message.strip(), tuple(names))


INTERRUPTION = "DagsterExecutionInterruptedError"
"""The error of a step, or of a run, whose process got a signal."""


@contextmanager
def interruptions_shown() -> Iterator[None]:
    """Raise an interruption in place of the error that it caused.

    A signal that arrives within a library may surface as the library's own error: DuckDB's "Query interrupted", a
    module that is reported missing. Such a run was interrupted and did not fail.
    """
    try:
        yield
    except Exception as error:
        behind: BaseException | None = error
        while behind is not None and not isinstance(behind, dg.DagsterExecutionInterruptedError):
            behind = behind.__cause__ or behind.__context__
        if behind is None:
            raise
        raise dg.DagsterExecutionInterruptedError(str(error)) from error


_FAILURE_REASON_TAG = "dagster/failure_reason"
_INTERRUPTED = "UNEXPECTED_TERMINATION"


def is_interrupted(run: dg.DagsterRun) -> bool:
    """Whether a run's process was ended without a request, as far as the run's events show."""
    return run.status == dg.DagsterRunStatus.FAILURE and run.tags.get(_FAILURE_REASON_TAG) == _INTERRUPTED


def was_interrupted(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """The same, also where a step's process was ended, and not where its end was requested."""
    if run.status != dg.DagsterRunStatus.FAILURE:
        return False
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_CANCELING}
    records = instance.get_records_for_run(run.run_id, None, kinds, 50, ascending=True).records
    events = [event for record in records if (event := record.event_log_entry.dagster_event)]
    if any(event.event_type == dg.DagsterEventType.RUN_CANCELING for event in events):
        return False
    error = own_error(events[0]) if events else None
    return is_interrupted(run) or (error is not None and INTERRUPTION in error.names)


def last_event_at(
    instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType | None = None
) -> datetime | None:
    """When a run last wrote an event, or one of a kind; a step's log line counts as one."""
    records = instance.get_records_for_run(run_id, None, {kind} if kind else None, 1, ascending=False).records
    return datetime.fromtimestamp(records[0].event_log_entry.timestamp, UTC) if records else None


def worker_is_healthy(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool | None:
    """Whether the run launcher finds a run's worker healthy; None where that is unknown."""
    launcher = instance.run_launcher
    if not launcher.supports_check_run_worker_health:
        return None
    health = launcher.check_run_worker_health(run)
    if health.transient or health.status == WorkerStatus.UNKNOWN:
        return None
    return health.status in (WorkerStatus.RUNNING, WorkerStatus.SUCCESS)


@dataclass(frozen=True)
class Automation:
    """A sensor or schedule that is on: `interval` is a sensor's, `last_statuses` its last ticks, the newest first."""

    name: str
    what: str
    interval: timedelta | None
    last_tick_at: datetime | None
    last_statuses: tuple[str, ...]
    last_error: str | None


def automations(instance: dg.DagsterInstance, ticks: int) -> Iterator[Automation]:
    """Every sensor and schedule that is on, with its last ticks."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import InstigatorStatus

    what = {InstigatorType.SENSOR: "sensor", InstigatorType.SCHEDULE: "schedule"}
    for state in instance.all_instigator_state():
        if state.instigator_type not in what or state.status == InstigatorStatus.STOPPED:
            continue
        last = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=ticks)
        error = next((tick.error for tick in last if tick.error), None)
        data: Any = state.instigator_data
        seconds = getattr(data, "min_interval", None)
        yield Automation(
            name=state.instigator_name,
            what=what[state.instigator_type],
            interval=timedelta(seconds=seconds) if seconds else None,
            last_tick_at=datetime.fromtimestamp(last[0].timestamp, UTC) if last else None,
            last_statuses=tuple(tick.status.value for tick in last),
            last_error=" ".join(error.message.split()) if error else None,
        )


def daemon_heartbeats(instance: dg.DagsterInstance) -> Mapping[str, datetime]:
    """Each daemon's last heartbeat, by its type."""
    return {
        name: datetime.fromtimestamp(heartbeat.timestamp, UTC)
        for name, heartbeat in instance.get_daemon_heartbeats().items()
    }
