"""Table-level expectations over a range: every partition's metric from one query, exact for NUMERIC."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from convergence_assets.quality.engine import RESULT_FORMAT, Raw, said
from convergence_assets.quality.expectations import Expectation, PartitionOutcome, columns_named
from convergence_assets.quality.prepare import numeric_view
from convergence_assets.quality.presentation import nothing_to_judge, partition_outcome
from convergence_assets.quality.rows import Rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_METRICS = {
    "expect_table_row_count_to_be_between": "table.row_count",
    "expect_table_row_count_to_equal": "table.row_count",
    "expect_column_min_to_be_between": "column.min",
    "expect_column_max_to_be_between": "column.max",
    "expect_column_sum_to_be_between": "column.sum",
    "expect_column_mean_to_be_between": "column.mean",
    "expect_column_median_to_be_between": "column.median",
    "expect_column_stdev_to_be_between": "column.standard_deviation",
    "expect_column_unique_value_count_to_be_between": "column.distinct_values.count",
    "expect_column_proportion_of_unique_values_to_be_between": "column.unique_proportion",
    "expect_column_proportion_of_non_null_values_to_be_between": "column.non_null_proportion",
}
_PARTS = {
    "column.min": ("MIN",),
    "column.max": ("MAX",),
    "column.sum": ("SUM",),
    "column.mean": ("SUM", "COUNT"),
    "column.median": ("MEDIAN",),
    "column.standard_deviation": ("STDDEV",),
    "column.distinct_values.count": ("DISTINCT",),
    "column.unique_proportion": ("DISTINCT", "COUNT"),
    "column.non_null_proportion": ("COUNT",),
}
_NOT_SQL = frozenset({"MEDIAN", "STDDEV"})
"""BigQuery has no exact median aggregate, and its STDDEV is not verified on the embedded engine."""

UNLIKE_SQL = frozenset({"FLOAT64", "JSON", "RECORD"})
"""Types whose columns are aggregated in the frame: GX reads a NaN as missing, and SQL compares no JSON."""

_ANY_TYPE = frozenset({"column.distinct_values.count", "column.unique_proportion", "column.non_null_proportion"})


@dataclass(frozen=True)
class Aggregates:
    """The value of (column, function) in each partition: what one query found, else what the frame holds."""

    rows: Rows
    counts: Mapping[str, int]
    queried: Mapping[str, Mapping[tuple[str, str], Any]]
    _columns: dict[str, "pd.Series[Any]"] = field(default_factory=dict)

    def part(self, key: str, column: str, function: str) -> Any:
        """NULL is None. Raises KeyError where the query left out a partition that has rows."""
        if self.queried and (column, function) in next(iter(self.queried.values())):
            value = self.queried[key][column, function]
            if not (isinstance(value, float) and math.isnan(value)):
                return value
        return _of_frame(self._present(key, column), function)

    def _present(self, key: str, column: str) -> "pd.Series[Any]":
        if column not in self._columns:
            self._columns[column] = numeric_view(self.rows.frame[[column]])[column]
        mine = self._columns[column][self.rows.codes == self.rows.keys.index(key)]
        present: pd.Series[Any] = mine[mine.notna()]
        return present


def can_aggregate(expectation: Expectation, frame: "pd.DataFrame") -> bool:
    """Whether this expectation judges one metric that is calculated here with exactly GX's meaning on this frame."""
    import pandas as pd

    metric = _METRICS.get(expectation.type)
    if metric is None or expectation.kwargs.get("row_condition"):
        return False
    if metric == "table.row_count" or metric in _ANY_TYPE:
        return True
    kind = frame[expectation.kwargs["column"]].dtype
    if pd.api.types.is_datetime64_any_dtype(kind):
        return metric in ("column.min", "column.max")
    return pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)


def query_for(expectations: Sequence[Expectation], partition_column: str, in_frame: Collection[str]) -> str | None:
    """One BigQuery SELECT over `{batch}` for all of them, or None where no query is needed.

    The columns `in_frame` are left out: SQL would not say of them what GX says.
    """
    wanted = wanted_of(expectations, in_frame)
    if not wanted:
        return None
    selected = [f"{expression(column, function)} AS m{i}" for i, (column, function) in enumerate(wanted)]
    return (
        f"SELECT `{partition_column}` AS partition_key, {', '.join(selected)}\n"
        f"FROM {{batch}}\nGROUP BY `{partition_column}`"
    )


def aggregated(
    rows: Rows,
    expectations: Sequence[Expectation],
    partition_column: str,
    in_frame: Collection[str],
    run_query: Callable[[str], "pa.Table"] | None,
) -> Aggregates:
    """Runs the one query. Where there is none to run, or it fails, the frame's own values stand."""
    per_partition = rows.count(rows.frame.index)
    counts = {key: int(per_partition[position]) for position, key in enumerate(rows.keys)}
    sql = query_for(expectations, partition_column, in_frame)
    if sql is None or run_query is None:
        return Aggregates(rows, counts, {})
    wanted = wanted_of(expectations, in_frame)
    try:
        found = run_query(sql).to_pylist()
    except Exception:
        return Aggregates(rows, counts, {})
    values = {}
    for row in found:
        values[partition_key(row["partition_key"])] = {one: row[f"m{i}"] for i, one in enumerate(wanted)}
    return Aggregates(rows, counts, values)


def wholly_in_sql(expectation: Expectation, in_frame: Collection[str]) -> bool:
    """Whether no part of an expectation that `can_aggregate` needs the frame's rows."""
    parts = _PARTS.get(_METRICS[expectation.type], ())
    return not parts or (expectation.kwargs["column"] not in in_frame and not _NOT_SQL & set(parts))


def judged_over(
    found: Aggregates, expectation: Expectation, built: Any, sensitive: frozenset[str]
) -> dict[str, PartitionOutcome]:
    """Every partition's metric judged by the expectation itself, so that bounds mean what they mean in GX."""
    outcomes = {}
    for key in found.rows.keys:
        if found.counts[key] == 0 and columns_named(expectation.kwargs):
            outcomes[key] = nothing_to_judge(built)
        else:
            outcomes[key] = partition_outcome(expectation, _judged(found, key, expectation, built), sensitive)
    return outcomes


def _judged(found: Aggregates, key: str, expectation: Expectation, built: Any) -> Raw:
    metric = _METRICS[expectation.type]
    try:
        value = _value(metric, expectation, found, key)
        answer = built._validate({metric: value}, {"result_format": dict(RESULT_FORMAT)}, None)
    except Exception as error:
        return Raw(False, error=said(error))
    return Raw(bool(answer["success"]), answer.get("result", {}))


def partition_key(value: object) -> str:
    """A partition column's value as the key of its partition."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)


def wanted_of(expectations: Sequence[Expectation], in_frame: Collection[str]) -> list[tuple[str, str]]:
    """The (column, function) pairs that SQL is asked for, each once."""
    pairs = [(e.kwargs["column"], function) for e in expectations for function in _PARTS.get(_METRICS[e.type], ())]
    return [one for one in dict.fromkeys(pairs) if one[0] not in in_frame and one[1] not in _NOT_SQL]


def expression(column: str, function: str) -> str:
    """One of `wanted_of` as a BigQuery aggregate."""
    return f"COUNT(DISTINCT `{column}`)" if function == "DISTINCT" else f"{function}(`{column}`)"


def _of_frame(present: "pd.Series[Any]", function: str) -> Any:
    """As GX 1.24 calculates its metrics on a pandas column without its missing values."""
    match function:
        case "COUNT":
            return len(present)
        case "DISTINCT":
            return int(present.nunique())
        case "SUM":
            return present.sum()
    if present.empty:
        return None
    match function:
        case "MIN":
            return present.min()
        case "MAX":
            return present.max()
        case "MEDIAN":
            return present.median()
        case "STDDEV":
            return present.std()
    raise ValueError(f"no aggregate {function}")


def _value(metric: str, expectation: Expectation, found: Aggregates, key: str) -> Any:
    rows = found.counts[key]
    if metric == "table.row_count":
        return rows
    column = expectation.kwargs["column"]
    part = {function: found.part(key, column, function) for function in _PARTS[metric]}
    if metric == "column.non_null_proportion":
        return part["COUNT"] / rows if rows else 0
    if metric == "column.unique_proportion":
        return part["DISTINCT"] / part["COUNT"] if part["COUNT"] else 0
    frame = found.rows.frame
    if metric == "column.mean":
        return _number(part["SUM"] / part["COUNT"], frame, column, True) if part["COUNT"] else None
    value = part[_PARTS[metric][0]]
    if metric == "column.sum" and value is None:
        return 0
    return _number(value, frame, column, metric in ("column.standard_deviation", "column.median"))


def _number(value: Any, frame: "pd.DataFrame", column: str, fraction: bool) -> Any:
    """A warehouse's value as the frame's column holds such values."""
    import pandas as pd

    kind = frame[column].dtype
    if value is None:
        return None
    if isinstance(value, date):
        moment = pd.Timestamp(value)
        if not isinstance(kind, pd.DatetimeTZDtype):
            return moment.tz_localize(None)
        return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")
    if isinstance(value, Decimal | float) and (fraction or not pd.api.types.is_integer_dtype(kind)):
        return float(value)
    return int(value) if isinstance(value, Decimal) else value
