"""`Warehouse` on Google BigQuery; see `Warehouse` for what each method promises."""

import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from convergence_assets.warehouse.bigquery import publishing, switching, tables, time_travel
from convergence_assets.warehouse.bigquery.administration import Administration
from convergence_assets.warehouse.bigquery.connection import Connection
from convergence_assets.warehouse.bigquery.granting import Granting
from convergence_assets.warehouse.bigquery.jobs import RETRY_BUDGET_SECONDS, Jobs
from convergence_assets.warehouse.bigquery.merging import merge_statement
from convergence_assets.warehouse.bigquery.staging import Staging, token_of
from convergence_assets.warehouse.errors import NotFound, StagingChanged
from convergence_assets.warehouse.interface import (
    Estimate,
    FileRules,
    Job,
    Loaded,
    RunningJob,
    SchemaChange,
    SourceFile,
    Staged,
    Statement,
    Waits,
    silent,
)
from convergence_assets.warehouse.result_schema import check_output
from convergence_assets.warehouse.row_text import Row, partition_days, row_text
from convergence_assets.warehouse.schema import Dataset, Query, TableRef, TableSchema
from convergence_assets.warehouse.statements import absent, absent_dataset, only_reads, table_names

_NO_EXCEPTIONS = FileRules()

if TYPE_CHECKING:
    import pyarrow as pa
    from google.cloud import bigquery
    from google.cloud.bigquery_storage import BigQueryReadClient


class BigQueryWarehouse:
    """Datasets and tables of one client's project, and of the projects that tables name.

    `location` is where datasets are made and jobs run (None: the client's). `decorators`: whether the engine
    knows `table$20260101` and ingestion-time partitions (BigQuery does, a local server does not): with them a
    partition is published by a copy job, without them by a DELETE + INSERT transaction. `storage` reads rows as Arrow
    by the Storage Read API; without it they come over REST.
    """

    engine = "bigquery"

    def __init__(
        self,
        client: "bigquery.Client",
        *,
        location: str | None = None,
        storage: "BigQueryReadClient | None" = None,
        decorators: bool = True,
        principal: str | None = None,
        budget_seconds: float = RETRY_BUDGET_SECONDS,
        waits: Waits = silent,
    ) -> None:
        self._client = client
        self._storage = storage
        location = location or client.location
        self._jobs = Jobs(client, location, principal, budget_seconds, waits)
        self._connection = Connection(client, location, self._jobs, decorators)
        self._administration = Administration(self._connection)
        self._staging = Staging(self._connection, self._administration)

    @property
    def statements(self) -> Sequence[Statement]:
        return tuple(self._jobs.finished)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()  # type: ignore[no-untyped-call]

    @property
    def project(self) -> str:
        """That of tables and datasets which name none."""
        return str(self._client.project)

    def ensure_table(self, table: TableRef, schema: TableSchema) -> SchemaChange:
        return self._administration.ensure(table, schema)

    @property
    def credentials(self) -> Any:
        """What its requests are sent with."""
        return self._client._credentials

    @property
    def account(self) -> str | None:
        """The service account that it runs as, None for a person's credentials."""
        return self._jobs.principal

    @property
    def administration(self) -> Administration:
        """Its datasets and tables as they are."""
        return self._administration

    @property
    def granting(self) -> Granting:
        """Who may read what."""
        return Granting(self._connection, self._administration)

    def ensure_view(self, view: TableRef, sql: str) -> bool:
        """Make the view, and its dataset, where there is none; True if it was made."""
        return self._administration.ensure_view(view, sql)

    def stage_query(self, target: TableRef, schema: TableSchema, queries: Sequence[Query], job: Job) -> Staged:
        for query in {q.sql: q for q in queries}.values():
            output = tuple(tables.column_of(f) for f in self._plan(query, job).schema)
            check_output(target, schema, output)
        return self._staging.fill(target, schema, queries, job)

    def stage_files(
        self, target: TableRef, schema: TableSchema, files: Sequence[SourceFile], job: Job,
        rules: FileRules = _NO_EXCEPTIONS,
    ) -> Staged:  # fmt: skip
        return self._staging.fill_from_files(target, schema, files, job, rules, exact=True)

    def stage_past(self, target: TableRef, schema: TableSchema, partition: date, as_of: datetime, job: Job) -> Staged:
        time_travel.must_be_kept(target, as_of)
        with time_travel.explaining_expired_history(target, as_of):
            stood = time_travel.rows(self._connection.quoted(target), schema, partition, as_of)
            query = time_travel.in_columns(stood, schema, self.dry_run(stood).columns)
            return self.stage_query(target, schema, [query], job)

    def read_staged(self, staged: Staged, columns: Sequence[str], job: Job) -> "pa.Table":
        chosen = [tables.field(c) for c in staged.schema.only(columns)]
        reference = self._connection.reference(staged.table)
        list_rows = functools.partial(self._client.list_rows, reference, selected_fields=chosen)
        return self._jobs.call(lambda retry: self._arrow(list_rows(retry=retry)))

    def read(self, query: Query, job: Job) -> "pa.Table":
        only_reads(query.sql)
        with self._naming_absent(query):
            done = self._jobs.run(self._connection.query("read", query, job), job)
        return self._jobs.call(lambda retry: self._arrow(done))

    def rows(self, query: Query, job: Job) -> Sequence[Row]:
        fetched: list[Row] = self.read(query, job).to_pylist()
        return fetched

    def dry_run(self, query: Query) -> Estimate:
        planned = self._plan(query, Job("dry-run"))
        columns = [tables.column_of(field) for field in planned.schema]
        fields = frozenset(name for c in columns for name in c.field_names())
        return Estimate({c.name: c.type for c in columns}, planned.total_bytes_processed, fields)

    def publish(self, staged: Staged, partitions: Sequence[date], job: Job) -> int:
        try:
            token = token_of(self._administration.table(staged.table))
        except NotFound:
            token = "gone"
        if token != staged.token:
            raise StagingChanged(f"{staged.table} is not the staging table that was validated for {staged.target}")
        by_copies = self._connection.decorators and staged.schema.partition_column
        (publishing.copy if by_copies else publishing.replace_rows)(self._connection, staged, partitions, job)
        if staged.schema.partition_column is None:
            return staged.rows
        return sum(staged.rows_per_partition.get(day, 0) for day in partitions)

    def discard(self, staged: Staged) -> None:
        self._administration.drop(staged.table)

    def staged_runs(self, dataset: Dataset) -> Mapping[str, datetime]:
        return self._administration.staged_runs(dataset)

    def drop_staged(self, dataset: Dataset, run_id: str) -> None:
        self._administration.drop_staged(dataset, run_id)

    def load_files(
        self, table: TableRef, schema: TableSchema, files: Sequence[SourceFile], job: Job,
        rules: FileRules = _NO_EXCEPTIONS,
    ) -> Loaded:  # fmt: skip
        staged = self._staging.fill_from_files(table, schema, files, job, rules, exact=False)
        self.ensure_table(table, schema)
        written = self.publish(staged, [p for p in staged.rows_per_partition if p is not None], job)
        self.discard(staged)
        return Loaded(written, staged.notes)

    def merge_rows(
        self, table: TableRef, schema: TableSchema, rows: Sequence[Row], key: tuple[str, ...], job: Job,
        newest_by: str | None = None,
    ) -> None:  # fmt: skip
        # The rows travel as a parameter: one job, where a load job and a table of its own would be four calls.
        text = row_text(schema, rows)
        merge = merge_statement(self._connection.quoted(table), schema, key, newest_by, partition_days(schema, rows))
        identity = (str(table), hashlib.sha256(text.encode()).hexdigest())
        # Whoever merges has others to serve: no request is repeated for longer than the statement may take.
        jobs = replace(self._jobs, budget_seconds=min(self._jobs.budget_seconds, job.timeout_seconds))
        jobs.run(self._connection.query("merge", Query(merge, {"rows": text}), job, identity=identity), job)

    def delete_before(self, table: TableRef, schema: TableSchema, day: date, job: Job) -> None:
        # A DELETE of whole partitions is not billed.
        old = f"`{schema.partition_column}` < TIMESTAMP '{day} 00:00:00+00'"
        sql = f"DELETE FROM {self._connection.quoted(table)} WHERE {old}"
        jobs = replace(self._jobs, budget_seconds=min(self._jobs.budget_seconds, job.timeout_seconds))
        jobs.run(self._connection.query("delete_before", Query(sql), job, identity=(str(table), str(day))), job)

    def running_jobs(self) -> Sequence[RunningJob]:
        return self._jobs.running(None)

    def cancel_jobs(self, jobs: Sequence[RunningJob]) -> None:
        self._jobs.cancel(jobs, None)

    def has_dataset(self, dataset: Dataset) -> bool:
        return self._administration.has(dataset)

    def tables_of(self, dataset: Dataset) -> Sequence[TableRef]:
        return self._administration.own_tables(dataset)

    def version_tables(self, dataset: Dataset) -> Sequence[TableRef]:
        return self._administration.version_tables(dataset)

    def has_table(self, table: TableRef) -> bool:
        return self._administration.has_table(table)

    def existing_schema(self, table: TableRef) -> TableSchema | None:
        try:
            return tables.schema_of(self._administration.table(table), TableSchema(()))
        except NotFound:
            return None

    def drop_table(self, table: TableRef, *, if_empty: bool = False) -> bool:
        return self._administration.drop_table(table, if_empty=if_empty)

    def switch_table(
        self, table: TableRef, new: TableRef, kept: TableRef, job: Job, *, may_be_absent: bool = False
    ) -> None:
        switching.switch(self._connection, self._administration, table, new, kept, job, may_be_absent=may_be_absent)

    def drop_staging(self, dataset: Dataset) -> int:
        return self._administration.drop_staging(dataset)

    def drop_dataset(self, dataset: Dataset) -> bool:
        return self._administration.drop_dataset(dataset)

    def _plan(self, query: Query, job: Job) -> Any:
        only_reads(query.sql)
        config = self._connection.query_config(query, job)
        config.dry_run, config.use_query_cache = True, False

        def submit(retry: Any) -> Any:
            location = self._connection.location
            return self._client.query(query.sql, job_config=config, location=location, retry=retry, job_retry=None)

        with self._naming_absent(query):
            return self._jobs.call(submit, query.sql)

    @contextmanager
    def _naming_absent(self, query: Query) -> Iterator[None]:
        """BigQuery names the table that is not there; this adds the nearest one that is."""
        try:
            yield
        except NotFound as error:
            for table in table_names(query.sql):
                datasets = self._administration.datasets(table.project or self._client.project)
                if table.dataset not in datasets:
                    raise NotFound(absent_dataset(str(Dataset.of(table)), datasets)) from error
                existing = self._administration.table_names(Dataset.of(table))
                if table.table not in existing:
                    raise NotFound(absent(table, existing)) from error
            raise

    def _arrow(self, rows: Any) -> "pa.Table":
        """Record batches of the Storage Read API as one table; over REST where there is no such client."""
        return rows.to_arrow(bqstorage_client=self._storage, create_bqstorage_client=False)
