"""A row condition as a suite holds it, text or Great Expectations' serialised objects, to its tree."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any as Anything

from convergence_assets.row_conditions.text import EXPECTED, number, parsed
from convergence_assets.row_conditions.tree import All, Any, Comparison, Condition, ConditionError, In, Missing, Not
from convergence_assets.row_conditions.tree import Value as Value_

PARSERS = ("great_expectations", "pandas")
_EXPERIMENTAL = "great_expectations__experimental__"
_SIGNS = ("==", "!=", "<", "<=", ">", ">=")
_MEMBERSHIPS = ("IN", "NOT_IN")
_TYPES = ("comparison", "nullity", "and", "or", "pass_through")
_MOST_CONDITIONS = 1000
_DEEPEST = 40


def read_condition(arguments: Mapping[str, Anything]) -> Condition | None:
    """The row condition among an expectation's arguments, None where it has none. Raises ConditionError."""
    condition = arguments.get("row_condition")
    if condition is None or (isinstance(condition, str) and not condition.strip()):
        return None
    language = arguments.get("condition_parser")
    if language not in (None, "", *PARSERS, _EXPERIMENTAL):
        raise ConditionError(f"row conditions of {language!r} are not read", f"one of {', '.join(PARSERS)}")
    return _read(condition, _DEEPEST)


def _read(condition: Anything, levels: int) -> Condition:
    if levels == 0:
        raise ConditionError("the row condition is nested too deeply", f"at most {_DEEPEST} levels")
    if isinstance(condition, str):
        return parsed(condition)
    if not isinstance(condition, Mapping):
        raise ConditionError(f"a row condition of {type(condition).__name__}", EXPECTED)
    kind = condition.get("type")
    if kind == "pass_through":
        return parsed(str(condition.get("pass_through_filter", "")))
    if kind in ("and", "or"):
        several = condition.get("conditions")
        if not isinstance(several, list) or not several:
            raise ConditionError(f"the row condition {kind!r} has no conditions", "a list under `conditions`")
        if len(several) > _MOST_CONDITIONS:
            raise ConditionError(f"a row condition of {len(several)} conditions", f"at most {_MOST_CONDITIONS}")
        read = tuple(_read(one, levels - 1) for one in several)
        return All(read) if kind == "and" else Any(read)
    if kind == "nullity":
        missing = Missing(_column(condition))
        return missing if condition.get("is_null") is True else Not(missing)
    if kind == "comparison":
        return _comparison(condition)
    raise ConditionError(f"no row condition has the type {kind!r}", f"one of {', '.join(_TYPES)}")


def _comparison(condition: Mapping[str, Anything]) -> Condition:
    name, sign, parameter = _column(condition), condition.get("operator"), condition.get("parameter")
    if sign in _MEMBERSHIPS:
        if not isinstance(parameter, list | tuple):
            raise ConditionError(f"{sign} without a list of values", "a list under `parameter`")
        member = In(name, tuple(_value(one) for one in parameter))
        return member if sign == "IN" else Not(member)
    if sign not in _SIGNS:
        raise ConditionError(f"{sign!r} is no comparison", f"one of {', '.join((*_SIGNS, *_MEMBERSHIPS))}")
    return Comparison(name, sign, _value(parameter))


def _column(condition: Mapping[str, Anything]) -> str:
    column = condition.get("column")
    name = column.get("name") if isinstance(column, Mapping) else column
    if not isinstance(name, str):
        raise ConditionError("the row condition names no column", "the column's name under `column.name`")
    return name


def _value(value: Anything) -> Value_:
    match value:
        case bool() | str() | datetime():
            return value
        case int() | float() | Decimal():
            return number(repr(value) if isinstance(value, float) else str(value))
        case date():
            return value.isoformat()
        case None:
            raise ConditionError("NULL is no value to compare with", "a condition of the type nullity")
    raise ConditionError(f"{str(value)[:60]!r} is no value to compare with", "a text, a number, true or false")
