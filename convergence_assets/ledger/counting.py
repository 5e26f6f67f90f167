"""Counters of a run's events, for metrics: runs by outcome, checks, jobs and bytes of the warehouse."""

from collections import defaultdict
from collections.abc import Iterable

from convergence_assets.control.counters import Increments
from convergence_assets.control.ledger_rows import LedgerRow
from convergence_assets.ledger.run_events import RunEnded, RunEvent
from convergence_assets.ledger.tables import LOGS, RESULTS
from convergence_assets.warehouse.errors import ERROR_CLASSES

RUN_SECONDS = (5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
JOB_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)
"""Upper bounds of the histograms' buckets."""


def increments(rows: Iterable[LedgerRow], run_events: Iterable[RunEvent]) -> Increments:
    """The increments of counters by these rows and run events, by name and labels."""
    counts: Increments = defaultdict(float)
    for row in rows:
        if row.table == RESULTS:
            outcome = "passed" if row.values["passed"] else "failed"
            counts["data_quality_checks", (row.tenant_id, str(row.values["severity"]), outcome)] += 1
        elif row.table == LOGS:
            _count_of_log(counts, row)
    for run_event in run_events:
        if isinstance(run_event, RunEnded):
            _count_of_run(counts, run_event)
    return counts


def _count_of_log(counts: Increments, row: LedgerRow) -> None:
    event, error = row.values["event"], row.values["error_class"]
    if event == "job_submitted":
        counts["bigquery_jobs", (row.tenant_id, "succeeded", "")] += 1
        counts["bigquery_bytes_billed", (row.tenant_id,)] += int(row.values["bytes_billed"] or 0)
        _observe(counts, "bigquery_job_duration_seconds", JOB_SECONDS, (), float(row.values["duration_ms"] or 0) / 1000)
    elif event in ("step_failed", "retry") and error in ERROR_CLASSES:
        counts["bigquery_jobs", (row.tenant_id, "failed", str(error))] += 1


def _count_of_run(counts: Increments, run_event: RunEnded) -> None:
    run = run_event.run
    counts["pipeline_runs", (run.tenant_id, run.pipeline, run.status)] += 1
    counts["pipeline_rows_published", (run.tenant_id, run.pipeline)] += run.rows_published
    if run.started_at and run.ended_at:
        seconds = (run.ended_at - run.started_at).total_seconds()
        _observe(counts, "pipeline_run_duration_seconds", RUN_SECONDS, (run.pipeline,), seconds)


def _observe(counts: Increments, name: str, bounds: tuple[float, ...], labels: tuple[str, ...], seconds: float) -> None:
    """A Prometheus histogram: each bucket counts what lies at or below its bound."""
    for bound in bounds:
        if seconds <= bound:
            counts[f"{name}_bucket", (*labels, str(float(bound)))] += 1
    counts[f"{name}_bucket", (*labels, "+Inf")] += 1
    counts[f"{name}_sum", labels] += seconds
