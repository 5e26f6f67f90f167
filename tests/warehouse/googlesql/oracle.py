"""Queries answered by GoogleSQL's reference implementation and by the embedded engine, side by side.

`python -m tests.warehouse.googlesql.oracle FILE` compares each line of a file, and prints what differs.
"""

import math
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Any, Literal

from convergence_assets.warehouse.duckdb import answers
from convergence_assets.warehouse.duckdb.generator.literals import value_of
from convergence_assets.warehouse.duckdb.generator.types import element_of, fields_of
from convergence_assets.warehouse.errors import WarehouseError
from convergence_assets.warehouse.googlesql.catalog import analyzer_options, registration
from convergence_assets.warehouse.googlesql.client import Refused, call
from convergence_assets.warehouse.googlesql.types import kind_of

Verdict = Literal[
    "right", "both refuse", "refused", "refused by the reference", "wrong", "failed at run", "answered an error"
]
_LIMIT_OF_ITS_OWN = "Cannot generate arrays with more than 16000 elements"
"""BigQuery's documentation names none, and its public views have longer ones."""
FAULTS = ("wrong", "failed at run", "answered an error")
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Comparison:
    """What both said of a query; `said` is why where it was refused or failed, or both answers where they differ."""

    sql: str
    verdict: Verdict
    said: str = ""


def evaluated(sql: str) -> Rows:
    """The rows of a SELECT without tables by the reference implementation. Raises `Refused`."""
    from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2

    request = local_service_pb2.EvaluateQueryRequest(sql=sql, options=analyzer_options({}))
    request.descriptor_pool_list.definitions.add().builtin.SetInParent()
    answer = call("EvaluateQuery", request, local_service_pb2.EvaluateQueryResponse, registration)
    kinds = [column.type for column in answer.prepared.columns]
    rows = answer.content.table_data.row
    return [tuple(_value(kind, cell) for kind, cell in zip(kinds, row.cell, strict=True)) for row in rows]


def _value(kind: Any, value: Any) -> Any:
    if value.WhichOneof("value") is None:
        return None
    match kind_of(kind):
        case "ARRAY":
            return [_value(element_of(kind), e) for e in value.array_value.element]
        case "STRUCT":
            held = zip(fields_of(kind), value.struct_value.field, strict=True)
            return {name: _value(of, field) for (name, of), field in held}
        case "TIME":
            return time.fromisoformat(value_of(kind, value))
        case _:
            return value_of(kind, value)


def compare(sql: str) -> Comparison:
    """Both answers to a query; in order where the query orders its rows, as a bag where it does not."""
    try:
        expected, error = evaluated(sql), None
    except Refused as refused:
        expected, error = [], refused.message
    problems = answers.refusals(sql)
    if problems:
        return Comparison(sql, "both refuse" if error else "refused", problems[0].message)
    try:
        given = answers.rows(sql)
    except WarehouseError as failed:
        return Comparison(sql, "right" if error else "failed at run", "" if error else f"{failed}; expected {expected}")
    if error and _LIMIT_OF_ITS_OWN in error:
        return Comparison(sql, "refused by the reference")
    if error:
        return Comparison(sql, "answered an error", f"gave {given}, expected {error}")
    if "AVG(" in sql.upper() and math.inf in _floats(expected, given):
        expected, given = _without_infinite(expected), _without_infinite(given)
    if not same(given, expected, in_order="ORDER BY" in sql.upper().rpartition(")")[2]):
        return Comparison(sql, "wrong", f"gave {given}, expected {expected}")
    return Comparison(sql, "right")


def _without_infinite(value: Any) -> Any:
    """The reference's AVG moves a mean from row to row: of [1, inf] it gives inf, of [inf, 1] NaN. Ours adds up."""
    match value:
        case list() | tuple():
            return type(value)(map(_without_infinite, value))
        case float() if not math.isfinite(value):
            return math.nan
    return value


def _floats(*values: Any) -> list[float]:
    """The absolute values of all doubles in rows."""
    found: list[float] = []
    for value in values:
        match value:
            case list() | tuple():
                found += _floats(*value)
            case float():
                found.append(abs(value))
    return found


def same(given: Rows, expected: Rows, *, in_order: bool) -> bool:
    """Whether two results hold the same rows; NaN equals NaN, and doubles may differ in their last bits."""
    one, other = ([_canonical(row) for row in rows] for rows in (given, expected))
    if not in_order:
        one, other = (sorted(rows, key=repr) for rows in (one, other))
    return len(one) == len(other) and all(map(_alike, one, other))


def _canonical(value: Any) -> Any:
    match value:
        case dict():
            return tuple(map(_canonical, value.values()))
        case list() | tuple():
            return tuple(map(_canonical, value))
        case float() if math.isnan(value):
            return "NaN"
        case float() if value == 0:
            return 0.0
        case datetime() if value.tzinfo is not None:
            return value.isoformat()
    return value


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or math.isclose(one, other, rel_tol=1e-13)
    return type(one) is type(other) and bool(one == other)


def compare_all(queries: Iterable[str]) -> list[Comparison]:
    return [compare(sql) for sql in queries]


def main() -> None:
    queries = [line.strip() for line in Path(sys.argv[1]).read_text().splitlines()]
    found = compare_all(sql for sql in queries if sql and not sql.startswith("--"))
    for one in found:
        if one.verdict in FAULTS or (one.verdict == "refused" and "-v" in sys.argv):
            print(f"{one.verdict}: {one.sql}\n    {one.said}")
    print(dict(Counter(one.verdict for one in found)))


if __name__ == "__main__":
    main()
