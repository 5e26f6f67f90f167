"""The columns of FOCUS's Cost and Usage by version, and what a table has of them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from convergence_assets.pipelines.models import ColumnSpec
from convergence_assets.pipelines.problems import nearest
from convergence_assets.warehouse.schema import Column

VERSIONS = ("1.2", "1.3")
"""Of which files can be written."""
_CUSTOM = "x_"
_TYPES = {"Decimal": "NUMERIC", "Date/Time": "TIMESTAMP", "String": "STRING", "JSON": "STRING"}


class NotFocus(ValueError):
    """A table whose rows are no FOCUS of a version; says what is missing or of a wrong type."""


@dataclass(frozen=True)
class FocusColumn:
    """A column as the specification has it; `type` is BigQuery's."""

    name: str
    introduced: str
    removed: str
    type: str
    allows_nulls: bool
    is_mandatory: bool


@dataclass(frozen=True)
class ExportedColumn:
    """A column of the table, and its name in the files."""

    source: str
    name: str
    type: str


@lru_cache(maxsize=8)
def columns_of(version: str) -> dict[str, FocusColumn]:
    """The columns of a version by name, in the specification's order, which is the alphabet's."""
    return {
        column.name: column
        for column in _all_columns()
        if _number(column.introduced) <= _number(version)
        and (not column.removed or _number(version) < _number(column.removed))
    }


def exported_columns(columns: Sequence[ColumnSpec] | Sequence[Column], version: str) -> tuple[ExportedColumn, ...]:
    """FOCUS's columns, then the table's own, which all begin with `x_`; those of other versions are left out.

    Raises `NotFocus` where a mandatory column is missing, or one is of another type than FOCUS's.
    """
    declared = {column.name: column for column in columns}
    of_version = columns_of(version)
    absent = [name for name, column in of_version.items() if column.is_mandatory and name not in declared]
    if absent:
        near = nearest(absent[0], declared)
        hint = f"; did you mean {near!r}?" if near else ""
        raise NotFocus(f"no column {', '.join(absent)}, which FOCUS {version} demands{hint}")
    wrong = [
        f"{name} is {declared[name].type}, and {column.type} in FOCUS"
        for name, column in of_version.items()
        if name in declared and declared[name].type != column.type
    ]
    if wrong:
        raise NotFocus("; ".join(wrong))
    nested = [c.name for c in columns if c.mode == "REPEATED" or c.type in ("RECORD", "BYTES")]
    if nested:
        raise NotFocus(f"{', '.join(nested)} is a list, a record or bytes, which no cell of a CSV file holds")
    others = {column.name for column in _all_columns()}
    own = [ExportedColumn(c.name, _own_name(c.name), c.type) for c in columns if c.name not in others]
    of_focus = [ExportedColumn(name, name, column.type) for name, column in of_version.items() if name in declared]
    return (*of_focus, *sorted(own, key=lambda column: column.name))


def left_out(columns: Sequence[ColumnSpec] | Sequence[Column], version: str) -> tuple[str, ...]:
    """FOCUS's columns that the table has and the version has not."""
    others = {column.name for column in _all_columns()} - set(columns_of(version))
    return tuple(column.name for column in columns if column.name in others)


def _own_name(name: str) -> str:
    """`cost_center` is `x_CostCenter`: FOCUS's names are in Pascal case, and others begin with `x_`."""
    if name.startswith(_CUSTOM):
        return name
    return _CUSTOM + "".join(word[:1].upper() + word[1:] for word in name.split("_"))


@lru_cache(maxsize=1)
def _all_columns() -> tuple[FocusColumn, ...]:
    text = files("convergence_assets.focus_export").joinpath("columns.csv").read_text(encoding="utf-8")
    return tuple(
        FocusColumn(
            row["name"], row["introduced"], row["removed"], _TYPES[row["type"]],
            row["allows_nulls"] == "yes", row["level"] == "Mandatory",
        )
        for row in csv.DictReader(text.splitlines())
    )  # fmt: skip


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
