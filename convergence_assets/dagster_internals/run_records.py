"""Reading runs and their events, and ending runs whose process cannot do so itself."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg


def add_run_tags(instance: dg.DagsterInstance, run_id: str, tags: Mapping[str, str]) -> None:
    """Add or replace tags of a run."""
    instance.add_run_tags(run_id, dict(tags))


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


def log_to_run(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Write a line to the run's log that belongs to no step."""
    instance.report_engine_event(message, run)


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

_INTERRUPTED = ("UNEXPECTED_TERMINATION", "RUN_WORKER_RESTART")
"""The second: a worker began while the run was not waiting for one, since the first was lost or its launch repeated."""


def is_interrupted(run: dg.DagsterRun) -> bool:
    """Whether a run's process was ended without a request, as far as the run's events show."""
    return run.status == dg.DagsterRunStatus.FAILURE and run.tags.get(_FAILURE_REASON_TAG) in _INTERRUPTED


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
