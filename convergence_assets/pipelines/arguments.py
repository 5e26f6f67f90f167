"""The arguments of an expectation: known ones, of the right kind, with columns that exist."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from convergence_assets.pipelines.models import ExpectationSpec, TableStep
from convergence_assets.pipelines.problems import listing, nearest
from convergence_assets.re2_patterns import mistake
from convergence_assets.row_conditions import ConditionError, fitted, read_condition

ArgumentMistake = tuple[str | None, str, str | None, str | None]
"""The argument's key (None: all of them), what is wrong, what was expected, the nearest spelling."""

_COLUMNS = ("column", "column_A", "column_B")
_COLUMN_LISTS = ("column_list",)
_TEXTS = ("regex", "like_pattern", "strftime_format", "type_", "unexpected_rows_query", *_COLUMNS)
_LISTS = ("value_set", "value_pairs_set", "regex_list", "like_pattern_list", "column_set", "type_list", *_COLUMN_LISTS)
_SWITCHES = ("strict_min", "strict_max", "or_equal", "double_sided", "ties_okay", "exact_match", "strictly")
_BOUNDS = ("min_value", "max_value")


def argument_mistakes(
    spec: ExpectationSpec, step: TableStep, required: frozenset[str], optional: frozenset[str]
) -> Iterator[ArgumentMistake]:
    """What is wrong with `spec.kwargs` for the table of `step`."""
    allowed = required | optional
    for key in sorted(required - set(spec.kwargs)):
        yield None, f"argument {key!r} is missing", listing(allowed), None
    for key in sorted(set(spec.kwargs) - allowed):
        yield key, "unknown argument", listing(allowed), nearest(key, allowed)
    for key, value in spec.kwargs.items():
        if value is None and key not in required:
            continue
        for kinds, (fits, meant) in _KINDS.items():
            if key in kinds and not fits(value):
                yield key, f"{_short(value)} is not {meant}", meant, None
                break
        else:
            yield from _mistakes_of_value(key, value, {c.name for c in step.columns})
    yield from _mistakes_of_kind(spec, step)
    yield from _mistakes_of_row_condition(spec.kwargs, step)
    if spec.type.endswith("_between") and set(_BOUNDS) <= allowed:
        yield from _mistakes_of_bounds(spec.kwargs)


def _mistakes_of_value(key: str, value: Any, columns: set[str]) -> Iterator[ArgumentMistake]:
    if key in _COLUMNS or key in _COLUMN_LISTS:
        for column in value if key in _COLUMN_LISTS else [value]:
            if str(column) not in columns:
                yield key, f"{column!r} is no column of the table", listing(columns), nearest(str(column), columns)
    if key in ("regex", "regex_list"):
        for pattern in value if key == "regex_list" else [value]:
            if problem := mistake(str(pattern)):
                reason, otherwise = problem
                yield key, f"{_short(pattern)} is no regular expression of RE2: {reason}", otherwise, None
    if key == "json_schema" and isinstance(value, Mapping):
        for reason, expected in _mistakes_of_schema(value):
            yield key, reason, expected, None


def _mistakes_of_schema(schema: Any) -> Iterator[tuple[str, str | None]]:
    """What a JSON schema may not have: patterns that RE2 does not take, and references to other documents."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key == "pattern" and isinstance(value, str) and (problem := mistake(value)):
                yield f"{_short(value)} is no regular expression of RE2: {problem[0]}", problem[1]
            elif key == "patternProperties":
                yield "patternProperties is not read", "properties by their names"
            elif key in ("$ref", "$dynamicRef") and not str(value).startswith("#"):
                yield f"{key} {_short(value)} lies elsewhere", "a reference within the schema: #/$defs/..."
            else:
                yield from _mistakes_of_schema(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _mistakes_of_schema(item)


def _mistakes_of_kind(spec: ExpectationSpec, step: TableStep) -> Iterator[ArgumentMistake]:
    """Values that no value of the column is ever equal to, or is never compared with."""
    column = next((c for c in step.columns if c.name == spec.kwargs.get("column")), None)
    if column is None or column.mode == "REPEATED" or spec.type not in _OF_VALUES:
        return
    fits, meant = _OF_TYPE.get(column.type, (None, ""))
    if fits is None:
        return
    for key in ("value_set", *_BOUNDS):
        argument = spec.kwargs.get(key)
        for value in argument if isinstance(argument, list) else [argument]:
            if value is not None and not fits(value):
                yield key, f"{_short(value)} is compared with {column.name}, which is {column.type}", meant, None


def _mistakes_of_row_condition(kwargs: Mapping[str, Any], step: TableStep) -> Iterator[ArgumentMistake]:
    types = {c.name: f"ARRAY<{c.type}>" if c.mode == "REPEATED" else c.type for c in step.columns}
    try:
        condition = read_condition(kwargs)
        if condition is not None:
            fitted(condition, types)
    except ConditionError as error:
        yield "row_condition", str(error), error.expected, error.suggestion


def _mistakes_of_bounds(kwargs: Mapping[str, Any]) -> Iterator[ArgumentMistake]:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is None and high is None:
        yield None, "neither min_value nor max_value is given", "at least one of them", None
    if _is_number(low) and _is_number(high) and _exact(low) > _exact(high):
        yield "min_value", f"{low} is above max_value {high}", f"at most {high}", None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


_OF_VALUES = frozenset({
    "expect_column_distinct_values_to_be_in_set",
    "expect_column_distinct_values_to_contain_set",
    "expect_column_distinct_values_to_equal_set",
    "expect_column_max_to_be_between",
    "expect_column_mean_to_be_between",
    "expect_column_median_to_be_between",
    "expect_column_min_to_be_between",
    "expect_column_most_common_value_to_be_in_set",
    "expect_column_sum_to_be_between",
    "expect_column_values_to_be_between",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_not_be_in_set",
})  # fmt: skip
"""Types that compare `value_set` and bounds with values of the column."""

_OF_TYPE: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64"), (_is_number, "numbers, without quotes")),
    "STRING": (lambda v: isinstance(v, str), "text, in quotes where it looks like a number"),
}


def _exact(value: Any) -> Decimal:
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


_KINDS: dict[tuple[str, ...], tuple[Callable[[Any], bool], str]] = {
    _TEXTS: (lambda v: isinstance(v, str), "text"),
    _LISTS: (lambda v: isinstance(v, list), "a list"),
    _SWITCHES: (lambda v: isinstance(v, bool), "true or false"),
    _BOUNDS: (lambda v: _is_number(v) or isinstance(v, str), "a number or a date"),
    ("mostly",): (lambda v: _is_number(v) and 0 <= v <= 1, "a share, a number from 0 to 1"),
}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
