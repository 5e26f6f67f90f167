"""Table-level expectations: a partition's metric from the warehouse or from a frame, exact but for FLOAT64."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any

from convergence_assets.quality import gx_compat
from convergence_assets.quality.engine import RESULT_FORMAT, Built, Raw, message_of
from convergence_assets.quality.exact import EXACT, number_of
from convergence_assets.quality.expectations import Expectation, PartitionOutcome, columns_named
from convergence_assets.quality.presentation import nothing_to_judge, partition_outcome
from convergence_assets.quality.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

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
_FUNCTIONS = {
    "table.row_count": ("ROWS",),
    "column.min": ("MIN",),
    "column.max": ("MAX",),
    "column.sum": ("SUM",),
    "column.mean": ("SUM", "COUNT"),
    "column.median": ("MEDIAN",),
    "column.standard_deviation": ("STDDEV",),
    "column.distinct_values.count": ("DISTINCT",),
    "column.unique_proportion": ("DISTINCT", "COUNT"),
    "column.non_null_proportion": ("COUNT", "ROWS"),
}
_NOT_SQL = frozenset({"MEDIAN", "STDDEV"})
"""BigQuery has no exact median aggregate, and its STDDEV is not verified on the embedded engine."""

UNLIKE_SQL = frozenset({"FLOAT64", "JSON", "RECORD", "REPEATED"})
"""Types whose columns are aggregated in the frame: GX reads a NaN as missing, and SQL compares no JSON."""

_OF_ANY_TYPE = frozenset({
    "table.row_count", "column.distinct_values.count", "column.unique_proportion", "column.non_null_proportion",
})  # fmt: skip
_COUNTS = frozenset({"ROWS", "COUNT", "DISTINCT"})
_MOMENTS = frozenset({"DATE", "DATETIME", "TIMESTAMP"})
_PRECISE = Context(prec=200)
"""More digits than a sum of BIGNUMERIC has."""

PartOf = Callable[[str, str], Any]
"""An aggregate of an expectation's column over the rows that it judges, by a partition's key and a function."""


@dataclass(frozen=True)
class Part:
    """An aggregate function over the rows where a condition holds; of ROWS the column is empty."""

    column: str
    function: str
    where: str | None

    def sql(self, type_: str | None) -> str:
        """In BigQuery's SQL. A sum of INT64 is one of NUMERIC: it may not fit INT64."""
        if self.function == "ROWS":
            return "COUNT(*)" if self.where is None else f"COUNTIF({self.where})"
        value = f"`{self.column}`"
        if self.function == "SUM" and type_ == "INT64":
            value = f"CAST({value} AS NUMERIC)"
        if self.where is not None:
            value = f"IF({self.where}, {value}, NULL)"
        return f"COUNT(DISTINCT {value})" if self.function == "DISTINCT" else f"{self.function}({value})"


def can_aggregate(expectation: Expectation, types: Mapping[str, str]) -> bool:
    """Whether this expectation judges one metric that is calculated here with GX's meaning."""
    metric = _METRICS.get(expectation.type)
    if metric is None or metric in _OF_ANY_TYPE:
        return metric is not None
    type_ = types.get(str(expectation.kwargs.get("column")))
    return type_ in EXACT or type_ == "FLOAT64" or (type_ in _MOMENTS and metric in ("column.min", "column.max"))


def wholly_in_sql(expectation: Expectation, types: Mapping[str, str]) -> bool:
    """Whether SQL gives an expectation that `can_aggregate` all that it needs."""
    functions = _FUNCTIONS[_METRICS[expectation.type]]
    column = expectation.kwargs.get("column")
    return not _NOT_SQL & set(functions) and (column is None or types.get(column) not in (None, *UNLIKE_SQL))


def parts_of(expectation: Expectation, where: str | None) -> dict[str, Part]:
    """What an expectation needs, by function."""
    column = str(expectation.kwargs.get("column", ""))
    functions = _FUNCTIONS[_METRICS[expectation.type]]
    return {function: Part("" if function == "ROWS" else column, function, where) for function in functions}


@dataclass(frozen=True)
class FrameParts:
    """The aggregates of one column of a range's frame; with `row_mask`, of these rows only."""

    rows: Rows
    column: str | None
    type_: str | None
    row_mask: Any = None

    def part(self, key: str, function: str) -> Any:
        """NULL is None."""
        inside = self.rows.codes == self.rows.keys.index(key)
        if self.row_mask is not None:
            inside = inside & self.row_mask
        if function == "ROWS":
            return int(inside.sum())
        column = self.rows.frame[self.column][inside]
        return _of_values(column[column.notna()], function, self.type_)


def outcomes_over(
    keys: Sequence[str],
    counts: Mapping[str, int],
    part: PartOf,
    built: Built,
    sensitive: frozenset[str],
) -> dict[str, PartitionOutcome]:
    """Every partition's metric judged by the expectation itself, so that bounds mean what they mean in GX.

    `counts` are the partitions' rows: of none nothing is expected of values.
    """
    outcomes = {}
    for key in keys:
        if counts[key] == 0 and columns_named(built.expectation.kwargs):
            outcomes[key] = nothing_to_judge(built.gx)
        else:
            outcomes[key] = partition_outcome(built.expectation, _judged(key, part, built), sensitive)
    return outcomes


def _judged(key: str, part: PartOf, built: Built) -> Raw:
    metric = _METRICS[built.expectation.type]
    type_ = built.types.get(str(built.expectation.kwargs.get("column")))
    try:
        parts = {function: part(key, function) for function in _FUNCTIONS[metric]}
        value = _value(metric, {n: int(v) if n in _COUNTS else v for n, v in parts.items()}, type_)
        verdict = gx_compat.judged(built.gx, {metric: value}, RESULT_FORMAT)
    except Exception as error:
        return Raw(False, error=message_of(error))
    return Raw(bool(verdict["success"]), verdict.get("result", {}))


def partition_key(value: object) -> str:
    """A partition column's value as the key of its partition."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)


def _value(metric: str, parts: Mapping[str, Any], type_: str | None) -> Any:
    """A metric from its parts, as GX's own calculation has it for a frame, but exact."""
    match metric:
        case "column.non_null_proportion":
            return parts["COUNT"] / parts["ROWS"] if parts["ROWS"] else 0
        case "column.unique_proportion":
            return parts["DISTINCT"] / parts["COUNT"] if parts["COUNT"] else 0
        case "column.mean":
            return _quotient(parts["SUM"], parts["COUNT"], type_) if parts["COUNT"] else None
        case "column.sum" if parts["SUM"] is None:
            return 0
    (value,) = parts.values()
    return _moment(value, type_) if isinstance(value, date) else number_of(value) if type_ in EXACT else value


def _quotient(total: Any, count: int, type_: str | None) -> Any:
    return number_of(_PRECISE.divide(Decimal(total), Decimal(count))) if type_ in EXACT else total / count


def _moment(value: date, type_: str | None) -> Any:
    """A warehouse's date or time as the frame's column holds such values."""
    import pandas as pd

    moment = pd.Timestamp(value)
    if type_ != "TIMESTAMP":
        return moment.tz_localize(None)
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")


def _of_values(present: "pd.Series[Any]", function: str, type_: str | None) -> Any:
    """As GX 1.24 calculates its metrics on a pandas column without its missing values."""
    if function == "COUNT":
        return len(present)
    if function == "DISTINCT":
        return int(present.nunique())
    if type_ in EXACT:
        return _of_exact(present.tolist(), function)
    if function == "SUM":
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


def _of_exact(values: Collection[Any], function: str) -> Any:
    with localcontext(_PRECISE):
        if function == "SUM":
            return sum(values)
        if not values:
            return None
        match function:
            case "MIN":
                return min(values)
            case "MAX":
                return max(values)
            case "MEDIAN":
                ordered, half = sorted(values), len(values) // 2
                return ordered[half] if len(ordered) % 2 else Decimal(ordered[half - 1] + ordered[half]) / 2
            case "STDDEV":
                return _deviation(values)
    raise ValueError(f"no aggregate {function}")


def _deviation(values: Collection[Any]) -> float | None:
    """The sample's standard deviation, the double nearest to it whatever the order of the rows."""
    count = len(values)
    if count < 2:
        return None
    total, squares = Decimal(sum(values)), sum((Decimal(value) * value for value in values), Decimal(0))
    return float(((squares - total * total / count) / (count - 1)).max(Decimal(0)).sqrt())
