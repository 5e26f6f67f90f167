"""Tables, columns and query parameters as every warehouse adapter understands them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

ColumnType = Literal[
    "STRING", "INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64", "BOOL", "DATE", "DATETIME", "TIMESTAMP", "TIME",
    "BYTES", "JSON", "RECORD",
]  # fmt: skip
Mode = Literal["NULLABLE", "REQUIRED", "REPEATED"]
ParameterValue = str | int | Decimal | bool | date | datetime
PARAMETER_TYPES: dict[type, str] = {
    str: "STRING", int: "INT64", Decimal: "NUMERIC", bool: "BOOL", date: "DATE", datetime: "TIMESTAMP",
}  # fmt: skip
"""What a parameter's value is to BigQuery; a moment without a timezone is bound nowhere."""
STAGING_PREFIX = "_staging_"
"""What is staged for a dataset lies in one of this name before its own, which no tenant's dataset can have."""
SHARED_PREFIX = "_shared_"
"""The same for views of a tenant's rows of shared sources."""


@dataclass(frozen=True)
class Column:
    """One column; `type` is BigQuery's standard name, `fields` the members of a RECORD."""

    name: str
    type: ColumnType
    mode: Mode = "NULLABLE"
    description: str = ""
    fields: tuple["Column", ...] = ()

    @property
    def spelled(self) -> str:
        """Its type as BigQuery SQL spells it."""
        kind: str = self.type
        if self.type == "RECORD":
            kind = f"STRUCT<{', '.join(f'`{field.name}` {field.spelled}' for field in self.fields)}>"
        return f"ARRAY<{kind}>" if self.mode == "REPEATED" else kind

    def field_names(self) -> tuple[str, ...]:
        """The dotted names of all that lies in it."""
        return tuple(f"{self.name}.{name}" for f in self.fields for name in (f.name, *f.field_names()))


@dataclass(frozen=True)
class TableSchema:
    """What a table is declared to be.

    `partition_column` is a DATE or TIMESTAMP column (daily partitions, in UTC) or None; `partition_expiration_days`
    counts from the partition's date; `ingestion_time_from` names the TIMESTAMP column whose day fills the partition
    column on an engine that has no ingestion-time partitions; `version` is the number that its step declares, which an
    existing table keeps until `switch_table`.
    """

    columns: tuple[Column, ...]
    partition_column: str | None = None
    clustering: tuple[str, ...] = ()
    partition_expiration_days: int | None = None
    require_partition_filter: bool = False
    description: str = ""
    ingestion_time_from: str | None = None
    version: int = 1

    def column(self, name: str) -> Column | None:
        """The column of that name, compared as BigQuery does (case-insensitively)."""
        return next((c for c in self.columns if c.name.lower() == name.lower()), None)

    def only(self, names: Iterable[str]) -> tuple[Column, ...]:
        """The columns among `names`, in declared order."""
        chosen = {name.lower() for name in names}
        return tuple(c for c in self.columns if c.name.lower() in chosen)


@dataclass(frozen=True)
class TableRef:
    """A table's full name; `project` None means the warehouse's own."""

    dataset: str
    table: str
    project: str | None = None

    @classmethod
    def parse(cls, name: str) -> "TableRef":
        """`project.dataset.table` or `dataset.table`; raises ValueError for anything else."""
        parts = name.strip("`").split(".")
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError(f"{name!r} is not a table name: expected dataset.table or project.dataset.table")
        return cls(dataset=parts[-2], table=parts[-1], project=parts[0] if len(parts) == 3 else None)

    def __str__(self) -> str:
        return ".".join(p for p in (self.project, self.dataset, self.table) if p)

    @property
    def prefix(self) -> str | None:
        """The prefix of the names that a wildcard table matches; None for one table."""
        return self.table[:-1] if self.table.endswith("*") else None

    @property
    def quoted(self) -> str:
        """The name as BigQuery SQL spells it, in backticks."""
        return f"`{self}`"


def version_name(table: str, number: int) -> str:
    """The name under which a version of a table lies beside the one that is read."""
    return f"{table}__v{number}"


def version_number(name: str, table: str) -> int | None:
    """The number of a version of the table by its name; None where it is no name that `version_name` gives."""
    ending = name.removeprefix(f"{table}__v")
    number = int(ending) if ending.isdecimal() else 0
    return number if number and version_name(table, number) == name else None


def is_version(name: str, number: int | None) -> bool:
    """Whether a table that is marked as of this version has a version's name: that of another step's table has none."""
    return number is not None and number > 0 and name.endswith(version_name("", number))


TABLE_SUFFIX = "_TABLE_SUFFIX"
"""What BigQuery fills by itself in the rows of a wildcard table: the rest of the name of the table that has the row."""


@dataclass(frozen=True)
class Dataset:
    """A dataset's name; `project` None is the warehouse's own project."""

    name: str
    project: str | None = None

    @classmethod
    def of(cls, table: TableRef) -> "Dataset":
        return cls(table.dataset, table.project)

    def __str__(self) -> str:
        return f"{self.project}.{self.name}" if self.project else self.name


@dataclass(frozen=True)
class Written:
    """A SELECT as its author wrote it, bare names and all, which is how the load has checked it.

    By each bare name `relations` has the BigQuery text that replaces it (a table in backticks, or a query in
    parentheses), `columns` what it is declared to have and `pseudo_columns` what is read by name alone, as an ingestion
    time is; `renamed` are columns (in lower case) that those queries give under another name; `parameters` are
    BigQuery's types by name.
    """

    sql: str
    relations: Mapping[str, str]
    columns: Mapping[str, Sequence[Column]]
    pseudo_columns: Mapping[str, Sequence[Column]]
    parameters: Mapping[str, str]
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Query:
    """One SELECT in BigQuery SQL with its bound parameters; every table in it is fully named.

    `written` is the author's text that it was made of, where it was made of one.
    """

    sql: str
    parameters: dict[str, ParameterValue] = field(default_factory=dict)
    written: Written | None = field(default=None, compare=False)
