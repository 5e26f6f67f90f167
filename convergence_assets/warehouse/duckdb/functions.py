"""Macros of date, time and text functions that generated SQL calls."""

from convergence_assets.warehouse.duckdb import limbs

_SPACES = "".join(
    map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000))
)

# A local time that occurs twice is the first of the two, as in BigQuery; DuckDB's AT TIME ZONE takes the second.
_INSTANT = (
    "CASE WHEN (((a AT TIME ZONE z) - INTERVAL 1 HOUR) AT TIME ZONE z) = a"
    " THEN (a AT TIME ZONE z) - INTERVAL 1 HOUR ELSE a AT TIME ZONE z END"
)
_FRACTION = (
    "CASE WHEN date_part('microsecond', a) % 1000000 = 0 THEN ''"
    " WHEN date_part('microsecond', a) % 1000 = 0 THEN left(strftime(a, '.%f'), 4) ELSE strftime(a, '.%f') END"
)
# As BigQuery escapes: https://github.com/google/zetasql/blob/master/zetasql/common/json_util.cc. DuckDB's own to_json
# writes the hexadecimal digits in capitals and leaves the two separators as they are; it is right for all other texts.
_ESCAPES = {chr(code): f"\\u{code:04x}" for code in (*range(0x20), 0x2028, 0x2029)} | {
    "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
}  # fmt: skip


def _escaped(text: str) -> str:
    for character, escape in {"\\": "\\\\", '"': '\\"', **_ESCAPES}.items():
        text = f"replace({text}, chr({ord(character)}), '{escape}')"
    return f"'\"' || {text} || '\"'"


_JSON_STRING = (
    "CASE WHEN a IS NULL THEN 'null' WHEN contains(CAST(to_json(a) AS VARCHAR), '\\u') OR contains(a, chr(8232))"
    f" OR contains(a, chr(8233)) THEN {_escaped('a')} ELSE CAST(to_json(a) AS VARCHAR) END"
)
_NOT_TEXT = ("BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "DECIMAL(38,9)")
_NO_TEXT = "CAST(CAST('TO_JSON_STRING takes a STRING here, not ' || CAST(a AS VARCHAR) AS BIGINT) AS VARCHAR)"
MACROS = (
    f"bq_to_json_string(a VARCHAR) AS {_JSON_STRING}, " + ", ".join(f"(a {kind}) AS {_NO_TEXT}" for kind in _NOT_TEXT),
    "bq_add_to_date(a DATE, i) AS CAST(a + i AS DATE)",
    "bq_add_to_timestamp(a TIMESTAMPTZ, i) AS a + i",
    "bq_date_trunc(unit, a DATE) AS CAST(date_trunc(unit, a) AS DATE)",
    "bq_date_trunc_week(a DATE) AS CAST(date_trunc('week', a + 1) AS DATE) - 1",
    "bq_date_diff(unit, a DATE, b DATE) AS date_diff(unit, b, a)",
    "bq_date_diff_isoweek(a DATE, b DATE) AS date_diff('day', date_trunc('week', b), date_trunc('week', a)) // 7",
    "bq_date_diff_week(a DATE, b DATE) AS date_diff('day', date_trunc('week', b + 1), date_trunc('week', a + 1)) // 7",
    "bq_elapsed(unit, a TIMESTAMPTZ, b TIMESTAMPTZ) AS date_sub(unit, b, a)",
    "bq_timestamp_trunc(unit, a TIMESTAMPTZ) AS date_trunc(unit, a)",
    f"bq_instant(a TIMESTAMP, z) AS {_INSTANT}",
    "bq_local(a TIMESTAMPTZ, z) AS a AT TIME ZONE z",
    "bq_format(a, f) AS strftime(CAST(a AS TIMESTAMP), f)",
    "bq_day_of_week(a) AS date_part('dayofweek', a) + 1",
    "bq_week_from_sunday(a) AS CAST(strftime(a, '%U') AS BIGINT)",
    "bq_date_of(a) AS CAST(a AS DATE)",
    "bq_substr(a VARCHAR, p) AS substring(a, CASE WHEN p = 0 OR p < -length(a) THEN 1 ELSE p END),"
    " (a VARCHAR, p, n) AS CASE WHEN n < 0 THEN CAST('negative length of SUBSTR' || left(a, 0) AS INTEGER)::VARCHAR"
    " ELSE substring(a, CASE WHEN p = 0 OR p < -length(a) THEN 1 ELSE p END, n) END",
    f"bq_text(a VARCHAR) AS a, (a {limbs.TYPE}) AS bignumeric_text(a), (a BOOLEAN) AS CAST(a AS VARCHAR), (a BIGINT) AS CAST(a AS VARCHAR),"
    " (a DATE) AS CAST(a AS VARCHAR), (a DOUBLE) AS CAST(CAST('FLOAT64 has no portable text: ' || a AS BIGINT) AS VARCHAR), (a DECIMAL(38,9)) AS bq_string_numeric(a),"
    f" (a TIMESTAMP) AS strftime(a, '%Y-%m-%d %H:%M:%S') || {_FRACTION},"
    f" (a TIMESTAMPTZ) AS strftime(CAST(a AS TIMESTAMP), '%Y-%m-%d %H:%M:%S') || {_FRACTION.replace('(a,', '(CAST(a AS TIMESTAMP),')} || '+00'",
)  # fmt: skip
