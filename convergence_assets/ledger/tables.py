"""The ledger's tables: created in each tenant's dataset when its first row is written."""

from collections.abc import Mapping
from dataclasses import dataclass

from convergence_assets.control.runs import RUNS_TABLE as RUNS
from convergence_assets.warehouse.schema import Column, TableSchema

LOGS = "x_meta_pipeline_logs"
RESULTS = "x_meta_data_quality_results"
API_KEYS = "x_meta_api_keys"


@dataclass(frozen=True)
class LedgerTable:
    """A table whose rows are identified by `key`; of two versions of a row the one greater in `newest_by` stays."""

    schema: TableSchema
    key: tuple[str, ...]
    newest_by: str | None = None


def _schema(description: str, clustering: tuple[str, ...], *columns: Column) -> TableSchema:
    return TableSchema(columns, partition_column="created_at", clustering=clustering, description=description)


def _required(name: str, kind: str = "STRING") -> Column:
    return Column(name, kind, "REQUIRED")  # type: ignore[arg-type]


TABLES: Mapping[str, LedgerTable] = {
    RUNS: LedgerTable(
        _schema(
            "Runs of pipelines, as Dagster last told of them",
            ("pipeline_run_id", "status"),
            _required("pipeline_run_id"),
            _required("tenant_id"),
            _required("pipeline_id"),
            Column("status", "STRING", "REQUIRED", "queued, running, succeeded, failed or canceled"),
            Column("stuck_reason", "STRING"),
            Column("trigger", "STRING", "NULLABLE", "schedule, manual, api, backfill, catch_up or retry"),
            Column("triggered_by", "STRING"),
            Column("partition_start", "DATE"),
            Column("partition_end", "DATE"),
            Column("config_version", "STRING"),
            Column("attempt", "INT64"),
            Column("started_at", "TIMESTAMP"),
            Column("ended_at", "TIMESTAMP"),
            Column("duration_ms", "INT64"),
            Column("rows_published", "INT64"),
            Column("bytes_billed", "INT64"),
            Column("error_class", "STRING"),
            Column("error_message", "STRING"),
            _required("created_at", "TIMESTAMP"),
            _required("updated_at", "TIMESTAMP"),
        ),
        key=("pipeline_run_id", "pipeline_id"),
        newest_by="updated_at",
    ),
    LOGS: LedgerTable(
        _schema(
            "What happened in runs, step by step",
            ("pipeline_run_id", "event"),
            _required("log_id"),
            _required("pipeline_run_id"),
            _required("tenant_id"),
            _required("pipeline_id"),
            Column("step", "STRING"),
            Column(
                "event", "STRING", "REQUIRED",
                "step_started, step_succeeded, step_failed, step_skipped, job_submitted, published, retry, remediation",
            ),
            Column("level", "STRING"),
            Column("message", "STRING"),
            Column("partition", "STRING"),
            Column("rows", "INT64"),
            Column("bytes_billed", "INT64"),
            Column("bigquery_job_id", "STRING"),
            Column("duration_ms", "INT64"),
            Column("error_class", "STRING"),
            Column("metadata", "JSON"),
            _required("created_at", "TIMESTAMP"),
        ),
        key=("log_id",),
    ),
    RESULTS: LedgerTable(
        _schema(
            "Results of checks, one row a check and partition",
            ("pipeline_run_id", "passed"),
            _required("result_id"),
            _required("pipeline_run_id"),
            _required("tenant_id"),
            _required("pipeline_id"),
            _required("table_name"),
            Column("partition", "STRING"),
            _required("check_name"),
            Column("expectation_type", "STRING"),
            Column("column_name", "STRING"),
            Column("severity", "STRING"),
            _required("passed", "BOOL"),
            Column("observed_value", "STRING"),
            Column("unexpected_count", "INT64"),
            Column("unexpected_percent", "FLOAT64"),
            Column("examples", "JSON"),
            Column("published", "BOOL", "NULLABLE", "Whether the partition was published"),
            _required("created_at", "TIMESTAMP"),
        ),
        key=("result_id",),
    ),
    API_KEYS: LedgerTable(
        _schema(
            "API keys, a copy for looking: a change here changes nothing",
            ("tenant_id", "is_active"),
            _required("key_id"),
            _required("tenant_id"),
            Column("key_prefix", "STRING"),
            Column("scopes", "STRING"),
            Column("is_active", "BOOL"),
            Column("created_by", "STRING"),
            _required("created_at", "TIMESTAMP"),
            Column("expires_at", "TIMESTAMP"),
            Column("last_used_at", "TIMESTAMP"),
            Column("revoked_at", "TIMESTAMP"),
        ),
        key=("key_id",),
    ),
}  # fmt: skip
