"""BIGNUMERIC on DuckDB is Python's Decimal, digit for digit, or an error."""

import functools
from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.warehouse.duckdb.bignumeric_numbers import (
    ERROR,
    WIDE,
    D,
    big,
    divided,
    from_double,
    from_text,
    int64,
    narrow,
    numeric,
    optional,
    rounded,
    rows,
    safe,
    text,
    wide,
    wides,
)
from tests.warehouse.duckdb.bignumeric_tables import NAMES, TYPES, Row, answers, fill
from tests.warehouse.duckdb_text import duckdb_text

RUN = settings(deadline=None, max_examples=examples(2), suppress_health_check=list(HealthCheck))
# Expression over columns a, b (BIGNUMERIC), m (NUMERIC), f (FLOAT64), n (INT64), s (STRING); its operands; the answer.
NUMBERS: dict[str, tuple[str, Callable[..., object]]] = {
    "a + b": ("ab", wide(lambda a, b: a + b)),
    "a - b": ("ab", wide(lambda a, b: a - b)),
    "a + m": ("am", wide(lambda a, m: a + m)),
    "n - a": ("na", wide(lambda n, a: n - a)),
    "a + 1": ("a", wide(lambda a: a + 1)),
    "-a": ("a", wide(lambda a: -a)),
    "a * b": ("ab", wide(lambda a, b: a * b)),
    "a * m": ("am", wide(lambda a, m: a * m)),
    "n * a": ("na", wide(lambda n, a: n * a)),
    "a / b": ("ab", divided),
    "a / m": ("am", divided),
    "n / a": ("na", divided),
    "SAFE_DIVIDE(a, b)": ("ab", safe(divided)),
    "DIV(a, b)": ("ab", lambda a, b: big(D(int(WIDE.divide_int(a, b)))) if b else ERROR),
    "MOD(a, m)": ("am", lambda a, m: big(WIDE.remainder(a, m)) if m else ERROR),
    "MOD(m, a)": ("ma", lambda m, a: big(WIDE.remainder(m, a)) if a else ERROR),
    "ROUND(a)": ("a", lambda a: rounded(a, 0)),
    "ROUND(a, 2)": ("a", lambda a: rounded(a, 2)),
    "ROUND(a, 37)": ("a", lambda a: rounded(a, 37)),
    "ROUND(a, 50)": ("a", big),
    "ROUND(a, -37)": ("a", lambda a: rounded(a, -37)),
    "ROUND(a, -90)": ("a", lambda a: D(0)),
    "CEIL(a)": ("a", lambda a: big(a.to_integral_value(rounding=ROUND_CEILING))),
    "FLOOR(a)": ("a", lambda a: big(a.to_integral_value(rounding=ROUND_FLOOR))),
    "ABS(a)": ("a", wide(abs)),
    "SIGN(a)": ("a", lambda a: D((a > 0) - (a < 0))),
    "CAST(m AS BIGNUMERIC)": ("m", big),
    "CAST(n AS BIGNUMERIC)": ("n", lambda n: D(n)),
    "CAST(f AS BIGNUMERIC)": ("f", from_double),
    "CAST(s AS BIGDECIMAL)": ("s", from_text),
    "SAFE_CAST(f AS BIGNUMERIC)": ("f", safe(from_double)),
    "SAFE_CAST(s AS BIGNUMERIC)": ("s", safe(from_text)),
    "IF(n > 0, a, m)": ("nam", lambda n, a, m: a if n > 0 else m),
    "CASE WHEN n > 0 THEN n WHEN n < -5 THEN a ELSE 7 END": ("na", lambda n, a: D(n) if n > 0 else a if n < -5 else D(7)),
    "COALESCE(a, n)": ("an", lambda a, n: a),
    "GREATEST(a, m, n)": ("amn", max),
    "LEAST(n, a)": ("na", lambda n, a: min(D(n), a)),
    "NULLIF(a, m)": ("am", lambda a, m: None if a == m else a),
    "ROUND(a * b / 3, 4) + m": ("abm", lambda a, b, m: _nested(a, b, m)),
}  # fmt: skip
PLAIN: dict[str, tuple[str, Callable[..., object]]] = {
    "CAST(a AS STRING)": ("a", text),
    "CAST(a AS NUMERIC)": ("a", numeric),
    "SAFE_CAST(a AS NUMERIC)": ("a", safe(numeric)),
    "CAST(a AS INT64)": ("a", int64),
    "SAFE_CAST(a AS INT64)": ("a", safe(int64)),
    "CAST(a AS FLOAT64)": ("a", float),
    "a > b": ("ab", lambda a, b: a > b),
    "a <= m": ("am", lambda a, m: a <= m),
    "n < a": ("na", lambda n, a: n < a),
    "a = m": ("am", lambda a, m: a == m),
    "a != 0": ("a", lambda a: a != 0),
    "f >= a": ("fa", lambda f, a: f >= float(a)),
    "a BETWEEN m AND b": ("amb", lambda a, m, b: m <= a <= b),
    "a NOT BETWEEN n AND 5": ("an", lambda a, n: not n <= a <= 5),
    "a IN (b, m, n)": ("abmn", lambda a, b, m, n: a in (b, m, n)),
    "CASE a WHEN m THEN 1 ELSE 2 END": ("am", lambda a, m: 1 if a == m else 2),
}


def _nested(a: Decimal, b: Decimal, m: Decimal) -> object:
    value: object = wide(lambda: a * b)()
    steps: list[Callable[[Any], object]] = [
        lambda v: divided(v, 3), lambda v: rounded(v, 4), lambda v: big(WIDE.add(v, m)),
    ]  # fmt: skip
    for step in steps:
        value = ERROR if value is ERROR else step(value)
    return value


SHAPES = {
    "column": "SELECT i, {e} AS answer FROM pairs",
    "cte": "WITH q AS (SELECT i AS j, a, b, m, f, n, s FROM pairs) SELECT j, {e} AS answer FROM q",
}


@functools.cache
def in_shape(shape: str, expression: str) -> str:
    return duckdb_text(SHAPES[shape].format(e=expression), TYPES)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@given(value=rows)
@pytest.mark.property
@RUN
def test_an_operation_gives_decimals_answer_and_an_error_where_there_is_none(
    connection: duckdb.DuckDBPyConnection, shape: str, value: Sequence[Row]
) -> None:
    fill(connection, value)
    # A type is the analyzer's wherever a column comes from: some of them show that it is.
    for expression, (operands, exact) in list((NUMBERS | PLAIN).items())[:: 1 if shape == "column" else 4]:
        # As text, since Arrow and DuckDB's client hold no 77 digits.
        column = f"CAST({expression} AS STRING)" if expression in NUMBERS else expression
        found = answers(connection, in_shape(shape, column), len(value))
        for i, row in enumerate(value):
            values = [dict(zip(NAMES, row, strict=True))[o] for o in operands]
            expected = None if None in values else exact(*values)
            if expression in NUMBERS and expected is not None and expected is not ERROR:
                expected = text(D(expected))  # type: ignore[arg-type]
            if None not in values:
                assert found[i] == expected, (expression, row)
            elif expression not in _TAKES_NULL:
                # A part without the NULL may overflow by itself.
                assert found[i] is None or found[i] is ERROR, (expression, row)


@functools.cache
def of_group(sql: str) -> str:
    return duckdb_text(sql, TYPES, {"g": "INT64"})


_TAKES_NULL = {
    name
    for name in NUMBERS | PLAIN
    if name.startswith(("IF", "CASE", "COALESCE", "NULLIF")) or " IN " in name or "BETWEEN" in name
}


@given(value=st.lists(st.tuples(st.integers(0, 3), optional(wides)), min_size=1, max_size=40))
@pytest.mark.property
@RUN
def test_sum_avg_min_and_max_are_exact_in_groups_windows_and_arrays(
    connection: duckdb.DuckDBPyConnection, value: Sequence[tuple[int, Decimal | None]]
) -> None:
    fill(connection, [(a, None, None, None, g, None) for g, a in value])
    groups: dict[int, list[Decimal]] = {g: [] for g, _ in value}
    for g, a in value:
        groups[g] += [a] if a is not None else []
    columns = ", ".join(f"CAST({f}(a){{w}} AS STRING)" for f in ("SUM", "AVG", "MIN", "MAX"))
    over = " OVER (PARTITION BY n)"
    for sql in (
        f"SELECT n, {columns.format(w='')} FROM pairs WHERE n = @g GROUP BY n",
        f"SELECT DISTINCT n, {columns.format(w=over)} FROM pairs WHERE n = @g",
        f"WITH q AS (SELECT n, a AS c FROM pairs) SELECT n, {columns.format(w='').replace('(a)', '(c)')} FROM q "
        "WHERE n = @g GROUP BY n",
    ):
        for g, values in groups.items():
            with localcontext(WIDE):
                total = sum(values, D(0))
            expected = [big(total), divided(total, len(values)), min(values), max(values)] if values else []
            query = of_group(sql)
            if ERROR in expected:
                with pytest.raises(duckdb.Error, match="overflow"):
                    connection.execute(query, {"g": g}).fetchall()
                continue
            answer = [text(D(e)) for e in expected] if values else [None] * 4  # type: ignore[arg-type]
            assert connection.execute(query, {"g": g}).fetchall() == [(g, *answer)]


@given(value=st.lists(optional(wides), min_size=1, max_size=25), other=st.lists(narrow, min_size=1, max_size=10))
@pytest.mark.property
@RUN
def test_order_groups_and_joins_follow_the_number(
    connection: duckdb.DuckDBPyConnection, value: Sequence[Decimal | None], other: Sequence[Decimal]
) -> None:
    mixed = [(a, None, other[i % len(other)], None, None, None) for i, a in enumerate([*value, *other])]
    fill(connection, mixed)
    held = [a for a, *_ in mixed]
    found = connection.execute(duckdb_text("SELECT CAST(a AS STRING) AS t FROM pairs ORDER BY a", TYPES)).fetchall()
    ordered = sorted(a for a in held if a is not None)
    assert [row[0] for row in found if row[0]] == [text(a) for a in ordered]
    counted = connection.execute(
        duckdb_text("SELECT CAST(a AS STRING), COUNT(*) FROM pairs GROUP BY a", TYPES)
    ).fetchall()
    assert dict(counted) == {None if a is None else text(a): held.count(a) for a in held}
    [(joined,)] = connection.execute(
        duckdb_text("SELECT COUNT(*) FROM pairs AS l JOIN pairs AS r ON l.a = r.m", TYPES)
    ).fetchall()
    assert joined == sum(a == m for a in held for _, _, m, *_ in mixed)
    [(larger,)] = connection.execute(
        duckdb_text(
            "SELECT COUNT(*) FROM pairs AS l JOIN pairs AS r ON l.a > r.m WHERE l.a IN (SELECT m FROM pairs)", TYPES
        )
    ).fetchall()
    narrow_held = [m for _, _, m, *_ in mixed]
    assert larger == sum(a is not None and a > m for a in held if a in narrow_held for m in narrow_held)


def test_a_window_over_some_rows_sums_those(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, [(D(v), None, None, None, None, None) for v in ("1e38", "-1e38", "1e-38", "5")])
    sql = "SELECT CAST(SUM(a) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS STRING) AS t FROM pairs ORDER BY i"
    found = connection.execute(duckdb_text(sql, TYPES)).fetchall()
    assert [row[0] for row in found] == ["1" + "0" * 38, "0", "-" + "9" * 38 + "." + "9" * 38, "5." + "0" * 37 + "1"]
