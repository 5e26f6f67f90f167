"""Rows of `x_meta_pipeline_logs` and `x_meta_data_quality_results`. Their ids come from Dagster's storage, so that an
event read twice is written once."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from convergence_assets.control.ledger_rows import LedgerRow
from convergence_assets.control.runs import IndexedRun
from convergence_assets.ledger.tables import LOGS, RESULTS
from convergence_assets.redaction import redacted, redacted_value

LONGEST_MESSAGE = 4000
RULE = "rule"


@dataclass(frozen=True)
class Event:
    """An event of a part of a run; `table` None: of no step. `number` is its id in Dagster's event storage."""

    part: IndexedRun
    table: str | None
    dagster_event: dg.DagsterEvent
    number: int
    moment: datetime

    @property
    def step(self) -> str:
        return self.dagster_event.step_key or ""

    @property
    def name(self) -> str:
        """Tenant, pipeline and table."""
        return f"{self.part.tenant_id}/{self.part.pipeline}/{self.table}"


def log_row(
    event: Event, kind: str, message: str, *,
    level: str = "INFO", suffix: str = "", partition: str | None = None, rows: int | None = None,
    bytes_billed: int | None = None, job: str | None = None, duration_ms: int | None = None,
    error_class: str | None = None, metadata: Mapping[str, Any] | None = None,
) -> LedgerRow:  # fmt: skip
    """A row of the log; `suffix` distinguishes it from others of the same event."""
    part = event.part
    log_id = "-".join(word for word in (part.run_id, str(event.number), suffix) if word)
    values = {
        "log_id": log_id,
        "pipeline_run_id": part.run_id,
        "tenant_id": part.tenant_id,
        "pipeline_id": part.pipeline,
        "step": event.table,
        "event": kind,
        "level": level,
        "message": redacted(message)[:LONGEST_MESSAGE],
        "partition": partition or part.partition,
        "rows": rows,
        "bytes_billed": bytes_billed,
        "bigquery_job_id": job,
        "duration_ms": duration_ms,
        "error_class": error_class,
        "metadata": json.dumps(redacted_value(metadata), default=str) if metadata else None,
        "created_at": event.moment.isoformat(),
    }
    return LedgerRow(part.tenant_id, LOGS, log_id, values)


def jobs_of(event: Event, metadata: Mapping[str, Any]) -> Iterator[LedgerRow]:
    """One row per warehouse job of a step."""
    for job in metadata.get("jobs") or ():
        name = str(job["job"])
        yield log_row(
            event, "job_submitted", f"{job.get('kind')} job took {job.get('seconds')} s", suffix=name, job=name,
            bytes_billed=job.get("bytes_billed"), duration_ms=round(float(job.get("seconds") or 0) * 1000),
            metadata={key: job[key] for key in ("kind", "slot_ms", "cache_hit", "attached", "link") if key in job},
        )  # fmt: skip


def result_rows(event: Event, check: str, passed: bool, metadata: Mapping[str, Any]) -> Iterator[LedgerRow]:
    """One row per partition that a check evaluated; of a check that stands for rules, one per rule and partition."""
    for rule in metadata.get("rules_broken") or ():
        yield from _rows_of(event, rule["rule"], False, metadata | rule | {"expectation": RULE}, f"-{rule['rule']}")
    held = {"expectation": RULE, "severity": metadata.get("severity"), "held_back": metadata.get("held_back")}
    judged = metadata.get("partitions") or {}
    days = {day: {"passed": True, "unexpected_count": 0} for day in judged}
    for rule, column in (metadata.get("rules_held") or {}).items():
        of_rule = held | {"column": column, "partitions": days, "unexpected_count": 0}
        yield from _rows_of(event, rule, True, of_rule, f"-{rule}")
    if not (metadata.get("rules_broken") or metadata.get("rules_held")):
        yield from _rows_of(event, check, passed, metadata, "")


def _rows_of(event: Event, check: str, passed: bool, metadata: Mapping[str, Any], suffix: str) -> Iterator[LedgerRow]:
    part = event.part
    whole = {key: metadata.get(key) for key in ("observed_value", "unexpected_count", "unexpected_percent")}
    judged = metadata.get("partitions") or {part.partition: {"passed": passed} | whole}
    held_back = metadata.get("held_back") or ()
    for partition, result in judged.items():
        result_id = "-".join((part.run_id, str(event.number), partition or "all")) + suffix
        observed = result.get("observed_value")
        examples = metadata.get("examples") if not result["passed"] else None
        values = {
            "result_id": result_id,
            "pipeline_run_id": part.run_id,
            "tenant_id": part.tenant_id,
            "pipeline_id": part.pipeline,
            "table_name": event.table,
            "partition": partition,
            "check_name": check,
            "expectation_type": metadata.get("expectation"),
            "column_name": metadata.get("column"),
            "severity": metadata.get("severity"),
            "passed": result["passed"],
            "observed_value": str(observed) if observed is not None else None,
            "unexpected_count": result.get("unexpected_count"),
            "unexpected_percent": result.get("unexpected_percent"),
            "examples": json.dumps(examples, default=str) if examples else None,
            "published": partition not in held_back,
            "created_at": event.moment.isoformat(),
        }
        yield LedgerRow(part.tenant_id, RESULTS, result_id, values)


def plain(value: dg.MetadataValue[Any]) -> Any:
    """A metadata value as JSON; a table as its records."""
    if isinstance(value, dg.TableMetadataValue):
        return [dict(record.data) for record in value.records]
    return value.value
