"""BigQuery's arithmetic as DuckDB macros: NUMERIC exact, chosen by the operands' types when a statement is bound.

BigQuery's NUMERIC has 38 digits, 9 of them decimals, and rounds each operation half away from zero; here it is
DECIMAL(38,9). DuckDB's widest integer has 128 bits: Python multiplies beyond 10^20 and divides beyond it, in
`bignumeric`. https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types
"""

from typing import TYPE_CHECKING

from convergence_assets.warehouse.duckdb import bignumeric, functions, limbs
from convergence_assets.warehouse.duckdb.generator import macros
from convergence_assets.warehouse.duckdb.generator.refusing import refused

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


def _from_double(name: str, cast: str = "CAST") -> str:
    # BigQuery rounds the exact binary value, half away from zero. Whole part and fraction are exact by themselves;
    # printing the fraction with nine decimals rounds it alike but for a tie, which goes to even. Ties are the odd
    # multiples of 2^-10: their ten decimals are exact, and the cast rounds those away from zero. (Casting the text of
    # the whole number takes up to 80 times longer: 40 s for a million of sixteen digits.)
    whole = f"{cast}({cast}(trunc({name}) AS HUGEINT) AS {_N})"
    fraction = f"({name} - trunc({name}))"
    exact, rounded = (f"format('{{:.{places}f}}', {fraction})" for places in (10, 9))
    tie = f"abs(({name} * 1024) % 2) = 1"
    return f"CAST({whole} + {cast}(CASE WHEN {tie} THEN {exact} ELSE {rounded} END AS DECIMAL(18,9)) AS {_N})"


def _bad(kind: str, cast: str) -> str:
    return refused(f"not a text of {kind}", "a", cast)


# DuckDB casts '1.5' to an integer and takes digits grouped by underscores; BigQuery does neither.
_INTEGER_TEXT = r"regexp_full_match(a, '\s*[+-]?([0-9]+|0[xX][0-9a-fA-F]+)\s*')"
_DECIMAL_TEXT = r"regexp_full_match(a, '\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*')"
_A, _B = f"CAST(a AS {_N})", f"CAST(b AS {_N})"
_FLOAT_A, _FLOAT_B = "CAST(a AS DOUBLE)", "CAST(b AS DOUBLE)"
_BODIES = {
    "bq_multiply_numeric": (
        f"CASE WHEN abs({_FLOAT_A} * {_FLOAT_B}) < 9e19 THEN CAST({_A} * {_B} AS {_N}) ELSE {_wide('multiply')} END"
    ),
    "bq_multiply_int64": "CAST(CAST(a AS HUGEINT) * CAST(b AS HUGEINT) AS BIGINT)",
    "bq_divide_numeric": _divided("divide", _quotient(_A, _B)),
    "bq_divide_float64": (
        f"CASE WHEN b = 0 AND a IS NOT NULL THEN {_by_zero('DOUBLE')} ELSE {_FLOAT_A} / {_FLOAT_B} END"
    ),
    "bq_safe_divide_numeric": f"CASE WHEN b <> 0 THEN {_unless_wide('divide', _quotient(_A, _B))} END",
    "bq_safe_divide_float64": f"CASE WHEN b = 0 THEN NULL ELSE {_FLOAT_A} / {_FLOAT_B} END",
    "bq_div_numeric": _divided("div", f"CAST({_units(_A)} // {_units(_B)} AS {_N})"),
    "bq_div_int64": f"CASE WHEN b = 0 AND a IS NOT NULL THEN {_by_zero('BIGINT')} ELSE CAST(a // b AS BIGINT) END",
    "bq_mod_numeric": f"CASE WHEN b = 0 AND a IS NOT NULL THEN {_by_zero(_N)} ELSE CAST({_A} % {_B} AS {_N}) END",
    "bq_mod_int64": f"CASE WHEN b = 0 AND a IS NOT NULL THEN {_by_zero('BIGINT')} ELSE CAST(a % b AS BIGINT) END",
    "bq_average_numeric": f"CASE WHEN b <> 0 THEN {_unless_wide('divide', _quotient(_A, _B))} END",
    "bq_round_numeric": f"CAST(round({_A}, b) AS {_N})",
    "bq_round_float64": f"round({_FLOAT_A}, b)",
    "bq_ceil_numeric": f"CAST(ceil({_A}) AS {_N})",
    "bq_ceil_float64": f"ceil({_FLOAT_A})",
    "bq_floor_numeric": f"CAST(floor({_A}) AS {_N})",
    "bq_floor_float64": f"floor({_FLOAT_A})",
    "bq_sign_numeric": f"CAST(sign({_A}) AS {_N})",
    "bq_sign_float64": f"CAST(sign({_FLOAT_A}) AS DOUBLE)",
    "bq_sign_int64": "CAST(sign(a) AS BIGINT)",
    "bq_total_float64": "a",
    "bq_total_int64": "CAST(a AS BIGINT)",
    # DuckDB's SUM goes on above 38 digits; its addition does not.
    "bq_total_numeric": f"{_A} + CAST(0 AS {_N})",
    "bq_numeric_numeric": _A,
    "bq_numeric_int64": _A,
    "bq_numeric_string": f"CASE WHEN {_DECIMAL_TEXT} THEN {_A} ELSE {_bad('NUMERIC', _N)} END",
    "bq_numeric_float64": _from_double("a"),
    "bq_safe_numeric_numeric": _A,
    "bq_safe_numeric_int64": f"TRY_CAST(a AS {_N})",
    "bq_safe_numeric_string": f"CASE WHEN {_DECIMAL_TEXT} THEN TRY_CAST(a AS {_N}) END",
    "bq_safe_numeric_float64": _from_double("a", "TRY_CAST"),
    "bq_string_numeric": f"rtrim(rtrim(CAST({_A} AS VARCHAR), '0'), '.')",
    "bq_int64_numeric": "CAST(a AS BIGINT)",
    "bq_int64_int64": "CAST(a AS BIGINT)",
    "bq_int64_string": f"CASE WHEN {_INTEGER_TEXT} THEN CAST(a AS BIGINT) ELSE {_bad('INT64', 'BIGINT')} END",
    "bq_int64_float64": "CAST(round(a) AS BIGINT)",
    "bq_safe_int64_numeric": "TRY_CAST(a AS BIGINT)",
    "bq_safe_int64_int64": "TRY_CAST(a AS BIGINT)",
    "bq_safe_int64_string": f"CASE WHEN {_INTEGER_TEXT} THEN TRY_CAST(a AS BIGINT) END",
    "bq_safe_int64_float64": "TRY_CAST(round(a) AS BIGINT)",
    "bq_add_bignumeric": "bignumeric_add(a, b)",
    "bq_sub_bignumeric": "bignumeric_subtract(a, b)",
    "bq_multiply_bignumeric": "bignumeric_multiply(a, b)",
    "bq_divide_bignumeric": "bignumeric_divide(a, b)",
    "bq_safe_divide_bignumeric": "bignumeric_safe_divide(a, b)",
    "bq_div_bignumeric": "bignumeric_div(a, b)",
    "bq_mod_bignumeric": "bignumeric_mod(a, b)",
    "bq_round_bignumeric": "bignumeric_round(a, b)",
    "bq_ceil_bignumeric": "bignumeric_ceil(a)",
    "bq_floor_bignumeric": "bignumeric_floor(a)",
    "bq_sign_bignumeric": "bignumeric_sign(a)",
    "bq_abs_bignumeric": "bignumeric_abs(a)",
    "bq_neg_bignumeric": "bignumeric_negate(a)",
    "bq_bignumeric_bignumeric": "a",
    "bq_bignumeric_numeric": "bignumeric_from_text(CAST(a AS VARCHAR))",
    "bq_bignumeric_int64": "bignumeric_from_text(CAST(a AS VARCHAR))",
    "bq_bignumeric_string": "bignumeric_from_text(a)",
    "bq_bignumeric_float64": "bignumeric_from_float64(a)",
    "bq_safe_bignumeric_bignumeric": "a",
    "bq_safe_bignumeric_numeric": "bignumeric_from_text(CAST(a AS VARCHAR))",
    "bq_safe_bignumeric_int64": "bignumeric_from_text(CAST(a AS VARCHAR))",
    "bq_safe_bignumeric_string": "bignumeric_safe_from_text(a)",
    "bq_safe_bignumeric_float64": "bignumeric_safe_from_float64(a)",
    "bq_numeric_bignumeric": f"CAST(bignumeric_numeric(a) AS {_N})",
    "bq_safe_numeric_bignumeric": f"CAST(bignumeric_safe_numeric(a) AS {_N})",
    "bq_int64_bignumeric": "bignumeric_int64(a)",
    "bq_safe_int64_bignumeric": "bignumeric_safe_int64(a)",
    "bq_string_bignumeric": "bignumeric_text(a)",
    "bq_float64_bignumeric": "bignumeric_float64(a)",
    "bq_float64_float64": _FLOAT_A,
    "bq_float64_string": _FLOAT_A,
}
_OPERANDS = {"bignumeric": limbs.TYPE, "numeric": _N, "float64": "DOUBLE", "int64": "HUGEINT", "string": "VARCHAR"}
_TWO = ("multiply", "divide", "safe_divide", "div", "mod", "add", "sub")
_ROUNDS = ("round",)
_INTEGER_AS_FLOAT = ("divide", "safe_divide", "ceil", "floor")


def _macros() -> list[str]:
    """One macro per operation and type, and one overloaded macro per operation that picks by the bound types."""
    operations: dict[str, list[str]] = {}
    macros = []
    for name, body in _BODIES.items():
        operation, kind = name.removeprefix("bq_").rsplit("_", 1)
        single = operation not in _TWO and operation not in (*_ROUNDS, "average")
        macros.append(f"{name}({'a' if single else 'a, b'}) AS {body}")
        parameters = f"a {_OPERANDS[kind]}"
        if operation in _TWO:
            parameters += f", b {_OPERANDS[kind]}"
        elif not single:
            parameters += ", b"
        operations.setdefault(operation, []).append(f"({parameters}) AS {body}")
    operations["multiply"].append("(a DOUBLE, b DOUBLE) AS a * b")
    for operation in _INTEGER_AS_FLOAT:
        taken = "(a HUGEINT, b HUGEINT)" if operation in _TWO else "(a HUGEINT)"
        operations[operation].append(f"{taken} AS {_BODIES[f'bq_{operation}_float64']}")
    del operations["average"], operations["total"]
    macros.append("bq_total(a) AS a + 0")
    sums = ", ".join(f"CAST({word} AS VARCHAR)" for word in limbs.WORDS)
    macros.append(f"bq_total_bignumeric({', '.join(limbs.WORDS)}) AS bignumeric_total({sums})")
    macros.append(f"bq_average_bignumeric({', '.join(limbs.WORDS)}, n) AS bignumeric_average({sums}, n)")
    return macros + [f"bq_{operation}{', '.join(overloads)}" for operation, overloads in operations.items()]


MACROS = tuple(_macros())


def install_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    """Make the functions and macros that transpiled SQL calls, for this connection alone."""
    bignumeric.install_functions(connection)
    connection.execute("; ".join(f"CREATE OR REPLACE TEMP MACRO {macro}" for macro in (*MACROS, *functions.MACROS)))
    macros.install_functions(connection)
