"""A run's events from Dagster's own storage, each as a line that a person reads; no warehouse is asked."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from convergence_assets import dagster_compat
from convergence_assets.assets.check_events import examples_shown, is_of_a_day
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
    """One event. `event` is Dagster's name for it, or `log` for what the code itself said."""

    moment: datetime
    level: str
    step: str | None
    event: str
    message: str
    error_class: str | None = None
    partition: str | None = None
    rows: int | None = None


def lines(instance: dg.DagsterInstance, run_id: str) -> Iterator[Line]:
    """Everything that is stored of a run, in its order."""
    after, more = -1, True
    while more:
        records, more = dagster_compat.run_events(instance, run_id, after, _EVENTS_A_PAGE)
        for record in records:
            after = record.storage_id
            yield _line(record.event_log_entry)


def _line(entry: dg.EventLogEntry) -> Line:
    moment, said = datetime.fromtimestamp(entry.timestamp, UTC), entry.dagster_event
    if said is None:
        own = next((name for name, least in reversed(LEVELS.items()) if int(entry.level) >= least), "debug")
        return Line(moment, own, entry.step_key, "log", entry.user_message)
    level, step, name = _WORTH.get(said.event_type, "debug"), said.step_key, said.event_type_value.lower()
    if said.event_type in (Kind.STEP_FAILURE, Kind.STEP_UP_FOR_RETRY):
        error_class, message = error_of(said)
        return Line(moment, level, step, name, message, error_class)
    if said.event_type == Kind.ASSET_MATERIALIZATION:
        found = said.step_materialization_data.materialization
        metadata = {key: plain(value) for key, value in found.metadata.items()}
        by_partition = metadata.get("rows_by_partition") or {}
        rows = by_partition.get(found.partition, metadata.get("dagster/partition_row_count"))
        return Line(moment, level, step, "published", said.message or "", partition=found.partition, rows=rows)
    if said.event_type == Kind.ASSET_CHECK_EVALUATION:
        return _of_check(said, moment)
    if said.event_type == Kind.ENGINE_EVENT and (said.message or "").startswith("convergence"):
        level = "warning"
    return Line(moment, level, step, name, said.message or "")


def _of_check(said: dg.DagsterEvent, moment: datetime) -> Line:
    found = said.asset_check_evaluation_data
    metadata = {key: plain(value) for key, value in found.metadata.items()}
    severity = metadata.get("severity") or found.severity.value.lower()
    failed = ", ".join(metadata.get("failed_partitions") or ())
    unexpected = metadata.get("unexpected_count")
    message = f"{found.check_name} passed" if found.passed else (
        f"{found.check_name} failed ({severity})"
        + (f": {unexpected} unexpected" if unexpected is not None else "")
        + (f", on {failed}" if failed else "")
        + examples_shown(metadata.get("examples") or (), unexpected)
        + (f": {metadata['error']}" if metadata.get("error") else "")
    )  # fmt: skip
    level = "info" if found.passed else "error" if severity == "critical" else "warning"
    level = "debug" if is_of_a_day(metadata) else level
    table = table_of(found.asset_key)
    return Line(moment, level, table[2] if table else said.step_key, "check", message, partition=found.partition)
