"""Row-level expectations as SQL conditions that hold for exactly the rows that Great Expectations finds unexpected."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from convergence_assets.quality.expectations import Expectation, columns_named
from convergence_assets.quality.patterns import as_re2

_FLOATS = frozenset({"NUMERIC", "BIGNUMERIC"})
"""Types that a frame holds as doubles: SQL compares them as doubles too."""

_GROUPED = frozenset({"STRING", "INT64", "NUMERIC", "BIGNUMERIC", "BOOL", "DATE", "DATETIME", "TIMESTAMP", "TIME"})
_INT64 = range(-(2**63), 2**63)
_IGNORE_NULL_PAIRS = {"both_values_are_missing": " OR ", "either_value_is_missing": " AND ", "neither": None}
_IGNORE_NULL_RECORDS = {"all_values_are_missing": " OR ", "any_value_is_missing": " AND ", "never": None}


@dataclass(frozen=True)
class RowCondition:
    """Which rows an expectation judges and which of these are unexpected: BigQuery conditions that are never NULL.

    `repeats` are the columns whose values may not repeat within a partition; there `unexpected` is empty.
    """

    columns: tuple[str, ...]
    considered: str
    unexpected: str
    repeats: tuple[str, ...] = ()


def row_condition(expectation: Expectation, built: Any, types: Mapping[str, str]) -> RowCondition | None:
    """The expectation as a condition, or None where SQL has none that says the same of every row.

    `built` is GX's own object; `types` are the table's scalar columns, name to BigQuery type.
    """
    names = columns_named(expectation.kwargs)
    if expectation.kwargs.get("row_condition") or not names or any(name not in types for name in names):
        return None
    kwargs = built.configuration.kwargs
    metric = getattr(built, "map_metric", None) or ""
    if metric == "column_values.nonnull":
        return RowCondition(names, "TRUE", f"`{names[0]}` IS NULL")
    if metric == "column_values.null":
        return RowCondition(names, "TRUE", f"`{names[0]}` IS NOT NULL")
    if metric.startswith("column_values."):
        return _of_a_column(metric.removeprefix("column_values."), names[0], types[names[0]], kwargs)
    if metric in ("column_pair_values.equal", "column_pair_values.a_greater_than_b"):
        return _of_a_pair(metric, names, types, kwargs)
    if metric == "compound_columns.unique" and all(types[name] in _GROUPED for name in names):
        ignored = kwargs.get("ignore_row_if", "all_values_are_missing")
        if ignored not in _IGNORE_NULL_RECORDS:
            return None
        return RowCondition(names, _present(names, _IGNORE_NULL_RECORDS[ignored]), "", names)
    return None


def _of_a_column(metric: str, name: str, type_: str, kwargs: Mapping[str, Any]) -> RowCondition | None:
    present = f"`{name}` IS NOT NULL"
    if metric == "unique":
        return RowCondition((name,), present, "", (name,)) if type_ in _GROUPED else None
    expected: str | None = None
    match metric:
        case "between":
            expected = _between(name, type_, kwargs)
        case "in_set" | "not_in_set":
            expected = _in_set(name, type_, kwargs.get("value_set"), metric == "not_in_set")
        case "value_length.between" | "value_length.equals" if type_ == "STRING":
            expected = _length(name, metric, kwargs)
        case "match_regex" | "not_match_regex" if type_ == "STRING" and isinstance(kwargs.get("regex"), str):
            pattern = as_re2(kwargs["regex"])
            if pattern is not None:
                found = f"REGEXP_CONTAINS(`{name}`, {_text(pattern)})"
                expected = f"NOT {found}" if metric == "not_match_regex" else found
    return None if expected is None else RowCondition((name,), present, f"({present} AND NOT ({expected}))")


def _between(name: str, type_: str, kwargs: Mapping[str, Any]) -> str | None:
    bounds = [
        (kwargs.get("min_value"), ">" if kwargs.get("strict_min") else ">="),
        (kwargs.get("max_value"), "<" if kwargs.get("strict_max") else "<="),
    ]
    given = [(value, sign) for value, sign in bounds if value is not None]
    if type_ in ("STRING", "BOOL") or _reversed(*(value for value, _ in bounds)):
        return None
    compared = _compared(name, type_, [value for value, _ in given])
    if not given or compared is None:
        return None
    column, literals = compared
    return " AND ".join(f"{column} {sign} {literal}" for (_, sign), literal in zip(given, literals, strict=True))


def _reversed(least: Any, most: Any) -> bool:
    """Whether Great Expectations refuses the bounds."""
    try:
        return least is not None and most is not None and bool(least > most)
    except TypeError:
        return True


def _in_set(name: str, type_: str, values: Any, inverted: bool) -> str | None:
    if not isinstance(values, list | tuple | set | frozenset) or not values:
        return None
    compared = _compared(name, type_, list(values))
    if compared is None:
        return None
    column, literals = compared
    return f"{column} {'NOT IN' if inverted else 'IN'} ({', '.join(sorted(set(literals)))})"


def _length(name: str, metric: str, kwargs: Mapping[str, Any]) -> str | None:
    if metric == "value_length.equals":
        value = kwargs.get("value")
        return f"CHAR_LENGTH(`{name}`) = {value}" if type(value) is int and value in _INT64 else None
    bounds = [(kwargs.get("min_value"), ">", "strict_min"), (kwargs.get("max_value"), "<", "strict_max")]
    given = [(value, sign if kwargs.get(strict) else f"{sign}=") for value, sign, strict in bounds if value is not None]
    if not given or any(type(value) is not int or value not in _INT64 for value, _ in given):
        return None
    return " AND ".join(f"CHAR_LENGTH(`{name}`) {sign} {value}" for value, sign in given)


def _of_a_pair(
    metric: str, names: tuple[str, ...], types: Mapping[str, str], kwargs: Mapping[str, Any]
) -> RowCondition | None:
    ignored = kwargs.get("ignore_row_if", "both_values_are_missing")
    kinds = {"FLOAT64" if types[name] in _FLOATS else types[name] for name in names}
    equal = metric == "column_pair_values.equal"
    comparable = {"INT64", "FLOAT64", "DATE", "DATETIME", "TIMESTAMP"} | ({"STRING"} if equal else set())
    if len(names) != 2 or len(kinds) != 1 or not kinds <= comparable or ignored not in _IGNORE_NULL_PAIRS:
        return None
    first, second = (f"CAST(`{n}` AS FLOAT64)" if types[n] in _FLOATS else f"`{n}`" for n in names)
    sign = "=" if equal else ">=" if kwargs.get("or_equal") else ">"
    considered = _present(names, _IGNORE_NULL_PAIRS[ignored])
    return RowCondition(names, considered, f"({considered} AND NOT COALESCE({first} {sign} {second}, FALSE))")


def _present(names: Sequence[str], joined: str | None) -> str:
    return "TRUE" if joined is None else f"({joined.join(f'`{name}` IS NOT NULL' for name in names)})"


def _compared(name: str, type_: str, values: Sequence[Any]) -> tuple[str, list[str]] | None:
    """The column and the values as SQL compares them with the frame's answer; None where it could differ."""
    column = f"`{name}`"
    literals = [_literal(type_, value) for value in values]
    if type_ in _FLOATS or (type_ == "INT64" and None in literals):
        column, literals = f"CAST({column} AS FLOAT64)", [_double(value) for value in values]
    known = [literal for literal in literals if literal is not None]
    return (column, known) if len(known) == len(values) else None


def _literal(type_: str, value: Any) -> str | None:
    match type_, value:
        case "STRING", str():
            return _text(value)
        case "BOOL", bool():
            return str(value).upper()
        case "INT64", int() if not isinstance(value, bool) and value in _INT64:
            return str(value)
        case (("DATE" | "DATETIME" | "TIMESTAMP"), datetime()):
            return _moment(type_, value)
    return None


def _double(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if isinstance(value, int) and int(float(value)) != value:
        return None
    return f"CAST('{float(value)!r}' AS FLOAT64)"


def _moment(type_: str, value: datetime) -> str | None:
    if getattr(value, "nanosecond", 0) or (type_ == "TIMESTAMP") != (value.tzinfo is not None):
        return None
    if type_ == "DATE":
        midnight = value == value.replace(hour=0, minute=0, second=0, microsecond=0)
        return f"DATE '{value:%Y-%m-%d}'" if midnight else None
    zone = "+00:00" if type_ == "TIMESTAMP" else ""
    return f"{type_} '{value:%Y-%m-%d %H:%M:%S.%f}{zone}'"


def _text(value: str) -> str | None:
    from sqlglot import exp

    return exp.Literal.string(value).sql(dialect="bigquery") if value.isprintable() else None
