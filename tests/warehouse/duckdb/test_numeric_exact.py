"""NUMERIC arithmetic on DuckDB is Python's Decimal, digit for digit, or an error."""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convergence_assets.warehouse.duckdb.numeric import install_functions
from convergence_assets.warehouse.schema import Column
from tests.examples import examples
from tests.warehouse.duckdb_text import duckdb_text

D = Decimal
WIDE = Context(prec=120, rounding=ROUND_HALF_UP)
NINTH = D("0.000000001")
LARGEST = D("9" * 29 + "." + "9" * 9)
TYPES = {
    "pairs": {
        "i": Column("i", "INT64"),
        "a": Column("a", "NUMERIC"),
        "b": Column("b", "NUMERIC"),
        "f": Column("f", "FLOAT64"),
        "n": Column("n", "INT64"),
        "m": Column("m", "INT64"),
        "s": Column("s", "STRING"),
    }
}
Row = tuple[Decimal | None, Decimal | None, float | None, int | None, int | None, str | None]
RUN = settings(deadline=None, max_examples=examples(3), suppress_health_check=list(HealthCheck))

small = st.decimals(min_value=-10000, max_value=10000, places=9)
money = st.decimals(min_value=D(-(10**15)), max_value=D(10**15), places=9)
vast = st.integers(-(10**38 - 1), 10**38 - 1).map(lambda units: D(units).scaleb(-9, context=WIDE))
# k + 0.5 units in the tenth place come out of products and quotients of these.
halves = st.builds(lambda k, p: D(k).scaleb(-p), st.integers(-(10**6), 10**6), st.integers(0, 9)).map(
    lambda d: d.quantize(NINTH, context=WIDE)
)
chosen = st.sampled_from(
    [D(0), D("0.5"), D("-0.5"), NINTH, -NINTH, D("0.00005"), D(3), D(-7), LARGEST, LARGEST.copy_negate(), D(10**20)]
)
numerics = st.one_of(small, money, vast, halves, chosen)
doubles = st.one_of(
    st.floats(-1e6, 1e6),
    st.floats(-1e28, 1e28),
    st.floats(-1e-6, 1e-6),
    st.sampled_from([0.0, -0.0, 0.5, 2.5, -2.5, 0.1, 2**-10, 1e-9, 5e-10, 1.5e-9, -2.5e-9, 2**-30 * 3, 1e15 + 0.3]),
    st.integers(-(10**8), 10**8).map(lambda k: k / 2**10),
)
integers = st.one_of(st.integers(-1000, 1000), st.integers(-(2**63), 2**63 - 1))
texts = st.one_of(
    numerics.map(lambda d: format(d, "f")),
    st.decimals(min_value=-1000, max_value=1000, places=12).map(lambda d: format(d, "f")),
    st.integers(-(10**6), 10**6).map(lambda k: f"{k}5e-10"),
)
optional: Callable[[st.SearchStrategy[Any]], st.SearchStrategy[Any]] = lambda s: st.one_of(s, s, s, s, st.none())  # noqa: E731
rows = st.lists(
    st.tuples(optional(numerics), optional(numerics), optional(doubles), optional(integers), optional(integers),
              optional(texts)),
    min_size=20, max_size=60,
)  # fmt: skip


def numeric(value: Decimal) -> Decimal | None:
    """As BigQuery stores it; None stands for an overflow error."""
    with localcontext(WIDE):
        rounded = value.quantize(NINTH, rounding=ROUND_HALF_UP)
    return rounded if rounded.copy_abs() <= LARGEST else None


def rounded(value: Decimal, places: int) -> Decimal | None:
    with localcontext(WIDE):
        return numeric(value.quantize(D(1).scaleb(-places), rounding=ROUND_HALF_UP))


def text(value: Decimal) -> str:
    plain = format(value, "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain in ("-0", "") else plain


def int64(value: Decimal) -> int | None:
    with localcontext(WIDE):
        whole = int(value.to_integral_value(rounding=ROUND_HALF_UP))
    return whole if -(2**63) <= whole < 2**63 else None


def quotient(a: Decimal, b: Decimal) -> Decimal | None:
    with localcontext(WIDE):
        return numeric(a / b) if b else None


def with_wide(work: Callable[..., Decimal]) -> Callable[..., Decimal | None]:
    def wrapped(*operands: Any) -> Decimal | None:
        with localcontext(WIDE):
            return numeric(work(*operands))

    return wrapped


# Expression over columns a, b (NUMERIC), f (FLOAT64), n, m (INT64), s (STRING); its operands; the exact answer.
EXPRESSIONS: dict[str, tuple[str, Callable[..., object]]] = {
    "a + b": ("ab", with_wide(lambda a, b: a + b)),
    "a - b": ("ab", with_wide(lambda a, b: a - b)),
    "-a": ("a", Decimal.copy_negate),
    "a * b": ("ab", with_wide(lambda a, b: a * b)),
    "a * n": ("an", with_wide(lambda a, n: a * n)),
    "a + n": ("an", with_wide(lambda a, n: a + n)),
    "a / b": ("ab", quotient),
    "a / n": ("an", lambda a, n: quotient(a, D(n))),
    "n / a": ("na", lambda n, a: quotient(D(n), a)),
    "a * b / b": ("ab", lambda a, b: None if (p := with_wide(lambda x, y: x * y)(a, b)) is None else quotient(p, b)),
    "SAFE_DIVIDE(a, b)": ("ab", quotient),
    "DIV(a, b)": ("ab", lambda a, b: numeric(D(int(WIDE.divide(a, b)))) if b else None),
    "MOD(a, b)": ("ab", lambda a, b: numeric(WIDE.remainder(a, b)) if b else None),
    "ROUND(a)": ("a", lambda a: rounded(a, 0)),
    "ROUND(a, 2)": ("a", lambda a: rounded(a, 2)),
    "ROUND(a, 8)": ("a", lambda a: rounded(a, 8)),
    "ROUND(a, -2)": ("a", lambda a: rounded(a, -2)),
    "ABS(a)": ("a", Decimal.copy_abs),
    "CEIL(a)": ("a", with_wide(lambda a: a.to_integral_value(rounding="ROUND_CEILING"))),
    "FLOOR(a)": ("a", with_wide(lambda a: a.to_integral_value(rounding="ROUND_FLOOR"))),
    "CAST(f AS NUMERIC)": ("f", lambda f: numeric(D(f))),
    "CAST(n AS NUMERIC)": ("n", lambda n: D(n)),
    "CAST(s AS NUMERIC)": ("s", lambda s: numeric(D(s))),
    "SAFE_CAST(f AS NUMERIC)": ("f", lambda f: numeric(D(f))),
    "SAFE_CAST(s AS NUMERIC)": ("s", lambda s: numeric(D(s))),
    "CAST(a AS INT64)": ("a", int64),
    "CAST(f AS INT64)": ("f", lambda f: int64(D(f))),
    "CAST(a AS STRING)": ("a", text),
    "a > b": ("ab", lambda a, b: a > b),
    "COALESCE(a, 0) = a": ("a", lambda a: True),
    "GREATEST(a, b)": ("ab", max),
    "DIV(n, m)": ("nm", lambda n, m: int64(D(int(WIDE.divide(D(n), D(m))))) if m else None),
    "MOD(n, m)": ("nm", lambda n, m: int(WIDE.remainder(D(n), D(m))) if m else None),
    "n * m": ("nm", lambda n, m: int64(WIDE.multiply(D(n), D(m)))),
    "n + m": ("nm", lambda n, m: int64(D(n + m))),
}  # fmt: skip
NAMES = "abfnms"


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        opened.execute("SET threads = 1")
        install_functions(opened)
        opened.execute(
            "CREATE TABLE pairs (i BIGINT, a DECIMAL(38,9), b DECIMAL(38,9), f DOUBLE, n BIGINT, m BIGINT, s VARCHAR)"
        )
        yield opened


def fill(connection: duckdb.DuckDBPyConnection, value: Sequence[Row]) -> None:
    connection.execute("DELETE FROM pairs")
    held = [(i, *(format(v, "f") if isinstance(v, Decimal) else v for v in row)) for i, row in enumerate(value)]
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO pairs VALUES (?, ?, ?, ?, ?, ?, ?)", held)
    connection.execute("COMMIT")


def same(answer: object, expected: object) -> bool:
    return answer == expected and (answer is None) == (expected is None) and not isinstance(answer, float)


def answers(connection: duckdb.DuckDBPyConnection, sql: str, value: Sequence[Row]) -> dict[int, object]:
    """Answers by row, without those of rows that are an error; all rows at once, and one by one where one of them is."""
    try:
        return dict(connection.execute(sql).fetchall())
    except duckdb.Error:
        found: dict[int, object] = {}
        for i in range(len(value)):
            with suppress(duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException):
                found |= dict(connection.execute(sql.replace("pairs", f"(FROM pairs WHERE i = {i})")).fetchall())
        return found


SHAPES = {
    "column": "SELECT i, {e} AS answer FROM pairs",
    "cte": "WITH q AS (SELECT i, a, b, f, n, m, s FROM pairs) SELECT i, {e} AS answer FROM q",
}


@functools.cache
def in_shape(shape: str, expression: str) -> str:
    return duckdb_text(SHAPES[shape].format(e=expression), TYPES)


@pytest.mark.parametrize("shape", SHAPES)
@given(value=rows)
@pytest.mark.property
@RUN
def test_an_operation_gives_decimals_answer_and_an_error_where_there_is_none(
    connection: duckdb.DuckDBPyConnection, shape: str, value: Sequence[Row]
) -> None:
    fill(connection, value)
    # A type is the analyzer's wherever a column comes from: some of them show that it is.
    for expression, (operands, exact) in list(EXPRESSIONS.items())[:: 1 if shape == "column" else 4]:
        found = answers(connection, in_shape(shape, expression), value)
        for i, row in enumerate(value):
            values = [dict(zip(NAMES, row, strict=True))[o] for o in operands]
            expected = None if None in values else exact(*values)
            if expected is None and None not in values and not expression.startswith("SAFE_"):
                assert i not in found, (expression, row, found[i])
            elif i not in found:
                pytest.fail(f"{expression} of {row} is an error instead of {expected}")
            elif isinstance(expected, str):
                assert found[i] == expected, (expression, row)
            else:
                assert same(found[i], expected), (expression, row, found[i], expected)


@functools.cache
def of_parameters(expression: str) -> str:
    sql = "SELECT " + re.sub(r"\b[ab]\b", r"@\g<0>", expression)
    return duckdb_text(sql, parameters={"a": "NUMERIC", "b": "NUMERIC"})


@given(pairs=st.lists(st.tuples(numerics, numerics), min_size=10, max_size=30))
@pytest.mark.property
@RUN
def test_bound_parameters_give_decimals_answer_and_an_error_where_there_is_none(
    connection: duckdb.DuckDBPyConnection, pairs: Sequence[tuple[Decimal, Decimal]]
) -> None:
    for expression in (
        "a + b",
        "a - b",
        "a * b",
        "a / b",
        "SAFE_DIVIDE(a, b)",
        "DIV(a, b)",
        "MOD(a, b)",
        "ROUND(a, 2)",
    ):
        operands, exact = EXPRESSIONS[expression]
        for a, b in pairs:
            bound = {k: v for k, v in (("a", a), ("b", b)) if k in operands}
            expected = exact(*bound.values())
            if expected is None and not expression.startswith("SAFE_"):
                with pytest.raises(duckdb.Error):
                    connection.execute(of_parameters(expression), bound).fetchall()
                continue
            [(answer,)] = connection.execute(of_parameters(expression), bound).fetchall()
            assert same(answer, expected), (expression, a, b, answer)


@pytest.mark.parametrize("value", [numerics], ids=["any"])
@given(data=st.data())
@pytest.mark.property
@RUN
def test_sum_and_avg_are_exact_in_groups_and_windows(
    connection: duckdb.DuckDBPyConnection, value: st.SearchStrategy[Decimal], data: st.DataObject
) -> None:
    rows_drawn = data.draw(
        st.lists(st.tuples(st.integers(0, 3), optional(st.one_of(money, halves, value))), min_size=1, max_size=40)
    )
    fill(connection, [(a, None, None, g, None, None) for g, a in rows_drawn])
    groups: dict[int, list[Decimal]] = {}
    for g, a in rows_drawn:
        groups.setdefault(g, []).extend([a] if a is not None else [])
    for sql in (
        "SELECT n, SUM(a) AS s, AVG(a) AS v FROM pairs GROUP BY n",
        "SELECT DISTINCT n, SUM(a) OVER (PARTITION BY n) AS s, AVG(a) OVER (PARTITION BY n) AS v FROM pairs",
        "WITH q AS (SELECT n AS g, a AS c FROM pairs) SELECT g, SUM(c) AS s, AVG(c) AS v FROM q GROUP BY g",
    ):
        try:
            found = connection.execute(duckdb_text(sql, TYPES)).fetchall()
        except duckdb.Error:
            with localcontext(WIDE):
                assert any(abs(sum(values, D(0))) > LARGEST for values in groups.values())
            continue
        for g, total, average in found:
            values = groups[g]
            with localcontext(WIDE):
                exact_sum = sum(values, D(0))
            assert same(total, numeric(exact_sum) if values else None), (sql, g, values)
            assert same(average, numeric(WIDE.divide(exact_sum, D(len(values)))) if values else None), (sql, g, values)


@pytest.mark.parametrize("sql", ["SELECT SUM(a) AS s FROM pairs", "SELECT SUM(a) OVER () AS s FROM pairs"])
def test_sum_beyond_38_digits_is_an_error(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    fill(connection, [(LARGEST, NINTH, None, 1, None, None), (NINTH, None, None, 1, None, None)])
    with pytest.raises(duckdb.Error):
        connection.execute(duckdb_text(sql, TYPES)).fetchall()


def test_names_of_the_macros_parameters_are_free_to_columns(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, [(D(1), D(8), None, None, None, None)])
    assert connection.execute(duckdb_text("SELECT b / a, a / b, MOD(b, a + 2) FROM pairs", TYPES)).fetchall() == [
        (D(8), D("0.125"), D(2))
    ]


def test_literals_keep_all_nine_decimals(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT NUMERIC '1.123456789' AS x, CAST('-0.0000000005' AS NUMERIC) AS y, CAST(0.1 AS NUMERIC) * 3 AS z"
    assert connection.execute(duckdb_text(sql)).fetchall() == [(D("1.123456789"), -NINTH, D("0.3"))]
