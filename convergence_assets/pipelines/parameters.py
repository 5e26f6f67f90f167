"""A template's parameters: a given value in its Python type, and what a template may do with it."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from convergence_assets.pipelines.models import ParameterSpec

BoundValue = str | int | Decimal | bool | date

_DATASET = r"([A-Za-z0-9][A-Za-z0-9-]*\.)?[A-Za-z_][A-Za-z0-9_]*\."
TABLE = re.compile(rf"{_DATASET}[A-Za-z_][A-Za-z0-9_-]*")
WILDCARD = re.compile(rf"{_DATASET}[A-Za-z_][A-Za-z0-9_]*\*")
"""All tables of a dataset whose names begin so; every table of it is too much for one source."""
"""`dataset.table` or `project.dataset.table`."""

BETWEEN_TABLES = ", "
"""The separator of the names of a parameter of type `tables` where a template prints it."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAKEN: dict[str, tuple[type, ...]] = {
    "table": (str,), "tables": (str, list), "identifier": (str,), "string": (str,), "integer": (int,),
    "number": (int, float, Decimal, str), "boolean": (bool,), "date": (date,),
}  # fmt: skip
_MEANT = {
    "table": "dataset.table or project.dataset.table",
    "tables": "dataset.table or project.dataset.table, or a list of them",
    "identifier": "letters, digits and _", "string": "text",
    "integer": "a whole number of INT64", "number": "a number", "boolean": "true or false",
    "date": "a date like 2026-10-01",
}  # fmt: skip
BIGQUERY_TYPES = {
    "string": "STRING", "integer": "INT64", "number": "NUMERIC", "boolean": "BOOL", "date": "DATE",
}  # fmt: skip
"""What a parameter that SQL may bind is to BigQuery, by its declared type."""
# Printed as they are: names and switches that give SQL its structure. All other values are bound as `@name`.
_STRUCTURAL = ("table", "tables", "identifier", "boolean", "integer")
_INT64 = range(-(2**63), 2**63)
_WHOLE_DIGITS, _PLACES = 29, 9  # of BigQuery's NUMERIC


class PrintedValue(Exception):
    """A template prints a value that has to be bound."""


class BoundOnly:
    """A value that a template may compare and test; whatever would make text of it raises `PrintedValue`."""

    __slots__ = ("_value",)

    def __init__(self, value: BoundValue) -> None:
        self._value = value

    def _refused(self, *_: object) -> Any:
        raise PrintedValue("a value is bound as @name and never printed into SQL")

    __str__ = __repr__ = __format__ = __int__ = __float__ = __index__ = __iter__ = __len__ = _refused

    def __bool__(self) -> bool:
        return bool(self._value)

    def __hash__(self) -> int:
        return hash((type(self._value), self._value))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, BoundOnly):
            return type(self._value) is type(other._value) and self._value == other._value
        if isinstance(self._value, date) and isinstance(other, str):
            return self._value.isoformat() == other
        return self._value == other

    def __lt__(self, other: Any) -> bool:
        return bool(self._value < self._comparable(other))

    def __le__(self, other: Any) -> bool:
        return bool(self._value <= self._comparable(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self._value > self._comparable(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self._value >= self._comparable(other))

    def __contains__(self, part: Any) -> bool:
        return isinstance(self._value, str) and part in self._value

    def _comparable(self, other: Any) -> Any:
        if isinstance(other, BoundOnly):
            return other._value
        return date.fromisoformat(other) if isinstance(self._value, date) and isinstance(other, str) else other


def typed(spec: ParameterSpec, raw: Any) -> BoundValue:
    """The value in the parameter's type; raises ValueError with a sentence."""
    if not isinstance(raw, _TAKEN[spec.type]) or (isinstance(raw, bool) and spec.type != "boolean"):
        raise ValueError(f"{raw!r} is not {_article(spec.type)}")
    if spec.type == "tables":
        return _tables(raw if isinstance(raw, list) else [raw])
    if spec.type == "table" and not TABLE.fullmatch(str(raw)):
        raise ValueError(f"{raw!r} is no table name")
    if spec.type == "identifier" and not _IDENTIFIER.fullmatch(str(raw)):
        raise ValueError(f"{raw!r} is no identifier")
    if spec.type == "integer" and raw not in _INT64:
        raise ValueError(f"{raw!r} does not fit INT64 (-2^63 to 2^63 - 1)")
    if spec.type == "number":
        return _numeric(raw)
    assert isinstance(raw, str | int | date)
    return raw


def expected(spec: ParameterSpec) -> str:
    """What a value of this parameter looks like."""
    return f"{_MEANT[spec.type]} ({spec.description})" if spec.description else _MEANT[spec.type]


def is_bindable(spec: ParameterSpec) -> bool:
    """Whether SQL may write it as `@name`; a table or an identifier exists in templates alone."""
    return spec.type in BIGQUERY_TYPES


def template_variables(declared: Mapping[str, ParameterSpec], values: Mapping[str, BoundValue]) -> dict[str, object]:
    """What a template sees of the values."""
    return {
        name: value if declared[name].type in _STRUCTURAL else BoundOnly(value)
        for name, value in values.items()
    }  # fmt: skip


def _tables(names: list[Any]) -> str:
    """The names in one text, which is what a source's `table` prints."""
    if not names:
        raise ValueError("the list is empty")
    for name in names:
        if not isinstance(name, str) or not TABLE.fullmatch(name):
            raise ValueError(f"{name!r} is no table name")
        if [str(other).lower() for other in names].count(name.lower()) > 1:
            raise ValueError(f"{name!r} stands in the list twice, and its rows would count twice")
    return BETWEEN_TABLES.join(names)


def _numeric(raw: object) -> Decimal:
    try:
        value = Decimal(str(raw))
    except ArithmeticError:
        raise ValueError(f"{raw!r} is not a number") from None
    if not value.is_finite():
        raise ValueError(f"{raw!r} is not a number")
    exponent = value.normalize().as_tuple().exponent
    if value.adjusted() >= _WHOLE_DIGITS or (isinstance(exponent, int) and exponent < -_PLACES):
        raise ValueError(f"{raw!r} does not fit NUMERIC ({_WHOLE_DIGITS} digits and {_PLACES} decimals)")
    return value


def _article(kind: str) -> str:
    if kind == "tables":
        return "a table or a list of tables"
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
