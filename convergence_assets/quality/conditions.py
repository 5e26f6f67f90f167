"""Row-level expectations as SQL conditions that hold for exactly the rows that Great Expectations finds unexpected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

from convergence_assets.quality import exact, gx_compat
from convergence_assets.quality.exact import EXACT, decimal_of
from convergence_assets.quality.expectations import Expectation, columns_named
from convergence_assets.quality.filters import literal
from convergence_assets.re2_patterns import mistake

_GROUPED = frozenset({"STRING", "INT64", "NUMERIC", "BIGNUMERIC", "BOOL", "DATE", "DATETIME", "TIMESTAMP", "TIME"})
_ALIKE = frozenset({"STRING", "BOOL", "DATE", "DATETIME", "TIMESTAMP"})
"""Types whose values are equal in SQL where they are in a frame; those of `EXACT` are, across these types too."""

_INT64 = range(-(2**63), 2**63)
_IGNORE_NULL_PAIRS = {"both_values_are_missing": " OR ", "either_value_is_missing": " AND ", "neither": None}
_IGNORE_NULL_RECORDS = {"all_values_are_missing": " OR ", "any_value_is_missing": " AND ", "never": None}


@dataclass(frozen=True)
class RowCondition:
    """Which rows an expectation judges and which of these are unexpected: BigQuery conditions that are never NULL.

    `repeats` are the columns whose values may not repeat within a partition; there `unexpected` is empty. `row_filter`
    is the expectation's own row condition.
    """

    columns: tuple[str, ...]
    considered: str
    unexpected: str
    repeats: tuple[str, ...] = ()
    row_filter: str = "TRUE"

    def where(self, row_filter: str | None) -> "RowCondition":
        """The condition over the rows of a row condition, which are all where it is None."""
        if row_filter is None:
            return self
        unexpected = f"({row_filter} AND {self.unexpected})" if self.unexpected else ""
        return RowCondition(self.columns, f"({row_filter} AND {self.considered})", unexpected, self.repeats, row_filter)


def row_condition(expectation: Expectation, built: Any, types: Mapping[str, str]) -> RowCondition | None:
    """The expectation as a condition, or None where SQL has none that holds for the same rows.

    `built` is GX's own object with exact arguments; `types` are the table's scalar columns, name to BigQuery type.
    """
    names = columns_named(expectation.kwargs)
    if not names or any(name not in types for name in names):
        return None
    kwargs = gx_compat.arguments_of(built)
    metric = gx_compat.map_metric(built) or ""
    if metric == "column_values.nonnull":
        return RowCondition(names, "TRUE", f"`{names[0]}` IS NULL")
    if metric == "column_values.null":
        return RowCondition(names, "TRUE", f"`{names[0]}` IS NOT NULL")
    if metric.startswith("column_values."):
        return _of_a_column(metric.removeprefix("column_values."), names[0], types[names[0]], kwargs)
    if metric.startswith("column_pair_values."):
        return _of_a_pair(metric.removeprefix("column_pair_values."), names, types, kwargs)
    return _of_a_record(metric, names, types, kwargs)


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
            if mistake(kwargs["regex"]) is None:
                matches = f"REGEXP_CONTAINS(`{name}`, {literal(type_, kwargs['regex'])})"
                expected = f"NOT {matches}" if metric == "not_match_regex" else matches
    return None if expected is None else RowCondition((name,), present, f"({present} AND NOT ({expected}))")


def _between(name: str, type_: str, kwargs: Mapping[str, Any]) -> str | None:
    bounds = [
        (kwargs.get("min_value"), ">" if kwargs.get("strict_min") else ">="),
        (kwargs.get("max_value"), "<" if kwargs.get("strict_max") else "<="),
    ]
    used_bounds = [(value, sign) for value, sign in bounds if value is not None]
    if not used_bounds or type_ in ("STRING", "BOOL") or _reversed(*(value for value, _ in bounds)):
        return None
    comparisons = [_compared(name, type_, sign, value) for value, sign in used_bounds]
    expressible = [comparison for comparison in comparisons if comparison is not None]
    return " AND ".join(expressible) if len(expressible) == len(comparisons) else None


def _reversed(least: Any, most: Any) -> bool:
    """Whether Great Expectations refuses the bounds."""
    try:
        return least is not None and most is not None and bool(least > most)
    except TypeError:
        return True


def _in_set(name: str, type_: str, values: Any, inverted: bool) -> str | None:
    if not isinstance(values, list | tuple | set | frozenset):
        return None
    values = [value for value in values if value is not None]  # No row that is judged is NULL.
    if not values:
        return None
    if type_ in EXACT:
        exactly = [decimal_of(value) for value in values]
        numbers = [value for value in exactly if value is not None]
        comparison = exact.membership(f"`{name}`", type_, numbers) if len(numbers) == len(exactly) else None
    else:
        literals = [_literal(type_, value) for value in values]
        texts = {one for one in literals if one is not None}
        comparison = None if None in literals else f"`{name}` IN ({', '.join(sorted(texts))})"
    return f"NOT ({comparison})" if comparison is not None and inverted else comparison


def _length(name: str, metric: str, kwargs: Mapping[str, Any]) -> str | None:
    if metric == "value_length.equals":
        value = kwargs.get("value")
        return f"CHAR_LENGTH(`{name}`) = {value}" if type(value) is int and value in _INT64 else None
    bounds = [(kwargs.get("min_value"), ">", "strict_min"), (kwargs.get("max_value"), "<", "strict_max")]
    used_bounds = [
        (value, sign if kwargs.get(strict) else f"{sign}=") for value, sign, strict in bounds if value is not None
    ]
    if not used_bounds or any(type(value) is not int or value not in _INT64 for value, _ in used_bounds):
        return None
    return " AND ".join(f"CHAR_LENGTH(`{name}`) {sign} {value}" for value, sign in used_bounds)


def _of_a_pair(
    metric: str, names: tuple[str, ...], types: Mapping[str, str], kwargs: Mapping[str, Any]
) -> RowCondition | None:
    ignored = kwargs.get("ignore_row_if", "both_values_are_missing")
    if len(names) != 2 or ignored not in _IGNORE_NULL_PAIRS:
        return None
    considered = _present(names, _IGNORE_NULL_PAIRS[ignored])
    if metric == "in_set":
        expected = _pair_in_set(names, types, kwargs.get("value_pairs_set"))
    elif metric in ("equal", "a_greater_than_b"):
        comparable = _ALIKE if metric == "equal" else _ALIKE - {"STRING", "BOOL"}
        sign = "=" if metric == "equal" else ">=" if kwargs.get("or_equal") else ">"
        comparison = f"COALESCE(`{names[0]}` {sign} `{names[1]}`, FALSE)"
        expected = comparison if _one_kind(names, types, comparable) else None
    else:
        return None
    return None if expected is None else RowCondition(names, considered, f"({considered} AND NOT {expected})")


def _pair_in_set(names: tuple[str, ...], types: Mapping[str, str], pairs: Any) -> str | None:
    if not isinstance(pairs, list | tuple) or not pairs:
        return None
    alternatives = []
    for pair in pairs:
        comparisons = [_is(name, types[name], value) for name, value in zip(names, pair, strict=True)]
        expressible = [comparison for comparison in comparisons if comparison is not None]
        if len(expressible) < 2:
            return None
        alternatives.append(f"({' AND '.join(expressible)})")
    return f"({' OR '.join(dict.fromkeys(alternatives))})"


def _is(name: str, type_: str, value: Any) -> str | None:
    """Whether a column, which may be NULL, has the value, which may be None."""
    if value is None:
        return f"`{name}` IS NULL"
    comparison = _compared(name, type_, "==", value)
    return None if comparison is None else f"(`{name}` IS NOT NULL AND {comparison})"


def _of_a_record(
    metric: str, names: tuple[str, ...], types: Mapping[str, str], kwargs: Mapping[str, Any]
) -> RowCondition | None:
    ignored = kwargs.get("ignore_row_if", "all_values_are_missing")
    if ignored not in _IGNORE_NULL_RECORDS:
        return None
    considered = _present(names, _IGNORE_NULL_RECORDS[ignored])
    if metric == "compound_columns.unique":
        return RowCondition(names, considered, "", names) if all(types[name] in _GROUPED for name in names) else None
    listed = [str(name) for name in kwargs.get("column_list", ())]  # A column may be there twice.
    expected: str | None = None
    if metric == "multicolumn_sum.equal":
        expected = _sum(listed, types, kwargs.get("sum_total"))
    elif listed and _one_kind(names, types, _ALIKE):
        if metric == "multicolumn_values.equal":
            expected = " AND ".join(["TRUE", *(_alike(listed[0], other) for other in listed[1:])])
        elif metric == "select_column_values.unique.within_record":
            expected = f"NOT ({' OR '.join(['FALSE', *(_alike(*two) for two in combinations(listed, 2))])})"
    return None if expected is None else RowCondition(names, considered, f"({considered} AND NOT ({expected}))")


def _sum(names: Sequence[str], types: Mapping[str, str], total: Any) -> str | None:
    value = decimal_of(total)
    if value is None or any(types[name] not in EXACT for name in names):
        return None
    type_ = "BIGNUMERIC" if any(types[name] == "BIGNUMERIC" for name in names) else "NUMERIC"
    added = " + ".join(f"`{n}`" if types[n] == type_ else f"CAST(`{n}` AS {type_})" for n in names)
    return f"COALESCE({exact.comparison(f'({added})', type_, '==', value)}, FALSE)"


def _one_kind(names: Sequence[str], types: Mapping[str, str], comparable: frozenset[str]) -> bool:
    """Whether SQL compares the columns with each other as a frame does."""
    kinds = {types[name] for name in names}
    return kinds <= EXACT or (len(kinds) == 1 and kinds <= comparable)


def _alike(first: str, second: str) -> str:
    """Whether two columns are equal or both NULL, never NULL."""
    return f"((`{first}` IS NULL AND `{second}` IS NULL) OR COALESCE(`{first}` = `{second}`, FALSE))"


def _present(names: Sequence[str], joined: str | None) -> str:
    return "TRUE" if joined is None else f"({joined.join(f'`{name}` IS NOT NULL' for name in names)})"


def _compared(name: str, type_: str, sign: str, value: Any) -> str | None:
    """`column sign value`, NULL at most where the column is; None where SQL could answer otherwise than a frame."""
    if type_ in EXACT:
        number = decimal_of(value)
        return None if number is None else exact.comparison(f"`{name}`", type_, sign, number)
    operand = _literal(type_, value)
    return None if operand is None else f"`{name}` {'=' if sign == '==' else sign} {operand}"


def _literal(type_: str, value: Any) -> str | None:
    match type_, value:
        case "STRING", str() if value.isprintable():
            return literal(type_, value)
        case "BOOL", bool():
            return literal(type_, value)
        case (("DATE" | "DATETIME" | "TIMESTAMP"), datetime()):
            if getattr(value, "nanosecond", 0) or (type_ == "TIMESTAMP") != (value.tzinfo is not None):
                return None
            midnight = value == value.replace(hour=0, minute=0, second=0, microsecond=0)
            return literal(type_, value) if type_ != "DATE" or midnight else None
    return None
