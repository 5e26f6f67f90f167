"""Functions of ARRAY."""

from convergence_assets.warehouse.duckdb.generator.calls import Call, Entries
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.refusing import refused as _refused
from convergence_assets.warehouse.duckdb.generator.types import duckdb_type, element_of
from convergence_assets.warehouse.googlesql.types import kind_of

MACROS = (
    "bq_element(a, i) AS CASE WHEN a IS NULL OR i IS NULL THEN NULL WHEN i BETWEEN 1 AND len(a) THEN a[i]"
    f" ELSE a[{_refused('Array index out of bounds', 'CAST(i AS VARCHAR)', 'BIGINT')}] END",
    "bq_safe_element(a, i) AS CASE WHEN i BETWEEN 1 AND len(a) THEN a[i] END",
    "bq_generate_array(a, b, step) AS CASE WHEN a IS NULL OR b IS NULL OR step IS NULL THEN NULL"
    f" WHEN step = 0 THEN [{_refused('Sequence step cannot be 0', 'CAST(a AS VARCHAR)', 'BIGINT')}] ELSE generate_series(a, b, step) END",
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
        entries.add(name, "ARRAY INT64", f"{macro}({{0}}, {{1}}{' + 1' if first == 0 else ''})")
    entries.add("array_first", "ARRAY", "bq_element({0}, CAST(1 AS BIGINT))")
    entries.add("array_last", "ARRAY", "bq_element({0}, len({0}))")
    entries.add("generate_array", "INT64 INT64", "bq_generate_array({0}, {1}, CAST(1 AS BIGINT))")
    entries.add("generate_array", "INT64 INT64 INT64", "bq_generate_array({0}, {1}, {2})")
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
    return f"bq_array_to_string({array.sql}, {separator.sql}, {absent})"
