"""Functions of ARRAY."""

from convergence_assets.warehouse.duckdb.generator import comparing
from convergence_assets.warehouse.duckdb.generator.calls import Call, Entries
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.raising import refused as _refused
from convergence_assets.warehouse.duckdb.generator.types import duckdb_type, element_of
from convergence_assets.warehouse.googlesql.types import kind_of

MACROS = (
    "bq_element(a, i) AS CASE WHEN a IS NULL OR i IS NULL THEN NULL WHEN i BETWEEN 1 AND len(a) THEN a[CAST(i AS BIGINT)]"
    f" ELSE a[{_refused('Array index out of bounds', 'CAST(i AS VARCHAR)', 'BIGINT')}] END",
    "bq_safe_element(a, i) AS CASE WHEN i BETWEEN 1 AND len(a) THEN a[CAST(i AS BIGINT)] END",
    "bq_generate_array(a, b, step) AS CASE WHEN a IS NULL OR b IS NULL OR step IS NULL THEN NULL"
    f" WHEN step = 0 THEN [{_refused('Sequence step cannot be 0', 'CAST(a AS VARCHAR)', 'BIGINT')}] ELSE generate_series(a, b, step) END",
    "bq_generate_numeric_array(a, b, step) AS CASE WHEN a IS NULL OR b IS NULL OR step IS NULL THEN NULL"
    f" WHEN step = 0 THEN [{_refused('Sequence step cannot be 0', 'CAST(a AS VARCHAR)', 'DECIMAL(38,9)')}]"
    " WHEN (step > 0) = (a > b) AND a <> b THEN CAST([] AS DECIMAL(38,9)[])"
    " ELSE list_transform(range(CAST(bq_div_numeric(b - a, step) AS BIGINT) + 1), lambda i: CAST(a + CAST(i AS DECIMAL(19,0)) * step AS DECIMAL(38,9))) END",
    "bq_generate_float64_array(a, b, step) AS CASE WHEN a IS NULL OR b IS NULL OR step IS NULL THEN NULL"
    " WHEN step = 0 OR NOT (isfinite(a) AND isfinite(b) AND isfinite(step))"
    f" THEN [{_refused('Sequence step cannot be 0, and its limits are finite', 'CAST(step AS VARCHAR)', 'DOUBLE')}]"
    " WHEN (step > 0) = (a > b) AND a <> b THEN CAST([] AS DOUBLE[])"
    " ELSE list_filter(list_transform(range(CAST(floor((b - a) / step) AS BIGINT) + 2), lambda i: a + i * step),"
    " lambda e: CASE WHEN step > 0 THEN e <= b ELSE e >= b END) END",
    "bq_array_to_string(a, b, c) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE"
    " coalesce(array_to_string(list_filter(list_transform(a, lambda e: coalesce(e, c)), lambda e: e IS NOT NULL), b), '') END",
)


def add_entries(entries: Entries) -> None:
    entries.add("$make_array", "", lambda c: f"CAST([] AS {duckdb_type(c.type)})")
    entries.add("$make_array", "ANY ...", _array)
    entries.add("array_length", "ARRAY", "CAST(len({0}) AS BIGINT)")
    entries.add("array_reverse", "ARRAY", "list_reverse({0})")
    entries.add("array_concat", "ARRAY ...", _concatenated)
    entries.add("array_to_string", "ARRAY STRING", _array_to_string)
    entries.add("array_to_string", "ARRAY STRING STRING", _array_to_string)
    for name in ("$array_at_offset", "$array_at_ordinal", "$safe_array_at_offset", "$safe_array_at_ordinal"):
        first = 0 if name.endswith("offset") else 1
        macro = "bq_element" if not name.startswith("$safe") else "bq_safe_element"
        entries.add(name, "ARRAY INT64", f"{macro}({{0}}, {'CAST({1} AS HUGEINT) + 1' if first == 0 else '{1}'})")
    entries.add("array_first", "ARRAY", "bq_element({0}, CAST(1 AS BIGINT))")
    entries.add("array_last", "ARRAY", "bq_element({0}, len({0}))")
    entries.add("generate_array", "INT64 INT64", "bq_generate_array({0}, {1}, CAST(1 AS BIGINT))")
    entries.add("generate_array", "INT64 INT64 INT64", "bq_generate_array({0}, {1}, {2})")
    for kind, one in (("FLOAT64", "CAST(1 AS DOUBLE)"), ("NUMERIC", "CAST(1 AS DECIMAL(38,9))")):
        macro = f"bq_generate_{kind.lower()}_array"
        entries.add("generate_array", f"{kind} {kind}", f"{macro}({{0}}, {{1}}, {one})")
        entries.add("generate_array", f"{kind} {kind} {kind}", f"{macro}({{0}}, {{1}}, {{2}})")
    entries.add("array_to_string", "ARRAY BYTES", _array_to_bytes)
    entries.add("array_to_string", "ARRAY BYTES BYTES", _array_to_bytes)
    entries.add("array_is_distinct", "ARRAY", _is_distinct)
    entries.add("array_transform", "ARRAY ANY", "list_transform({0}, {1})")
    entries.add("array_filter", "ARRAY ANY", "list_filter({0}, {1})")


def _array(call: Call) -> str:
    return f"CAST([{', '.join(a.sql for a in call.arguments)}] AS {duckdb_type(call.type)})"


def _concatenated(call: Call) -> str:
    return f"({' || '.join(a.sql for a in call.arguments)})"


def _array_to_string(call: Call) -> str:
    array, separator, *rest = call.arguments
    if kind_of(element_of(array.type)) != "STRING":
        raise Unsupported("ARRAY_TO_STRING of BYTES has no form on the embedded engine", "use STRINGs")
    absent = rest[0].sql if rest else "CAST(NULL AS VARCHAR)"
    joined = f"bq_array_to_string({array.sql}, {separator.sql}, {absent})"
    return f"CASE WHEN {absent} IS NOT NULL THEN {joined} END" if rest else joined


def _array_to_bytes(call: Call) -> str:
    array, separator, *rest = call.arguments
    elements = array.sql if not rest else f"list_transform({array.sql}, lambda e: coalesce(e, {rest[0].sql}))"
    present = f"list_filter({elements}, lambda e: e IS NOT NULL)"
    joined = f"list_reduce({present}, lambda one, other: one || {separator.sql} || other)"
    absent = " OR ".join(f"{a.sql} IS NULL" for a in call.arguments)
    return f"CASE WHEN {absent} THEN NULL WHEN len({present}) = 0 THEN CAST('' AS BLOB) ELSE {joined} END"


def _is_distinct(call: Call) -> str:
    array = call.arguments[0]
    if kind_of(element_of(array.type)) not in comparing.PLAIN:
        raise Unsupported("ARRAY_IS_DISTINCT of this type has no form on the embedded engine", "count DISTINCT values")
    # list_unique leaves NULL out, of which there may be one.
    return f"(list_unique({array.sql}) + least(len({array.sql}) - list_count({array.sql}), 1) = len({array.sql}))"
