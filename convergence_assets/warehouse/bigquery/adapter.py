"""`Warehouse` on Google BigQuery; see `Warehouse` for what each method promises."""

import functools
import hashlib
import json
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from convergence_assets.warehouse.bigquery import tables
from convergence_assets.warehouse.bigquery.jobs import RETRY_BUDGET_SECONDS, Jobs, Request
from convergence_assets.warehouse.bigquery.labels import MANAGED, sanitised
from convergence_assets.warehouse.bigquery.merging import merge_statement
from convergence_assets.warehouse.bigquery.output import check_output
from convergence_assets.warehouse.bigquery.owner import owner_labels
from convergence_assets.warehouse.changes import added_columns
from convergence_assets.warehouse.errors import NotFound, StagingChanged
from convergence_assets.warehouse.interface import (
    Estimate,
    FileFormat,
    Job,
    RunningJob,
    SchemaChange,
    SourceFile,
    Staged,
    Statement,
    Waits,
    silent,
)
from convergence_assets.warehouse.row_text import Row, partition_days, row_text
from convergence_assets.warehouse.schema import ParameterValue, Query, TableRef, TableSchema
from convergence_assets.warehouse.statements import absent, absent_dataset, only_reads, table_names

if TYPE_CHECKING:
    import pyarrow as pa
    from google.cloud import bigquery
    from google.cloud.bigquery_storage import BigQueryReadClient

STAGING_PREFIX = "_staging_"
STAGING_KEPT_DAYS = 7
# BigQuery allows 50 partition modifications a table in ten seconds.
COPIES_AT_ONCE = 40
_ADHOC_BYTES_CAP = 1024**4


class BigQueryWarehouse:
    """Datasets and tables of one client's project, and of the projects that tables name.

    `location` is where datasets are made and jobs run (None: the client's). `decorators` says whether the engine
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
        self._location = location or client.location
        self._storage = storage
        self._decorators = decorators
        self._jobs = Jobs(client, self._location, principal, budget_seconds, waits)

    @property
    def statements(self) -> Sequence[Statement]:
        return tuple(self._jobs.finished)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()  # type: ignore[no-untyped-call]

    def ensure_table(self, table: TableRef, schema: TableSchema) -> SchemaChange:
        try:
            stands = self._table(table)
        except NotFound:
            self._create(table, schema, MANAGED, expires=False)
            return SchemaChange(created=True)
        added = added_columns(schema, tables.schema_of(stands, schema), table)
        if changed := tables.reconcile(stands, schema, added):
            self._jobs.call(lambda retry: self._client.update_table(stands, changed, retry=retry))
        return SchemaChange(created=False, added=tuple(c.name for c in added))

    def stage_query(self, target: TableRef, schema: TableSchema, queries: Sequence[Query], job: Job) -> Staged:
        for query in {q.sql: q for q in queries}.values():
            output = tuple(tables.column_of(f) for f in self._plan(query, job).schema)
            check_output(target, schema, output)
        return self._fill(target, schema, queries, job)

    def stage_files(
        self, target: TableRef, schema: TableSchema, files: Sequence[SourceFile], file_format: FileFormat, job: Job
    ) -> Staged:
        return self._stage_files(target, schema, files, file_format, job, exact_columns=True)

    def read_staged(self, staged: Staged, columns: Sequence[str], job: Job) -> "pa.Table":
        chosen = [tables.field(c) for c in staged.schema.only(columns)]
        list_rows = functools.partial(self._client.list_rows, self._reference(staged.table), selected_fields=chosen)
        return self._jobs.call(lambda retry: self._arrow(list_rows(retry=retry)))

    def read(self, query: Query, job: Job) -> "pa.Table":
        only_reads(query.sql)
        with self._naming_absent(query):
            done = self._jobs.run(self._query("read", query, job), job)
        return self._jobs.call(lambda retry: self._arrow(done))

    def dry_run(self, query: Query) -> Estimate:
        planned = self._plan(query, Job("dry-run"))
        return Estimate({f.name: tables.column_of(f).type for f in planned.schema}, planned.total_bytes_processed)

    def publish(self, staged: Staged, partitions: Sequence[date], job: Job) -> int:
        try:
            token = _token(self._table(staged.table))
        except NotFound:
            token = "gone"
        if token != staged.token:
            raise StagingChanged(f"{staged.table} is not the staging table that was validated for {staged.target}")
        if self._decorators and staged.schema.partition_column:
            self._copy(staged, partitions, job)
        else:
            self._replace(staged, partitions, job)
        if staged.schema.partition_column is None:
            return staged.rows
        return sum(staged.rows_per_partition.get(day, 0) for day in partitions)

    def discard(self, staged: Staged) -> None:
        self._drop(staged.table)

    def sweep_staging(self, older_than_days: int) -> int:
        return 0  # Staging tables carry their own expiry.

    def load_files(
        self, table: TableRef, schema: TableSchema, files: Sequence[SourceFile], file_format: FileFormat, job: Job
    ) -> int:
        staged = self._stage_files(table, schema, files, file_format, job, exact_columns=False)
        self.ensure_table(table, schema)
        written = self.publish(staged, [p for p in staged.rows_per_partition if p is not None], job)
        self.discard(staged)
        return written

    def merge_rows(
        self, table: TableRef, schema: TableSchema, rows: Sequence[Row], key: tuple[str, ...], job: Job,
        newest_by: str | None = None,
    ) -> None:  # fmt: skip
        # The rows travel as a parameter: one job, where a load job and a table of its own would be four calls.
        text = row_text(schema, rows)
        merge = merge_statement(self._quoted(table), schema, key, newest_by, partition_days(schema, rows))
        identity = (str(table), hashlib.sha256(text.encode()).hexdigest())
        # Whoever merges has others to serve: no request is repeated for longer than the statement may take.
        jobs = replace(self._jobs, budget_seconds=min(self._jobs.budget_seconds, job.timeout_seconds))
        jobs.run(self._query("merge", Query(merge, {"rows": text}), job, identity=identity), job)

    def running_jobs(self) -> Sequence[RunningJob]:
        return self._jobs.running(None)

    def cancel_jobs(self, jobs: Sequence[RunningJob]) -> None:
        self._jobs.cancel(jobs, None)

    def tables(self) -> Sequence[TableRef]:
        project = self._client.project
        datasets = [name for name in self._datasets(project) if not name.startswith("_")]
        found = [TableRef(dataset, name) for dataset in datasets for name in self._table_names(project, dataset)]
        return tuple(sorted(found, key=str))

    def _fill(self, target: TableRef, schema: TableSchema, queries: Sequence[Query], job: Job) -> Staged:
        """INSERT the queries' rows into the run's staging table.

        INSERT, not a query with a destination: it keeps the declared types and REQUIRED columns. A table that holds
        another filling is made anew; the same filling of the same run (a retry) attaches to the jobs that made it.
        """
        texts = [json.dumps([q.sql, sorted(q.parameters.items())], default=str) for q in queries]
        filling = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]
        staging = self._staging(target, job)
        table = self._staging_table(staging, schema, filling)
        made = str(table.created)
        columns = ", ".join(f"`{c.name}`" for c in schema.columns)
        for number, (query, text) in enumerate(zip(queries, texts, strict=True)):
            insert = f"INSERT INTO {self._quoted(staging)} ({columns}) SELECT {columns} FROM (\n{query.sql}\n)"
            request = self._query(f"stage{number}", query, job, sql=insert, identity=(text, str(staging), made))
            self._jobs.run(replace(request, lines_before=1), job)
        return self._staged(staging, target, schema, job)

    def _staged(self, staging: TableRef, target: TableRef, schema: TableSchema, job: Job) -> Staged:
        token = _token(self._table(staging))
        day = f"DATE(`{schema.partition_column}`)" if schema.partition_column else "CAST(NULL AS DATE)"
        column = schema.column(schema.partition_column or "")
        if column and column.type == "DATE":
            day = f"`{column.name}`"
        count = Query(f"SELECT {day} AS day, COUNT(*) AS number_of_rows FROM {self._quoted(staging)} GROUP BY 1")
        done = self._jobs.run(self._query("count", count, job), job)
        counts = {row["day"]: row["number_of_rows"] for row in self._jobs.call(lambda retry: list(done.result()))}
        return Staged(staging, target, schema, token, sum(counts.values()), counts)

    def _staging(self, target: TableRef, job: Job) -> TableRef:
        run = job.run_id.replace("-", "_")
        return TableRef(STAGING_PREFIX + target.dataset, f"{target.table}__{run}", target.project)

    def _staging_table(self, staging: TableRef, schema: TableSchema, filling: str) -> "bigquery.Table":
        with suppress(NotFound):
            stands = self._table(staging)
            if stands.labels.get("filling") == filling:
                return stands
            self._drop(staging)
        kept = replace(schema, partition_expiration_days=None, require_partition_filter=False)
        return self._create(staging, kept, MANAGED | {"filling": filling}, expires=True)

    def _create(
        self, table: TableRef, schema: TableSchema, labels: Mapping[str, str], *, expires: bool
    ) -> "bigquery.Table":
        """Make the table, and its dataset where there is none."""
        made = tables.table_of(self._reference(table), schema, ingestion_time=self._decorators, labels=labels)
        create = functools.partial(self._client.create_table, made, exists_ok=True)
        try:
            created = self._jobs.call(lambda retry: create(retry=retry))
        except NotFound:
            self._make_dataset(table, expires=expires)
            created = self._jobs.call(lambda retry: create(retry=retry))
        return cast("bigquery.Table", created)

    def _stage_files(
        self, target: TableRef, schema: TableSchema, files: Sequence[SourceFile], file_format: FileFormat, job: Job, *,
        exact_columns: bool,
    ) -> Staged:  # fmt: skip
        # Both warehouses read files by one reader, so that one file gives the same rows, or the same error, on both.
        from convergence_assets.warehouse.duckdb.parquet import files_to_parquet

        loaded = TableRef(STAGING_PREFIX + target.dataset, f"{self._staging(target, job).table}__files", target.project)
        self._make_dataset(loaded, expires=True)
        with tempfile.TemporaryDirectory(prefix="convergence-load-") as folder:
            parquet = Path(folder, "rows.parquet")
            files_to_parquet(parquet, schema, files, file_format, exact_columns=exact_columns)
            content = hashlib.sha256(parquet.read_bytes()).hexdigest()
            self._jobs.run(self._load(parquet, loaded, schema, job), job)
        columns = ", ".join(f"`{c.name}`" for c in schema.columns)
        query = Query(f"SELECT {columns} FROM {self._quoted(loaded)} -- {content}")
        staged = self._fill(target, schema, [query], job)
        self._drop(loaded)
        return staged

    def _load(self, parquet: Path, into: TableRef, schema: TableSchema, job: Job) -> Request:
        from google.cloud import bigquery

        options = bigquery.ParquetOptions()  # type: ignore[no-untyped-call]
        options.enable_list_inference = True
        config = bigquery.LoadJobConfig(
            schema=[tables.field(c, nullable=True) for c in schema.columns],
            source_format=bigquery.SourceFormat.PARQUET,
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            parquet_options=options,
            labels=sanitised(job.labels) | owner_labels(),
            job_timeout_ms=int(job.timeout_seconds * 1000),
        )
        reference = self._reference(into)

        def submit(job_id: str, retry: Any) -> Any:
            # Uploads do their own retries inside the client.
            with parquet.open("rb") as file:
                return self._client.load_table_from_file(
                    file, reference, job_id=job_id, location=self._location, job_config=config
                )

        # Never attached to: a retry may find the table that an earlier attempt filled dropped.
        return Request("load", submit, (uuid.uuid4().hex,))

    def _copy(self, staged: Staged, partitions: Sequence[date], job: Job) -> None:
        """Partition by partition, each in one atomic job that bills nothing and conflicts with no other partition."""
        waves = [partitions[i : i + COPIES_AT_ONCE] for i in range(0, len(partitions), COPIES_AT_ONCE)]
        for wave in waves:
            self._jobs.run_all([self._publish_one(staged, day, job) for day in wave], job)

    def _publish_one(self, staged: Staged, day: date, job: Job) -> Request:
        from google.cloud import bigquery

        identity = (str(staged.target), day.isoformat(), staged.token)
        if not staged.rows_per_partition.get(day):
            # A partition without rows may not exist in staging and cannot be copied. Deleting a whole partition bills
            # nothing; a zero-row query into it would be refused for REQUIRED columns, which a result never has.
            where = _in_partitions(staged.schema, [day])
            delete = f"DELETE FROM {self._quoted(staged.target)} WHERE {where}"
            return self._query("empty", Query(delete), job, identity=identity)
        config = bigquery.CopyJobConfig(
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            labels=sanitised(job.labels) | owner_labels(),
            job_timeout_ms=int(job.timeout_seconds * 1000),
        )
        decorator = day.strftime("$%Y%m%d")
        source, target = (self._reference(replace(t, table=t.table + decorator)) for t in (staged.table, staged.target))

        def submit(job_id: str, retry: Any) -> Any:
            return self._client.copy_table(
                source, target, job_id=job_id, location=self._location, job_config=config, retry=retry
            )

        return Request("copy", submit, identity)

    def _replace(self, staged: Staged, partitions: Sequence[date], job: Job) -> None:
        target, source = self._quoted(staged.target), self._quoted(staged.table)
        chosen = _in_partitions(staged.schema, partitions)
        columns = ", ".join(f"`{c.name}`" for c in staged.schema.columns)
        script = (
            "BEGIN TRANSACTION;\n"
            f"DELETE FROM {target} WHERE {chosen};\n"
            f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {source} WHERE {chosen};\n"
            "COMMIT TRANSACTION;"
        )
        days = [day.isoformat() for day in partitions]
        identity = (str(staged.target), *days, staged.token)
        self._jobs.run(self._query("publish", Query(script), job, identity=identity), job)

    def _query(
        self, kind: str, query: Query, job: Job, *, sql: str | None = None, identity: tuple[str, ...] | None = None
    ) -> Request:
        config = self._config(query, job)
        config.maximum_bytes_billed = job.maximum_bytes_billed or _ADHOC_BYTES_CAP
        text = sql or query.sql

        def submit(job_id: str, retry: Any) -> Any:
            return self._client.query(
                text, job_config=config, job_id=job_id, location=self._location, retry=retry, job_retry=None
            )

        return Request(kind, submit, identity or (uuid.uuid4().hex,), sql=query.sql)

    def _config(self, query: Query, job: Job) -> "bigquery.QueryJobConfig":
        from google.cloud import bigquery

        return bigquery.QueryJobConfig(
            labels=sanitised(job.labels) | owner_labels(),
            job_timeout_ms=int(job.timeout_seconds * 1000),
            query_parameters=[_parameter(name, value) for name, value in query.parameters.items()],
        )

    def _plan(self, query: Query, job: Job) -> Any:
        only_reads(query.sql)
        config = self._config(query, job)
        config.dry_run, config.use_query_cache = True, False

        def submit(retry: Any) -> Any:
            return self._client.query(
                query.sql, job_config=config, location=self._location, retry=retry, job_retry=None
            )

        with self._naming_absent(query):
            return self._jobs.call(submit, query.sql)

    @contextmanager
    def _naming_absent(self, query: Query) -> Iterator[None]:
        """BigQuery names the table that is not there; this adds the nearest one that is."""
        try:
            yield
        except NotFound as error:
            for table in table_names(query.sql):
                project = table.project or self._client.project
                datasets = self._datasets(project)
                if table.dataset not in datasets:
                    name = f"{table.project}.{table.dataset}" if table.project else table.dataset
                    raise NotFound(absent_dataset(name, datasets)) from error
                known = self._table_names(project, table.dataset)
                if table.table not in known:
                    raise NotFound(absent(table, known)) from error
            raise

    def _datasets(self, project: str) -> list[str]:
        listed = self._jobs.call(lambda retry: list(self._client.list_datasets(project, retry=retry)))
        return [item.dataset_id for item in listed]

    def _table_names(self, project: str, dataset: str) -> list[str]:
        name = f"{project}.{dataset}"
        return [t.table_id for t in self._jobs.call(lambda retry: list(self._client.list_tables(name, retry=retry)))]

    def _arrow(self, rows: Any) -> "pa.Table":
        """Record batches of the Storage Read API as one table; over REST where there is no such client."""
        return rows.to_arrow(bqstorage_client=self._storage, create_bqstorage_client=False)

    def _table(self, table: TableRef) -> "bigquery.Table":
        made: bigquery.Table = self._jobs.call(
            lambda retry: self._client.get_table(self._reference(table), retry=retry)
        )
        return made

    def _drop(self, table: TableRef) -> None:
        self._jobs.call(lambda retry: self._client.delete_table(self._reference(table), not_found_ok=True, retry=retry))

    def _make_dataset(self, table: TableRef, *, expires: bool) -> None:
        from google.cloud import bigquery

        dataset = bigquery.Dataset(f"{table.project or self._client.project}.{table.dataset}")
        dataset.location = self._location
        dataset.labels = MANAGED
        if expires:
            dataset.default_table_expiration_ms = STAGING_KEPT_DAYS * 86_400_000
        self._jobs.call(lambda retry: self._client.create_dataset(dataset, exists_ok=True, retry=retry))

    def _reference(self, table: TableRef) -> "bigquery.TableReference":
        return tables.reference(table, self._client.project)

    def _quoted(self, table: TableRef) -> str:
        return f"`{table.project or self._client.project}.{table.dataset}.{table.table}`"


def _token(table: "bigquery.Table") -> str:
    """Equal as long as nothing changed the table: neither its rows nor the table itself."""
    return f"{table.created}|{table.modified}|{table.num_rows}"


def _in_partitions(schema: TableSchema, partitions: Sequence[date]) -> str:
    # A table without partitions is replaced whole.
    if schema.partition_column is None:
        return "TRUE"
    if not partitions:
        return "FALSE"
    column = schema.column(schema.partition_column)
    kind = "DATE" if column and column.type == "DATE" else "TIMESTAMP"
    days = ", ".join(f"{kind} '{day.isoformat()}'" for day in partitions)
    return f"`{schema.partition_column}` IN ({days})"


def _parameter(name: str, value: ParameterValue) -> "bigquery.ScalarQueryParameter":
    from google.cloud import bigquery

    kinds = {bool: "BOOL", int: "INT64", str: "STRING", Decimal: "NUMERIC", datetime: "TIMESTAMP", date: "DATE"}
    return bigquery.ScalarQueryParameter(name, kinds[type(value)], value)
