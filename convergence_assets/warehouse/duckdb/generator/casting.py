"""CAST and SAFE_CAST between BigQuery's types."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from convergence_assets.warehouse.duckdb.generator import time_casting
from convergence_assets.warehouse.duckdb.generator.calls import Argument, once
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.raising import TEXT
from convergence_assets.warehouse.duckdb.generator.raising import refused as _refused
from convergence_assets.warehouse.duckdb.generator.types import duckdb_type, element_of, fields_of
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.googlesql.types import kind_of, spelled

_BLANKS = "' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13)"
_FLOAT_TEXT = (
    r"regexp_full_match(a, '(?i)\s*([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(inf|infinity|nan))\s*')"
)
# What DuckDB reads alike; other texts go through Python, which reads them or raises.
_YEAR = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_DATE_TEXT = "regexp_full_match(a, '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}')"
_CLOCK = r"([01]?[0-9]|2[0-3]):[0-9]{1,2}:[0-5]?[0-9](\.[0-9]{1,6})?"
_DATETIME_TEXT = rf"regexp_full_match(a, '{_YEAR}-[0-9]{{1,2}}-[0-9]{{1,2}}([T ]{_CLOCK})?')"
_ZONE = "(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9]|[+-](0[0-9]|1[0-4]))"
_TIMESTAMP_TEXT = rf"regexp_full_match(a, '{_YEAR}-[0-9]{{1,2}}-[0-9]{{1,2}}([T ]{_CLOCK}{_ZONE}?)?')"
_TIME_TEXT = rf"regexp_full_match(a, '{_CLOCK}')"
MACROS = (
    f"bq_float64_of_text(a) AS CASE WHEN {_FLOAT_TEXT} THEN CAST(trim(a, {_BLANKS}) AS DOUBLE) ELSE CAST(python_double_of_text(a) AS DOUBLE) END",
    f"bq_bool_of_text(a) AS CASE lower(a) WHEN 'true' THEN true WHEN 'false' THEN false ELSE {_refused('Bad bool value', 'a', 'BOOLEAN')} END",
    f"bq_date_of_text(a) AS CASE WHEN {_DATE_TEXT} THEN bq_date_in_range(CAST({TEXT} AS DATE)) ELSE {_refused('Invalid date', 'a', 'DATE')} END",
    f"bq_datetime_of_text(a) AS CASE WHEN {_DATETIME_TEXT} THEN CAST({TEXT} AS TIMESTAMP) ELSE make_timestamp(python_datetime_of_text(a)) END",
    f"bq_timestamp_of_text(a) AS CASE WHEN {_TIMESTAMP_TEXT} THEN bq_timestamp_in_range(CAST({TEXT} AS TIMESTAMPTZ)) ELSE make_timestamptz(python_timestamp_of_text(a)) END",
    f"bq_time_of_text(a) AS CASE WHEN {_TIME_TEXT} THEN CAST({TEXT} AS TIME) ELSE CAST(make_timestamp(python_time_of_text(a)) AS TIME) END",
    "bq_text_of_time(a) AS CASE WHEN date_part('microsecond', a) % 1000000 = 0 THEN CAST(a AS VARCHAR)[:8]"
    " WHEN date_part('microsecond', a) % 1000 = 0 THEN rpad(CAST(a AS VARCHAR), 12, '0') ELSE rpad(CAST(a AS VARCHAR), 15, '0') END",
)

_N = "DECIMAL(38,9)"
# From, to: what it becomes; each raises where BigQuery does.
_FORMS = {
    ("STRING", "INT64"): "bq_int64_string({0})",
    ("STRING", "FLOAT64"): "bq_float64_of_text({0})",
    ("STRING", "NUMERIC"): "bq_numeric_string({0})",
    ("STRING", "BIGNUMERIC"): "bignumeric_from_text({0})",
    ("STRING", "BOOL"): "bq_bool_of_text({0})",
    ("STRING", "BYTES"): "encode({0})",
    ("STRING", "DATE"): "bq_date_of_text({0})",
    ("STRING", "DATETIME"): "bq_datetime_of_text({0})",
    ("STRING", "TIMESTAMP"): "bq_timestamp_of_text({0})",
    ("STRING", "TIME"): "bq_time_of_text({0})",
    ("BYTES", "STRING"): "python_strict_text({0})",
    ("INT64", "STRING"): "CAST({0} AS VARCHAR)",
    ("INT64", "FLOAT64"): "CAST({0} AS DOUBLE)",
    ("INT64", "NUMERIC"): f"CAST({{0}} AS {_N})",
    ("INT64", "BIGNUMERIC"): "bignumeric_from_text(CAST({0} AS VARCHAR))",
    ("INT64", "BOOL"): "({0} <> 0)",
    ("FLOAT64", "STRING"): "python_round_trip({0})",
    ("FLOAT64", "INT64"): "CAST(round({0}) AS BIGINT)",
    ("FLOAT64", "NUMERIC"): "bq_numeric_float64({0})",
    ("FLOAT64", "BIGNUMERIC"): "bignumeric_from_float64({0})",
    ("NUMERIC", "STRING"): "bq_string_numeric({0})",
    ("NUMERIC", "INT64"): "CAST(round({0}, 0) AS BIGINT)",
    ("NUMERIC", "FLOAT64"): "CAST({0} AS DOUBLE)",
    ("NUMERIC", "BIGNUMERIC"): "bignumeric_from_text(CAST({0} AS VARCHAR))",
    ("BIGNUMERIC", "STRING"): "bignumeric_text({0})",
    ("BIGNUMERIC", "INT64"): "bignumeric_int64({0})",
    ("BIGNUMERIC", "FLOAT64"): "bignumeric_float64({0})",
    ("BIGNUMERIC", "NUMERIC"): f"CAST(bignumeric_numeric({{0}}) AS {_N})",
    ("BOOL", "STRING"): "CAST({0} AS VARCHAR)",
    ("BOOL", "INT64"): "CAST({0} AS BIGINT)",
    ("DATE", "STRING"): "CAST({0} AS VARCHAR)",
    ("DATE", "DATETIME"): "CAST({0} AS TIMESTAMP)",
    ("DATE", "TIMESTAMP"): "CAST({0} AS TIMESTAMPTZ)",
    ("DATETIME", "STRING"): "bq_text({0})",
    ("DATETIME", "DATE"): "CAST({0} AS DATE)",
    ("DATETIME", "TIME"): "CAST({0} AS TIME)",
    ("DATETIME", "TIMESTAMP"): "CAST({0} AS TIMESTAMPTZ)",
    ("TIMESTAMP", "STRING"): "bq_text({0})",
    ("TIMESTAMP", "DATE"): "CAST({0} AS DATE)",
    ("TIMESTAMP", "DATETIME"): "CAST({0} AS TIMESTAMP)",
    ("TIMESTAMP", "TIME"): "CAST(CAST({0} AS TIMESTAMP) AS TIME)",
    ("TIME", "STRING"): "bq_text_of_time({0})",
    ("INTERVAL", "STRING"): "bq_text_of_interval({0})",
    (
        "STRING",
        "INTERVAL",
    ): "list_transform([python_interval_parts({0})], lambda parts: bq_interval(parts[1], parts[2], parts[3]))[1]",
}


def cast(of: Argument, kind: Any, *, safe: bool, pattern: Argument | None, zone: Argument | None) -> str:
    """`of` as a value of another type; `safe` gives NULL where the value does not fit."""
    if pattern is not None or zone is not None:
        if not safe:
            return time_casting.cast(of, kind, pattern, zone)
        return once(
            [of.sql], lambda operands: f"TRY({time_casting.cast(replace(of, sql=operands[0]), kind, pattern, zone)})"
        )
    if of.is_literal and of.sql.startswith("CAST(NULL AS "):
        return f"CAST(NULL AS {duckdb_type(kind)})"

    def body(operands: Sequence[str]) -> str:
        converted = _cast(operands[0], of.type, kind)
        return f"TRY({converted})" if safe and converted != operands[0] else converted

    return once([of.sql], body)


def _cast(sql: str, source: Any, target: Any) -> str:
    before, after = kind_of(source), kind_of(target)
    if before == after == "STRUCT":
        pairs = list(zip(fields_of(source), fields_of(target), strict=True))
        packed = ", ".join(
            f"{quoted(name)} := {_cast(f'({sql}).{quoted(old)}', of, to)}" for (old, of), (name, to) in pairs
        )
        return f"CASE WHEN {sql} IS NOT NULL THEN struct_pack({packed}) END"
    if before == after == "ARRAY":
        if spelled(source) == spelled(target):
            return sql
        return f"list_transform({sql}, lambda e: {_cast('e', element_of(source), element_of(target))})"
    if before == after:
        return sql
    form = _FORMS.get((before, after))
    if form is None:
        raise Unsupported(f"CAST of {spelled(source)} AS {spelled(target)} has no form on the embedded engine",
                          "CAST to another type first")  # fmt: skip
    return form.format(sql)


def with_parameters(sql: str, kind: Any, modifiers: Any, *, safe: bool) -> str:
    """A value checked against the parameters of its type: STRING(10), NUMERIC(12, 2)."""
    longest = modifiers.type_parameters.string_type_parameters.max_length
    if kind_of(kind) not in ("STRING", "BYTES") or not longest or safe:
        raise Unsupported(f"{spelled(kind)} with parameters has no form on the embedded engine", "use ROUND or SUBSTR")
    length = "length" if kind_of(kind) == "STRING" else "octet_length"
    words = f"{spelled(kind)}({longest}) has a shorter maximum length than the value"

    def checked(operands: Sequence[str]) -> str:
        (value,) = operands
        shown = _refused(words, f"CAST({length}({value}) AS VARCHAR)", "BIGINT")
        return f"CASE WHEN {length}({value}) > {longest} THEN CAST(CAST({shown} AS VARCHAR) AS {duckdb_type(kind)}) ELSE {value} END"

    return once([sql], checked)
