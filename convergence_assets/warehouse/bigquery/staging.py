"""A run's rows on their way to a table: in a staging table that belongs to the run alone."""

import hashlib
import json
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergence_assets.temporary_functions import parted
from convergence_assets.warehouse.bigquery import tables
from convergence_assets.warehouse.bigquery.administration import FILES, Administration
from convergence_assets.warehouse.bigquery.connection import Connection
from convergence_assets.warehouse.bigquery.jobs import Request
from convergence_assets.warehouse.bigquery.labels import MANAGED
from convergence_assets.warehouse.errors import NotFound
from convergence_assets.warehouse.interface import FileRules, Job, SourceFile, Staged
from convergence_assets.warehouse.schema import STAGING_PREFIX, Dataset, Query, TableRef, TableSchema

if TYPE_CHECKING:
    from google.cloud import bigquery


@dataclass(frozen=True)
class Staging:
    """Every method raises `WarehouseError`."""

    connection: Connection
    administration: Administration

    def fill(self, target: TableRef, schema: TableSchema, queries: Sequence[Query], job: Job) -> Staged:
        """INSERT the queries' rows into the run's staging table.

        INSERT, not a query with a destination: it keeps the declared types and REQUIRED columns. A table with
        another filling is made again; the same filling of the same run (a retry) attaches to the jobs that made it.
        """
        texts = [json.dumps([q.sql, sorted(q.parameters.items())], default=str) for q in queries]
        filling = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]
        staging = _name(target, job)
        created_at = str(self._table(staging, schema, filling).created)
        quoted, columns = self.connection.quoted(staging), ", ".join(f"`{c.name}`" for c in schema.columns)
        for number, (query, text) in enumerate(zip(queries, texts, strict=True)):
            insert = insert_of(query.sql, quoted, columns)
            identity = (text, str(staging), created_at)
            request = self.connection.query(f"stage{number}", query, job, sql=insert, identity=identity)
            self.connection.jobs.run(replace(request, lines_before=1), job)
        return self._staged(staging, target, schema, job)

    def fill_from_files(
        self, target: TableRef, schema: TableSchema, files: Sequence[SourceFile], job: Job, rules: FileRules, *,
        exact: bool,
    ) -> Staged:  # fmt: skip
        """Load files into a table of their own, and fill the staging table from it."""
        # Both warehouses read files by one reader, so that one file gives the same rows, or the same error, on both.
        from convergence_assets.warehouse.duckdb.parquet import files_to_parquet

        loaded = replace(_name(target, job), table=_name(target, job).table + FILES)
        self.administration.make_dataset(Dataset.of(loaded), expires=True)
        with tempfile.TemporaryDirectory(prefix="convergence-load-") as folder:
            parquet = Path(folder, "rows.parquet")
            notes = files_to_parquet(parquet, schema, files, rules, exact=exact)
            content = hashlib.sha256(parquet.read_bytes()).hexdigest()
            self.connection.jobs.run(self._load(parquet, loaded, schema, job), job)
        columns = ", ".join(f"`{c.name}`" for c in schema.columns)
        query = Query(f"SELECT {columns} FROM {self.connection.quoted(loaded)} -- {content}")
        staged = self.fill(target, schema, [query], job)
        self.administration.drop(loaded)
        return replace(staged, notes=notes)

    def _staged(self, staging: TableRef, target: TableRef, schema: TableSchema, job: Job) -> Staged:
        token = token_of(self.administration.table(staging))
        day = f"DATE(`{schema.partition_column}`)" if schema.partition_column else "CAST(NULL AS DATE)"
        column = schema.column(schema.partition_column or "")
        if column and column.type == "DATE":
            day = f"`{column.name}`"
        quoted = self.connection.quoted(staging)
        count = Query(f"SELECT {day} AS day, COUNT(*) AS number_of_rows FROM {quoted} GROUP BY 1")
        done = self.connection.jobs.run(self.connection.query("count", count, job), job)
        rows = self.connection.jobs.call(lambda retry: list(done.result()))
        counts = {row["day"]: row["number_of_rows"] for row in rows}
        return Staged(staging, target, schema, token, sum(counts.values()), counts)

    def _table(self, staging: TableRef, schema: TableSchema, filling: str) -> "bigquery.Table":
        with suppress(NotFound):
            existing = self.administration.table(staging)
            if existing.labels.get("filling") == filling:
                return existing
            self.administration.drop(staging)
        staging_schema = replace(schema, partition_expiration_days=None, require_partition_filter=False)
        return self.administration.create(staging, staging_schema, MANAGED | {"filling": filling}, expires=True)

    def _load(self, parquet: Path, into: TableRef, schema: TableSchema, job: Job) -> Request:
        from google.cloud import bigquery

        options = bigquery.ParquetOptions()  # type: ignore[no-untyped-call]
        options.enable_list_inference = True
        config = bigquery.LoadJobConfig(
            schema=[tables.field(c, nullable=True) for c in schema.columns],
            source_format=bigquery.SourceFormat.PARQUET,
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            parquet_options=options,
            **self.connection.job_options(job),
        )
        reference = self.connection.reference(into)

        def submit(job_id: str, retry: Any) -> Any:
            # Uploads do their own retries inside the client.
            with parquet.open("rb") as file:
                return self.connection.client.load_table_from_file(
                    file, reference, job_id=job_id, location=self.connection.location, job_config=config
                )

        # Never attached to: a retry may find the table that an earlier attempt filled dropped.
        return Request("load", submit, (uuid.uuid4().hex,))


def insert_of(sql: str, table: str, columns: str) -> str:
    """The INSERT of a SELECT's rows, behind its temporary functions; each of the author's lines is one lower."""
    functions, select = parted(sql)
    start = f"INSERT INTO {table} ({columns}) SELECT {columns} FROM ("
    return f"\n{functions}{start}{select}\n)" if functions else f"{start}\n{select}\n)"


def token_of(table: "bigquery.Table") -> str:
    """Equal as long as nothing changed the table: neither its rows nor the table itself."""
    return f"{table.created}|{table.modified}|{table.num_rows}"


def _name(target: TableRef, job: Job) -> TableRef:
    run = job.run_id.replace("-", "_")
    return TableRef(STAGING_PREFIX + target.dataset, f"{target.table}__{run}", target.project)
