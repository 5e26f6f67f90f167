"""A row condition held against the table's columns: they exist, and each value is of its column's type."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from convergence_assets.row_conditions.tree import (
    All,
    Any,
    Column,
    Comparison,
    Condition,
    ConditionError,
    In,
    Missing,
    Not,
    Value,
)

EXACT = frozenset({"INT64", "NUMERIC", "BIGNUMERIC"})
_NUMBERS = EXACT | {"FLOAT64"}
_MOMENTS = frozenset({"DATE", "DATETIME", "TIMESTAMP"})
_COMPARED = _NUMBERS | _MOMENTS | {"STRING", "BOOL"}
_MEANT = {
    "STRING": "a text in quotes", "BOOL": "True or False", "DATE": 'a date like "2026-10-01"',
    "DATETIME": 'a time like "2026-10-01T06:00:00"', "TIMESTAMP": 'a time like "2026-10-01T06:00:00Z"',
}  # fmt: skip
_WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?", re.ASCII)


def fitted(condition: Condition, types: Mapping[str, str]) -> Condition:
    """The condition with each value as its column's type has it: numbers as Decimal, dates and times as datetime.

    `types` are the table's columns, name to BigQuery type (`ARRAY<INT64>` where REPEATED). Raises ConditionError.
    """
    match condition:
        case Not(inner):
            return Not(fitted(inner, types))
        case All(several):
            return All(tuple(fitted(one, types) for one in several))
        case Any(several):
            return Any(tuple(fitted(one, types) for one in several))
        case Missing(name):
            if _type_of(name, types).startswith("ARRAY<"):
                raise ConditionError(f"{name} is REPEATED, which is never NULL")
            return condition
        case In(name, values):
            type_ = _comparable(name, types)
            return In(name, tuple(_value(name, type_, value) for value in values))
        case Comparison(name, sign, value):
            type_ = _comparable(name, types)
            if type_ == "BOOL" and sign not in ("==", "!="):
                raise ConditionError(f"{name} is BOOL and has no order", "== or !=")
            if isinstance(value, Column):
                _two_columns(name, type_, value.name, _comparable(value.name, types))
                return condition
            return replace(condition, value=_value(name, type_, value))


def _type_of(name: str, types: Mapping[str, str]) -> str:
    if name not in types:
        from rapidfuzz import fuzz, process  # of use where something is wrong

        near = process.extractOne(name, list(types), scorer=fuzz.ratio, score_cutoff=60)
        expected = f"one of {', '.join(sorted(types))}"
        raise ConditionError(f"{name!r} is no column of the table", expected, near[0] if near else None)
    return types[name]


def _comparable(name: str, types: Mapping[str, str]) -> str:
    type_ = _type_of(name, types)
    if type_ not in _COMPARED:
        raise ConditionError(f"{name} is {type_}, which is not compared in a row condition", "isnull() or notnull()")
    return type_


def _two_columns(name: str, type_: str, other: str, other_type: str) -> None:
    if type_ != other_type and not {type_, other_type} <= EXACT:
        raise ConditionError(f"{name} is {type_} and {other} is {other_type}", "two columns of one type")


def _value(name: str, type_: str, value: Value) -> Value:
    if type_ in _NUMBERS and isinstance(value, Decimal):
        return value
    if (type_ == "STRING" and isinstance(value, str)) or (type_ == "BOOL" and isinstance(value, bool)):
        return value
    if type_ in _MOMENTS and isinstance(value, str | datetime):
        return _moment(name, type_, value)
    shown = str(value) if isinstance(value, Decimal) else repr(value)
    raise ConditionError(f"{name} is {type_} and is compared with {shown[:60]}", _MEANT.get(type_, "a number"))


def _moment(name: str, type_: str, value: str | datetime) -> datetime:
    """A DATE at midnight; a TIMESTAMP in UTC, which it also is where it names no zone."""
    refusal = ConditionError(f"{name} is {type_} and is compared with {str(value)[:60]!r}", _MEANT[type_])
    try:
        if isinstance(value, datetime):
            moment = value
        elif _WRITTEN.fullmatch(value):
            moment = datetime.fromisoformat(value)
        else:
            raise refusal
    except ValueError:
        raise refusal from None
    if type_ == "TIMESTAMP":
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment.tzinfo is not None or (type_ == "DATE" and moment.time() != datetime.min.time()):
        raise refusal
    return moment
