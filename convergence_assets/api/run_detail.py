"""What a run did for one tenant, step by step, from Dagster's own events; those of other tenants are skipped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from convergence_assets.api.models import Check, RunError, Step
from convergence_assets.assets.check_events import is_of_a_day
from convergence_assets.control.tenant_runs import TenantRun
from convergence_assets.dagster_internals import run_records
from convergence_assets.ledger.rows import plain
from convergence_assets.ledger.run_mapping import table_of
from convergence_assets.ledger.run_reducer import error_of
from convergence_assets.warehouse.errors import ERROR_CLASSES

EVENTS_AT_MOST = 20_000
_EVENTS_A_PAGE = 1000
Kind = dg.DagsterEventType
_BEGAN = (Kind.STEP_START, Kind.STEP_RESTARTED)
_ENDED = {Kind.STEP_SUCCESS: "succeeded", Kind.STEP_SKIPPED: "skipped", Kind.STEP_FAILURE: "failed"}
_READ = (
    Kind.ASSET_MATERIALIZATION_PLANNED, Kind.STEP_UP_FOR_RETRY, Kind.ASSET_MATERIALIZATION,
    Kind.ASSET_CHECK_EVALUATION, *_BEGAN, *_ENDED,
)  # fmt: skip
_REMEDIES = {
    "quality_failed": "Look at the failed checks; correct the source or the expectation and request the day again.",
    "no_data": "Nothing while the source is on its way: the day is requested again. Else see that it is delivered.",
    "day_not_over": "Request the day when it is over.",
    "over_limit": "Wait until the plan allows another run, or change the plan.",
    "locked": "Wait for the run that holds the days.",
    "lock_lost": "Request the days again.",
    "duplicate_request": "Nothing: another run was made for the same request.",
    "control_store": "Request the days again; if it stays, the platform's store is not reached.",
    "canceled": "Request the days again if it was not ended on purpose.",
    "deleted": "The run was deleted in Dagster; request its days again.",
}
_ANY = "Read the message and the steps; request the days again once the cause is gone."


def remedy_of(error_class: str) -> str:
    """What to do about a failure."""
    known_class = ERROR_CLASSES.get(error_class)
    return known_class.remedy if known_class else _REMEDIES.get(error_class, _ANY)


def error_of_run(part: TenantRun) -> RunError | None:
    """Why a run failed. The error of a run that is shared with other tenants may be about their data."""
    run = part.run
    if run.error_class is None and run.error_message is None:
        return None
    if part.shared:
        return RunError(error_class="run_failure", message="The run has failed; its steps say where.", remedy=_ANY)
    error_class = run.error_class or "run_failure"
    return RunError(error_class=error_class, message=run.error_message or "", remedy=remedy_of(error_class))


@dataclass
class Steps:
    """The tenant's steps and checks of a run; not `complete` where events are missing or too many."""

    steps: list[Step] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    complete: bool = True


def steps_of(instance: dg.DagsterInstance, run_id: str, tenant_id: str) -> Steps:
    """What the run did for the tenant's tables."""
    run_steps, by_step = Steps(), dict[str, Step]()
    after, more, read = -1, True, 0
    while more and read < EVENTS_AT_MOST:
        records, more = run_records.run_events(instance, run_id, after, _EVENTS_A_PAGE, _READ)
        for record in records:
            after, read = record.storage_id, read + 1
            entry = record.event_log_entry
            if entry.dagster_event is not None:
                _apply_event(
                    run_steps, by_step, entry.dagster_event, datetime.fromtimestamp(entry.timestamp, UTC), tenant_id
                )
    run_steps.complete = not more and read > 0
    run = instance.get_run_by_id(run_id)
    if run_steps.complete and run is not None and run.is_finished:
        for step in by_step.values():
            if step.status == "waiting":  # Dagster has no event for a step whose upstream failed
                step.status = "skipped"
    run_steps.steps = list(by_step.values())
    return run_steps


def _apply_event(
    run_steps: Steps, by_step: dict[str, Step], event: dg.DagsterEvent, moment: datetime, tenant_id: str
) -> None:
    kind, key = event.event_type, event.step_key or ""
    if kind == Kind.ASSET_MATERIALIZATION_PLANNED:
        table = table_of(event.asset_key)
        if table and table[0] == tenant_id and key:
            by_step.setdefault(key, _planned(table[1], table[2]))
    elif kind == Kind.ASSET_CHECK_EVALUATION:
        table = table_of(event.asset_check_evaluation_data.asset_key)
        metadata = _plain(event.asset_check_evaluation_data.metadata)
        if table and table[0] == tenant_id and not is_of_a_day(metadata):
            run_steps.checks.append(_check(table[1], table[2], event, metadata))
    elif key in by_step:
        step = by_step[key]
        if kind == Kind.ASSET_MATERIALIZATION:
            table = table_of(event.asset_key)
            if table and table[0] == tenant_id:
                _apply_materialization(step, event)
        else:
            _apply_step_event(step, event, moment)


def _apply_step_event(step: Step, event: dg.DagsterEvent, moment: datetime) -> None:
    kind = event.event_type
    if kind in _BEGAN:
        step.status, step.attempts = "running", step.attempts + 1
        step.started_at = step.started_at or moment
        step.ended_at = step.duration_ms = None
        return
    if kind in (Kind.STEP_FAILURE, Kind.STEP_UP_FOR_RETRY):
        error_class, message = error_of(event)
        # The first failure of a step is more telling than that of a later attempt.
        step.error = step.error or RunError(error_class=error_class, message=message, remedy=remedy_of(error_class))
        metadata = getattr(event.event_specific_data, "user_failure_data", None)
        billed = _plain(metadata.metadata).get("bytes_billed") if metadata else None
        step.bytes_billed = max(step.bytes_billed, int(billed or 0))
    if kind in _ENDED:
        step.status = _ENDED[kind]  # type: ignore[assignment]
        step.ended_at = moment
        if step.started_at:
            step.duration_ms = round((moment - step.started_at).total_seconds() * 1000)
        if step.status == "succeeded":
            step.error = None


def _apply_materialization(step: Step, event: dg.DagsterEvent) -> None:
    materialization = event.step_materialization_data.materialization
    metadata = _plain(materialization.metadata)
    by_partition = metadata.get("rows_by_partition") or {}
    rows = by_partition.get(materialization.partition, metadata.get("dagster/partition_row_count"))
    if rows is None and materialization.partition is None:
        rows = metadata.get("dagster/row_count")
    step.rows_published += int(rows or 0)
    # Each materialisation of a step has what all of its jobs were billed for.
    step.bytes_billed = max(step.bytes_billed, int(metadata.get("bytes_billed") or 0))
    if materialization.partition:
        step.partitions_published.append(materialization.partition)


def _check(pipeline: str, table: str, event: dg.DagsterEvent, metadata: Mapping[str, Any]) -> Check:
    evaluation = event.asset_check_evaluation_data
    return Check(
        pipeline_id=pipeline,
        table=table,
        check=evaluation.check_name,
        severity=str(metadata.get("severity") or evaluation.severity.value.lower()),
        passed=evaluation.passed,
        column=metadata.get("column"),
        unexpected_count=metadata.get("unexpected_count"),
        failed_partitions=[str(day) for day in metadata.get("failed_partitions") or ()],
    )


def _planned(pipeline: str, table: str) -> Step:
    return Step(
        pipeline_id=pipeline, table=table, status="waiting", attempts=0, started_at=None, ended_at=None,
        duration_ms=None, partitions_published=[], rows_published=0, bytes_billed=0, error=None,
    )  # fmt: skip


def _plain(metadata: Mapping[str, dg.MetadataValue[Any]]) -> dict[str, Any]:
    return {name: plain(value) for name, value in metadata.items()}
