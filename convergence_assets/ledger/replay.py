"""One run as the ledger has it or will have it, from Dagster's storage alone, without control store and warehouse."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from convergence_assets.control.ledger_rows import LedgerRow
from convergence_assets.control.runs import IndexedRun
from convergence_assets.dagster_internals import run_records
from convergence_assets.ledger.run_mapping import has_ended, parts, selected
from convergence_assets.ledger.run_reducer import READ, Memory, RunReducer
from convergence_assets.ledger.tables import LOGS, RESULTS
from convergence_assets.tenancy.tenant import Tenant

_EVENTS_A_PAGE = 1000


@dataclass(frozen=True)
class Replayed:
    """A run's part in each of its pipelines, and its rows of `x_meta_pipeline_logs` and
    `x_meta_data_quality_results` in their order."""

    parts: tuple[IndexedRun, ...]
    rows: tuple[LedgerRow, ...]

    @property
    def jobs(self) -> list[LedgerRow]:
        """The warehouse jobs that its steps reported."""
        return [row for row in self.rows if row.table == LOGS and row.values["event"] == "job_submitted"]

    @property
    def checks(self) -> list[LedgerRow]:
        """One row per check and partition."""
        return [row for row in self.rows if row.table == RESULTS]


def replay(instance: dg.DagsterInstance, run_id: str, tenants: Mapping[str, Tenant]) -> Replayed | None:
    """None where Dagster has no such run, or it has none of this platform's assets. `attempt` is always 1."""
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return None
    run = record.dagster_run
    tagged = run.tags.get("tenant"), run.tags.get("pipeline")
    names = selected(run) or ({(tagged[0], tagged[1])} if tagged[0] and tagged[1] else set())
    understood = RunReducer(parts(record, names, 1, tenants), Memory())
    if not understood.parts:
        return None
    after, more = -1, True
    while more:
        records, more = run_records.run_events(instance, run_id, after, _EVENTS_A_PAGE, READ)
        for event in records:
            after = event.storage_id
            understood.take_event(event)
    if has_ended(run.status.value):
        understood.end_run(datetime.fromtimestamp(record.end_time, UTC) if record.end_time else datetime.now(UTC))
    return Replayed(tuple(understood.parts.values()), tuple(understood.rows))
