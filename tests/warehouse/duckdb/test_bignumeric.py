"""BIGNUMERIC on DuckDB is Python's Decimal, digit for digit, or an error."""

import functools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, localcontext
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convergence_assets.warehouse.duckdb import bignumeric_encoding
from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.duckdb.numeric import install_functions
from convergence_assets.warehouse.duckdb.parquet import files_to_parquet
from convergence_assets.warehouse.duckdb.sql_problems import UnportableSQL
from convergence_assets.warehouse.errors import InvalidQuery, JobTimeout, SchemaMismatch
from convergence_assets.warehouse.interface import FileFormat, FileRules, Job, SourceFile
from convergence_assets.warehouse.schema import Column, Query, TableRef, TableSchema
from tests.examples import examples
from tests.warehouse.duckdb_text import duckdb_text

D = Decimal
WIDE = Context(prec=400, rounding=ROUND_HALF_UP)
UNIT, NINTH = D("1e-38"), D("1e-9")
LARGEST = D(2**255 - 1).scaleb(-38, context=WIDE)
SMALLEST = D(-(2**255)).scaleb(-38, context=WIDE)
COLUMNS = {
    "i": "INT64", "a": "BIGNUMERIC", "b": "BIGNUMERIC", "m": "NUMERIC", "f": "FLOAT64", "n": "INT64", "s": "STRING",
}  # fmt: skip
TYPES = {"pairs": {name: Column(name, kind) for name, kind in COLUMNS.items()}}  # type: ignore[arg-type]
NAMES = "abmfns"
RUN = settings(deadline=None, max_examples=examples(2), suppress_health_check=list(HealthCheck))
Row = tuple[Decimal | None, Decimal | None, Decimal | None, float | None, int | None, str | None]


def in_units(units: st.SearchStrategy[int], places: int) -> st.SearchStrategy[Decimal]:
    return units.map(lambda u: D(u).scaleb(-places, context=WIDE))


vast = in_units(st.integers(-(2**255), 2**255 - 1), 38)
money = in_units(st.integers(-(10**24), 10**24), 9)
fine = in_units(st.integers(-(10**40), 10**40), 38)
# k + 0.5 units in the 39th place come out of products and quotients of these.
halves = st.builds(lambda k, p: D(k).scaleb(-p, context=WIDE), st.integers(-(10**19), 10**19), st.integers(0, 20))
chosen = st.sampled_from(
    [D(0), D("0.5"), D("-0.5"), D("2.5"), UNIT, -UNIT, D("5e-20"), D(3), D(-7), LARGEST, SMALLEST, D("1e38"), D("1e19")]
)
wides = st.one_of(vast, money, fine, halves, chosen)
narrow = st.one_of(
    in_units(st.integers(-(10**38 - 1), 10**38 - 1), 9),
    in_units(st.integers(-(10**6), 10**6), 4),
    st.sampled_from([D(0), NINTH, D(1), D("-0.5"), D("9" * 29 + "." + "9" * 9)]),
)
doubles = st.one_of(
    st.floats(-1e6, 1e6),
    st.floats(-1e39, 1e39),
    st.floats(-1e-30, 1e-30),
    st.sampled_from([0.0, -0.0, 0.5, 0.1, -2.5, 2.0**-39, 3 * 2.0**-39, 5e-324, 1.7e308, float("inf"), float("nan")]),
)
integers = st.one_of(st.integers(-1000, 1000), st.integers(-(2**63), 2**63 - 1))
texts = st.one_of(
    wides.map(lambda d: format(d, "f")),
    st.builds(lambda k, e: f" {k}e{e} ", st.integers(-(10**30), 10**30), st.integers(-80, 40)),
    st.integers(-(10**6), 10**6).map(lambda k: f"{k}5e-39"),
    st.sampled_from(["", ".", "1_000", "0x1F", "nan", "inf", "1e999999", "1e-999999", "0e999", "+.5", "7.", "٣"]),
)
optional: Callable[[st.SearchStrategy[Any]], st.SearchStrategy[Any]] = lambda s: st.one_of(s, s, s, s, st.none())  # noqa: E731
rows = st.lists(
    st.tuples(optional(wides), optional(wides), optional(narrow), optional(doubles), optional(integers),
              optional(texts)),
    min_size=10, max_size=30,
)  # fmt: skip

ERROR = object()


def big(value: Decimal) -> object:
    """As BigQuery stores it."""
    with localcontext(WIDE):
        held = value.quantize(UNIT, rounding=ROUND_HALF_UP)
    return held if SMALLEST <= held <= LARGEST else ERROR


def wide(work: Callable[..., Decimal]) -> Callable[..., object]:
    def wrapped(*operands: Any) -> object:
        with localcontext(WIDE):
            return big(work(*operands))

    return wrapped


def divided(a: Any, b: Any) -> object:
    return big(WIDE.divide(D(a), D(b))) if b else ERROR


def rounded(a: Decimal, places: int) -> object:
    with localcontext(WIDE):
        return big(a.quantize(D(1).scaleb(-places), rounding=ROUND_HALF_UP))


def numeric(a: Decimal) -> object:
    with localcontext(WIDE):
        held = a.quantize(NINTH, rounding=ROUND_HALF_UP)
        return held if abs(held) < D("1e29") else ERROR


def int64(a: Decimal) -> object:
    whole = int(a.to_integral_value(rounding=ROUND_HALF_UP))
    return whole if -(2**63) <= whole < 2**63 else ERROR


def text(value: Decimal) -> str:
    plain = format(value, "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain in ("-0", "") else plain


def from_text(s: str) -> object:
    plain = s.strip(" ")
    number = all(c in "0123456789+-.eE" for c in plain) and any(c.isdigit() for c in plain)
    return big(D(plain)) if number and abs(D(plain).adjusted()) < 200 else ERROR if not number else _extreme(D(plain))


def _extreme(value: Decimal) -> object:
    return D(0) if value == 0 or value.adjusted() < 0 else ERROR


def from_double(f: float) -> object:
    return ERROR if f != f or abs(f) == float("inf") else big(D(f))


def safe(work: Callable[..., object]) -> Callable[..., object]:
    def wrapped(*operands: Any) -> object:
        made = work(*operands)
        return None if made is ERROR else made

    return wrapped


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


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        opened.execute("SET threads = 1")
        install_functions(opened)
        opened.execute(
            f"CREATE TABLE pairs (i BIGINT, a {bignumeric_encoding.TYPE}, b {bignumeric_encoding.TYPE}, m DECIMAL(38,9), f DOUBLE, n BIGINT, s VARCHAR)"
        )
        yield opened


def fill(connection: duckdb.DuckDBPyConnection, made: Sequence[Row]) -> None:
    connection.execute("DELETE FROM pairs")
    held = [(i, *(format(v, "f") if isinstance(v, Decimal) else v for v in row)) for i, row in enumerate(made)]
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO pairs VALUES (?, bignumeric_from_text(?), bignumeric_from_text(?), ?, ?, ?, ?)", held
    )
    connection.execute("COMMIT")


def answers(connection: duckdb.DuckDBPyConnection, sql: str, count: int) -> dict[int, object]:
    """Answers by row; all rows at once, and one by one where one of them is an error."""
    try:
        return dict(connection.execute(sql).fetchall())
    except duckdb.Error:
        found: dict[int, object] = {}
        for i in range(count):
            try:
                found |= dict(connection.execute(sql.replace("pairs", f"(FROM pairs WHERE i = {i})")).fetchall())
            except duckdb.InvalidInputException:
                found[i] = ERROR
        return found


SHAPES = {
    "column": "SELECT i, {e} AS answer FROM pairs",
    "cte": "WITH q AS (SELECT i AS j, a, b, m, f, n, s FROM pairs) SELECT j, {e} AS answer FROM q",
}


@functools.cache
def in_shape(shape: str, expression: str) -> str:
    return duckdb_text(SHAPES[shape].format(e=expression), TYPES)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@given(made=rows)
@pytest.mark.property
@RUN
def test_an_operation_gives_decimals_answer_and_an_error_where_there_is_none(
    connection: duckdb.DuckDBPyConnection, shape: str, made: Sequence[Row]
) -> None:
    fill(connection, made)
    # A type is the analyzer's wherever a column comes from: some of them show that it is.
    for expression, (operands, exact) in list((NUMBERS | PLAIN).items())[:: 1 if shape == "column" else 4]:
        # As text, since Arrow and DuckDB's client hold no 77 digits.
        asked = f"CAST({expression} AS STRING)" if expression in NUMBERS else expression
        found = answers(connection, in_shape(shape, asked), len(made))
        for i, row in enumerate(made):
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


@given(made=st.lists(st.tuples(st.integers(0, 3), optional(wides)), min_size=1, max_size=40))
@pytest.mark.property
@RUN
def test_sum_avg_min_and_max_are_exact_in_groups_windows_and_arrays(
    connection: duckdb.DuckDBPyConnection, made: Sequence[tuple[int, Decimal | None]]
) -> None:
    fill(connection, [(a, None, None, None, g, None) for g, a in made])
    groups: dict[int, list[Decimal]] = {g: [] for g, _ in made}
    for g, a in made:
        groups[g] += [a] if a is not None else []
    said = ", ".join(f"CAST({f}(a){{w}} AS STRING)" for f in ("SUM", "AVG", "MIN", "MAX"))
    over = " OVER (PARTITION BY n)"
    for sql in (
        f"SELECT n, {said.format(w='')} FROM pairs WHERE n = @g GROUP BY n",
        f"SELECT DISTINCT n, {said.format(w=over)} FROM pairs WHERE n = @g",
        f"WITH q AS (SELECT n, a AS c FROM pairs) SELECT n, {said.format(w='').replace('(a)', '(c)')} FROM q "
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


@given(made=st.lists(optional(wides), min_size=1, max_size=25), other=st.lists(narrow, min_size=1, max_size=10))
@pytest.mark.property
@RUN
def test_order_groups_and_joins_follow_the_number(
    connection: duckdb.DuckDBPyConnection, made: Sequence[Decimal | None], other: Sequence[Decimal]
) -> None:
    mixed = [(a, None, other[i % len(other)], None, None, None) for i, a in enumerate([*made, *other])]
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


@pytest.mark.parametrize(
    "literal", ["BIGNUMERIC '{}'", "BIGDECIMAL '{}'", "CAST('{}' AS BIGNUMERIC)", "CAST({} AS BIGNUMERIC)"]
)
def test_literals_keep_all_38_decimals(connection: duckdb.DuckDBPyConnection, literal: str) -> None:
    digits = "-12345678901234567890123456789012345678.12345678901234567890123456789012345678"
    sql = f"SELECT CAST({literal.format(digits)} AS STRING) AS x"
    assert connection.execute(duckdb_text(sql)).fetchall() == [(digits,)]


NOT_SQL = {
    "SELECT\n  LENGTH(a) AS x FROM pairs": "No matching signature for function LENGTH for argument types: BIGNUMERIC",
    "SELECT\n  STRING_AGG(a ORDER BY i) AS x FROM pairs": "No matching signature for aggregate function STRING_AGG",
    "SELECT\n  a LIKE '1%' AS x FROM pairs": "No matching signature for operator LIKE for argument types: BIGNUMERIC",
    "SELECT\n  CAST(a AS DATE) AS x FROM pairs": "Invalid cast from BIGNUMERIC to DATE",
    "SELECT\n  a = s AS x FROM pairs": "No matching signature for operator = for argument types: BIGNUMERIC, STRING",
}
NO_FORM = {
    "SELECT\n  ROUND(a, 1, 'ROUND_HALF_EVEN') AS x FROM pairs": "ROUND(BIGNUMERIC, INT64, ENUM) has no form",
    "SELECT\n  CAST(a AS STRING FORMAT '9.99') AS x FROM pairs": "CAST of BIGNUMERIC AS STRING with FORMAT has no form",
}


@pytest.mark.parametrize("sql", NOT_SQL)
def test_what_bigquery_refuses_is_refused_at_its_position_in_its_words(sql: str) -> None:
    with pytest.raises(UnportableSQL) as raised:
        duckdb_text(sql, TYPES)
    (problem,) = raised.value.problems
    assert problem.line == 2
    assert problem.message.startswith(NOT_SQL[sql])
    assert problem.remedy == ""


@pytest.mark.parametrize("sql", NO_FORM)
def test_what_has_no_exact_form_is_refused_at_its_position_with_a_remedy(sql: str) -> None:
    with pytest.raises(UnportableSQL) as raised:
        duckdb_text(sql, TYPES)
    (problem,) = raised.value.problems
    assert problem.line == 2
    assert problem.message.startswith(NO_FORM[sql])
    assert problem.remedy


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("a > 1.5", False),
        ("a IN (1, -1.5, 1.25)", True),
        ("CAST(a * 1.5 AS STRING)", "1.875"),
        ("CAST(a + @p AS STRING)", "1.35"),
        ("CAST(COALESCE(b, @p) AS STRING)", "0.1"),
        ("CAST(ARRAY<BIGNUMERIC>[1, m, 1.5][OFFSET(1)] AS STRING)", "7.000000001"),
        ("CAST(a AS NUMERIC) * 2", D("2.5")),
        ("CAST(CAST(a AS BIGNUMERIC) * 2 AS STRING)", "2.5"),
        ("CAST(a AS FLOAT64) * 2", 2.5),
        ("CAST(a AS STRING)", "1.25"),
        ("CAST(a AS INT64)", 1),
    ],
)
@pytest.mark.parametrize("of", ["pairs", "(SELECT CAST(a AS NUMERIC) AS a, b, m FROM pairs)"])
def test_another_type_beside_it_is_brought_to_bignumeric(
    connection: duckdb.DuckDBPyConnection, expression: str, answer: object, of: str
) -> None:
    fill(connection, [(D("1.25"), None, D("7.000000001"), None, None, None)])
    query = duckdb_text(f"SELECT {expression} AS x FROM {of}", TYPES, {"p": "NUMERIC"})
    bound = {"p": D("0.1")} if "@p" in expression else {}
    assert connection.execute(query, bound).fetchall() == [(answer,)]


@pytest.mark.parametrize(("expression", "expected"), [("a * 2", [(D("2.5"),)] * 2), ("SUM(a)", [(D("2.5"),)])])
def test_a_name_that_hides_a_bignumeric_has_its_own_type(
    connection: duckdb.DuckDBPyConnection, expression: str, expected: list[tuple[Decimal]]
) -> None:
    fill(connection, [(D("1.25"), None, None, None, None, None)] * 2)
    sql = f"WITH q AS (SELECT CAST(a AS NUMERIC) AS a FROM pairs) SELECT {expression} AS x FROM q"
    assert connection.execute(duckdb_text(sql, TYPES)).fetchall() == expected


def test_a_union_brings_its_branches_to_bignumeric(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, [(D("1e-38"), None, D("1.5"), None, 7, None)])
    sql = (
        "WITH q AS (SELECT n, 1 AS o FROM pairs UNION ALL SELECT m, 2 FROM pairs UNION ALL SELECT a, 3 FROM pairs "
        "UNION ALL SELECT NULL, 4) SELECT CAST(CAST(n AS BIGNUMERIC) AS STRING) AS t FROM q ORDER BY o"
    )
    found = connection.execute(duckdb_text(sql, TYPES)).fetchall()
    assert found == [("7",), ("1.5",), ("0." + "0" * 37 + "1",), (None,)]


# The whole adapter.

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)
TABLE = TableRef("acme", "costs")
MEMBERS = (Column("v", "BIGNUMERIC"), Column("k", "STRING"))
SCHEMA = TableSchema(
    columns=(
        Column("day", "DATE", "REQUIRED"),
        Column("x", "BIGNUMERIC"),
        Column("m", "NUMERIC"),
        Column("r", "RECORD", "REPEATED", "", MEMBERS),
        Column("s", "RECORD", "NULLABLE", "", MEMBERS),
        Column("l", "BIGNUMERIC", "REPEATED"),
    ),
    partition_column="day",
)
JOB = Job("run-1")
ANY_COLUMN = FileRules(optional=frozenset("xmrsl"))
DIGITS = D("-12345678901234567890123456789012345678.12345678901234567890123456789012345678")


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    with DuckDBWarehouse(tmp_path / "warehouse") as opened:
        opened.ensure_table(TABLE, SCHEMA)
        yield opened


def row(x: str, m: str = "NUMERIC '1'", **parameters: Any) -> Query:
    nested = "[STRUCT(BIGNUMERIC '0.5' AS v, 'a' AS k)] AS r, STRUCT(BIGNUMERIC '3' AS v, 'b' AS k) AS s"
    return Query(f"SELECT @day AS day, {x} AS x, {m} AS m, {nested}, [BIGNUMERIC '2'] AS l", {"day": DAY, **parameters})


def read(warehouse: DuckDBWarehouse, sql: str, **parameters: Any) -> list[Any]:
    return [next(iter(r.values())) for r in warehouse.read(Query(sql, parameters), JOB).to_pylist()]


def load(warehouse: DuckDBWarehouse, file: Path, file_format: FileFormat) -> int:
    return warehouse.load_files(TABLE, SCHEMA, [SourceFile(str(file), file_format)], JOB, ANY_COLUMN).rows


def test_a_declared_bignumeric_is_staged_published_and_read_as_arrows_decimal(warehouse: DuckDBWarehouse) -> None:
    assert warehouse.ensure_table(TABLE, SCHEMA).created is False
    staged = warehouse.stage_query(TABLE, SCHEMA, [row(f"BIGNUMERIC '{DIGITS}'")], JOB)
    nested = {"r": [{"v": D("0.5"), "k": "a"}], "s": {"v": D(3), "k": "b"}, "l": [D(2)]}
    assert warehouse.read_staged(staged, ["x", "r", "s", "l"], JOB).to_pylist() == [{"x": DIGITS, **nested}]
    assert warehouse.publish(staged, [DAY], JOB) == 1
    table = warehouse.read(Query("SELECT x, r, s, l FROM acme.costs"), JOB)
    assert table.schema.field("x").type == pa.decimal256(76, 38)
    assert table.to_pylist() == [{"x": DIGITS, **nested}]
    assert warehouse.read(Query("SELECT x FROM acme.costs WHERE x > 0"), JOB).schema.types == [pa.decimal256(76, 38)]
    assert read(warehouse, "SELECT SUM(e.v) + x FROM acme.costs, UNNEST(r) AS e GROUP BY x") == [
        WIDE.add(DIGITS, D("0.5"))
    ]
    assert read(warehouse, "SELECT (SELECT SUM(e.v * 2) FROM UNNEST(r) AS e WHERE e.v < 1) AS t FROM acme.costs") == [
        D(1)
    ]
    assert read(warehouse, "SELECT CAST(l[SAFE_OFFSET(0)] AS BIGNUMERIC) * 2 AS t FROM acme.costs") == [D(4)]
    assert read(warehouse, "SELECT e + 1 AS t FROM acme.costs, UNNEST(l) AS e") == [D(3)]
    assert warehouse.dry_run(Query("SELECT x, m, x * m AS p FROM acme.costs")).columns == {
        "x": "BIGNUMERIC", "m": "DECIMAL(38,9)", "p": "BIGNUMERIC",
    }  # fmt: skip


def test_a_column_of_bignumeric_is_added_to_a_table(warehouse: DuckDBWarehouse) -> None:
    wider = TableSchema(columns=(*SCHEMA.columns, Column("y", "BIGNUMERIC")), partition_column="day")
    assert warehouse.ensure_table(TABLE, wider).added == ("y",)
    assert read(warehouse, "SELECT y + 1 AS z FROM acme.costs") == []


@pytest.mark.parametrize(
    ("given", "held"),
    [("NUMERIC '1.5'", D("1.5")), ("7", D(7)), ("NULL", None), ("CAST(@p AS BIGNUMERIC)", D(1000)), ("@p", D(1000))],
)
def test_a_narrower_number_goes_into_a_bignumeric_column(warehouse: DuckDBWarehouse, given: str, held: object) -> None:
    staged = warehouse.stage_query(TABLE, SCHEMA, [row(given, p=D("1e3"))], JOB)
    assert warehouse.read_staged(staged, ["x"], JOB).to_pylist() == [{"x": held}]


@pytest.mark.parametrize(("x", "m"), [("1", "BIGNUMERIC '1'"), ("CAST(1 AS FLOAT64)", "1"), ("'1'", "1")])
def test_another_type_than_declared_is_a_mismatch(warehouse: DuckDBWarehouse, x: str, m: str) -> None:
    with pytest.raises(
        SchemaMismatch, match=r"is declared (BIG)?NUMERIC and the SQL gives (BIGNUMERIC|DOUBLE|VARCHAR)"
    ):
        warehouse.stage_query(TABLE, SCHEMA, [row(x, m)], JOB)


def test_bound_values_keep_their_digits(warehouse: DuckDBWarehouse) -> None:
    largest = D("9" * 29 + "." + "9" * 9)
    for value in (D("1e28"), D("-1e-9"), largest, D("1.50"), D(0)):
        assert read(warehouse, "SELECT CAST(@p AS BIGNUMERIC) / 1 AS z", p=value) == [value]
        assert read(warehouse, "SELECT @p AS z", p=value) == [value]
    assert read(warehouse, "SELECT CAST(@p AS BIGNUMERIC) AS z", p=str(DIGITS)) == [DIGITS]
    for value in (D("1e29"), D("1e-10"), D("NaN")):
        with pytest.raises(InvalidQuery, match=r"parameter @p: .* does not fit NUMERIC"):
            read(warehouse, "SELECT @p AS z", p=value)


def test_errors_say_what_happened_without_pythons_stack(warehouse: DuckDBWarehouse) -> None:
    for sql, message in (
        ("SELECT BIGNUMERIC '1' / 0 AS z", "division by zero"),
        ("SELECT BIGNUMERIC '5e38' + BIGNUMERIC '5e38' AS z", "BIGNUMERIC overflow"),
        ("SELECT CAST('1,5' AS BIGNUMERIC) AS z", "not a text of BIGNUMERIC: 1,5"),
        ("SELECT CAST(BIGNUMERIC '1e29' AS NUMERIC) AS z", "beyond NUMERIC"),
        ("SELECT BIGNUMERIC '5e38' AS z", "more than 76 digits; CAST it AS STRING"),
    ):
        with pytest.raises(InvalidQuery, match=message) as raised:
            read(warehouse, sql)
        assert ".py" not in str(raised.value)
    assert read(warehouse, "SELECT CAST(BIGNUMERIC '5e38' AS STRING) AS z") == ["5" + "0" * 38]


def test_a_statement_of_bignumerics_is_cancelled_in_time(warehouse: DuckDBWarehouse) -> None:
    days = "UNNEST(GENERATE_DATE_ARRAY(DATE '2001-01-01', DATE '2030-12-31'))"
    sql = f"SELECT SUM(BIGNUMERIC '1.5' * EXTRACT(DAY FROM a) / 7) AS t FROM {days} AS a, {days} AS b"
    with pytest.raises(JobTimeout):
        warehouse.read(Query(sql), Job("run-1", timeout_seconds=0.5))
    assert read(warehouse, "SELECT BIGNUMERIC '1' AS z") == [D(1)]


def test_csv_is_loaded_digit_for_digit(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_text(f"day,x,m\n2026-03-01,{DIGITS},2\n2026-03-01,,3\n2026-03-01,1e-38,\n")
    assert load(warehouse, file, "csv") == 3
    assert read(warehouse, "SELECT x FROM acme.costs ORDER BY x") == [None, DIGITS, UNIT]
    for text in ("abc", "5e-39", "5.8e38"):
        file.write_text(f"day,x\n2026-03-01,{text}\n")
        with pytest.raises(SchemaMismatch, match=rf"day\.csv:2 x: {text}; expected a decimal number"):
            load(warehouse, file, "csv")


def test_json_lines_are_loaded_digit_for_digit(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    many = 12345678901234567890123456789012345678
    nested = {"r": [{"v": "0.5", "k": "z"}, {"v": None}], "s": {"v": many}, "l": [str(DIGITS), 3]}
    lines = [{"day": "2026-03-01", "x": str(DIGITS), **nested}, {"day": "2026-03-01", "x": many}, {"day": "2026-03-01"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert load(warehouse, file, "jsonl") == 3
    assert read(warehouse, "SELECT x FROM acme.costs ORDER BY x") == [None, DIGITS, D(many)]
    found = warehouse.read(Query("SELECT r, s, l FROM acme.costs ORDER BY x"), JOB).to_pylist()
    assert found[0] == {"r": [], "s": None, "l": []}
    assert found[1] == {
        "r": [{"v": D("0.5"), "k": "z"}, {"v": None, "k": None}], "s": {"v": D(many), "k": None}, "l": [DIGITS, D(3)],
    }  # fmt: skip
    file.write_text(f'{{"day": "2026-03-01", "x": {DIGITS}}}\n')
    assert load(warehouse, file, "jsonl") == 1
    assert read(warehouse, "SELECT x FROM acme.costs") == [DIGITS]


def parquet(file: Path, **columns: pa.Array) -> Path:
    days = pa.array([DAY] * len(next(iter(columns.values()))))
    pq.write_table(pa.table({"day": days, **columns}), file)
    return file


def test_parquet_is_loaded_digit_for_digit(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    large = pa.decimal256(76, 38)
    file = parquet(
        tmp_path / "large.parquet",
        x=pa.array([DIGITS, None, UNIT], large),
        m=pa.array([D("1.5")] * 3, pa.decimal128(38, 9)),
        s=pa.array(
            [{"v": DIGITS, "k": "b"}, None, {"v": None, "k": "c"}], pa.struct([("v", large), ("k", pa.string())])
        ),
        l=pa.array([[DIGITS, UNIT], [], None], pa.list_(large)),
    )
    assert load(warehouse, file, "parquet") == 3
    assert warehouse.read(Query("SELECT x, m, s, l FROM acme.costs ORDER BY x"), JOB).to_pylist() == [
        {"x": None, "m": D("1.5"), "s": None, "l": []},
        {"x": DIGITS, "m": D("1.5"), "s": {"v": DIGITS, "k": "b"}, "l": [DIGITS, UNIT]},
        {"x": UNIT, "m": D("1.5"), "s": {"v": None, "k": "c"}, "l": []},
    ]
    for array, held in (
        (pa.array([D("1.1234567890123456789")], pa.decimal128(38, 30)), D("1.1234567890123456789")),
        (pa.array([5], pa.int32()), D(5)),
        (pa.array([D("7.5")], pa.decimal256(50, 1)), D("7.5")),
        (pa.array([5.1]), D("5.1")),
        (pa.array(["5.5"]), D("5.5")),
    ):
        assert load(warehouse, parquet(tmp_path / "other.parquet", x=array), "parquet") == 1
        assert read(warehouse, "SELECT x FROM acme.costs") == [held]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([float("nan")]), "x: nan; expected a decimal number"),
        (pa.array(["5,5"]), "x: 5,5; expected a decimal number"),
        (pa.array([D("1e40")], pa.decimal256(76, 0)), "a decimal does not fit BIGNUMERIC"),
        (pa.array([D("1e-40")], pa.decimal256(76, 40)), "a decimal does not fit BIGNUMERIC"),
    ],
    ids=["double", "text", "beyond", "below"],
)
def test_parquet_that_does_not_fit_is_refused(
    warehouse: DuckDBWarehouse, tmp_path: Path, array: pa.Array, message: str
) -> None:
    with pytest.raises(SchemaMismatch, match=message) as raised:
        load(warehouse, parquet(tmp_path / "day.parquet", x=array), "parquet")
    assert ".py" not in str(raised.value)


def test_files_go_into_parquet_with_their_decimals(tmp_path: Path) -> None:
    file, into = tmp_path / "day.csv", tmp_path / "made" / "rows.parquet"
    into.parent.mkdir()
    file.write_text(f"day,x\n2026-03-01,{DIGITS}\n2026-03-01,\n")
    files_to_parquet(into, SCHEMA, [SourceFile(str(file), "csv")], ANY_COLUMN, exact=False)
    made = pq.read_table(into)
    assert made.schema.field("x").type == pa.decimal256(76, 38)
    assert sorted(made["x"].to_pylist(), key=str) == [DIGITS, None]
    file.write_text("day,x\n2026-03-01,5e38\n")
    with pytest.raises(SchemaMismatch, match="more than 76 digits"):
        files_to_parquet(
            into.with_name("other.parquet"), SCHEMA, [SourceFile(str(file), "csv")], ANY_COLUMN, exact=False
        )


def test_two_connections_compute_at_once(tmp_path: Path) -> None:
    found: list[object] = []

    def work(name: str) -> None:
        with DuckDBWarehouse(tmp_path / name) as opened:
            found.extend(read(opened, "SELECT SUM(BIGNUMERIC '0.1' * d) AS t FROM UNNEST([1, 2, 3]) AS d"))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [D("0.6")] * 2
