"""`Warehouse` on DuckDB: one file per dataset, one per run for staging."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from convergence_assets.warehouse.duckdb import tables
from convergence_assets.warehouse.duckdb.attached_files import Attaching, attach_to_write
from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.files import Layout
from convergence_assets.warehouse.duckdb.merging import merge_statement
from convergence_assets.warehouse.duckdb.query_preparation import prepared
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.duckdb.reading.load import load_file
from convergence_assets.warehouse.duckdb.reading.notes import Notes
from convergence_assets.warehouse.duckdb.rows import check_output, inserted, partition_literal, spelled
from convergence_assets.warehouse.errors import NotFound, NotKept, SchemaMismatch, StagingChanged
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
from convergence_assets.warehouse.row_text import Row, row_text
from convergence_assets.warehouse.schema import (
    STAGING_PREFIX,
    Column,
    Dataset,
    ParameterValue,
    Query,
    TableRef,
    TableSchema,
    is_version,
)
from convergence_assets.warehouse.schema_diff import added_columns
from convergence_assets.warehouse.statements import absent, table_names

if TYPE_CHECKING:
    import pyarrow as pa

LOCK_TIMEOUT_SECONDS = 600.0
_NO_EXCEPTIONS = FileRules()


class DuckDBWarehouse:
    """The embedded warehouse under a folder; see `Warehouse` for what each method promises.

    A dataset's file is attached only while a statement reads it (shared lock) or a publish writes it (exclusive
    lock). Staging lives in a file of the run, so a long SELECT never holds another run's publish of other datasets.
    """

    engine = "duckdb"
    statements: Sequence[Statement] = ()

    def __init__(self, folder: Path, waits: Waits = silent) -> None:
        self._layout = Layout(folder)
        self._waits = waits
        self._opened: Engine | None = None
        self._attaching = Attaching(self._layout, lambda: self._engine)
        self._staging: dict[Dataset, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened:
            if error is None:
                self._opened.give_back()
            else:
                self._opened.close()
            self._opened = None
            self._staging.clear()

    def ensure_table(self, table: TableRef, schema: TableSchema) -> SchemaChange:
        dataset = Dataset.of(table)
        with suppress(NotFound), self._attaching.reading([dataset], LOCK_TIMEOUT_SECONDS):
            existing = tables.existing(self._engine, str(dataset)).get(table.table)
            if existing and existing.schema == schema:
                return SchemaChange(created=False)
        with self._attaching.writing(dataset, LOCK_TIMEOUT_SECONDS):
            existing = tables.existing(self._engine, str(dataset)).get(table.table)
            name = f"{quoted(str(dataset))}.{quoted(table.table)}"
            with self._attaching.transaction():
                if existing is None:
                    tables.create(self._engine, name, schema)
                    return SchemaChange(created=True)
                added = added_columns(schema, existing.schema, table)
                tables.add_columns(self._engine, name, added)
                tables.remember(self._engine, name, schema)
                return SchemaChange(created=False, added=tuple(c.name for c in added))

    def stage_query(self, target: TableRef, schema: TableSchema, queries: Sequence[Query], job: Job) -> Staged:
        staging, name, token = self._new_staging(target, schema, job)
        columns = ", ".join(quoted(c.name) for c in schema.columns)
        for query in queries:
            with self._prepared(query, job.timeout_seconds) as (sql, parameters):
                described = self._engine.run(f"DESCRIBE {sql}", parameters, written_as=query.sql)
                output = {row[0]: row[1] for row in described}
                check_output(target, schema, output)
                self._engine.run(
                    f"INSERT INTO {name} ({columns}) SELECT {inserted(schema, output)} FROM ({sql}) AS staged_rows",
                    parameters,
                    timeout_seconds=job.timeout_seconds,
                    written_as=query.sql,
                )
        return self._staged(staging, target, schema, token, name)

    def stage_files(
        self, target: TableRef, schema: TableSchema, files: Sequence[SourceFile], job: Job,
        rules: FileRules = _NO_EXCEPTIONS,
    ) -> Staged:  # fmt: skip
        staging, name, token = self._new_staging(target, schema, job)
        notes = self._load(name, schema, files, job, rules, exact=True)
        return replace(self._staged(staging, target, schema, token, name), notes=notes)

    def stage_past(self, target: TableRef, schema: TableSchema, partition: date, as_of: datetime, job: Job) -> Staged:
        raise NotKept(f"the embedded warehouse keeps no earlier rows of table {target}, partition {partition}")

    def read_staged(self, staged: Staged, columns: Sequence[str], job: Job) -> "pa.Table":
        chosen = ", ".join(quoted(c.name) for c in staged.schema.only(columns))
        sql = f"SELECT {chosen} FROM {self._staging_name(staged.table, job.run_id)}"
        return self._engine.arrow(sql, timeout_seconds=job.timeout_seconds)

    def read(self, query: Query, job: Job) -> "pa.Table":
        with self._prepared(query, job.timeout_seconds) as (sql, parameters):
            return self._engine.arrow(sql, parameters, timeout_seconds=job.timeout_seconds, written_as=query.sql)

    def rows(self, query: Query, job: Job) -> Sequence[Row]:
        with self._prepared(query, job.timeout_seconds) as (sql, parameters):
            return self._engine.rows(sql, parameters, timeout_seconds=job.timeout_seconds, written_as=query.sql)

    def dry_run(self, query: Query) -> Estimate:
        with self._prepared(query, LOCK_TIMEOUT_SECONDS) as (sql, parameters):
            described = self._engine.run(f"DESCRIBE {sql}", parameters, written_as=query.sql)
            return Estimate({row[0]: spelled(row[1]) for row in described}, None)

    def publish(self, staged: Staged, partitions: Sequence[date], job: Job) -> int:
        source = self._staging_name(staged.table, job.run_id)
        staging_table = tables.existing(self._engine, str(Dataset.of(staged.table))).get(staged.table.table)
        if staging_table is None or staging_table.token != staged.token:
            raise StagingChanged(f"{staged.table} is not the staging table that was validated for {staged.target}")
        dataset = Dataset.of(staged.target)
        columns = ", ".join(quoted(c.name) for c in staged.schema.columns)
        with self._attaching.writing(dataset, job.timeout_seconds):
            target = f"{quoted(str(dataset))}.{quoted(staged.target.table)}"
            chosen = _in_partitions(staged.schema, partitions)
            with self._attaching.transaction():
                self._engine.run(f"DELETE FROM {target} WHERE {chosen}")
                written = self._engine.run(
                    f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {source} WHERE {chosen}"
                )
            return int(written[0][0])

    def discard(self, staged: Staged) -> None:
        dataset = Dataset.of(staged.table)
        self._engine.run(f"DROP TABLE IF EXISTS {quoted(str(dataset))}.{quoted(staged.table.table)}")
        if not tables.existing(self._engine, str(dataset)):
            file = self._layout.staging_file(dataset, self._staging.pop(dataset))
            self._attaching.detach(dataset)
            file.unlink(missing_ok=True)

    def staged_runs(self, dataset: Dataset) -> Mapping[str, datetime]:
        by_run = {}
        for file in self._staging_files(dataset):
            with suppress(FileNotFoundError):
                by_run[file.stem] = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        return by_run

    def drop_staged(self, dataset: Dataset, run_id: str) -> None:
        with suppress(FileNotFoundError):
            self._layout.remove(self._layout.staging_file(_staging_of(dataset), run_id))

    def load_files(
        self, table: TableRef, schema: TableSchema, files: Sequence[SourceFile], job: Job,
        rules: FileRules = _NO_EXCEPTIONS,
    ) -> Loaded:  # fmt: skip
        staging, name, token = self._new_staging(table, schema, job)
        notes = self._load(name, schema, files, job, rules, exact=False)
        staged = self._staged(staging, table, schema, token, name)
        self.ensure_table(table, schema)
        written = self.publish(staged, [p for p in staged.rows_per_partition if p is not None], job)
        self.discard(staged)
        return Loaded(written, notes)

    def merge_rows(
        self, table: TableRef, schema: TableSchema, rows: Sequence[Row], key: tuple[str, ...], job: Job,
        newest_by: str | None = None,
    ) -> None:  # fmt: skip
        dataset = Dataset.of(table)
        if not self._layout.dataset_file(dataset).exists():
            raise self._attaching.absent(dataset)
        merge = merge_statement(f"{quoted(str(dataset))}.{quoted(table.table)}", schema, key, newest_by)
        with self._attaching.writing(dataset, job.timeout_seconds):
            existing = tables.existing(self._engine, str(dataset))
            if table.table not in existing:
                raise NotFound(absent(table, existing))
            with self._attaching.transaction():
                self._engine.run(merge, {"rows": row_text(schema, rows)}, timeout_seconds=job.timeout_seconds)

    def delete_before(self, table: TableRef, schema: TableSchema, day: date, job: Job) -> None:
        dataset = Dataset.of(table)
        if not self._layout.dataset_file(dataset).exists():
            raise self._attaching.absent(dataset)
        name = f"{quoted(str(dataset))}.{quoted(table.table)}"
        assert schema.partition_column
        old = f"{quoted(schema.partition_column)} < TIMESTAMPTZ '{day} 00:00:00+00'"
        with self._attaching.writing(dataset, job.timeout_seconds):
            existing = tables.existing(self._engine, str(dataset))
            if table.table not in existing:
                raise NotFound(absent(table, existing))
            with self._attaching.transaction():
                self._engine.run(f"DELETE FROM {name} WHERE {old}", timeout_seconds=job.timeout_seconds)

    def running_jobs(self) -> Sequence[RunningJob]:
        return ()  # A statement lives and dies with the process that runs it.

    def cancel_jobs(self, jobs: Sequence[RunningJob]) -> None:
        assert not jobs, "the embedded warehouse has no jobs of its own"

    def has_dataset(self, dataset: Dataset) -> bool:
        return self._layout.dataset_file(dataset).exists()

    def tables_of(self, dataset: Dataset) -> Sequence[TableRef]:
        if not self.has_dataset(dataset):
            return ()
        with self._attaching.reading([dataset], LOCK_TIMEOUT_SECONDS):
            names = sorted(tables.existing(self._engine, str(dataset)))
        return [TableRef(dataset.name, name, dataset.project) for name in names]

    def version_tables(self, dataset: Dataset) -> Sequence[TableRef]:
        if not self.has_dataset(dataset):
            return ()
        with self._attaching.reading([dataset], LOCK_TIMEOUT_SECONDS):
            existing = tables.existing(self._engine, str(dataset))
        names = sorted(name for name, found in existing.items() if is_version(name, found.version))
        return [TableRef(dataset.name, name, dataset.project) for name in names]

    def has_table(self, table: TableRef) -> bool:
        dataset = Dataset.of(table)
        if not self.has_dataset(dataset):
            return False
        with self._attaching.reading([dataset], LOCK_TIMEOUT_SECONDS):
            return tables.is_taken(self._engine, str(dataset), table.table)

    def existing_schema(self, table: TableRef) -> TableSchema | None:
        dataset = Dataset.of(table)
        if not self.has_dataset(dataset):
            return None
        with self._attaching.reading([dataset], LOCK_TIMEOUT_SECONDS):
            found = tables.existing(self._engine, str(dataset)).get(table.table)
        return found.schema if found else None

    def drop_table(self, table: TableRef, *, if_empty: bool = False) -> bool:
        dataset = Dataset.of(table)
        if not self.has_dataset(dataset):
            return False
        with self._attaching.writing(dataset, LOCK_TIMEOUT_SECONDS):
            name = f"{quoted(str(dataset))}.{quoted(table.table)}"
            if table.table not in tables.existing(self._engine, str(dataset)):
                return False
            if if_empty and self._engine.run(f"SELECT 1 FROM {name} LIMIT 1"):
                return False
            self._engine.run(f"DROP TABLE {name}")
            return True

    def switch_table(
        self, table: TableRef, new: TableRef, kept: TableRef, job: Job, *, may_be_absent: bool = False
    ) -> None:
        dataset = Dataset.of(table)
        with self._attaching.writing(dataset, job.timeout_seconds), self._attaching.transaction():
            tables.switch(self._engine, str(dataset), table, new, kept)

    def drop_staging(self, dataset: Dataset) -> int:
        files = self._staging_files(dataset)
        for file in files:
            self._layout.remove(file)
        return len(files)

    def _staging_files(self, dataset: Dataset) -> list[Path]:
        return sorted((self._layout.staging_folder / str(_staging_of(dataset))).glob("*.duckdb"))

    def drop_dataset(self, dataset: Dataset) -> bool:
        return self.has_dataset(dataset) and self._attaching.remove(dataset, LOCK_TIMEOUT_SECONDS)

    @property
    def _engine(self) -> Engine:
        if self._opened is None:
            self._opened = Engine.taken(self._layout.spill_folder, self._waits)
        return self._opened

    def _new_staging(self, target: TableRef, schema: TableSchema, job: Job) -> tuple[TableRef, str, str]:
        dataset = Dataset(STAGING_PREFIX + target.dataset, target.project)
        staging = TableRef(dataset.name, f"{target.table}__{job.run_id.replace('-', '_')}", target.project)
        name = self._staging_name(staging, job.run_id)
        token = uuid.uuid4().hex
        with self._attaching.transaction():
            self._engine.run(f"DROP TABLE IF EXISTS {name}")
            tables.create(self._engine, name, schema, token)
        return staging, name, token

    def _staging_name(self, staging: TableRef, run_id: str) -> str:
        dataset = Dataset.of(staging)
        if self._staging.get(dataset) != run_id:
            if self._staging.pop(dataset, None):
                self._attaching.detach(dataset)
            file = self._layout.staging_file(dataset, run_id)
            file.parent.mkdir(parents=True, exist_ok=True)
            self._engine.run(attach_to_write(file, str(dataset)))
            self._staging[dataset] = run_id
        return f"{quoted(str(dataset))}.{quoted(staging.table)}"

    def _staged(self, staging: TableRef, target: TableRef, schema: TableSchema, token: str, name: str) -> Staged:
        day = _partition_day(schema)
        counts = dict(self._engine.run(f"SELECT {day}, count(*) FROM {name} GROUP BY 1"))
        return Staged(staging, target, schema, token, sum(counts.values()), counts)

    def _load(
        self, name: str, schema: TableSchema, files: Sequence[SourceFile], job: Job, rules: FileRules, *, exact: bool
    ) -> tuple[str, ...]:
        notes = Notes()
        for file in files:
            timeout = job.timeout_seconds
            load_file(self._engine, name, schema, file, rules, notes, exact=exact, timeout_seconds=timeout)
        return notes.sentences()

    @contextmanager
    def _prepared(self, query: Query, timeout_seconds: float) -> Iterator[tuple[str, dict[str, ParameterValue]]]:
        """The query as DuckDB runs it, with its datasets attached while the block runs."""
        named = table_names(query.sql)
        datasets = {Dataset.of(t) for t in named}
        published = [d for d in datasets if not d.name.startswith(STAGING_PREFIX)]
        staged = {Dataset.of(t): t for t in named if t.dataset.startswith(STAGING_PREFIX)}
        others = [table for dataset, table in staged.items() if dataset not in self._staging]
        with self._attaching.reading(published, timeout_seconds), self._attaching.reading_staged(others):
            types: dict[str, Mapping[str, Column]] = {}
            for dataset in datasets:
                existing = tables.existing(self._engine, str(dataset))
                for table in (t for t in named if Dataset.of(t) == dataset):
                    if table.prefix is not None:
                        types |= _matching(table, existing)
                        continue
                    if table.table not in existing:
                        raise NotFound(absent(table, existing))
                    types[str(table)] = {c.name: c for c in existing[table.table].schema.columns}
            yield prepared(query, types)


def _matching(wildcard: TableRef, existing: Mapping[str, tables.Existing]) -> dict[str, Mapping[str, Column]]:
    """The columns of each table that a wildcard matches, and all of theirs as its own.

    Raises `NotFound` where there is none, `SchemaMismatch` where two have a column of one name and different types.
    """
    names = sorted(name for name in existing if name.startswith(wildcard.prefix or ""))
    if not names:
        raise NotFound(f"{wildcard} does not match any table")
    matched: dict[str, Mapping[str, Column]] = {}
    every: dict[str, Column] = {}
    for name in names:
        columns = {c.name: c for c in existing[name].schema.columns}
        for column in columns.values():
            first = every.setdefault(column.name, column)
            if (first.type, first.mode == "REPEATED") != (column.type, column.mode == "REPEATED"):
                raise SchemaMismatch(f"{wildcard}: {column.name} is {first.type}, and in {name} {column.type}")
        matched[str(replace(wildcard, table=name))] = columns
    return matched | {str(wildcard): every}


def _staging_of(dataset: Dataset) -> Dataset:
    return Dataset(STAGING_PREFIX + dataset.name, dataset.project)


def _partition_day(schema: TableSchema) -> str:
    return f"CAST({quoted(schema.partition_column)} AS DATE)" if schema.partition_column else "CAST(NULL AS DATE)"


def _in_partitions(schema: TableSchema, partitions: Sequence[date]) -> str:
    # A table without partitions is replaced whole.
    if schema.partition_column is None:
        return "true"
    days = ", ".join(partition_literal(p) for p in partitions)
    column = schema.column(schema.partition_column)
    day = quoted(schema.partition_column) if column and column.type == "DATE" else _partition_day(schema)
    return f"{day} IN ({days})" if partitions else "false"
