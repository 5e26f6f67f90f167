"""Prepares suites written for a warehouse to run on a frame: dates, LIKE patterns, BigQuery types, whole numbers."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import re2

from convergence_assets.quality.exact import EXACT, number_of
from convergence_assets.quality.expectations import Expectation

if TYPE_CHECKING:
    import pandas as pd

RUNTIME_KEYS = frozenset({"batch_id", "catch_exceptions", "result_format"})
"""Keys that a suite exported after a validation carries; they are about how it was run, not what is expected."""

_NOT_RUN = RUNTIME_KEYS | {"row_condition", "condition_parser"}

_LIKE = {
    "expect_column_values_to_match_like_pattern": "expect_column_values_to_match_regex",
    "expect_column_values_to_not_match_like_pattern": "expect_column_values_to_not_match_regex",
    "expect_column_values_to_match_like_pattern_list": "expect_column_values_to_match_regex_list",
    "expect_column_values_to_not_match_like_pattern_list": "expect_column_values_to_not_match_regex_list",
}
_DECLARED_TYPE = {
    "expect_column_type_to_be",
    "expect_column_values_to_be_of_type",
    "expect_column_values_to_be_in_type_list",
}
_ALIASES = {
    "BIGDECIMAL": "BIGNUMERIC", "BIGINT": "INT64", "BOOLEAN": "BOOL", "BYTEINT": "INT64", "DECIMAL": "NUMERIC",
    "FLOAT": "FLOAT64", "INT": "INT64", "INTEGER": "INT64", "SMALLINT": "INT64", "STRUCT": "RECORD", "TINYINT": "INT64",
}  # fmt: skip
_BIGQUERY_TYPES = frozenset({
    "STRING", "INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64", "BOOL", "DATE", "DATETIME", "TIMESTAMP", "TIME", "BYTES",
    "JSON", "RECORD",
})  # fmt: skip

_COMPARED_EXACTLY = frozenset({
    "expect_column_distinct_values_to_be_in_set",
    "expect_column_distinct_values_to_contain_set",
    "expect_column_distinct_values_to_equal_set",
    "expect_column_max_to_be_between",
    "expect_column_mean_to_be_between",
    "expect_column_median_to_be_between",
    "expect_column_min_to_be_between",
    "expect_column_most_common_value_to_be_in_set",
    "expect_column_pair_values_to_be_in_set",
    "expect_column_sum_to_be_between",
    "expect_column_values_to_be_between",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_not_be_in_set",
    "expect_multicolumn_sum_to_equal",
})  # fmt: skip
"""Types whose arguments are compared with values of the column, or with sums of them."""


def prepared(expectation: Expectation, frame: "pd.DataFrame") -> tuple[str, dict[str, Any]]:
    """The type and arguments to run on `frame` in the expectation's place, without its row condition. Raises ValueError
    for a suite parameter."""
    kwargs = {key: _plain(value) for key, value in expectation.kwargs.items() if key not in _NOT_RUN}
    for key, value in kwargs.items():
        if isinstance(value, Mapping) and "$PARAMETER" in value:
            raise ValueError(f"{key} is the suite parameter {value['$PARAMETER']!r}, which has no value here")
    type_ = expectation.type
    if type_ in _LIKE:
        type_ = _LIKE[type_]
        escape = kwargs.pop("escape", None)
        if "like_pattern" in kwargs:
            kwargs["regex"] = like_as_regex(kwargs.pop("like_pattern"), escape)
        if "like_pattern_list" in kwargs:
            kwargs["regex_list"] = [like_as_regex(one, escape) for one in kwargs.pop("like_pattern_list")]
    return type_, _with_moments(type_, kwargs, frame)


def exact_arguments(expectation: Expectation, types: Mapping[str, str]) -> dict[str, Any]:
    """The arguments that are compared with values of INT64, NUMERIC or BIGNUMERIC, as exact numbers."""
    kwargs = expectation.kwargs
    if expectation.type not in _COMPARED_EXACTLY:
        return {}
    if expectation.type == "expect_multicolumn_sum_to_equal":
        listed = {types.get(str(name)) for name in kwargs.get("column_list") or [None]}
        return {"sum_total": number_of(kwargs.get("sum_total"))} if listed <= EXACT else {}
    pairs = kwargs.get("value_pairs_set")
    if isinstance(pairs, list | tuple):
        exactly = [types.get(str(kwargs.get(key))) in EXACT for key in ("column_A", "column_B")]
        if not any(exactly):
            return {}
        return {
            "value_pairs_set": [
                tuple(number_of(value) if exact else value for value, exact in zip(pair, exactly, strict=True))
                for pair in pairs
            ]
        }
    if types.get(str(kwargs.get("column"))) not in EXACT:
        return {}
    arguments = {key: number_of(kwargs[key]) for key in ("min_value", "max_value") if kwargs.get(key) is not None}
    values = kwargs.get("value_set")
    if isinstance(values, list | tuple | set | frozenset):
        arguments["value_set"] = [number_of(value) for value in values]
    return arguments


def like_as_regex(pattern: str, escape: str | None) -> str:
    """A BigQuery LIKE pattern as a regular expression over the whole value; backslash escapes by default."""
    regex, position, mark = "", 0, escape or "\\"
    while position < len(pattern):
        character = pattern[position]
        if character == mark and position + 1 < len(pattern):
            position += 1
            regex += re2.escape(pattern[position])
        else:
            regex += {"%": ".*", "_": "."}.get(character) or re2.escape(character)
        position += 1
    return rf"(?s)\A{regex}\z"


def declared_type_judged(expectation: Expectation, declared: Mapping[str, str]) -> tuple[bool, str] | None:
    """Whether a column is of the BigQuery type(s) that the expectation names, and which type it is declared.

    None where the expectation is not about types, or names other than BigQuery's types.
    """
    if expectation.type not in _DECLARED_TYPE:
        return None
    listed = expectation.kwargs.get("type_list", [expectation.kwargs.get("type_")]) or []
    names = [_type_name(one) for one in listed if isinstance(one, str)]
    column = declared.get(str(expectation.kwargs.get("column")))
    bigquery_names = [name for name in names if name in _BIGQUERY_TYPES]
    if column is None or not bigquery_names:
        return None
    element = column.removeprefix("ARRAY<").removesuffix(">")
    return element in bigquery_names, element


def _type_name(declared: str) -> str:
    name = re.split(r"[(<]", declared, maxsplit=1)[0].strip()
    return _ALIASES.get(name, name)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return value


def _with_moments(type_: str, kwargs: dict[str, Any], frame: "pd.DataFrame") -> dict[str, Any]:
    column = kwargs.get("column")
    if column in frame.columns:
        numpy_form = type_ == "expect_column_most_common_value_to_be_in_set"
        for key in ("min_value", "max_value", "value_set"):
            if key in kwargs:
                kwargs[key] = _moment(kwargs[key], frame[column], numpy_form)
        ranges = kwargs.get("quantile_ranges")
        if isinstance(ranges, dict) and isinstance(ranges.get("value_ranges"), list):
            kwargs["quantile_ranges"] = ranges | {"value_ranges": _moment(ranges["value_ranges"], frame[column])}
    pairs = kwargs.get("value_pairs_set")
    two = [kwargs.get("column_A"), kwargs.get("column_B")]
    if isinstance(pairs, list) and all(name in frame.columns for name in two):
        kwargs["value_pairs_set"] = [
            tuple(_moment(v, frame[name]) for v, name in zip(pair, two, strict=True)) for pair in pairs
        ]
    return kwargs


def _moment(value: Any, column: "pd.Series[Any]", numpy_form: bool = False) -> Any:
    """Dates and times, as text or not, as the column's own kind; without a zone they are UTC."""
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        return value
    if isinstance(value, list | tuple):
        return [_moment(one, column, numpy_form) for one in value]
    if not isinstance(value, str | date | datetime):
        return value
    try:
        moment = pd.Timestamp(value)
    except ValueError:
        return value
    zoned = moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")
    if numpy_form:
        return zoned.tz_localize(None).as_unit(column.dt.unit).to_datetime64()
    return zoned if isinstance(column.dtype, pd.DatetimeTZDtype) else zoned.tz_localize(None)
