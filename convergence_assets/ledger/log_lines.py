"""A run's events from Dagster's storage, each as a line for people; no warehouse is queried."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from convergence_assets.assets.check_events import examples_shown, is_of_a_day
from convergence_assets.dagster_internals import run_records
from convergence_assets.ledger.rows import plain
from convergence_assets.ledger.run_mapping import table_of
from convergence_assets.ledger.run_reducer import error_of

Kind = dg.DagsterEventType
_EVENTS_A_PAGE = 1000
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_WORTH = {
    Kind.RUN_FAILURE: "error",
    Kind.STEP_FAILURE: "error",
    Kind.RUN_CANCELED: "warning",
    Kind.RUN_CANCELING: "warning",
    Kind.STEP_UP_FOR_RETRY: "warning",
    Kind.STEP_SKIPPED: "warning",
    **dict.fromkeys(
        (Kind.RUN_ENQUEUED, Kind.RUN_STARTING, Kind.RUN_START, Kind.RUN_SUCCESS, Kind.STEP_START, Kind.STEP_RESTARTED,
         Kind.STEP_SUCCESS, Kind.ASSET_MATERIALIZATION, Kind.ASSET_CHECK_EVALUATION),
        "info",
    ),
}  # fmt: skip
"""Of Dagster's events; every other one is for debugging."""


@dataclass(frozen=True)
class Line:
    """One event. `event` is Dagster's name for it, or `log` for a line that the code itself logged."""

    moment: datetime
    level: str
    step: str | None
    event: str
    message: str
    error_class: str | None = None
    partition: str | None = None
    rows: int | None = None


def lines(instance: dg.DagsterInstance, run_id: str) -> Iterator[Line]:
    """All stored events of a run, in their order."""
    after, more = -1, True
    while more:
        records, more = run_records.run_events(instance, run_id, after, _EVENTS_A_PAGE)
        for record in records:
            after = record.storage_id
            yield _line(record.event_log_entry)


def _line(entry: dg.EventLogEntry) -> Line:
    moment, event = datetime.fromtimestamp(entry.timestamp, UTC), entry.dagster_event
    if event is None:
        level_name = next((name for name, least in reversed(LEVELS.items()) if int(entry.level) >= least), "debug")
        return Line(moment, level_name, entry.step_key, "log", entry.user_message)
    level, step, name = _WORTH.get(event.event_type, "debug"), event.step_key, event.event_type_value.lower()
    if event.event_type in (Kind.STEP_FAILURE, Kind.STEP_UP_FOR_RETRY):
        error_class, message = error_of(event)
        return Line(moment, level, step, name, message, error_class)
    if event.event_type == Kind.ASSET_MATERIALIZATION:
        materialization = event.step_materialization_data.materialization
        metadata = {key: plain(value) for key, value in materialization.metadata.items()}
        by_partition = metadata.get("rows_by_partition") or {}
        rows = by_partition.get(materialization.partition, metadata.get("dagster/partition_row_count"))
        return Line(
            moment, level, step, "published", event.message or "", partition=materialization.partition, rows=rows
        )
    if event.event_type == Kind.ASSET_CHECK_EVALUATION:
        return _of_check(event, moment)
    if event.event_type == Kind.ENGINE_EVENT and (event.message or "").startswith("convergence"):
        level = "warning"
    return Line(moment, level, step, name, event.message or "")


def _of_check(event: dg.DagsterEvent, moment: datetime) -> Line:
    evaluation = event.asset_check_evaluation_data
    metadata = {key: plain(value) for key, value in evaluation.metadata.items()}
    severity = metadata.get("severity") or evaluation.severity.value.lower()
    failed = ", ".join(metadata.get("failed_partitions") or ())
    unexpected = metadata.get("unexpected_count")
    message = f"{evaluation.check_name} passed" if evaluation.passed else (
        f"{evaluation.check_name} failed ({severity})"
        + (f": {unexpected} unexpected" if unexpected is not None else "")
        + (f", on {failed}" if failed else "")
        + examples_shown(metadata.get("examples") or (), unexpected)
        + (f": {metadata['error']}" if metadata.get("error") else "")
    )  # fmt: skip
    level = "info" if evaluation.passed else "error" if severity == "critical" else "warning"
    level = "debug" if is_of_a_day(metadata) else level
    table = table_of(evaluation.asset_key)
    return Line(moment, level, table[2] if table else event.step_key, "check", message, partition=evaluation.partition)
