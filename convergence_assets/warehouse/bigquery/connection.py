"""What every part of the adapter works with: one client, its jobs, and names and statements as BigQuery takes them."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from convergence_assets.warehouse.bigquery import tables
from convergence_assets.warehouse.bigquery.job_owner import owner_labels
from convergence_assets.warehouse.bigquery.jobs import Jobs, Request
from convergence_assets.warehouse.bigquery.labels import sanitised
from convergence_assets.warehouse.bigquery.spending import capped
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import ParameterValue, Query, TableRef

if TYPE_CHECKING:
    from google.cloud import bigquery

_ADHOC_BYTES_CAP = 1024**4


@dataclass(frozen=True)
class Connection:
    """`decorators`: whether the engine knows `table$20260101` and ingestion-time partitions."""

    client: "bigquery.Client"
    location: str | None
    jobs: Jobs
    decorators: bool

    def reference(self, table: TableRef) -> "bigquery.TableReference":
        """The client's name of a table."""
        return tables.reference(table, self.client.project)

    def quoted(self, table: TableRef) -> str:
        """A table's whole name in backticks."""
        return f"`{table.project or self.client.project}.{table.dataset}.{table.table}`"

    def query(
        self, kind: str, query: Query, job: Job, *, sql: str | None = None, identity: tuple[str, ...] | None = None
    ) -> Request:
        """A statement as a job; `sql` is what is sent where it is more than the author's own text.

        Raises `BytesCapExceeded` where this process may be billed for nothing more.
        """
        config = self.query_config(query, job)
        config.maximum_bytes_billed = capped(job.maximum_bytes_billed or _ADHOC_BYTES_CAP)
        text = sql or query.sql

        def submit(job_id: str, retry: Any) -> Any:
            return self.client.query(
                text, job_config=config, job_id=job_id, location=self.location, retry=retry, job_retry=None
            )

        return Request(kind, submit, identity or (uuid.uuid4().hex,), sql=query.sql)

    def query_config(self, query: Query, job: Job) -> "bigquery.QueryJobConfig":
        from google.cloud import bigquery

        parameters = [_parameter(name, value) for name, value in query.parameters.items()]
        return bigquery.QueryJobConfig(query_parameters=parameters, **self.job_options(job))

    @staticmethod
    def job_options(job: Job) -> dict[str, Any]:
        """What every job has: labels, whose it is, and a timeout."""
        return {
            "labels": sanitised(job.labels) | owner_labels(),
            "job_timeout_ms": int(job.timeout_seconds * 1000),
        }


def _parameter(name: str, value: ParameterValue) -> "bigquery.ScalarQueryParameter":
    from google.cloud import bigquery

    kinds = {bool: "BOOL", int: "INT64", str: "STRING", Decimal: "NUMERIC", datetime: "TIMESTAMP", date: "DATE"}
    return bigquery.ScalarQueryParameter(name, kinds[type(value)], value)
