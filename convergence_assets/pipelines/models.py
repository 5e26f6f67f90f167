"""What `pipeline.yaml` and an expectation suite may say."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from convergence_assets.pipelines.problems import nearest

_NAME = r"^[a-z][a-z0-9_]{2,49}$"
_TABLE = r"^[A-Za-z][A-Za-z0-9_]{0,254}$"
_COLUMN = r"^[A-Za-z_][A-Za-z0-9_]{0,299}$"
_OF_A_VERSION = re.compile(r"__v[0-9]+$", re.IGNORECASE)
_TYPE = r"^[a-z][a-z0-9_]*$"

A_YEAR_OF_MINUTES = 366 * 24 * 60
"""A longer wait is a mistake, and leads to a moment that no calendar has."""

Name = Annotated[str, Field(pattern=_NAME)]
TableName = Annotated[str, Field(pattern=_TABLE)]
ColumnName = Annotated[str, Field(pattern=_COLUMN)]
ColumnType = Literal[
    "STRING", "INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64", "BOOL", "DATE", "DATETIME", "TIMESTAMP", "TIME",
    "BYTES", "JSON", "RECORD",
]  # fmt: skip
Severity = Literal["critical", "warning", "info"]

# https://cloud.google.com/bigquery/docs/schemas#column_names
RESERVED_COLUMN_PREFIXES = ("_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER")
LEDGER_PREFIX = "x_meta_"
_GX_0_RUNTIME = frozenset({"catch_exceptions", "include_config", "result_format"})
_GX_0_ONLY = frozenset({"data_asset_type", "ge_cloud_id"})
_CLUSTERABLE = ("STRING", "INT64", "NUMERIC", "BIGNUMERIC", "BOOL", "DATE", "DATETIME", "TIMESTAMP")


class Misplaced(ValueError):
    """A value that does not fit the rest; `path` leads from the model to its key."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


class Model(BaseModel):
    """A frozen value that knows no key but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    never_shown: ClassVar[frozenset[str]] = frozenset()
    """Keys below which a wrong value is not repeated in messages, since it may be a secret."""

    meant: ClassVar[Mapping[str, str]] = {
        _NAME: "a lower-case letter, then 2 to 49 lower-case letters, digits or _",
        _TABLE: "a letter, then letters, digits or _",
        _COLUMN: "a letter or _, then letters, digits or _",
        _TYPE: "a name like expect_column_values_to_not_be_null",
    }
    """The patterns of the model's texts, in words."""


class ColumnSpec(Model):
    """A column of a table or source."""

    name: ColumnName
    type: ColumnType = Field(description="BigQuery's standard type; RECORD takes `fields`")
    mode: Literal["NULLABLE", "REQUIRED", "REPEATED"] = "NULLABLE"
    description: str = ""
    sensitive: bool = Field(False, description="Mask its values in examples, alerts, logs and bundles")
    optional: bool = Field(False, description="A file may lack the column, which is NULL then; docs/FILES.md")
    round: Literal["half_even"] | None = Field(
        None, description="Numbers of more decimals in files are rounded, and counted, instead of refused"
    )
    fields: Annotated[tuple["ColumnSpec", ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _fields_of_a_record(self) -> "ColumnSpec":
        if self.type == "RECORD" and not self.fields:
            raise Misplaced(f"RECORD column {self.name} has no fields; list at least one under `fields`", "type")
        if self.type != "RECORD" and self.fields:
            raise Misplaced(f"column {self.name} has fields and is a {self.type}; only a RECORD has fields", "type")
        _unique(self.fields, "fields")
        return self

    @model_validator(mode="after")
    def _rules_of_files_fit(self) -> "ColumnSpec":
        if self.optional and self.mode == "REQUIRED":
            raise Misplaced(f"column {self.name} is REQUIRED; a file cannot lack it", "optional")
        if self.round and self.type not in ("INT64", "NUMERIC", "BIGNUMERIC"):
            raise Misplaced(f"column {self.name} is {self.type}; INT64, NUMERIC and BIGNUMERIC are rounded", "round")
        return self

    @property
    def read_from_files_by(self) -> str | None:
        """The first of its keys, or its members', that is about files."""
        own_key = "optional" if self.optional else "round" if self.round else None
        return own_key or next((key for key in (f.read_from_files_by for f in self.fields) if key), None)


Columns = Annotated[tuple[ColumnSpec, ...], Field(strict=False, min_length=1)]


class ParameterSpec(Model):
    """A value that a tenant gives under `with:`."""

    type: Literal["table", "tables", "identifier", "string", "integer", "number", "boolean", "date"]
    description: str = ""
    default: Any = Field(None, description="Absent: the tenant must give it")
    allowed: Annotated[tuple[Any, ...] | None, Field(strict=False)] = None


class SourceSpec(Model):
    """A table that this project reads and does not make."""

    table: str = Field(
        description="Jinja over the parameters: dataset.table or project.dataset.table, or a parameter of type "
        "`tables`; a `*` at its end reads all tables of the dataset that begin so, with `_TABLE_SUFFIX`"
    )
    description: str = ""
    partition_column: ColumnName | None = None
    ingestion_time_from: str | None = Field(
        None, description="The TIMESTAMP whose day fills the partition column where the engine has no ingestion time"
    )
    columns: Columns

    @model_validator(mode="after")
    def _columns_exist(self) -> "SourceSpec":
        _unique(self.columns, "columns")
        names = {c.name for c in self.columns}
        if self.ingestion_time_from and self.ingestion_time_from not in names:
            raise Misplaced(f"{self.ingestion_time_from} is no column of the source", "ingestion_time_from")
        if self.partition_column and not self.ingestion_time_from and self.partition_column not in names:
            raise Misplaced(f"{self.partition_column} is no column of the source", "partition_column")
        return self

    @property
    def is_wildcard(self) -> bool:
        """Whether it reads every table whose name begins as it does."""
        return self.table.endswith("*")


class MoneySpec(Model):
    """The money of a table's rows, which Dagster shows and plots of each day."""

    column: ColumnName = Field(description="A NUMERIC column: what a row costs")
    currency_column: ColumnName = Field(description="The STRING column of its currency; currencies are never added")

    def columns(self) -> tuple[tuple[str, str, str], ...]:
        """Each key with the column it names and the type that column must have."""
        return ("column", self.column, "NUMERIC"), ("currency_column", self.currency_column, "STRING")


class TableStep(Model):
    """What every step declares of the table it makes."""

    table: TableName = Field(description="The step's and its table's name")
    description: str = ""
    when_empty: Literal["fail", "warn", "publish"] = Field(
        "fail", description="What a partition without rows means: a failure, a warning, or a result to publish"
    )
    version: Annotated[int, Field(ge=1)] = Field(
        1, description="Raised where an existing table does not take the columns; then `convergence upgrade`"
    )
    partition_column: ColumnName = Field(description="A DATE column: the partition a row belongs to")
    clustering: Annotated[tuple[str, ...], Field(strict=False, max_length=4)] = ()
    partition_expiration_days: Annotated[int, Field(gt=0)] | None = None
    require_partition_filter: bool = True
    money: MoneySpec | None = Field(None, description="Added up by day and currency as metadata that plots")
    columns: Columns

    @model_validator(mode="after")
    def _columns_fit(self) -> "TableStep":
        _unique(self.columns, "columns")
        by_name = {c.name: c for c in self.columns}
        partition = by_name.get(self.partition_column)
        if partition is None:
            raise Misplaced(f"{self.partition_column} is no column of {self.table}", "partition_column")
        index = self.columns.index(partition)
        if partition.type != "DATE":
            raise Misplaced(f"the partition column is {partition.type}; it must be a DATE", "columns", index, "type")
        if partition.mode == "REPEATED":
            raise Misplaced("the partition column is REPEATED; it must be one DATE", "columns", index, "mode")
        for i, name in enumerate(self.clustering):
            if name not in by_name:
                near = nearest(name, by_name)
                hint = f"; did you mean '{near}'?" if near else ""
                raise Misplaced(f"{name} is no column of {self.table}{hint}", "clustering", i)
            if by_name[name].type not in _CLUSTERABLE or by_name[name].mode == "REPEATED":
                raise Misplaced(f"{name} is {by_name[name].type}; BigQuery cannot cluster by it", "clustering", i)
            if name in self.clustering[:i]:
                raise Misplaced(f"{name} stands twice", "clustering", i)
        for key, name, expected in self.money.columns() if self.money else ():
            if name not in by_name:
                near = nearest(name, by_name)
                hint = f"; did you mean '{near}'?" if near else ""
                raise Misplaced(f"{name} is no column of {self.table}{hint}", "money", key)
            if by_name[name].type != expected or by_name[name].mode == "REPEATED":
                raise Misplaced(f"{name} is {by_name[name].type}; expected one {expected}", "money", key)
        if _OF_A_VERSION.search(self.table):
            raise Misplaced(f"{self.table}: names that end in __v and a number are those of tables' versions", "table")
        if self.table.lower().startswith(LEDGER_PREFIX):
            raise Misplaced(f"{self.table}: names that begin with {LEDGER_PREFIX} are the run ledger's", "table")
        for i, column in enumerate(self.columns):
            if column.name.upper().startswith(RESERVED_COLUMN_PREFIXES):
                raise Misplaced(f"{column.name} has a prefix that BigQuery reserves", "columns", i, "name")
        return self


class LateData(Model):
    """How to ask whether a source has rows for days that were published before they came."""

    look_back_days: Annotated[int, Field(gt=0, le=90)] = Field(description="So many days before the last due one")
    sql: str = Field(
        description="The file of a SELECT of `day` (DATE) and `marker`, which differs once a day's rows have changed"
    )


class StepTest(Model):
    """The rows that a step's SELECT makes of given ones."""

    name: str = Field(pattern=_NAME)
    partition: date = Field(description="The day that is run, in the tenant's timezone")
    given: dict[TableName, Annotated[tuple[dict[str, Any], ...], Field(strict=False)]] = Field(
        default_factory=dict, description="Rows by table or source; a column that a row leaves out is NULL"
    )
    expect: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = Field(
        description="All rows that come out, in any order; columns that none of them names are not compared"
    )


class BigQueryStep(TableStep):
    """A table made by one SELECT."""

    kind: Literal["bigquery"]
    sql: str | None = Field(None, description="The file's name; <table>.sql where not given")
    late_data: LateData | None = Field(None, description="Asked once a schedule's tick; changed days run again")
    tests: Annotated[tuple[StepTest, ...], Field(strict=False)] = Field(
        (), description="Run by `convergence validate --tests`"
    )

    @model_validator(mode="after")
    def _columns_come_from_sql(self) -> "BigQueryStep":
        for i, column in enumerate(self.columns):
            if key := column.read_from_files_by:
                raise Misplaced(f"{key} speaks of files; this column comes from SQL", "columns", i, key)
        return self


class FilesStep(TableStep):
    """A table loaded from files, one set of files a partition."""

    kind: Literal["files"]
    path: str = Field(description="Pattern with {date}; Jinja over the parameters; local or any fsspec URL")
    format: Literal["csv", "jsonl", "parquet"]
    partition_from_path: bool = Field(False, description="Fill the partition column from {date}")
    delimiter: str | None = Field(
        None, description="What separates the fields of a CSV: one character; a comma, in .tsv files a tab"
    )

    @model_validator(mode="after")
    def _format_fits(self) -> "FilesStep":
        if self.delimiter is not None:
            if self.format != "csv":
                raise Misplaced(f"{self.format} has no delimiter; only csv has one", "delimiter")
            if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n\0':
                raise Misplaced("a delimiter is one character of ASCII, and no quote or line end", "delimiter")
        for i, column in enumerate(self.columns):
            if self.format == "csv" and (column.type == "RECORD" or column.mode == "REPEATED"):
                raise Misplaced(f"a CSV holds no {column.mode} {column.type}; only single values", "columns", i, "type")
            if column.optional and column.name == self.partition_column:
                raise Misplaced("the partition column cannot be missing", "columns", i, "optional")
        return self

    @field_validator("path")
    @classmethod
    def _has_a_date(cls, path: str) -> str:
        if "{date}" not in path:
            raise ValueError("path has no {date}: every partition would read the same files")
        for placeholder in re.findall(r"\{[^{}]*\}", re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", path)):
            if placeholder != "{date}":
                raise ValueError(f"path has {placeholder}; only {{date}} and {{{{ parameter }}}} are filled in")
        return path


StepSpec = BigQueryStep | FilesStep


class StuckSpec(Model):
    """When a run counts as stuck, and how often its days are requested again; minutes."""

    queued_minutes: Annotated[float, Field(gt=0, le=A_YEAR_OF_MINUTES)] | None = Field(
        None, description="In the queue while no run of the tenant is at work, began or ended; 120 where not given"
    )
    starting_minutes: Annotated[float, Field(gt=0, le=A_YEAR_OF_MINUTES)] | None = Field(
        None, description="Launched, not begun; 10"
    )
    no_progress_minutes: Annotated[float, Field(gt=0, le=A_YEAR_OF_MINUTES)] | None = Field(
        None, description="Without any event; a statement that the warehouse still runs sends one a minute; 15"
    )
    canceling_minutes: Annotated[float, Field(gt=0, le=A_YEAR_OF_MINUTES)] | None = Field(
        None, description="Asked to end, not ended; 5"
    )
    request_again: Annotated[int, Field(ge=0, le=24)] | None = Field(
        None, description="So often a day a stuck run's days are requested again; 2"
    )


class PipelineSpec(Model):
    """`pipeline.yaml`."""

    name: Name
    description: str = ""
    max_pipeline_duration_minutes: Annotated[int, Field(gt=0, le=1440)] = 60
    stuck: StuckSpec = StuckSpec()
    late_after_minutes: Annotated[int, Field(gt=0, le=A_YEAR_OF_MINUTES)] | None = Field(
        None, description="So long after it is due an unpublished day is late; 240 where not given"
    )
    wait_at_most_hours: Annotated[int, Field(gt=0, le=A_YEAR_OF_MINUTES // 60)] | None = Field(
        None,
        description="So long a due day waits for other pipelines' tables, then runs with a warning; absent: always",
    )
    maximum_gigabytes_billed: Annotated[int, Field(gt=0)] = Field(
        100, description="What one statement may be billed for on BigQuery; it fails before it reads more"
    )
    slow_seconds: Annotated[int, Field(gt=0)] = Field(30, description="A longer statement leaves a warning")
    validate_in_warehouse_above_rows: Annotated[int, Field(ge=0)] = Field(
        250_000, description="With more staged rows the warehouse counts what expectations ask, and no frame is read"
    )
    heavy_gigabytes: Annotated[int, Field(gt=0)] = Field(10, description="One that reads more leaves a warning")
    parameters: dict[Name, ParameterSpec] = {}
    sources: dict[TableName, SourceSpec] = {}
    steps: Annotated[tuple[Annotated[StepSpec, Field(discriminator="kind")], ...], Field(strict=False, min_length=1)]


class ExpectationSpec(Model):
    """One expectation in Great Expectations' own serialised form; the keys after `meta` are kept and not read."""

    type: str = Field(pattern=_TYPE)
    kwargs: dict[str, Any]
    severity: Severity = "critical"
    meta: dict[str, Any] = Field({}, description="`name` is the check's name, `reason` its description")
    id: str | None = None
    notes: Any = None
    description: str | None = None
    expectation_context: Any = None
    rendered_content: Any = None

    @model_validator(mode="before")
    @classmethod
    def _from_gx_0(cls, raw: Any) -> Any:
        renamed = _renamed(raw, {"expectation_type": "type"})
        if renamed is not raw and isinstance(kwargs := renamed.get("kwargs"), dict):
            renamed["kwargs"] = {key: value for key, value in kwargs.items() if key not in _GX_0_RUNTIME}
        return renamed

    @field_validator("kwargs", "meta")
    @classmethod
    def _as_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {key: plain(value) for key, value in values.items()}

    @field_validator("meta", mode="before")
    @classmethod
    def _null_is_empty(cls, meta: Any) -> Any:
        return {} if meta is None else meta


class SuiteSpec(Model):
    """An expectation suite in Great Expectations' own serialised form; all but `expectations` is kept and not read."""

    name: str = ""
    expectations: Annotated[tuple[ExpectationSpec, ...], Field(strict=False)]
    rules: Literal["focus"] | None = Field(
        None, description="A specification whose rules the rows hold too; docs/FOCUS.md"
    )
    id: str | None = None
    suite_parameters: dict[str, Any] | None = None
    meta: Any = None
    notes: Any = None

    @model_validator(mode="before")
    @classmethod
    def _from_gx_0(cls, raw: Any) -> Any:
        return _renamed(raw, {"expectation_suite_name": "name", "evaluation_parameters": "suite_parameters"})


def _renamed(raw: Any, names: Mapping[str, str]) -> Any:
    """A suite, or an expectation, as Great Expectations 0.x wrote it, under the names that 1.x has for its keys."""
    if not isinstance(raw, dict) or not any(old in raw and new not in raw for old, new in names.items()):
        return raw
    return {names.get(key, key): value for key, value in raw.items() if key not in _GX_0_ONLY}


def plain(value: Any) -> Any:
    """The value as JSON has it: YAML's dates become the text that a suite exported as JSON holds."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def _unique(columns: tuple[ColumnSpec, ...], key: str) -> None:
    seen: set[str] = set()
    for i, column in enumerate(columns):
        if column.name.lower() in seen:
            raise Misplaced(f"column {column.name} is declared twice (names do not differ by case)", key, i, "name")
        seen.add(column.name.lower())
