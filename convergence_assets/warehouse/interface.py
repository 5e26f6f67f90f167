"""What the platform needs of a warehouse; one Protocol, one adapter per engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

from convergence_assets.warehouse.row_text import Row
from convergence_assets.warehouse.schema import Dataset, Query, TableRef, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

FileFormat = Literal["csv", "jsonl", "parquet"]

WAITS_EVERY_SECONDS = 20.0

Waits = Callable[[str], None]
"""Called with the statement's id or kind, from the thread that waits for it and again every `WAITS_EVERY_SECONDS`, as
long as it runs on the warehouse."""


def silent(what: str) -> None:
    """Ignore waits."""


GIGABYTE = 10**9
"""Bytes, as budgets and warnings count them."""
STAGING_KEPT_DAYS = 7
"""So long rows stay that checks have stopped."""


@dataclass(frozen=True)
class Job:
    """On whose behalf a statement runs.

    `run_id` names the staging tables: a run shares it with its automatic retries and with no other run. `labels` are
    tenant, pipeline, asset, partition and run_id; `timeout_seconds` bounds each statement and each wait for a lock;
    `maximum_bytes_billed` is what one statement may cost where statements are billed (None: no cap).
    """

    run_id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 3600.0
    maximum_bytes_billed: int | None = None


@dataclass(frozen=True)
class Statement:
    """What one finished job of the warehouse cost; `attached`: an earlier attempt had sent it.

    Bytes and slot milliseconds are None where the engine does not count them.
    """

    job_id: str
    kind: str
    seconds: float
    sql: str = ""
    link: str | None = None
    bytes_processed: int | None = None
    bytes_billed: int | None = None
    slot_ms: int | None = None
    cache_hit: bool = False
    attached: bool = False


@dataclass(frozen=True)
class RunningJob:
    """A job of this platform that runs on the warehouse now, with the labels it was sent with.

    `owner_is_gone`: whether the process that sent it has ended (None: it ran on another host).
    """

    job_id: str
    labels: Mapping[str, str]
    started: datetime | None
    location: str | None
    owner_is_gone: bool | None


@dataclass(frozen=True)
class Estimate:
    """What a SELECT would give and read: its output columns with their types, and bytes (None: not counted).

    `fields` are the dotted names of what lies in its RECORD columns; the embedded engine leaves them out.
    """

    columns: Mapping[str, str]
    bytes_processed: int | None
    fields: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SchemaChange:
    """What `ensure_table` did: made the table, or added columns to it, or neither."""

    created: bool
    added: tuple[str, ...] = ()


@dataclass(frozen=True)
class Staged:
    """Rows in a run's own staging table; `token` identifies exactly this filling of it."""

    table: TableRef
    target: TableRef
    schema: TableSchema
    token: str
    rows: int
    rows_per_partition: Mapping[date | None, int]
    notes: tuple[str, ...] = ()
    """What reading files did besides: columns that it ignored, values that it rounded."""


@dataclass(frozen=True)
class SourceFile:
    """One local file and the partition date of its path (None where the rows carry it).

    `name` is what errors call it (its path where not given); `delimiter` is a CSV's (None: a tab where the name ends
    in .tsv, else a comma).
    """

    path: str
    format: FileFormat
    partition: date | None = None
    name: str = ""
    delimiter: str | None = None


@dataclass(frozen=True)
class FileRules:
    """What a table's columns allow in its files: dotted names in lower case."""

    optional: frozenset[str] = frozenset()
    """Columns that a file may lack; they are NULL then."""
    rounded: frozenset[str] = frozenset()
    """Numbers of more decimals than their column that are rounded half to even."""
    sensitive: frozenset[str] = frozenset()
    """Columns whose values no message shows."""


@dataclass(frozen=True)
class Loaded:
    """The rows that files brought into a table, and what reading them did besides."""

    rows: int
    notes: tuple[str, ...] = ()


_NO_EXCEPTIONS = FileRules()


class Warehouse(Protocol):
    """One connection to a warehouse, kept for a step and closed by `with`.

    Every method raises a `WarehouseError`; none leaves a partly written table behind.
    """

    engine: str

    @property
    def statements(self) -> Sequence[Statement]:
        """What this connection ran so far, where the engine accounts for jobs."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def ensure_table(self, table: TableRef, schema: TableSchema) -> SchemaChange:
        """Make the table, or add new NULLABLE columns; `SchemaMismatch`, nothing written, for any other difference."""
        ...

    def stage_query(self, target: TableRef, schema: TableSchema, queries: Sequence[Query], job: Job) -> Staged:
        """Run the SELECTs into a staging table of `schema` that belongs to the run alone."""
        ...

    def stage_files(
        self, target: TableRef, schema: TableSchema, files: Sequence[SourceFile], job: Job,
        rules: FileRules = _NO_EXCEPTIONS,
    ) -> Staged:  # fmt: skip
        """Load files into a staging table; a file's partition fills the partition column where the path gives it.

        Raises `UnreadableFile` for a file that does not hold exactly the declared columns.
        """
        ...

    def stage_past(self, target: TableRef, schema: TableSchema, partition: date, as_of: datetime, job: Job) -> Staged:
        """Stage the rows that a partition of the target had at a moment; columns that it did not have yet are NULL.

        Raises `NotKept` where the engine does not have them (any more).
        """
        ...

    def read_staged(self, staged: Staged, columns: Sequence[str], job: Job) -> "pa.Table":
        """The staged rows, only the named columns, in declared order."""
        ...

    def read(self, query: Query, job: Job) -> "pa.Table":
        """Run one read-only SELECT over published (and this run's staged) tables."""
        ...

    def rows(self, query: Query, job: Job) -> Sequence[Row]:
        """The same for an answer of few rows: the values of each by column, as `to_pylist` of the table gives them."""
        ...

    def dry_run(self, query: Query) -> Estimate:
        """Check a SELECT without running it: syntax, tables, columns, types, bytes."""
        ...

    def publish(self, staged: Staged, partitions: Sequence[date], job: Job) -> int:
        """Replace these partitions of the target by the staged rows in one atomic step; the rows written.

        Fails closed with `StagingChanged` unless the staging table is the one `staged` describes.
        """
        ...

    def discard(self, staged: Staged) -> None:
        """Drop the staging table."""
        ...

    def staged_runs(self, dataset: Dataset) -> Mapping[str, datetime]:
        """The runs, by the id of the first of their retries, that have rows staged for a dataset, and when they last
        wrote some."""
        ...

    def drop_staged(self, dataset: Dataset, run_id: str) -> None:
        """Remove what a run, with its retries, has staged for a dataset."""
        ...

    def load_files(
        self, table: TableRef, schema: TableSchema, files: Sequence[SourceFile], job: Job,
        rules: FileRules = _NO_EXCEPTIONS,
    ) -> Loaded:  # fmt: skip
        """Load files into a table outside the pipelines (a source), replacing the partitions that they hold.

        Columns of a file that are not declared are ignored, and named. Raises `UnreadableFile`, nothing written.
        """
        ...

    def merge_rows(
        self, table: TableRef, schema: TableSchema, rows: Sequence[Row], key: tuple[str, ...], job: Job,
        newest_by: str | None = None,
    ) -> None:  # fmt: skip
        """Replace the rows of the same `key` and insert the others, in one atomic step that may be repeated.

        No two of `rows` have the same key; a row keeps its partition for ever. Where `newest_by` is given, a row of
        the table stays that is greater in it. Raises `NotFound` where there is no such table.
        """
        ...

    def delete_before(self, table: TableRef, schema: TableSchema, day: date, job: Job) -> None:
        """Delete the partitions of a TIMESTAMP-partitioned table that are before a day (UTC), in one atomic step.

        Raises `NotFound` where there is no such table.
        """
        ...

    def running_jobs(self) -> Sequence[RunningJob]:
        """Jobs of this platform that run on the warehouse now, of any sender."""
        ...

    def cancel_jobs(self, jobs: Sequence[RunningJob]) -> None:
        """Ask the warehouse to end these jobs."""
        ...

    def has_dataset(self, dataset: Dataset) -> bool:
        """Whether there is such a dataset, of any maker."""
        ...

    def tables_of(self, dataset: Dataset) -> Sequence[TableRef]:
        """The tables of a dataset that this platform made, by name; none where there is no such dataset."""
        ...

    def version_tables(self, dataset: Dataset) -> Sequence[TableRef]:
        """Those of them that are versions beside the tables that are read, each marked with the number that its name
        has: a table that a step has made under such a name is none."""
        ...

    def has_table(self, table: TableRef) -> bool:
        """Whether there is a table or view of this name, whoever made it."""
        ...

    def existing_schema(self, table: TableRef) -> TableSchema | None:
        """What a table is; None where there is none."""
        ...

    def drop_table(self, table: TableRef, *, if_empty: bool = False) -> bool:
        """Remove a table and say whether this did; with `if_empty` one that holds a row stays."""
        ...

    def switch_table(
        self, table: TableRef, new: TableRef, kept: TableRef, job: Job, *, may_be_absent: bool = False
    ) -> None:
        """Let `table` be what `new` is, version and all, in one atomic step; what it was is `kept` then, marked as a
        version, in the place of whatever that was. A `table` that is absent, since such a switch was interrupted,
        becomes `new` alone.

        An engine that cannot do it in one step raises `NotReplaceable` unless the table `may_be_absent` in between.
        `new` may stay as a copy. Raises `NotFound` where there is no `new`, and `NameTaken` where `kept` is there and
        is none of `version_tables`. Where `table` is of the version of `new` already, nothing is done.
        """
        ...

    def drop_staging(self, dataset: Dataset) -> int:
        """Remove everything that runs have staged for a dataset, and its views of shared sources; how many tables, or
        files of runs, were staged."""
        ...

    def drop_dataset(self, dataset: Dataset) -> bool:
        """Remove a dataset that holds no table at all; True if it was removed."""
        ...
