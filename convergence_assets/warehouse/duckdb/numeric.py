"""BigQuery's arithmetic as DuckDB macros: NUMERIC exact, and texts of numbers read as BigQuery reads them.

BigQuery's NUMERIC has 38 digits, 9 of them decimals, and rounds each operation half away from zero; here it is
DECIMAL(38,9). DuckDB's widest integer has 128 bits: Python multiplies beyond 10^20 and divides beyond it, in
`bignumeric`. https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types
"""

from typing import TYPE_CHECKING

from convergence_assets.warehouse.duckdb import bignumeric, bignumeric_encoding, functions
from convergence_assets.warehouse.duckdb.generator import macros
from convergence_assets.warehouse.duckdb.generator.raising import TEXT, refused

if TYPE_CHECKING:
    import duckdb

_N = "DECIMAL(38,9)"


def _units(name: str) -> str:
    return f"CAST({name} * CAST(1000000000 AS DECIMAL(10,0)) AS HUGEINT)"


def _by_zero(kind: str) -> str:
    return refused("division by zero", "CAST(b AS VARCHAR)", kind)


def _quotient(a: str, b: str) -> str:
    # |a| in units of 1e-18 over |b| in units of 1e-9, half of |b| added first: rounds half away from zero at 1e-9.
    return (
        f"CAST(CAST(sign({a}) * sign({b}) AS DECIMAL(1,0)) * CAST("
        f"((abs({_units(a)}) * CAST(1000000000 AS HUGEINT) + abs({_units(b)}) // 2) // abs({_units(b)})) "
        f"AS DECIMAL(38,0)) * CAST('0.000000001' AS DECIMAL(10,9)) AS {_N})"
    )


def _wide(word: str) -> str:
    return f"CAST(bignumeric_{word}_numeric(CAST({_A} AS VARCHAR), CAST({_B} AS VARCHAR)) AS {_N})"


def _unless_wide(word: str, narrow: str) -> str:
    limit = f"CAST(1e20 AS {_N})"
    return f"CASE WHEN abs({_A}) < {limit} AND abs({_B}) < {limit} THEN {narrow} ELSE {_wide(word)} END"


def _divided(word: str, narrow: str) -> str:
    return f"CASE WHEN b = 0 AND a IS NOT NULL THEN {_by_zero(_N)} WHEN b <> 0 THEN {_unless_wide(word, narrow)} END"


def _from_double(name: str) -> str:
    # BigQuery rounds the exact binary value, half away from zero. Whole part and fraction are exact by themselves;
    # printing the fraction with nine decimals rounds it alike but for a tie, which goes to even. Ties are the odd
    # multiples of 2^-10: their ten decimals are exact, and the cast rounds those away from zero. (Casting the text of
    # the whole number takes up to 80 times longer: 40 s for a million of sixteen digits.)
    whole = f"CAST(CAST(trunc({name}) AS HUGEINT) AS {_N})"
    fraction = f"({name} - trunc({name}))"
    exact, rounded = (f"format('{{:.{places}f}}', {fraction})" for places in (10, 9))
    tie = f"abs(({name} * 1024) % 2) = 1"
    return f"CAST({whole} + CAST(CASE WHEN {tie} THEN {exact} ELSE {rounded} END AS DECIMAL(18,9)) AS {_N})"


def _bad(kind: str, cast: str) -> str:
    return refused(f"not a text of {kind}", "a", cast)


# DuckDB casts '1.5' to an integer and takes digits grouped by underscores; BigQuery does neither.
_INTEGER_TEXT = r"regexp_full_match(a, '\s*[+-]?[0-9]+\s*')"
_DECIMAL_TEXT = r"regexp_full_match(a, '\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*')"
_A, _B = f"CAST(a AS {_N})", f"CAST(b AS {_N})"
_SUMS = ", ".join(f"CAST({word} AS VARCHAR)" for word in bignumeric_encoding.WORDS)
MACROS = (
    "bq_multiply_numeric(a, b) AS CASE WHEN abs(CAST(a AS DOUBLE) * CAST(b AS DOUBLE)) < 9e19"
    f" THEN CAST({_A} * {_B} AS {_N}) ELSE {_wide('multiply')} END",
    f"bq_divide_numeric(a, b) AS {_divided('divide', _quotient(_A, _B))}",
    f"bq_divide_float64(a, b) AS CASE WHEN b = 0 AND a IS NOT NULL THEN {_by_zero('DOUBLE')}"
    " ELSE CAST(a AS DOUBLE) / CAST(b AS DOUBLE) END",
    f"bq_div_numeric(a, b) AS {_divided('div', f'CAST({_units(_A)} // {_units(_B)} AS {_N})')}",
    f"bq_div_int64(a, b) AS CASE WHEN b = 0 AND a IS NOT NULL THEN {_by_zero('BIGINT')}"
    " ELSE CAST(a // b AS BIGINT) END",
    f"bq_mod_numeric(a, b) AS CASE WHEN b = 0 AND a IS NOT NULL THEN {_by_zero(_N)} ELSE CAST({_A} % {_B} AS {_N}) END",
    f"bq_mod_int64(a, b) AS CASE WHEN b = 0 AND a IS NOT NULL THEN {_by_zero('BIGINT')} ELSE CAST(a % b AS BIGINT) END",
    # a: the sum of the values up to 10^20, l: the others, n: how many there are of both.
    "bq_average_numeric(a, l, n) AS CASE WHEN n = 0 THEN NULL WHEN coalesce(len(l), 0) = 0"
    " THEN bq_divide_numeric(a, n)"
    f" ELSE CAST(python_average_numeric(CAST(a AS VARCHAR), CAST(l AS VARCHAR[]), n) AS {_N}) END",
    # DuckDB's SUM goes on above 38 digits; its addition does not.
    f"bq_total_numeric(a, l) AS CASE WHEN coalesce(len(l), 0) = 0 THEN {_A} + CAST(0 AS {_N})"
    f" ELSE CAST(python_total_numeric(CAST(a AS VARCHAR), CAST(l AS VARCHAR[])) AS {_N}) END",
    f"bq_total_bignumeric({', '.join(bignumeric_encoding.WORDS)}) AS bignumeric_total({_SUMS})",
    f"bq_average_bignumeric({', '.join(bignumeric_encoding.WORDS)}, n) AS bignumeric_average({_SUMS}, n)",
    f"bq_numeric_string(a) AS CASE WHEN {_DECIMAL_TEXT} THEN CAST({TEXT} AS {_N}) ELSE {_bad('NUMERIC', _N)} END",
    f"bq_numeric_float64(a) AS {_from_double('a')}",
    f"bq_string_numeric(a) AS rtrim(rtrim(CAST({_A} AS VARCHAR), '0'), '.')",
    f"bq_int64_string(a) AS CASE WHEN {_INTEGER_TEXT} THEN CAST({TEXT} AS BIGINT) WHEN contains(lower(a), '0x')"
    f" THEN CAST(python_int64_of_hex(a) AS BIGINT) ELSE {_bad('INT64', 'BIGINT')} END",
    "bq_bignumeric_numeric(a) AS bignumeric_from_text(CAST(a AS VARCHAR))",
)


def install_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    """Make the functions and macros that generated SQL calls, for this connection alone."""
    bignumeric.install_functions(connection)
    connection.execute("; ".join(f"CREATE OR REPLACE TEMP MACRO {macro}" for macro in (*MACROS, *functions.MACROS)))
    macros.install_functions(connection)
