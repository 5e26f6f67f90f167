"""Turns events of a run into rows of the ledger and run events, given the events before."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from convergence_assets.assets.check_events import is_of_a_day
from convergence_assets.control.ledger_rows import LedgerRow
from convergence_assets.control.runs import IndexedRun
from convergence_assets.dagster_internals import run_records
from convergence_assets.ledger.rows import LONGEST_MESSAGE, Event, jobs_of, log_row, plain, result_rows
from convergence_assets.ledger.run_events import ChecksFailed, FailedCheck, Published, QuotaRefused, RunEnded, RunEvent
from convergence_assets.ledger.run_mapping import INTERRUPTED, Name, table_of
from convergence_assets.redaction import redacted
from convergence_assets.warehouse.errors import ERROR_CLASSES

Kind = dg.DagsterEventType
REMEDIATION = "convergence remediation:"
"""The prefix of an engine event's message that reports what was done about a stuck run."""
OF_SEVERAL_TENANTS = "the run, which was of several tenants, did not succeed; nothing of this one failed"
OF_A_QUOTA = ("quota_exceeded", "rate_limited")
_ENDED_FROM_OUTSIDE = frozenset({"unexpected_termination", "run_worker_restart"})
_ASKED = "somebody requested its end"
_INTERRUPTION = "its process was ended by what it ran on, and nobody had requested that"
_CLASSES = {kind.__name__: name for name, kind in ERROR_CLASSES.items()} | {"ControlError": "control_store"}


@dataclass
class Table:
    """What is reported of a table at its step's end: failed checks by severity, days, days held back."""

    checks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    days: list[str] = field(default_factory=list)
    held_back: list[str] = field(default_factory=list)
    jobs_told: bool = False


@dataclass
class Memory:
    """What a run's later events need to know of its earlier ones; stored as JSON in between.

    `steps` are the assets of step keys; `since` the moments at which steps began; `first_errors` the class and message
    of the first failed attempt of steps that are retried; `failures` the first step that failed of each pipeline, as
    table, class and message; `ending` Dagster's message of the run's end, `asked_to_end` whether it was requested;
    `told` the status that was reported.
    """

    steps: dict[str, list[str]] = field(default_factory=dict)
    since: dict[str, str] = field(default_factory=dict)
    first_errors: dict[str, list[str]] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)
    ending: list[str] | None = None
    asked_to_end: bool = False
    told: str | None = None

    @classmethod
    def of(cls, text: str) -> "Memory":
        fields = json.loads(text) if text else {}
        fields["tables"] = {name: Table(**table) for name, table in fields.get("tables", {}).items()}
        return cls(**fields)

    @property
    def text(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if value})


class RunReducer:
    """A run's parts and memory, advanced by its events in their order; collects rows, and run events with times."""

    def __init__(self, parts: Sequence[IndexedRun], memory: Memory) -> None:
        self.parts: dict[Name, IndexedRun] = {(part.tenant_id, part.pipeline): part for part in parts}
        self.memory = memory
        self.rows: list[LedgerRow] = []
        self.run_events: list[tuple[datetime, RunEvent]] = []

    def take_event(self, record: dg.EventLogRecord) -> None:
        """Process the next event."""
        entry = record.event_log_entry
        event = entry.dagster_event
        if event is None:
            return
        moment = datetime.fromtimestamp(entry.timestamp, UTC)
        if event.event_type != Kind.ENGINE_EVENT:  # Dagster's own remarks change nothing
            for name, part in self.parts.items():
                self.parts[name] = replace(part, updated_at=max(part.updated_at, moment))
        if event.event_type in _OF_RUN:
            self._take_of_run(event, record.storage_id, moment)
            return
        table = self._table(event)
        owner = self.parts.get(table[:2]) if table else None
        understand = _OF_STEP.get(event.event_type)
        if owner and table and understand:
            understand(self, Event(owner, table[2], event, record.storage_id, moment))

    def end_run(self, moment: datetime) -> None:
        """Report that the run is over, once for each status that it ends in."""
        if self._was_interrupted():
            self.parts = {name: replace(part, status="canceled") for name, part in self.parts.items()}
        status = next(iter(self.parts.values())).status
        if self.memory.told == status:
            return
        self.memory.told = status
        for table_name in list(self.memory.tables):
            self._report_table(table_name, moment)
        for name, part in self.parts.items():
            table, error_class, message = self._why(name, part)
            ended = replace(part, error_class=error_class, error_message=message)
            self.parts[name] = ended
            self.run_events.append((moment, RunEnded(ended, table, error_class, message)))

    def _why(self, name: Name, part: IndexedRun) -> list[str | None]:
        if part.status == "succeeded":
            return [None, None, None]
        if part.status == "canceled" and self._was_interrupted():
            # A run that began after its end was requested reports that it was not (dagster 1.13).
            return [None, "canceled", _ASKED] if self.memory.asked_to_end else [None, INTERRUPTED, _INTERRUPTION]
        return self._failure(name, part)

    def _was_interrupted(self) -> bool:
        """Whether a signal ended the run, by its own end or the first error of a step, or it lost its worker."""
        status = next(iter(self.parts.values())).dagster_status
        ended_so = self.memory.ending is not None and self.memory.ending[0] in _ENDED_FROM_OUTSIDE
        errors = {failure[1] for failure in self.memory.failures.values()}
        return status == "FAILURE" and (ended_so or errors == {run_records.INTERRUPTION})

    def _failure(self, name: Name, part: IndexedRun) -> list[str | None]:
        """Table, class and message of what ended the run, of the pipeline itself before the tenant's others."""
        failure = self.memory.failures.get("/".join(name))
        if failure:
            return list(failure)
        ours = [error for of, error in self.memory.failures.items() if of.startswith(f"{name[0]}/")]
        if not ours and any(tenant_id != name[0] for tenant_id, _ in self.parts):
            # The message of the run as a whole may be another tenant's.
            return [None, self.memory.ending[0] if self.memory.ending else "run_failure", OF_SEVERAL_TENANTS]
        other = next(iter(ours), None)
        summary: Sequence[str | None] = (
            other[1:] if other else self.memory.ending or (part.error_class, part.error_message)
        )
        return [None, *summary]

    def _table(self, event: dg.DagsterEvent) -> tuple[str, str, str] | None:
        step = event.step_key
        if event.event_type == Kind.ASSET_MATERIALIZATION_PLANNED:
            if (planned := table_of(event.asset_key)) and step:
                self.memory.steps[step] = list(planned)
            return None
        if event.event_type == Kind.ASSET_CHECK_EVALUATION:
            return table_of(event.asset_check_evaluation_data.asset_key)
        if event.event_type == Kind.ASSET_MATERIALIZATION:
            return table_of(event.asset_key)
        names = self.memory.steps.get(step or "")
        return (names[0], names[1], names[2]) if names else None

    def _take_of_run(self, dagster_event: dg.DagsterEvent, number: int, moment: datetime) -> None:
        message = redacted(dagster_event.message or "")[:LONGEST_MESSAGE]
        if dagster_event.event_type == Kind.ENGINE_EVENT:
            if message.startswith(REMEDIATION):
                remediation = message.removeprefix(REMEDIATION).strip()
                for part in self.parts.values():
                    event = Event(part, None, dagster_event, number, moment)
                    self.rows.append(log_row(event, "remediation", remediation, level="WARNING", suffix=part.pipeline))
            return
        if dagster_event.event_type == Kind.RUN_CANCELING:
            self.memory.asked_to_end = True
            return
        error = run_records.own_error(dagster_event)
        reason = getattr(dagster_event.event_specific_data, "failure_reason", None)
        canceled = dagster_event.event_type == Kind.RUN_CANCELED
        self.memory.ending = [
            "canceled" if canceled else reason.value.lower() if reason else "run_failure",
            redacted(error.message if error else message)[:LONGEST_MESSAGE],
        ]

    def _began(self, event: Event) -> None:
        self.memory.since[event.step] = event.moment.isoformat()
        if event.dagster_event.event_type == Kind.STEP_START:
            self.rows.append(log_row(event, "step_started", event.dagster_event.message or ""))

    def _succeeded(self, event: Event) -> None:
        self.memory.first_errors.pop(event.step, None)
        self.rows.append(
            log_row(event, "step_succeeded", event.dagster_event.message or "", duration_ms=self._duration(event))
        )
        self._report_table(event.name, event.moment)

    def _skipped(self, event: Event) -> None:
        self.rows.append(log_row(event, "step_skipped", event.dagster_event.message or ""))

    def _is_repeated(self, event: Event) -> None:
        error = error_of(event.dagster_event)
        self._report_quota(event, *error)
        self.memory.first_errors.setdefault(event.step, error)
        self.rows.append(
            log_row(
                event, "retry", error[1], level="WARNING", error_class=error[0], duration_ms=self._duration(event),
            )
        )  # fmt: skip

    def _failed(self, event: Event) -> None:
        error = error_of(event.dagster_event)
        self._report_quota(event, *error)
        self._report_jobs(event, _failure_metadata(event.dagster_event))
        self.rows.append(
            log_row(
                event, "step_failed", error[1], level="ERROR", error_class=error[0], duration_ms=self._duration(event),
            )
        )  # fmt: skip
        first = self.memory.first_errors.pop(event.step, error)
        name = "/".join((event.part.tenant_id, event.part.pipeline))
        assert event.table
        self.memory.failures.setdefault(name, [event.table, *first])
        self._report_table(event.name, event.moment)

    def _published(self, event: Event) -> None:
        materialization = event.dagster_event.step_materialization_data.materialization
        metadata = {name: plain(value) for name, value in materialization.metadata.items()}
        partition = materialization.partition
        by_partition = metadata.get("rows_by_partition") or {}
        rows = by_partition.get(partition, metadata.get("dagster/partition_row_count"))
        if rows is None and partition is None:
            rows = metadata.get("dagster/row_count")
        billed = self._report_jobs(event, metadata)
        self.rows.append(
            log_row(
                event, "published", f"{rows if rows is not None else 'unknown'} rows published", partition=partition,
                rows=rows, bytes_billed=billed,
            )
        )  # fmt: skip
        part = self.parts[event.part.tenant_id, event.part.pipeline]
        self._put(replace(part, rows_published=part.rows_published + (rows or 0)))
        if partition:
            self._of(event.name).days.append(partition)

    def _was_checked(self, event: Event) -> None:
        evaluation = event.dagster_event.asset_check_evaluation_data
        metadata = {name: plain(value) for name, value in evaluation.metadata.items()}
        if is_of_a_day(metadata):
            return
        self.rows += result_rows(event, evaluation.check_name, evaluation.passed, metadata)
        table = self._of(event.name)
        table.held_back = metadata.get("held_back") or table.held_back
        if not evaluation.passed:
            severity = str(metadata.get("severity") or evaluation.severity.value.lower())
            failed = {
                "name": evaluation.check_name,
                "column": metadata.get("column"),
                "observed_value": metadata.get("observed_value"),
                "unexpected_count": metadata.get("unexpected_count"),
                "examples": metadata.get("examples") or [],
                "partitions": metadata.get("failed_partitions") or [],
            }
            table.checks.setdefault(severity, []).append(failed)

    def _report_quota(self, event: Event, error_class: str, message: str) -> None:
        if error_class in OF_A_QUOTA and event.table:
            self.run_events.append((event.moment, QuotaRefused(event.part, event.table, error_class, message)))

    def _report_jobs(self, event: Event, metadata: Mapping[str, Any]) -> int | None:
        """Add rows of a step's jobs, once per step; returns their billed bytes (0: added already)."""
        if "bytes_billed" not in metadata:
            return None
        table = self._of(event.name)
        if table.jobs_told:
            return 0
        table.jobs_told = True
        self.rows += jobs_of(event, metadata)
        part = self.parts[event.part.tenant_id, event.part.pipeline]
        billed = int(metadata["bytes_billed"])
        self._put(replace(part, bytes_billed=part.bytes_billed + billed))
        return billed

    def _report_table(self, name: str, moment: datetime) -> None:
        table = self.memory.tables.pop(name, None)
        tenant_id, pipeline, table_name = name.split("/")
        part = self.parts.get((tenant_id, pipeline))
        if table is None or part is None:
            return
        for severity, checks in table.checks.items():
            failed = tuple(
                FailedCheck(**(c | {"examples": tuple(c["examples"]), "partitions": tuple(c["partitions"])}))
                for c in checks
            )
            self.run_events.append((moment, ChecksFailed(part, table_name, severity, failed, tuple(table.held_back))))
        if table.days:
            self.run_events.append(
                (moment, Published(part, table_name, tuple(date.fromisoformat(day) for day in table.days)))
            )

    def _duration(self, event: Event) -> int | None:
        since = self.memory.since.pop(event.step, None)
        return round((event.moment - datetime.fromisoformat(since)).total_seconds() * 1000) if since else None

    def _of(self, name: str) -> Table:
        return self.memory.tables.setdefault(name, Table())

    def _put(self, part: IndexedRun) -> None:
        self.parts[part.tenant_id, part.pipeline] = part


def error_of(event: dg.DagsterEvent) -> list[str]:
    """Class and message of the user's own error."""
    error = run_records.own_error(event)
    names = error.names if error else ()
    named = _failure_metadata(event).get("error_class") or next((_CLASSES[n] for n in names if n in _CLASSES), None)
    fallback = next((name for name in names if name != "Failure"), "Failure")
    return [str(named or fallback), redacted(error.message if error else event.message or "")[:LONGEST_MESSAGE]]


def _failure_metadata(event: dg.DagsterEvent) -> dict[str, Any]:
    failure = getattr(event.event_specific_data, "user_failure_data", None)
    return {name: plain(value) for name, value in (failure.metadata if failure else {}).items()}


_OF_RUN = frozenset({Kind.ENGINE_EVENT, Kind.RUN_FAILURE, Kind.RUN_CANCELING, Kind.RUN_CANCELED})
_OF_STEP: Mapping[Kind, Callable[[RunReducer, Event], None]] = {
    Kind.STEP_START: RunReducer._began,
    Kind.STEP_RESTARTED: RunReducer._began,
    Kind.STEP_SUCCESS: RunReducer._succeeded,
    Kind.STEP_SKIPPED: RunReducer._skipped,
    Kind.STEP_UP_FOR_RETRY: RunReducer._is_repeated,
    Kind.STEP_FAILURE: RunReducer._failed,
    Kind.ASSET_MATERIALIZATION: RunReducer._published,
    Kind.ASSET_CHECK_EVALUATION: RunReducer._was_checked,
}
READ = frozenset({*_OF_RUN, *_OF_STEP, Kind.ASSET_MATERIALIZATION_PLANNED})
"""The kinds of events that are processed here."""
