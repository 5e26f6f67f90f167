"""Arithmetic and functions of numbers."""

from convergence_assets.warehouse.duckdb.generator.calls import Call, Entries
from convergence_assets.warehouse.duckdb.generator.refusing import refused as _refused

MACROS = (
    "bq_finite_float64(a, b, c) AS CASE WHEN NOT isfinite(c) AND isfinite(a) AND isfinite(b)"
    f" THEN {_refused('FLOAT64 overflow', 'CAST(a AS VARCHAR)', 'DOUBLE')} ELSE c END",
    "bq_ieee_divide(a, b) AS CASE WHEN b = 0 THEN CASE WHEN a = 0 OR isnan(a) THEN CAST('nan' AS DOUBLE)"
    " WHEN (a < 0) <> (CAST(b AS VARCHAR)[1] = '-') THEN CAST('-inf' AS DOUBLE) ELSE CAST('inf' AS DOUBLE) END ELSE a / b END",
    f"bq_sum_float64(a, b) AS CASE WHEN NOT isfinite(a) AND NOT b THEN {_refused('FLOAT64 overflow in SUM', 'CAST(a AS VARCHAR)', 'DOUBLE')} ELSE a END",
)

_N = "DECIMAL(38,9)"


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
    entries.add("mod", "INT64 INT64", "bq_mod_int64({0}, {1})")
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
    entries.add("trunc", "FLOAT64", "trunc({0})")
    entries.add("trunc", "NUMERIC", f"CAST(trunc({{0}}) AS {_N})")
    entries.add("is_nan", "FLOAT64", "isnan({0})")
    entries.add("is_inf", "FLOAT64", "isinf({0})")
    entries.add("ieee_divide", "FLOAT64 FLOAT64", "bq_ieee_divide({0}, {1})")
    for name, sign in (("$bitwise_and", "&"), ("$bitwise_or", "|")):
        entries.add(name, "INT64 INT64", f"({{0}} {sign} {{1}})")
    entries.add("$bitwise_xor", "INT64 INT64", "xor({0}, {1})")
    entries.add("$bitwise_not", "INT64", "(~{0})")
    entries.add("bit_count", "INT64", "CAST(bit_count({0}) AS BIGINT)")


def _text_of(entries: Entries, name: str, types: str) -> str:
    return next(form for taken, form in entries.forms[name] if taken == tuple(types.split()) and isinstance(form, str))


def _rounded_numeric(call: Call) -> str:
    number, places = call.arguments
    if places.is_literal and places.value is not None:
        return f"CAST(round({number.sql}, {max(min(places.value, 9), -38)}) AS {_N})"
    if places.is_literal:
        return f"CAST(NULL AS {_N})"
    # DuckDB takes a constant alone: one CASE arm for each number of decimals that changes anything.
    arms = " ".join(f"WHEN {at} THEN CAST(round({number.sql}, {at}) AS {_N})" for at in range(-29, 9))
    return (
        f"CASE WHEN {places.sql} IS NULL THEN NULL WHEN {places.sql} >= 9 THEN {number.sql}"
        f" WHEN {places.sql} < -29 THEN CAST(0 AS {_N}) ELSE CASE {places.sql} {arms} END END"
    )
