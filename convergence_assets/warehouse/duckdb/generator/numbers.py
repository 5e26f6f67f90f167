"""Arithmetic and functions of numbers."""

import re
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from math import isfinite, isinf
from typing import TYPE_CHECKING

from convergence_assets.warehouse.duckdb.generator import comparing
from convergence_assets.warehouse.duckdb.generator.calls import Call, Entries
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction, install
from convergence_assets.warehouse.duckdb.generator.raising import refusal
from convergence_assets.warehouse.duckdb.generator.raising import refused as _refused
from convergence_assets.warehouse.duckdb.generator.types import element_of
from convergence_assets.warehouse.googlesql.types import spelled

if TYPE_CHECKING:
    import duckdb

MACROS = (
    "bq_trunc_numeric(a, n) AS CASE WHEN n IS NULL OR a IS NULL THEN NULL WHEN n >= 9 THEN a WHEN n < -28 THEN CAST(0 AS DECIMAL(38,9))"
    " ELSE CAST(a - a % CAST('1e' || CAST(-n AS VARCHAR) AS DECIMAL(38,9)) AS DECIMAL(38,9)) END",
    # DuckDB takes a NaN that Python gives for NULL.
    *(
        f"bq_{name}_float64_exact(a, b) AS CASE WHEN isnan(a) AND b IS NOT NULL THEN a ELSE python_{name}_float64(a, b) END"
        for name in ("round", "trunc")
    ),
    # t is a times 10^b, off by 2^-53 of it at most, and c what comes of it: right where no half (no whole) is that near.
    "bq_round_float64_to(a, b, t, c) AS CASE WHEN abs(t) < 4503599627370496 AND abs(abs(t - trunc(t)) - 0.5) > abs(t) * 2.3e-16"
    " THEN c ELSE bq_round_float64_exact(a, b) END",
    "bq_trunc_float64_to(a, b, t, c) AS CASE WHEN abs(t) < 4503599627370496 AND abs(t - round(t)) > abs(t) * 2.3e-16"
    " THEN c ELSE bq_trunc_float64_exact(a, b) END",
    "bq_finite_float64(a, b, c) AS CASE WHEN NOT isfinite(c) AND isfinite(a) AND isfinite(b)"
    f" THEN {_refused('FLOAT64 overflow', 'CAST(a AS VARCHAR)', 'DOUBLE')} ELSE c END",
    "bq_ieee_divide(a, b) AS CASE WHEN b = 0 AND a IS NOT NULL THEN CASE WHEN a = 0 OR isnan(a) THEN CAST('nan' AS DOUBLE)"
    " WHEN (a < 0) <> (CAST(b AS VARCHAR)[1] = '-') THEN CAST('-inf' AS DOUBLE) ELSE CAST('inf' AS DOUBLE) END ELSE a / b END",
    "bq_of_one(a, r) AS CASE WHEN isfinite(a) AND NOT isfinite(r)"
    f" THEN {_refused('no finite result', 'CAST(a AS VARCHAR)', 'DOUBLE')} ELSE r END",
    "bq_of_two(a, b, r) AS CASE WHEN NOT isfinite(r) AND NOT (isnan(r) AND (isnan(a) OR isnan(b)))"
    " AND NOT (isinf(r) AND (isinf(a) OR isinf(b)))"
    f" THEN {_refused('no finite result', 'CAST(a AS VARCHAR)', 'DOUBLE')} ELSE r END",
    f"bq_in_domain(a, within) AS CASE WHEN within OR isnan(a) THEN a WHEN a IS NULL THEN NULL ELSE {_refused('argument out of range', 'CAST(a AS VARCHAR)', 'DOUBLE')} END",
    f"bq_shift_count(n) AS CASE WHEN n < 0 THEN {_refused('a shift must not be negative', 'CAST(n AS VARCHAR)', 'BIGINT')} WHEN n > 63 THEN CAST(63 AS BIGINT) ELSE n END",
    "bq_shift_left(a, n) AS CASE WHEN a IS NULL THEN NULL WHEN bq_shift_count(n) < n THEN CAST(0 AS BIGINT)"
    " ELSE bq_wrapped((CAST(a AS HUGEINT) & 18446744073709551615::HUGEINT) * (1::HUGEINT << CAST(bq_shift_count(n) AS HUGEINT)) & 18446744073709551615::HUGEINT) END",
    "bq_shift_right(a, n) AS CASE WHEN a IS NULL THEN NULL WHEN bq_shift_count(n) < n THEN CAST(0 AS BIGINT)"
    " ELSE bq_wrapped((CAST(a AS HUGEINT) & 18446744073709551615::HUGEINT) >> CAST(bq_shift_count(n) AS HUGEINT)) END",
    "bq_wrapped(a) AS CAST(CASE WHEN a > 9223372036854775807::HUGEINT THEN a - 18446744073709551616::HUGEINT ELSE a END AS BIGINT)",
    # a: the sum, b: that of the values times 2^-64, which none of finite values reaches the end of.
    "bq_sum_float64(a, b) AS CASE WHEN isfinite(a) THEN a WHEN isfinite(b) AND NOT isfinite(b * 18446744073709551616.0::DOUBLE)"
    f" THEN {_refused('FLOAT64 overflow in SUM', 'CAST(a AS VARCHAR)', 'DOUBLE')} ELSE b * 18446744073709551616.0::DOUBLE END",
    "bq_average_float64(a, b, n) AS CASE WHEN n = 0 THEN NULL WHEN isfinite(a) THEN a / n ELSE b / n * 18446744073709551616.0::DOUBLE END",
)

_N = "DECIMAL(38,9)"
_EXACT = Context(prec=800)
"""Holds any FLOAT64 digit for digit, to any place."""
_LOOSE_NUMBER = re.compile(
    r"\s*+(?P<before>[+-]?)\s*+(?P<whole>[0-9,]*+)(?P<rest>(\.[0-9]*)?([eE][+-]?[0-9]+)?)\s*+(?P<after>[+-]?)\s*",
    re.ASCII,
)
_LEAST_PLACES, _MOST_PLACES = -308, 323
_PLACES_OF_EXACT_POWERS = 22


def add_entries(entries: Entries) -> None:
    for name, sign, word in (("$add", "+", "add"), ("$subtract", "-", "subtract")):
        entries.add(name, "INT64 INT64", f"({{0}} {sign} {{1}})")
        entries.add(name, "FLOAT64 FLOAT64", f"bq_finite_float64({{0}}, {{1}}, {{0}} {sign} {{1}})")
        entries.add(name, "NUMERIC NUMERIC", f"({{0}} {sign} {{1}})")
        entries.add(name, "BIGNUMERIC BIGNUMERIC", f"bignumeric_{word}({{0}}, {{1}})")
    entries.add("$multiply", "INT64 INT64", "({0} * {1})")
    entries.add("$multiply", "FLOAT64 FLOAT64", "bq_finite_float64({0}, {1}, {0} * {1})")
    entries.add("$multiply", "NUMERIC NUMERIC", "bq_multiply_numeric({0}, {1})")
    entries.add("$multiply", "BIGNUMERIC BIGNUMERIC", "bignumeric_multiply({0}, {1})")
    entries.add("$divide", "FLOAT64 FLOAT64", "bq_finite_float64({0}, {1}, bq_divide_float64({0}, {1}))")
    entries.add("$divide", "NUMERIC NUMERIC", "bq_divide_numeric({0}, {1})")
    entries.add("$divide", "BIGNUMERIC BIGNUMERIC", "bignumeric_divide({0}, {1})")
    entries.add("$unary_minus", "INT64", "(-{0})")
    entries.add("$unary_minus", "FLOAT64", "(-{0})")
    entries.add("$unary_minus", "NUMERIC", "(-{0})")
    entries.add("$unary_minus", "BIGNUMERIC", "bignumeric_negate({0})")
    for name, word in (("safe_add", "add"), ("safe_subtract", "subtract"), ("safe_multiply", "multiply")):
        entries.add(name, "BIGNUMERIC BIGNUMERIC", f"TRY(bignumeric_{word}({{0}}, {{1}}))")
    entries.add("safe_negate", "BIGNUMERIC", "TRY(bignumeric_negate({0}))")
    for name, word in (("safe_add", "$add"), ("safe_subtract", "$subtract"), ("safe_multiply", "$multiply")):
        for types in ("INT64 INT64", "FLOAT64 FLOAT64", "NUMERIC NUMERIC"):
            entries.add(name, types, f"TRY({_text_of(entries, word, types)})")
    entries.add("safe_negate", "INT64", "TRY(-{0})")
    entries.add("safe_negate", "FLOAT64", "(-{0})")
    entries.add("safe_negate", "NUMERIC", "(-{0})")
    entries.add("safe_divide", "FLOAT64 FLOAT64", "TRY(bq_finite_float64({0}, {1}, bq_divide_float64({0}, {1})))")
    entries.add("safe_divide", "NUMERIC NUMERIC", "TRY(bq_divide_numeric({0}, {1}))")
    entries.add("safe_divide", "BIGNUMERIC BIGNUMERIC", "bignumeric_safe_divide({0}, {1})")
    entries.add("div", "INT64 INT64", "bq_div_int64({0}, {1})")
    entries.add("div", "NUMERIC NUMERIC", "bq_div_numeric({0}, {1})")
    entries.add("div", "BIGNUMERIC BIGNUMERIC", "bignumeric_div({0}, {1})")
    entries.add("mod", "INT64 INT64", "CASE WHEN {1} = -1 THEN {0} * 0 ELSE bq_mod_int64({0}, {1}) END")
    entries.add("mod", "NUMERIC NUMERIC", "bq_mod_numeric({0}, {1})")
    entries.add("mod", "BIGNUMERIC BIGNUMERIC", "bignumeric_mod({0}, {1})")
    entries.add("abs", "INT64", "abs({0})")
    entries.add("abs", "FLOAT64", "abs({0})")
    entries.add("abs", "NUMERIC", f"CAST(abs({{0}}) AS {_N})")
    entries.add("abs", "BIGNUMERIC", "bignumeric_abs({0})")
    entries.add("sign", "INT64", "CAST(sign({0}) AS BIGINT)")
    entries.add("sign", "FLOAT64", "CASE WHEN isnan({0}) THEN {0} ELSE CAST(sign({0}) AS DOUBLE) END")
    entries.add("sign", "NUMERIC", f"CAST(sign({{0}}) AS {_N})")
    entries.add("sign", "BIGNUMERIC", "bignumeric_sign({0})")
    for name in ("ceil", "floor"):
        entries.add(name, "FLOAT64", f"{name}({{0}})")
        entries.add(name, "NUMERIC", f"CAST({name}({{0}}) AS {_N})")
        entries.add(name, "BIGNUMERIC", f"bignumeric_{name}({{0}})")
    entries.add("round", "NUMERIC", f"CAST(round({{0}}, 0) AS {_N})")
    entries.add("round", "NUMERIC INT64", _rounded_numeric)
    entries.add("round", "BIGNUMERIC", "bignumeric_round({0}, CAST(0 AS BIGINT))")
    entries.add("round", "BIGNUMERIC INT64", "bignumeric_round({0}, {1})")
    entries.add("round", "FLOAT64", "round({0})")
    entries.add("round", "FLOAT64 INT64", _to_places)
    entries.add("trunc", "FLOAT64", "trunc({0})")
    entries.add("trunc", "FLOAT64 INT64", _to_places)
    entries.add("trunc", "NUMERIC", f"CAST(trunc({{0}}) AS {_N})")
    entries.add("trunc", "NUMERIC INT64", "bq_trunc_numeric({0}, {1})")
    _of_floats(entries)
    entries.add("$bitwise_left_shift", "INT64 INT64", "bq_shift_left({0}, {1})")
    entries.add("$bitwise_right_shift", "INT64 INT64", "bq_shift_right({0}, {1})")
    entries.add("range_bucket", "ANY ARRAY", _bucket)
    entries.add("is_nan", "FLOAT64", "isnan({0})")
    entries.add("is_inf", "FLOAT64", "isinf({0})")
    entries.add("ieee_divide", "FLOAT64 FLOAT64", "bq_ieee_divide({0}, {1})")
    for name, sign in (("$bitwise_and", "&"), ("$bitwise_or", "|")):
        entries.add(name, "INT64 INT64", f"({{0}} {sign} {{1}})")
    entries.add("$bitwise_xor", "INT64 INT64", "xor({0}, {1})")
    entries.add("$bitwise_not", "INT64", "(~{0})")
    entries.add("bit_count", "INT64", "CAST(bit_count({0}) AS BIGINT)")


def _of_floats(entries: Entries) -> None:
    inf = "CAST('inf' AS DOUBLE)"
    nan = "CAST('nan' AS DOUBLE)"
    for name in ("pow", "power"):
        entries.add(name, "FLOAT64 FLOAT64", "bq_of_two({0}, {1}, pow({0}, {1}))")
    entries.add("sqrt", "FLOAT64", "sqrt(bq_in_domain({0}, {0} >= 0))")
    entries.add("cbrt", "FLOAT64", "cbrt({0})")
    entries.add("exp", "FLOAT64", "bq_of_one({0}, exp({0}))")
    for name, function in (("ln", "ln"), ("log", "ln"), ("log10", "log10")):
        plain = f"{function}(bq_in_domain({{0}}, {{0}} > 0))"
        entries.add(
            name,
            "FLOAT64",
            f"CASE WHEN isinf({{0}}) THEN CASE WHEN {{0}} > 0 THEN {inf} ELSE {nan} END ELSE {plain} END",
        )
    logarithm = "ln(bq_in_domain({0}, {0} > 0)) / ln(bq_in_domain({1}, {1} > 0 AND {1} <> 1))"
    unknown = "isnan({0}) OR isnan({1}) OR isinf({1}) OR (isinf({0}) AND {0} < 0)"
    endless = (
        f"isinf({{0}}) AND {{0}} > 0 AND {{1}} > 0 AND {{1}} <> 1 THEN CASE WHEN {{1}} > 1 THEN {inf} ELSE -{inf} END"
    )
    entries.add(
        "log",
        "FLOAT64 FLOAT64",
        f"CASE WHEN {{0}} IS NULL OR {{1}} IS NULL THEN NULL WHEN {unknown} THEN {nan} WHEN {endless} ELSE {logarithm} END",
    )
    for name in ("sin", "cos", "tan"):
        entries.add(name, "FLOAT64", f"CASE WHEN isinf({{0}}) THEN {nan} ELSE {name}({{0}}) END")
    for name, function in (
        ("cot", "tan"),
        ("csc", "sin"),
        ("sec", "cos"),
        ("coth", "tanh"),
        ("csch", "sinh"),
        ("sech", "cosh"),
    ):
        endless = f"isinf({{0}}) THEN {nan} WHEN " if not name.endswith("h") else ""
        zero = _refused("no finite result", "CAST({0} AS VARCHAR)", "DOUBLE")
        branches = f"{function}({{0}}) = 0 THEN {zero} ELSE bq_of_one({{0}}, CAST(1 AS DOUBLE) / {function}({{0}})) END"
        entries.add(name, "FLOAT64", f"CASE WHEN {endless}{branches}")
    entries.add("parse_numeric", "STRING", "bq_numeric_string(python_number_text({0}))")
    entries.add("parse_bignumeric", "STRING", "bignumeric_from_text(python_number_text({0}))")
    for name in ("asin", "acos"):
        entries.add(name, "FLOAT64", f"{name}(bq_in_domain({{0}}, abs({{0}}) <= 1))")
    for name in ("atan", "asinh", "tanh"):
        entries.add(name, "FLOAT64", f"{name}({{0}})")
    entries.add("atan2", "FLOAT64 FLOAT64", "atan2({0}, {1})")
    for name in ("sinh", "cosh"):
        entries.add(name, "FLOAT64", f"bq_of_one({{0}}, {name}({{0}}))")
    entries.add("acosh", "FLOAT64", "acosh(bq_in_domain({0}, {0} >= 1))")
    entries.add("atanh", "FLOAT64", "atanh(bq_in_domain({0}, abs({0}) < 1))")


def _bucket(call: Call) -> str:
    value, bounds = call.arguments
    if value.kind not in comparing.PLAIN or spelled(value.type) != spelled(element_of(bounds.type)):
        raise Unsupported("RANGE_BUCKET of this type has no form on the embedded engine", "CAST both arguments")
    wrong = _refused("Elements in input array to RANGE_BUCKET must be in ascending order", "CAST(len({1}) AS VARCHAR)",
                     "BIGINT")  # fmt: skip
    return (
        f"CASE WHEN {value.sql} IS NULL OR {bounds.sql} IS NULL THEN NULL"
        f" WHEN list_sort({bounds.sql}) IS DISTINCT FROM {bounds.sql} OR list_count({bounds.sql}) < len({bounds.sql})"
        f" THEN {wrong.replace('{1}', bounds.sql)}"
        f" ELSE CAST(len(list_filter({bounds.sql}, lambda e: e <= {value.sql})) AS BIGINT) END"
    )


def _text_of(entries: Entries, name: str, types: str) -> str:
    return next(form for taken, form in entries.forms[name] if taken == tuple(types.split()) and isinstance(form, str))


def _total(small: str | None, large: list[str]) -> str:
    """The sum of NUMERIC values, or the text of BigQuery's refusal, which no cast takes."""
    return _numeric(_units(small, large), "SUM")


def _average(small: str | None, large: list[str], count: int) -> str:
    total = _units(small, large)
    magnitude = (abs(total) * 2 + count) // (count * 2)
    return _numeric(magnitude if total >= 0 else -magnitude, "AVG")


def _units(small: str | None, large: list[str]) -> int:
    """The sum of texts of NUMERIC values, in units of their ninth decimal."""
    return sum(int(Decimal(one).scaleb(9, _EXACT)) for one in (small or "0", *large))


def _numeric(units: int, function: str) -> str:
    return f"{Decimal(units).scaleb(-9, _EXACT):f}" if abs(units) < 10**38 else refusal(f"numeric overflow: {function}")


def install_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    install(
        connection,
        (
            PythonFunction(
                "round_float64", ("DOUBLE", "BIGINT"), "DOUBLE", lambda a, b: _at_places(a, b, ROUND_HALF_UP)
            ),
            PythonFunction("number_text", ("VARCHAR",), "VARCHAR", _number_text),
            PythonFunction("trunc_float64", ("DOUBLE", "BIGINT"), "DOUBLE", lambda a, b: _at_places(a, b, ROUND_DOWN)),
            PythonFunction("total_numeric", ("VARCHAR", "VARCHAR[]"), "VARCHAR", _total, takes_nulls=True),
            PythonFunction(
                "average_numeric", ("VARCHAR", "VARCHAR[]", "BIGINT"), "VARCHAR", _average, takes_nulls=True
            ),
        ),
    )


def _number_text(text: str) -> str:
    """A number with its sign in front, as PARSE_NUMERIC reads it: with commas, blanks, and a sign after it."""
    match = _LOOSE_NUMBER.fullmatch(text)
    if not match or (match["before"] and match["after"]):
        raise ValueError(f"Invalid input to PARSE_NUMERIC: {text[:100]}")
    return (match["before"] or match["after"]) + match["whole"].replace(",", "") + match["rest"]


def _at_places(value: float, places: int, rounding: str) -> float:
    if not isfinite(value) or places > _MOST_PLACES:
        return value
    if places < _LEAST_PLACES:
        return 0.0
    rounded = float(Decimal(value).quantize(Decimal((0, (1,), -places)), rounding=rounding, context=_EXACT))
    if isinf(rounded):
        raise OverflowError(f"Floating point overflow in function: ROUND({value}, {places})")
    return rounded


def _to_places(call: Call) -> str:
    number, places = call.arguments
    if not places.is_literal:
        return f"bq_{call.name}_float64_exact({number.sql}, {places.sql})"
    if places.value is None:
        return "CAST(NULL AS DOUBLE)"
    at = int(places.value)
    if abs(at) > _PLACES_OF_EXACT_POWERS:
        return f"bq_{call.name}_float64_exact({number.sql}, {at})"
    there, back = ("*", "/") if at >= 0 else ("/", "*")
    scaled = f"({number.sql} {there} 1e{abs(at)})"
    return f"bq_{call.name}_float64_to({number.sql}, {at}, {scaled}, {call.name}({scaled}) {back} 1e{abs(at)})"


def _rounded_numeric(call: Call) -> str:
    number, places = call.arguments
    if places.is_literal and places.value is not None:
        return f"CAST(round({number.sql}, {max(min(places.value, 9), -38)}) AS {_N})"
    if places.is_literal:
        return f"CAST(NULL AS {_N})"
    # DuckDB takes a constant alone: one CASE arm for each number of decimals that changes anything.
    arms = " ".join(f"WHEN {at} THEN CAST(round({number.sql}, {at}) AS {_N})" for at in range(-29, 9))
    return (
        f"CASE WHEN {places.sql} IS NULL OR {number.sql} IS NULL THEN NULL WHEN {places.sql} >= 9 THEN {number.sql}"
        f" WHEN {places.sql} < -29 THEN CAST(0 AS {_N}) ELSE CASE {places.sql} {arms} END END"
    )
