"""A row condition applied to a frame and in BigQuery's SQL, with SQL's three-valued logic in both.

A row is kept where its condition is TRUE, neither where it is FALSE nor where it is NULL.
"""

import operator
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from convergence_assets.quality import exact
from convergence_assets.row_conditions import All, Column, Comparison, Condition, In, Missing, Not
from convergence_assets.row_conditions import Any as Either

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def sql(condition: Condition, types: Mapping[str, str]) -> str | None:
    """The condition in BigQuery's SQL, never NULL; None where SQL reads a column otherwise than a frame (FLOAT64)."""
    try:
        return _Sql(types).pair(condition)[0]
    except KeyError:
        return None


def true_rows(condition: Condition, frame: "pd.DataFrame", types: Mapping[str, str]) -> "np.ndarray[Any, Any]":
    """Of each row of the frame whether the condition, `fitted` to the types, is TRUE there."""
    return _Mask(frame, types).pair(condition)[0]


class _Sql:
    """Each condition as a pair: where it is TRUE, where it is FALSE."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self.types = {name: type_ for name, type_ in types.items() if type_ != "FLOAT64"}

    def pair(self, condition: Condition) -> tuple[str, str]:
        match condition:
            case Not(inner):
                return self.pair(inner)[::-1]
            case All(several) | Either(several):
                true, false = zip(*map(self.pair, several), strict=True)
                ands, ors = (true, false) if isinstance(condition, All) else (false, true)
                both, either = f"({' AND '.join(ands)})", f"({' OR '.join(ors)})"
                return (both, either) if isinstance(condition, All) else (either, both)
            case Missing(name):
                self.types[name]
                return f"(`{name}` IS NULL)", f"(`{name}` IS NOT NULL)"
            case In(name, values):
                return self._where_present([name], self._member(name, values))
            case Comparison(name, sign, Column(other)):
                comparison = f"`{name}` {'=' if sign == '==' else sign} `{other}`"
                self.types[other]
                return self._where_present([name, other], comparison)
            case Comparison(name, sign, value):
                if isinstance(value, Decimal):
                    comparison = exact.comparison(f"`{name}`", self.types[name], sign, value)
                else:
                    comparison = f"`{name}` {'=' if sign == '==' else sign} {literal(self.types[name], value)}"
                return self._where_present([name], comparison)

    def _member(self, name: str, values: tuple[Any, ...]) -> str:
        if self.types[name] in exact.EXACT:
            return exact.membership(f"`{name}`", self.types[name], values)
        listed = ", ".join(sorted({literal(self.types[name], value) for value in values}))
        return f"`{name}` IN ({listed})" if listed else "FALSE"

    def _where_present(self, names: list[str], comparison: str) -> tuple[str, str]:
        present = " AND ".join(f"`{name}` IS NOT NULL" for name in dict.fromkeys(names) if self.types[name])
        return f"({present} AND {comparison})", f"({present} AND NOT ({comparison}))"


def literal(type_: str, value: object) -> str:
    """A text, a truth value or a moment as BigQuery's literal. Raises KeyError for one that it cannot write."""
    from sqlglot import exp

    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime):
        day, time = value.date().isoformat(), value.time().isoformat("microseconds")
        if type_ == "DATE":
            return f"DATE '{day}'"
        return f"{type_} '{day} {time}{'+00:00' if type_ == 'TIMESTAMP' else ''}'"
    if not isinstance(value, str) or not value.isprintable():
        raise KeyError(value)
    return exp.Literal.string(value).sql(dialect="bigquery")


class _Mask:
    def __init__(self, frame: "pd.DataFrame", types: Mapping[str, str]) -> None:
        self.frame = frame
        self.types = types

    def pair(self, condition: Condition) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
        import numpy as np

        match condition:
            case Not(inner):
                return self.pair(inner)[::-1]
            case All(several) | Either(several):
                true, false = zip(*map(self.pair, several), strict=True)
                if isinstance(condition, All):
                    return np.logical_and.reduce(true), np.logical_or.reduce(false)
                return np.logical_or.reduce(true), np.logical_and.reduce(false)
            case Missing(name):
                missing = self.frame[name].isna().to_numpy()
                return missing, ~missing
            case In(name, values):
                return self._where_present([name], lambda column: self._member(name, column, values))
            case Comparison(name, sign, Column(other)):
                return self._where_present([name, other], lambda first, second: _each(first, second, _SIGNS[sign]))
            case Comparison(name, sign, value):
                return self._where_present([name], lambda column: self._compared(name, column, sign, value))

    def _where_present(
        self, names: list[str], comparison: Callable[..., Any]
    ) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
        """The pair for rows where no column is NULL, and neither elsewhere."""
        import numpy as np

        present = np.logical_and.reduce([self.frame[name].notna().to_numpy() for name in names])
        holds = np.zeros(len(self.frame), dtype=bool)
        holds[present] = np.asarray(comparison(*(self.frame[name][present] for name in names)), dtype=bool)
        return holds, present & ~holds

    def _compared(self, name: str, column: "pd.Series[Any]", sign: str, value: Any) -> Any:
        type_ = self.types[name]
        if type_ in exact.EXACT:
            return _units(column, type_, sign, value)
        if isinstance(value, datetime):
            import pandas as pd

            value = pd.Timestamp(value)
        elif isinstance(value, Decimal):
            value = float(value)
        return _SIGNS[sign](column, value)

    def _member(self, name: str, column: "pd.Series[Any]", values: tuple[Any, ...]) -> Any:
        import numpy as np

        matches = np.zeros(len(column), dtype=bool)
        for value in dict.fromkeys(values):
            matches |= np.asarray(self._compared(name, column, "==", value), dtype=bool)
        return matches


def _units(column: "pd.Series[Any]", type_: str, sign: str, value: Decimal) -> Any:
    import numpy as np

    if sign == "!=":
        return ~_units(column, type_, "==", value)
    limits = exact.bound(type_, sign, value)
    if isinstance(limits, bool):
        return np.full(len(column), limits)
    compare = _SIGNS[limits[0]]
    if type_ == "INT64":
        return compare(column.to_numpy(dtype="int64"), limits[1])
    limit = exact.units_as_decimal(type_, limits[1])
    return np.fromiter((compare(number, limit) for number in column), dtype=bool, count=len(column))


def _each(first: "pd.Series[Any]", second: "pd.Series[Any]", compare: Callable[[Any, Any], bool]) -> Any:
    import numpy as np

    pairs = zip(first.tolist(), second.tolist(), strict=True)
    return np.fromiter((compare(a, b) for a, b in pairs), dtype=bool, count=len(first))
