"""Macros of texts that generated SQL calls: JSON strings, dates and times."""

SPACES = "".join(
    map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000))
)
"""What TRIM takes off and INITCAP takes for the end of a word."""

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


MACROS = (
    "bq_to_json_string(a) AS CASE WHEN a IS NULL THEN 'null' WHEN contains(CAST(to_json(a) AS VARCHAR), '\\u')"
    f" OR contains(a, chr(8232)) OR contains(a, chr(8233)) THEN {_escaped('a')} ELSE CAST(to_json(a) AS VARCHAR) END",
    f"bq_instant(a TIMESTAMP, z) AS {_INSTANT}",
    f"bq_text(a TIMESTAMP) AS strftime(a, '%Y-%m-%d %H:%M:%S') || {_FRACTION},"
    f" (a TIMESTAMPTZ) AS strftime(CAST(a AS TIMESTAMP), '%Y-%m-%d %H:%M:%S') || {_FRACTION.replace('(a,', '(CAST(a AS TIMESTAMP),')} || '+00'",
)  # fmt: skip
