"""Random SELECTs over random tables: what a seed gives is the same everywhere.

Tables are written as literals, so that a query needs nothing but itself. A query's rows never hang on chance: where an
order matters it is total, and floating-point sums are of numbers that add up exactly.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

INTS, TEXTS, DATES = "ARRAY<INT64>", "ARRAY<STRING>", "ARRAY<DATE>"
PAIR = "STRUCT<a INT64, b STRING>"
SCALARS = (
    "STRING", "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "DATE", "DATETIME", "TIMESTAMP", "TIME", "BYTES",
)  # fmt: skip
KINDS = (*SCALARS, INTS, TEXTS, DATES, PAIR)
# Of these kinds are the columns that sums and offsets are made of: no overflow, and no rounding.
NARROW = {"small": "INT64", "exact": "FLOAT64", "money": "NUMERIC"}
_NO_ERRORS = frozenset(["SAFE_CAST", "SAFE"])

VALUES: dict[str, tuple[str, ...]] = {
    "STRING": (
        "''", "'a'", "'b'", "'Ab c'", "' 12 '", "'12'", "'-7'", "'1_000'", "'1.5'", "'1e3'", "'0x1F'", "'nan'", "'inf'",
        "'true'", "'FALSE'", "'2024/02/03'", "'2024-02-03'", "'2024-2-3'", "'2024-02-30'", "'2024-02-03 04:05:06'",
        "'2024-02-03T04:05:06.789'", "'2024-02-03 04:05:06+02'", "'2024-02-03 04:05:06 Europe/Berlin'", "'0001-01-01'",
        "'9999-12-31'", "'04:05:06'", "'24:00:00'", "'epoch'", "'infinity'", "'ß'", "'É'", "'é'", "'ﬁ'", "'日本'", "'😀'",
        "'a,b,,c'", "'%_'", r"'a\\b'", r"'it\'s'", "'9223372036854775807'", "'9223372036854775808'", "'+5'", "'5 '",
        "'ABC'", "'abcabc'", "'.'", "'a\\nb'", "'İ'", "'1e400'", "'99999999999999999999999999999.999999999'",
    ),
    "INT64": ("0", "1", "-1", "2", "3", "7", "12", "9223372036854775807", "-9223372036854775808", "4611686018427387904", "1000000007", "-86400"),
    "small": ("0", "1", "-1", "2", "3", "5", "-4", "10", "31"),
    "FLOAT64": (
        "0.0", "-0.0", "1.0", "-1.5", "0.1", "2.5", "3.5", "1e16", "1.7976931348623157e308", "-1.7976931348623157e308",
        "5e-324", "2.2250738585072014e-308", "CAST('nan' AS FLOAT64)", "CAST('inf' AS FLOAT64)", "CAST('-inf' AS FLOAT64)",
        "9223372036854775807.0", "123456.789", "1e-7", "0.3333333333333333", "1e15", "9007199254740993.0",
    ),
    "exact": ("0.0", "-0.0", "1.0", "-1.5", "2.5", "0.25", "100.0", "CAST('nan' AS FLOAT64)", "CAST('inf' AS FLOAT64)", "-3.0", "8.5"),
    "NUMERIC": (
        "NUMERIC '0'", "NUMERIC '1'", "NUMERIC '-1.5'", "NUMERIC '2.5'", "NUMERIC '0.000000001'", "NUMERIC '0.1'", "NUMERIC '33.333333333'",
        "NUMERIC '99999999999999999999999999999.999999999'", "NUMERIC '-99999999999999999999999999999.999999999'",
    ),
    "money": ("NUMERIC '0'", "NUMERIC '1'", "NUMERIC '-1.5'", "NUMERIC '0.1'", "NUMERIC '12.345678901'", "NUMERIC '1000000'"),
    "BIGNUMERIC": (
        "BIGNUMERIC '0'", "BIGNUMERIC '1'", "BIGNUMERIC '-1.5'", "BIGNUMERIC '1e-38'", "BIGNUMERIC '0.1'", "BIGNUMERIC '1e30'",
        "BIGNUMERIC '578960446186580977117854925043439539266.34992332820282019728792003956564819967'",
        "BIGNUMERIC '-578960446186580977117854925043439539266.34992332820282019728792003956564819968'",
    ),
    "BOOL": ("TRUE", "FALSE"),
    "DATE": tuple(f"DATE '{d}'" for d in ("0001-01-01", "9999-12-31", "1970-01-01", "1969-12-31", "2024-02-29", "2024-12-30", "2023-01-01", "2024-03-31", "2021-01-03", "1582-10-10")),
    "DATETIME": tuple(f"DATETIME '{d}'" for d in ("0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "1970-01-01 00:00:00", "1969-12-31 23:59:59.5", "2024-02-29 12:34:56.789", "2024-03-31 02:30:00", "2024-12-30 00:00:00.000001")),
    "TIMESTAMP": tuple(f"TIMESTAMP '{d}+00'" for d in ("0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "1970-01-01 00:00:00", "1969-12-31 23:59:59.5", "2024-02-29 12:34:56.789", "2024-03-31 01:30:00", "2024-10-27 00:30:00", "2024-12-31 23:59:59.000001", "1883-11-18 12:00:00")),
    "TIME": tuple(f"TIME '{t}'" for t in ("00:00:00", "23:59:59.999999", "12:34:56.789", "01:02:03", "04:05:06.000001")),
    "BYTES": ("b''", "b'a'", "b'abc'", r"b'\xff\x00'", r"b'\xc3\xa9'", "b'12'"),
}  # fmt: skip

FORMATS = (
    "%Y-%m-%d",
    "%d/%m/%Y",
    "%B %e, %Y",
    "%G-W%V-%u",
    "%j %U %a",
    "%F",
    "%Y%m%d",
    "%y-%b",
    "%Q",
    "%E4Y",
    "%D",
    "%A %w",
    "",
)
CLOCKS = ("%F %T", "%H:%M:%E3S", "%I:%M %p", "%c", "%s", "%Y-%m-%dT%H:%M:%E*S", "%R", "%Ez", "%S")
DAYS = ("DAY", "WEEK", "WEEK(MONDAY)", "WEEK(THURSDAY)", "ISOWEEK", "MONTH", "QUARTER", "YEAR", "ISOYEAR")
HOURS = ("MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR")
ZONES = ("'UTC'", "'Europe/Berlin'", "'America/New_York'", "'Asia/Kolkata'", "'+05:30'")
PATTERNS = ("'%'", "'a%'", "'%c'", "'_'", "'__'", "'%-%'", r"r'\%\_'", "'%ß%'", "''", "'2024%'", "'%a%b%'")
REGEXES = ("r'[0-9]+'", "r'^a'", "r'(?i)B'", "r'.'", "r'([a-z])'", "r'\\s'", "r'^$'", "r'b*'", "r'-?\\d+(?:\\.\\d+)?'")
CHOICES: dict[str, tuple[str, ...]] = {
    "format": tuple(f"'{f}'" for f in FORMATS), "clock": tuple(f"'{f}'" for f in CLOCKS), "day": DAYS, "hour": HOURS,
    "moment": DAYS + HOURS, "zone": ZONES, "like": PATTERNS, "regex": REGEXES, "count": ("0", "1", "2", "3", "5"),
    "dayish": ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR"), "momentish": ("DAY", "HOUR", "MINUTE", "SECOND", "MICROSECOND", "MILLISECOND"),
    "longer": ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "HOUR", "MINUTE"),
    "extracted": ("YEAR", "MONTH", "DAY", "QUARTER", "DAYOFWEEK", "DAYOFYEAR", "WEEK", "WEEK(TUESDAY)", "ISOWEEK", "ISOYEAR"),
    "clocked": ("HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"),
    "sign": ("=", "!=", "<", "<=", ">", ">="), "separator": ("','", "''", "'a'", "'-'"),
    "round": ("-3", "-1", "0", "1", "2", "5", "9"),
}  # fmt: skip

# What gives a value of each kind. A hole is a kind, or a word of CHOICES.
NEVER_FAILS: dict[str, tuple[str, ...]] = {
    "STRING": (
        "CAST({INT64} AS STRING)", "CAST({FLOAT64} AS STRING)", "CAST({NUMERIC} AS STRING)", "CAST({BIGNUMERIC} AS STRING)",
        "CAST({BOOL} AS STRING)", "CAST({DATE} AS STRING)", "CAST({DATETIME} AS STRING)", "CAST({TIMESTAMP} AS STRING)",
        "CAST({TIME} AS STRING)", "SAFE_CAST({BYTES} AS STRING)", "UPPER({STRING})", "LOWER({STRING})", "CONCAT({STRING}, {STRING})",
        "{STRING} || {STRING}", "SUBSTR({STRING}, {small})", "SUBSTR({STRING}, {small}, {count})", "LEFT({STRING}, {count})",
        "RIGHT({STRING}, {count})", "TRIM({STRING})", "LTRIM({STRING})", "RTRIM({STRING}, 'a2')", "TRIM({STRING}, 'a ')",
        "REPLACE({STRING}, {STRING}, {STRING})", "REVERSE({STRING})", "LPAD({STRING}, {count}, 'xy')", "RPAD({STRING}, {count})",
        "REPEAT({STRING}, {count})", "INITCAP({STRING})", "REGEXP_EXTRACT({STRING}, {regex})", "REGEXP_REPLACE({STRING}, {regex}, '<>')",
        "TO_HEX({BYTES})", "TO_BASE64({BYTES})", "FORMAT_DATE({format}, {DATE})", "FORMAT_DATETIME({format}, {DATETIME})",
        "FORMAT_TIMESTAMP({clock}, {TIMESTAMP})", "ARRAY_TO_STRING({ARRAY<STRING>}, {separator})",
        "ARRAY_TO_STRING({ARRAY<STRING>}, {separator}, 'n')", "{ARRAY<STRING>}[SAFE_OFFSET({small})]", "{STRUCT<a INT64, b STRING>}.b",
        "FORMAT('%d', {INT64})", "FORMAT('%s-%t', {STRING}, {DATE})", "FORMAT('%5.2f', {exact})", "TO_JSON_STRING({STRING})",
        "TO_JSON_STRING({INT64})", "SPLIT({STRING}, {separator})[SAFE_OFFSET({count})]", "TRANSLATE({STRING}, 'ab', 'x')",
        "NORMALIZE({STRING})", "SOUNDEX({STRING})", "STRING({TIMESTAMP})",
    ),
    "INT64": (
        "{small}", "{small} + {small}", "{small} - {small}", "{small} * {small}", "SAFE_ADD({INT64}, {INT64})", "SAFE_SUBTRACT({INT64}, {INT64})",
        "SAFE_MULTIPLY({INT64}, {INT64})", "SAFE_NEGATE({INT64})", "SAFE_CAST({STRING} AS INT64)", "SAFE_CAST({FLOAT64} AS INT64)",
        "SAFE_CAST({NUMERIC} AS INT64)", "SAFE_CAST({BIGNUMERIC} AS INT64)", "{INT64} & {INT64}", "{INT64} | {INT64}", "{INT64} ^ {INT64}",
        "~{INT64}", "{INT64} << {count}", "{INT64} >> {count}", "DIV({INT64}, 7)", "MOD({INT64}, 7)", "MOD({INT64}, -3)", "SIGN({INT64})",
        "BIT_COUNT({INT64})", "UNIX_DATE({DATE})", "UNIX_SECONDS({TIMESTAMP})", "UNIX_MILLIS({TIMESTAMP})", "UNIX_MICROS({TIMESTAMP})",
        "DATE_DIFF({DATE}, {DATE}, {day})", "DATETIME_DIFF({DATETIME}, {DATETIME}, {day})", "DATETIME_DIFF({DATETIME}, {DATETIME}, {hour})",
        "TIMESTAMP_DIFF({TIMESTAMP}, {TIMESTAMP}, {hour})", "TIMESTAMP_DIFF({TIMESTAMP}, {TIMESTAMP}, DAY)", "TIME_DIFF({TIME}, {TIME}, {hour})",
        "FARM_FINGERPRINT({STRING})", "{STRUCT<a INT64, b STRING>}.a", "{ARRAY<INT64>}[SAFE_ORDINAL({small})]", "{ARRAY<INT64>}[SAFE_OFFSET({small})]",
    ),
    "small": (
        "{small} + {small}", "{small} - {small}", "ABS({small})", "- {small}", "MOD({small}, 5)", "CAST({BOOL} AS INT64)", "LENGTH({STRING})",
        "BYTE_LENGTH({STRING})", "BYTE_LENGTH({BYTES})", "STRPOS({STRING}, {STRING})", "INSTR({STRING}, 'a')", "UNICODE({STRING})",
        "ARRAY_LENGTH({ARRAY<INT64>})", "ARRAY_LENGTH({ARRAY<STRING>})", "EXTRACT({extracted} FROM {DATE})", "EXTRACT({extracted} FROM {DATETIME})",
        "EXTRACT({clocked} FROM {DATETIME})", "EXTRACT({clocked} FROM {TIMESTAMP})", "EXTRACT({clocked} FROM {TIME})", "CHAR_LENGTH({STRING})",
        "IF({BOOL}, {small}, {small})", "COALESCE({small}, {small})", "CASE WHEN {BOOL} THEN {small} WHEN {BOOL} THEN {small} END", "GREATEST({small}, {small})",
    ),
    "FLOAT64": (
        "{exact}", "CAST({INT64} AS FLOAT64)", "CAST({NUMERIC} AS FLOAT64)", "CAST({BIGNUMERIC} AS FLOAT64)", "SAFE_CAST({STRING} AS FLOAT64)",
        "SAFE_ADD({FLOAT64}, {FLOAT64})", "SAFE_MULTIPLY({FLOAT64}, {FLOAT64})", "SAFE_DIVIDE({FLOAT64}, {FLOAT64})", "SAFE_SUBTRACT({FLOAT64}, {FLOAT64})",
        "{small} / 4", "IEEE_DIVIDE({FLOAT64}, {FLOAT64})", "ABS({FLOAT64})", "- {FLOAT64}", "SIGN({FLOAT64})", "CEIL({FLOAT64})", "FLOOR({FLOAT64})",
        "ROUND({exact})", "TRUNC({FLOAT64})", "SAFE.ROUND({FLOAT64}, {round})", "SAFE.SQRT({FLOAT64})", "SAFE.LN({FLOAT64})", "SAFE.EXP({exact})", "SAFE.POW({exact}, {small})",
        "SAFE.LOG10({FLOAT64})",
    ),
    "exact": ("{exact} + {exact}", "{exact} - {small}", "{exact} * 2", "{small} / 2", "ABS({exact})", "- {exact}", "IF({BOOL}, {exact}, {exact})", "COALESCE({exact}, {exact})", "CAST({small} AS FLOAT64)"),
    "NUMERIC": (
        "{money}", "CAST({INT64} AS NUMERIC)", "SAFE_CAST({STRING} AS NUMERIC)", "SAFE_CAST({FLOAT64} AS NUMERIC)", "SAFE_CAST({BIGNUMERIC} AS NUMERIC)",
        "SAFE_ADD({NUMERIC}, {NUMERIC})", "SAFE_SUBTRACT({NUMERIC}, {NUMERIC})", "SAFE_MULTIPLY({NUMERIC}, {NUMERIC})", "SAFE_DIVIDE({NUMERIC}, {NUMERIC})",
        "{money} * {money}", "{money} + {small}", "ABS({NUMERIC})", "- {NUMERIC}", "SIGN({NUMERIC})", "SAFE.CEIL({NUMERIC})", "SAFE.FLOOR({NUMERIC})",
        "SAFE.ROUND({NUMERIC})", "SAFE.ROUND({NUMERIC}, {round})", "TRUNC({NUMERIC})", "TRUNC({NUMERIC}, {round})", "SAFE.DIV({NUMERIC}, {NUMERIC})", "SAFE.MOD({NUMERIC}, {NUMERIC})",
        "SAFE.SQRT({money})",
    ),
    "money": ("{money} + {money}", "{money} - {small}", "{money} * 2", "- {money}", "ABS({money})", "ROUND({money}, 1)", "IFNULL({money}, 0)", "IF({BOOL}, {money}, {small})"),
    "BIGNUMERIC": (
        "CAST({INT64} AS BIGNUMERIC)", "CAST({NUMERIC} AS BIGNUMERIC)", "SAFE_CAST({STRING} AS BIGNUMERIC)", "SAFE_CAST({FLOAT64} AS BIGNUMERIC)",
        "SAFE_DIVIDE({BIGNUMERIC}, {BIGNUMERIC})", "SAFE_ADD({BIGNUMERIC}, {BIGNUMERIC})", "SAFE_MULTIPLY({BIGNUMERIC}, {BIGNUMERIC})", "SIGN({BIGNUMERIC})",
        "SAFE.ROUND({BIGNUMERIC}, {round})", "SAFE.FLOOR({BIGNUMERIC})", "SAFE.ABS({BIGNUMERIC})",
    ),
    "BOOL": (
        "{INT64} {sign} {INT64}", "{STRING} {sign} {STRING}", "{FLOAT64} {sign} {FLOAT64}", "{NUMERIC} {sign} {NUMERIC}", "{BIGNUMERIC} {sign} {BIGNUMERIC}",
        "{DATE} {sign} {DATE}", "{DATETIME} {sign} {DATETIME}", "{TIMESTAMP} {sign} {TIMESTAMP}", "{TIME} {sign} {TIME}", "{BYTES} {sign} {BYTES}", "{BOOL} {sign} {BOOL}",
        "{INT64} {sign} {FLOAT64}", "{INT64} {sign} {NUMERIC}", "{NUMERIC} {sign} {FLOAT64}", "{BIGNUMERIC} {sign} {NUMERIC}", "{DATE} {sign} '2024-02-29'",
        "{NUMERIC} {sign} 1", "{BOOL} AND {BOOL}", "{BOOL} OR {BOOL}", "NOT {BOOL}", "{BOOL} IS TRUE", "{BOOL} IS NOT FALSE", "{STRING} IS NULL", "{DATE} IS NOT NULL",
        "{ARRAY<INT64>} IS NULL", "{STRUCT<a INT64, b STRING>} IS NOT NULL", "{INT64} BETWEEN {INT64} AND {INT64}", "{FLOAT64} NOT BETWEEN {FLOAT64} AND {FLOAT64}",
        "{DATE} BETWEEN {DATE} AND {DATE}", "{STRING} IN ({STRING}, {STRING}, NULL)", "{INT64} NOT IN ({INT64}, 1, 2)", "{FLOAT64} IN ({FLOAT64}, {FLOAT64})",
        "{DATE} IN ({DATE}, DATE '2024-02-29')", "{STRUCT<a INT64, b STRING>} IN ({STRUCT<a INT64, b STRING>}, {STRUCT<a INT64, b STRING>})", "{INT64} IN UNNEST({ARRAY<INT64>})",
        "{STRING} NOT IN UNNEST({ARRAY<STRING>})", "{FLOAT64} IN UNNEST([1.0, {exact}])", "{STRING} LIKE {like}", "{STRING} NOT LIKE {like}", "STARTS_WITH({STRING}, {STRING})",
        "ENDS_WITH({STRING}, {STRING})", "REGEXP_CONTAINS({STRING}, {regex})", "IS_NAN({FLOAT64})", "IS_INF({FLOAT64})", "SAFE_CAST({STRING} AS BOOL)", "CAST({INT64} AS BOOL)",
        "{INT64} IS DISTINCT FROM {INT64}", "{FLOAT64} IS NOT DISTINCT FROM {FLOAT64}", "{STRUCT<a INT64, b STRING>} = {STRUCT<a INT64, b STRING>}", "CONTAINS_SUBSTR({STRING}, 'a')",
        "{STRING} LIKE {STRING}", "EXISTS(SELECT 1 FROM UNNEST({ARRAY<INT64>}) AS e WHERE e > {small})", "({INT64}, {STRING}) = {STRUCT<a INT64, b STRING>}",
    ),
    "DATE": (
        "SAFE_CAST({STRING} AS DATE)", "CAST({DATETIME} AS DATE)", "CAST({TIMESTAMP} AS DATE)", "DATE({TIMESTAMP})", "SAFE.DATE({TIMESTAMP}, {zone})",
        "SAFE.DATE_ADD({DATE}, INTERVAL {small} {dayish})", "SAFE.DATE_SUB({DATE}, INTERVAL {small} {dayish})", "SAFE.DATE_TRUNC({DATE}, {day})", "SAFE.DATE({small} + 2000, {small}, {small})",
        "SAFE.DATE_FROM_UNIX_DATE({INT64})", "SAFE.PARSE_DATE('%Y-%m-%d', {STRING})", "SAFE.PARSE_DATE('%d/%m/%Y', {STRING})", "LAST_DAY({DATE})", "LAST_DAY({DATE}, {dayish})",
        "{ARRAY<DATE>}[SAFE_OFFSET({small})]", "EXTRACT(DATE FROM {DATETIME})",
    ),
    "DATETIME": (
        "SAFE_CAST({STRING} AS DATETIME)", "CAST({DATE} AS DATETIME)", "CAST({TIMESTAMP} AS DATETIME)", "DATETIME({DATE}, {TIME})", "SAFE.DATETIME({TIMESTAMP}, {zone})",
        "SAFE.DATETIME_ADD({DATETIME}, INTERVAL {small} {longer})", "SAFE.DATETIME_SUB({DATETIME}, INTERVAL {small} {hour})", "SAFE.DATETIME_TRUNC({DATETIME}, {moment})",
        "SAFE.DATETIME(2024, {small}, {small}, {small}, {small}, {small})", "SAFE.PARSE_DATETIME('%Y-%m-%d %H:%M:%S', {STRING})",
    ),
    "TIMESTAMP": (
        "SAFE_CAST({STRING} AS TIMESTAMP)", "CAST({DATE} AS TIMESTAMP)", "CAST({DATETIME} AS TIMESTAMP)", "SAFE.TIMESTAMP({DATETIME}, {zone})", "SAFE.TIMESTAMP_ADD({TIMESTAMP}, INTERVAL {small} {momentish})",
        "SAFE.TIMESTAMP_SUB({TIMESTAMP}, INTERVAL {small} {momentish})", "SAFE.TIMESTAMP_TRUNC({TIMESTAMP}, {moment})", "SAFE.TIMESTAMP_TRUNC({TIMESTAMP}, {day}, {zone})",
        "SAFE.TIMESTAMP_SECONDS({INT64})", "SAFE.TIMESTAMP_MILLIS({INT64})", "SAFE.TIMESTAMP_MICROS({INT64})", "SAFE.PARSE_TIMESTAMP('%Y-%m-%d %H:%M:%S', {STRING})",
    ),
    "TIME": ("SAFE_CAST({STRING} AS TIME)", "CAST({DATETIME} AS TIME)", "TIME({TIMESTAMP})", "TIME_ADD({TIME}, INTERVAL {small} {hour})", "TIME_TRUNC({TIME}, {hour})", "SAFE.TIME({small}, {small}, {small})", "EXTRACT(TIME FROM {TIMESTAMP})"),
    "BYTES": ("CAST({STRING} AS BYTES)", "MD5({STRING})", "SHA1({BYTES})", "SHA256({STRING})", "SAFE.FROM_HEX({STRING})", "SAFE.FROM_BASE64({STRING})", "{BYTES} || {BYTES}", "SUBSTR({BYTES}, {small}, {count})", "REVERSE({BYTES})", "LEFT({BYTES}, {count})"),
    INTS: (
        "[{INT64}, {INT64}]", "GENERATE_ARRAY({small}, {small})", "GENERATE_ARRAY({small}, {small}, 3)", "ARRAY_CONCAT({ARRAY<INT64>}, {ARRAY<INT64>})", "ARRAY_REVERSE({ARRAY<INT64>})",
        "ARRAY(SELECT e FROM UNNEST({ARRAY<INT64>}) AS e WHERE e > {small} ORDER BY e)", "ARRAY(SELECT e * 2 FROM UNNEST(GENERATE_ARRAY(1, {count})) AS e WITH OFFSET AS o ORDER BY o DESC)",
        "ARRAY(SELECT DISTINCT e FROM UNNEST({ARRAY<INT64>}) AS e ORDER BY e DESC)", "ARRAY_SLICE({ARRAY<INT64>}, {count}, {count})",
        "ARRAY(SELECT LENGTH(e) FROM UNNEST({ARRAY<STRING>}) AS e WITH OFFSET AS o ORDER BY o)",
    ),
    TEXTS: ("[{STRING}, {STRING}]", "SPLIT({STRING}, {separator})", "SPLIT({STRING})", "REGEXP_EXTRACT_ALL({STRING}, {regex})", "ARRAY_CONCAT({ARRAY<STRING>}, [{STRING}])", "ARRAY_REVERSE({ARRAY<STRING>})", "ARRAY(SELECT UPPER(e) FROM UNNEST({ARRAY<STRING>}) AS e WITH OFFSET AS o ORDER BY o DESC)"),
    DATES: ("[{DATE}]", "GENERATE_DATE_ARRAY('2024-01-30', '2024-03-01', INTERVAL 2 WEEK)", "GENERATE_DATE_ARRAY('2024-01-31', '2024-06-01', INTERVAL 1 MONTH)", "ARRAY(SELECT e FROM UNNEST({ARRAY<DATE>}) AS e ORDER BY e DESC LIMIT 2)"),
    PAIR: ("STRUCT({INT64} AS a, {STRING} AS b)", "STRUCT<a INT64, b STRING>({INT64}, {STRING})", "(SELECT AS STRUCT {INT64} AS a, {STRING} AS b)"),
}  # fmt: skip
MAY_FAIL: dict[str, tuple[str, ...]] = {
    "STRING": ("CAST({BYTES} AS STRING)", "SUBSTR({STRING}, 1, {small})", "LPAD({STRING}, {small})", "{ARRAY<STRING>}[OFFSET({count})]", "CHR({INT64})", "CODE_POINTS_TO_STRING([{small}])"),
    "INT64": ("{INT64} + {INT64}", "{INT64} - {INT64}", "{INT64} * {INT64}", "- {INT64}", "ABS({INT64})", "DIV({INT64}, {INT64})", "MOD({INT64}, {INT64})", "CAST({STRING} AS INT64)", "CAST({FLOAT64} AS INT64)", "CAST({NUMERIC} AS INT64)", "{ARRAY<INT64>}[OFFSET({count})]", "{ARRAY<INT64>}[ORDINAL({count})]", "ASCII({STRING})"),
    "FLOAT64": ("{FLOAT64} + {FLOAT64}", "{FLOAT64} * {FLOAT64}", "{FLOAT64} / {FLOAT64}", "{INT64} / {INT64}", "CAST({STRING} AS FLOAT64)", "SQRT({FLOAT64})", "LN({FLOAT64})", "ROUND({FLOAT64}, {round})"),
    "NUMERIC": ("{NUMERIC} + {NUMERIC}", "{NUMERIC} * {NUMERIC}", "{NUMERIC} / {NUMERIC}", "{NUMERIC} / {INT64}", "CAST({STRING} AS NUMERIC)", "CAST({FLOAT64} AS NUMERIC)", "ROUND({NUMERIC}, {round})", "MOD({NUMERIC}, {NUMERIC})"),
    "BIGNUMERIC": ("{BIGNUMERIC} + {BIGNUMERIC}", "{BIGNUMERIC} * {BIGNUMERIC}", "{BIGNUMERIC} / {NUMERIC}", "CAST({STRING} AS BIGNUMERIC)", "- {BIGNUMERIC}"),
    "BOOL": ("CAST({STRING} AS BOOL)",),
    "DATE": ("CAST({STRING} AS DATE)", "DATE_ADD({DATE}, INTERVAL {small} {dayish})", "DATE_TRUNC({DATE}, {day})", "{DATE} + {small}", "DATE({small}, {small}, {small})", "PARSE_DATE('%F', {STRING})", "{ARRAY<DATE>}[OFFSET(0)]"),
    "DATETIME": ("CAST({STRING} AS DATETIME)", "DATETIME_ADD({DATETIME}, INTERVAL {INT64} {longer})", "DATETIME_TRUNC({DATETIME}, {moment})"),
    "TIMESTAMP": ("CAST({STRING} AS TIMESTAMP)", "TIMESTAMP({STRING})", "TIMESTAMP_ADD({TIMESTAMP}, INTERVAL {INT64} {momentish})", "TIMESTAMP_TRUNC({TIMESTAMP}, {moment})", "TIMESTAMP_SECONDS({INT64})"),
    "TIME": ("CAST({STRING} AS TIME)", "TIME({small}, {small}, {small})"),
    "BYTES": ("FROM_HEX({STRING})", "FROM_BASE64({STRING})"),
    INTS: ("GENERATE_ARRAY({small}, {small}, {small})", "[CAST({STRING} AS INT64)]"),
}  # fmt: skip
ANY_KIND = (
    "COALESCE({T}, {T})", "IFNULL({T}, {T})", "IF({BOOL}, {T}, {T})", "CASE WHEN {BOOL} THEN {T} WHEN {BOOL} THEN {T} ELSE {T} END",
    "CASE WHEN {BOOL} THEN {T} END", "CASE {INT64} WHEN 1 THEN {T} WHEN {small} THEN {T} ELSE {T} END", "[{T}, {T}][SAFE_OFFSET({count})]", "STRUCT({T} AS x, 1 AS y).x",
    "(SELECT {T})", "CASE {STRING} WHEN 'a' THEN {T} WHEN '' THEN {T} END",
)  # fmt: skip
ANY_SCALAR = (
    "NULLIF({T}, {T})", "GREATEST({T}, {T})", "LEAST({T}, {T}, {T})", "(SELECT MAX(e) FROM UNNEST([{T}, {T}]) AS e)", "(SELECT MIN(e) FROM UNNEST([{T}, NULL]) AS e)",
    "(SELECT e FROM UNNEST([{T}, {T}]) AS e WITH OFFSET AS o ORDER BY o DESC LIMIT 1)",
)  # fmt: skip
# Aggregates by the kind that they give; {keys} are columns that put the rows in one order.
AGGREGATES: tuple[tuple[str, str], ...] = (
    ("small", "COUNT(*)"), ("small", "COUNT({STRING})"), ("small", "COUNT(DISTINCT {STRING})"), ("small", "COUNT(DISTINCT {FLOAT64})"), ("small", "COUNT(DISTINCT {DATE})"), ("small", "COUNTIF({BOOL})"),
    ("INT64", "SUM({small})"), ("INT64", "SUM(DISTINCT {small})"), ("exact", "SUM({exact})"), ("NUMERIC", "SUM({money})"), ("BIGNUMERIC", "SUM(CAST({money} AS BIGNUMERIC))"),
    ("FLOAT64", "AVG({small})"), ("FLOAT64", "AVG({exact})"), ("NUMERIC", "AVG({money})"), ("FLOAT64", "AVG(DISTINCT {small})"), ("NUMERIC", "SUM(IF({BOOL}, {money}, NULL))"),
    *((kind, f"{name}({{{kind}}})") for kind in SCALARS for name in ("MIN", "MAX")),
    ("BOOL", "LOGICAL_AND({BOOL})"), ("BOOL", "LOGICAL_OR({BOOL})"), ("INT64", "BIT_AND({INT64})"), ("INT64", "BIT_OR({INT64})"), ("INT64", "BIT_XOR({INT64})"),
    ("FLOAT64", "ROUND(STDDEV({small}), 6)"), ("FLOAT64", "ROUND(VAR_POP({small}), 6)"), ("FLOAT64", "ROUND(STDDEV_POP({exact}), 6)"), ("FLOAT64", "ROUND(COVAR_SAMP({small}, {small}), 6)"), ("FLOAT64", "ROUND(VARIANCE({money}), 4)"),
    ("small", "APPROX_COUNT_DISTINCT({INT64})"), ("STRING", "STRING_AGG(DISTINCT {STRING}, '' ORDER BY 1)"),
)  # fmt: skip
ORDERED_AGGREGATES: tuple[tuple[str, str], ...] = (
    (INTS, "ARRAY_AGG({INT64} IGNORE NULLS ORDER BY {keys})"), (INTS, "ARRAY_AGG({INT64} ORDER BY {keys} LIMIT 2)"), (TEXTS, "ARRAY_AGG({STRING} ORDER BY {STRING} DESC, {keys})"), ("STRING", "STRING_AGG({STRING} ORDER BY {keys})"),
    ("STRING", "STRING_AGG({STRING}, '-' ORDER BY {keys} LIMIT 3)"), ("STRING", "STRING_AGG({STRING}, '' ORDER BY {INT64}, {keys})"), (INTS, "ARRAY_CONCAT_AGG({ARRAY<INT64>} ORDER BY {keys})"), (DATES, "ARRAY_AGG(DISTINCT {DATE} IGNORE NULLS)"),
    ("INT64", "ARRAY_AGG({INT64} ORDER BY {FLOAT64}, {keys})[SAFE_OFFSET(0)]"),
)  # fmt: skip
# OVER takes: p a partition, o an order with ties, t a total order, f a frame of ROWS, r of RANGE.
WINDOWS: tuple[tuple[str, str], ...] = (
    ("small", "ROW_NUMBER() OVER ({p} {t})"), ("small", "RANK() OVER ({p} {o})"), ("small", "DENSE_RANK() OVER ({o})"), ("FLOAT64", "PERCENT_RANK() OVER ({p} {o})"), ("FLOAT64", "CUME_DIST() OVER ({o})"), ("small", "NTILE(3) OVER ({p} {t})"),
    *((kind, f"{name} OVER ({{p}} {{t}})") for kind in SCALARS for name in (f"LAG({{{kind}}})", f"LEAD({{{kind}}}, 2)", f"LAG({{{kind}}}, 1, {{{kind}}})")),
    *((kind, f"{name} OVER ({{p}} {{t}} {{f}})") for kind in SCALARS for name in (f"FIRST_VALUE({{{kind}}})", f"LAST_VALUE({{{kind}}} IGNORE NULLS)", f"NTH_VALUE({{{kind}}}, 2)", f"MIN({{{kind}}})", f"MAX({{{kind}}})")),
    ("INT64", "SUM({small}) OVER ({p} {o})"), ("INT64", "SUM({small}) OVER ({p} {t} {f})"), ("exact", "SUM({exact}) OVER ({p} {t} {f})"), ("NUMERIC", "SUM({money}) OVER ({p} {t} {f})"), ("NUMERIC", "AVG({money}) OVER ({p} {o})"),
    ("small", "COUNT(*) OVER ({p})"), ("small", "COUNT({STRING}) OVER ({p} {t} {f})"), ("small", "COUNTIF({BOOL}) OVER ({p} {t} {f})"), ("small", "COUNT(DISTINCT {STRING}) OVER ({p})"), ("FLOAT64", "AVG({exact}) OVER ({p} {t} {f})"),
    ("STRING", "STRING_AGG({STRING}) OVER ({p} {t} {f})"), ("BOOL", "LOGICAL_OR({BOOL}) OVER ({p} {o})"), ("INT64", "SUM({small}) OVER ({p} ORDER BY {small} {r})"), ("exact", "PERCENTILE_CONT({exact}, 0.5) OVER ({p})"),
    ("INT64", "MAX({INT64}) OVER ({p} ORDER BY {small} DESC {r})"), ("small", "COUNT(*) OVER (ORDER BY {exact} {r})"), (INTS, "ARRAY_AGG({INT64}) OVER ({p} {t} {f})"), ("FLOAT64", "PERCENTILE_DISC({exact}, 0.25) OVER ({p})"),
)  # fmt: skip
ROWS = (
    "UNBOUNDED PRECEDING",
    "2 PRECEDING",
    "1 PRECEDING",
    "CURRENT ROW",
    "1 FOLLOWING",
    "3 FOLLOWING",
    "UNBOUNDED FOLLOWING",
)
_HOLE = re.compile(r"\{([^}]+)\}")


@dataclass(frozen=True)
class Part:
    """A piece of a query's text. `kind` is an expression's type, `query`, `optional` for what may be left out, or
    `list` for pieces of which any may be left out."""

    kind: str
    pieces: tuple["Part | str", ...]
    joiner: str = ""

    @property
    def sql(self) -> str:
        return self.joiner.join(piece if isinstance(piece, str) else piece.sql for piece in self.pieces)

    def within(self) -> Iterator["Part"]:
        """The parts that it holds, largest first as they are nested."""
        for piece in self.pieces:
            if isinstance(piece, Part):
                yield piece
                yield from piece.within()


@dataclass(frozen=True)
class Column:
    """What a query may read: `kind` is a type, or a word of NARROW."""

    sql: str
    kind: str


@dataclass(frozen=True)
class Relation:
    """Rows, and the columns that put them in one order; None where none do."""

    part: Part
    columns: tuple[Column, ...]
    keys: tuple[str, ...] | None


def random_query(seed: int) -> Part:
    """The query of this number."""
    return _Queries(Random(seed)).statement()


def smaller(part: Part) -> Iterator[Part]:
    """The same query with less of it, the largest cuts first; not all of them are valid."""
    if part.kind == "optional" and part.sql:
        yield Part("optional", ("",))
    if part.kind == "list" and len(part.pieces) > 1:
        for at in range(len(part.pieces)):
            yield replace(part, pieces=part.pieces[:at] + part.pieces[at + 1 :])
    if part.kind in KINDS or part.kind == "query":
        size = len(part.sql)
        yield from (other for other in part.within() if other.kind == part.kind and len(other.sql) < size)
    if part.kind in VALUES and len(part.pieces) > 1:
        yield Part(part.kind, (VALUES[part.kind][1],))
        yield Part(part.kind, (f"CAST(NULL AS {part.kind})",))
    for at, piece in enumerate(part.pieces):
        if isinstance(piece, Part):
            for cut in smaller(piece):
                yield replace(part, pieces=(*part.pieces[:at], cut, *part.pieces[at + 1 :]))


def shrunk(part: Part, fails: Callable[[str], bool], tries: int = 400) -> Part:
    """The smallest query found that still fails."""
    found = True
    while found:
        found = False
        for cut in smaller(part):
            tries -= 1
            if tries < 0:
                return part
            if fails(cut.sql):
                part, found = cut, True
                break
    return part


class _Queries:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.tables: dict[str, Relation] = {}
        self.may_fail = False
        self.aliases = 0

    # Tables.

    def statement(self) -> Part:
        entries: list[Part | str] = []
        for number in range(1, self.random.choice((1, 1, 2, 2, 3)) + 1):
            name = f"t{number}"
            made = self.table()
            self.tables[name] = made
            entries.append(Part("entry", (f"{name} AS (", made.part, ")")))
        if self.random.random() < 0.2:
            inner = self.select(2)
            self.tables["u"] = inner
            entries.append(Part("entry", ("u AS (", inner.part, ")")))
        self.may_fail = self.random.random() < 0.25
        of = self.flat(3, only_table=True) if self.may_fail else self.select(3)
        ending: list[Part | str] = []
        if of.keys and not self.may_fail and self.random.random() < 0.35:
            ordered = [c for c in of.columns if c.kind in (*SCALARS, *NARROW)]
            first = [self.random.choice(ordered).sql] if ordered else []
            items = ", ".join(f"{c}{self.direction()}" for c in dict.fromkeys((*first, *of.keys)))
            ending.append(Part("optional", (f" ORDER BY {items}",)))
            if self.random.random() < 0.5:
                ending.append(Part("optional", (f" LIMIT {self.random.randint(0, 4)}",)))
                if self.random.random() < 0.4:
                    ending.append(Part("optional", (f" OFFSET {self.random.randint(0, 2)}",)))
        return Part("statement", ("WITH ", Part("list", tuple(entries), ", "), " ", of.part, *ending))

    def table(self) -> Relation:
        wide = self.random.randint(3, 7)
        kinds = ["key", *(self.random.choice((*KINDS, *NARROW, "STRING", "small")) for _ in range(wide))]
        names = ["k", *(f"c{at}" for at in range(1, wide + 1))]
        types = [{"key": "INT64", **NARROW}.get(kind, kind) for kind in kinds]
        number = self.random.choice((0, 1, 2, 3, 3, 4, 4, 5, 6))
        columns = tuple(Column(n, "small" if k == "key" else k) for n, k in zip(names, kinds, strict=True))
        rows: list[Part | str] = []
        if number and self.random.random() < 0.3:  # the types come of literals beside each other
            for at in range(number):
                cells = [self.cell(kind, at, typed=at == 0) for kind in kinds]
                named = ", ".join(f"{cell} AS {name}" for cell, name in zip(cells, names, strict=True))
                rows.append(f"SELECT {named}")
            return Relation(Part("table", (Part("list", tuple(rows), " UNION ALL "),)), columns, ("k",))
        rows = [f"({', '.join(self.cell(kind, at, typed=False) for kind in kinds)})" for at in range(number)]
        struct = ", ".join(f"{n} {t}" for n, t in zip(names, types, strict=True))
        of = Part("list", tuple(rows), ", ")
        return Relation(Part("table", (f"SELECT * FROM UNNEST(ARRAY<STRUCT<{struct}>>[", of, "])")), columns, ("k",))

    def cell(self, kind: str, at: int, *, typed: bool) -> str:
        if kind == "key":
            return str(at + 1)
        made = "NULL" if self.random.random() < 0.2 else self.literal(kind)
        return f"CAST({made} AS {NARROW.get(kind, kind)})" if typed and made == "NULL" else made

    def literal(self, kind: str) -> str:
        """A value of a kind, written out."""
        match kind:
            case "ARRAY<INT64>" | "ARRAY<STRING>" | "ARRAY<DATE>":
                element = kind[6:-1]
                held = [self.random.choice(VALUES[element]) for _ in range(self.random.randint(0, 3))]
                held = [one if self.random.random() < 0.9 else "NULL" for one in held]
                return f"{kind}[{', '.join(held)}]"
            case "STRUCT<a INT64, b STRING>":
                pair = [self.random.choice((*VALUES[one][:6], "NULL")) for one in ("INT64", "STRING")]
                return f"STRUCT<a INT64, b STRING>({', '.join(pair)})"
        return self.random.choice(VALUES[kind])

    # Expressions.

    def expression(self, kind: str, columns: Sequence[Column], depth: int) -> Part:
        """An expression of a kind over columns."""
        label = NARROW.get(kind, kind)
        fitting = [c for c in columns if c.kind == kind or (kind == label and NARROW.get(c.kind) == kind)]
        chance = self.random.random()
        if fitting and chance < (0.55 if depth else 0.9):
            return Part(label, (self.random.choice(fitting).sql,))
        if depth <= 0 or chance < 0.05:
            if self.random.random() < 0.1:
                return Part(label, (f"CAST(NULL AS {label})",))
            return Part(label, (self.literal(kind),))
        templates = list(NEVER_FAILS[kind])
        if self.may_fail and kind in MAY_FAIL:
            templates = [*templates, *MAY_FAIL[kind] * 3]
        if kind == label and self.random.random() < 0.3:
            general = (*ANY_KIND, *ANY_SCALAR) if kind in SCALARS else tuple(t for t in ANY_KIND if "][" not in t)
            templates = [one.replace("{T}", f"{{{kind}}}") for one in general]
        if kind in ("INT64", "BOOL", "STRING", "small", INTS) and self.tables and self.random.random() < 0.06:
            return self.subquery(kind, columns, depth)
        return self.filled(self.random.choice(templates), label, columns, depth - 1)

    def filled(self, template: str, label: str, columns: Sequence[Column], depth: int, **given: str) -> Part:
        """A template with an expression in each hole; in brackets, so that it may stand anywhere."""
        pieces: list[Part | str] = []
        at = 0
        guarded = self.may_fail and re.search(r" (AND|OR|IN) ", template)
        self.may_fail = self.may_fail and not guarded
        for hole in _HOLE.finditer(template):
            pieces.append(template[at : hole.start()])
            word = hole[1]
            if word in given:
                pieces.append(given[word])
            elif word in CHOICES:
                pieces.append(self.random.choice(CHOICES[word]))
            else:
                pieces.append(self.expression(word, columns, depth))
            at = hole.end()
        self.may_fail = self.may_fail or bool(guarded)
        return Part(label, ("(", *pieces, template[at:], ")"))

    def subquery(self, kind: str, columns: Sequence[Column], depth: int) -> Part:
        """An expression that reads a table, perhaps with the outer row's columns."""
        name, of = self.random.choice(list(self.tables.items()))
        alias = self.alias()
        inner = tuple(replace(c, sql=f"{alias}.{c.sql}") for c in of.columns)
        both = (*inner, *columns) if self.random.random() < 0.5 else inner
        where = self.expression("BOOL", both, 1)
        label = NARROW.get(kind, kind)
        ending: tuple[Part | str, ...] = (f" FROM {name} AS {alias}", Part("optional", (" WHERE ", where)), ")")
        match kind:
            case "BOOL" if self.random.random() < 0.5:
                return Part(label, ("EXISTS(SELECT 1", *ending))
            case "BOOL":
                compared = self.random.choice([c.kind for c in inner if c.kind in (*SCALARS, *NARROW)])
                word = self.random.choice(("IN", "IN", "NOT IN"))
                value, column = self.expression(compared, columns, 1), self.expression(compared, inner, 0)
                return Part(label, ("(", value, f" {word} (SELECT ", column, *ending, ")"))
            case "ARRAY<INT64>":
                if of.keys is None:
                    return Part(label, (self.literal(kind),))
                order = ", ".join(f"{alias}.{key}" for key in of.keys)
                value = self.expression("INT64", inner, 1)
                return Part(label, ("ARRAY(SELECT ", value, *ending[:-1], f" ORDER BY {order})"))
            case "STRING":
                return Part(label, ("(SELECT MAX(", self.expression(kind, inner, 1), ")", *ending))
            case "INT64" if self.random.random() < 0.5:
                return Part(label, ("(SELECT SUM(", self.expression("small", inner, 1), ")", *ending))
        return Part(label, ("(SELECT COUNT(*)", *ending))

    def alias(self) -> str:
        self.aliases += 1
        return f"q{self.aliases}"

    def direction(self) -> str:
        return self.random.choice(("", "", " DESC", " ASC NULLS LAST", " DESC NULLS FIRST"))

    # Rows.

    def source(self, depth: int, *, only_table: bool = False, inner: bool = False) -> Relation:
        """What stands in FROM."""
        chance = self.random.random()
        if only_table or chance < 0.4 or depth <= 0:
            name, of = self.random.choice(list(self.tables.items()))
            return self.named(f"{name} AS ", of)
        if chance < 0.55:
            of = self.select(depth - 1)
            return self.named(Part("source", ("(", of.part, ") AS ")), of)
        if chance < 0.7:
            return self.unnested(inner=inner)
        return self.joined(depth)

    def named(self, before: "Part | str", of: Relation) -> Relation:
        alias = self.alias()
        columns = tuple(replace(c, sql=f"{alias}.{c.sql}") for c in of.columns)
        keys = None if of.keys is None else tuple(f"{alias}.{key}" for key in of.keys)
        return Relation(Part("source", (before, alias)), columns, keys)

    def unnested(self, *, inner: bool) -> Relation:
        """Rows of an array, alone or of each row's."""
        element, alias, offset = self.random.choice(("INT64", "STRING", "DATE")), self.alias(), self.alias()
        column = Column(alias, element)
        if self.random.random() < 0.3:
            array = self.expression(f"ARRAY<{element}>", (), 1)
            made = Part("source", ("UNNEST(", array, f") AS {alias} WITH OFFSET AS {offset}"))
            return Relation(made, (column, Column(offset, "small")), (offset,))
        of = self.source(0)
        array = self.expression(f"ARRAY<{element}>", of.columns, 1)
        join = self.random.choice((" CROSS JOIN " if inner else ", ", " CROSS JOIN ", " LEFT JOIN "))
        pieces: list[Part | str] = [of.part, join, "UNNEST(", array, f") AS {alias} WITH OFFSET AS {offset}"]
        if join == " LEFT JOIN ":
            pieces += [
                " ON ",
                self.expression("BOOL", (*of.columns, column), 1) if self.random.random() < 0.3 else "TRUE",
            ]
        keys = None if of.keys is None else (*of.keys, offset)
        return Relation(Part("source", tuple(pieces)), (*of.columns, column, Column(offset, "small")), keys)

    def joined(self, depth: int) -> Relation:
        left = self.source(depth - 1, inner=True)
        right = self.source(0 if self.random.random() < 0.7 else depth - 1, inner=True)
        columns = (*left.columns, *right.columns)
        keys = None if left.keys is None or right.keys is None else (*left.keys, *right.keys)
        join = self.random.choice((" JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ", " CROSS JOIN "))
        pieces: list[Part | str] = ["(", left.part, join, right.part]
        if join != " CROSS JOIN ":
            kind = self.random.choice((*SCALARS, "small"))
            one, other = self.expression(kind, left.columns, 1), self.expression(kind, right.columns, 1)
            sign = "=" if join == " FULL JOIN " else self.random.choice(("=", "=", "=", "<", ">="))
            on: list[Part | str] = [one, f" {sign} ", other]
            if self.random.random() < 0.3 and join != " FULL JOIN ":
                on += [Part("optional", (" AND ", self.expression("BOOL", columns, 1)))]
            pieces += [" ON ", *on]
        return Relation(Part("source", (*pieces, ")")), columns, keys)

    def select(self, depth: int) -> Relation:
        """A query whose columns are r1, r2 and so on."""
        chance = self.random.random()
        if depth <= 0 or chance < 0.35:
            return self.flat(depth)
        if chance < 0.62:
            return self.grouped(depth)
        if chance < 0.8:
            return self.windowed(depth)
        if chance < 0.92:
            return self.combined(depth)
        return self.distinct(depth)

    def where(self, of: Relation) -> Part:
        if self.random.random() < 0.55 or self.may_fail:
            return Part("optional", ("",))
        return Part("optional", (" WHERE ", self.expression("BOOL", of.columns, 2)))

    def some(self, of: Relation, depth: int, kinds: Sequence[str], number: int) -> list[tuple[str, Part]]:
        return [(kind, self.expression(kind, of.columns, depth)) for kind in self.random.choices(kinds, k=number)]

    def flat(self, depth: int, *, only_table: bool = False) -> Relation:
        of = self.source(depth - 1, only_table=only_table)
        cells = self.some(of, 2 if depth < 3 else 3, (*KINDS, *NARROW), self.random.randint(1, 3))
        keys = [("small", Part("key", (key,))) for key in of.keys or ()]
        return self.selecting([*keys, *cells], (" FROM ", of.part, self.where(of)), len(keys) if of.keys else None)

    def selecting(
        self, cells: Sequence[tuple[str, Part]], rest: tuple[Part | str, ...], keys: int | None, word: str = ""
    ) -> Relation:
        """A SELECT of cells as r1, r2 ...; the first `keys` of them put its rows in order."""
        names = [f"r{at}" for at in range(1, len(cells) + 1)]
        items = tuple(Part("item", (cell, f" AS {name}")) for (_, cell), name in zip(cells, names, strict=True))
        columns = tuple(Column(name, self.column_kind(kind)) for (kind, _), name in zip(cells, names, strict=True))
        part = Part("query", (f"SELECT {word}", Part("list", items, ", "), *rest))
        return Relation(part, columns, None if keys is None else tuple(names[:keys]))

    def column_kind(self, kind: str) -> str:
        # A sum of narrow values is narrow no more: another sum of it could overflow.
        return kind if kind in KINDS or kind == "small" else NARROW[kind]

    def grouped(self, depth: int) -> Relation:
        of = self.source(depth - 1)
        by = self.some(of, 1, (*SCALARS, "small", "STRING", "BOOL"), self.random.choice((0, 1, 1, 2)))
        forms = AGGREGATES if of.keys is None else (*AGGREGATES, *ORDERED_AGGREGATES)
        keys = ", ".join(of.keys or ())
        cells: list[tuple[str, Part]] = []
        for kind, template in self.random.choices(forms, k=self.random.randint(1, 3)):
            if "DISTINCT" in template and "ORDER BY 1" in template:
                text = self.expression("STRING", of.columns, 0).sql
                cells.append(
                    (kind, Part(NARROW.get(kind, kind), (f"STRING_AGG(DISTINCT {text}, '' ORDER BY {text})",)))
                )
            elif template.startswith("ARRAY_AGG(DISTINCT"):
                date = self.expression("DATE", of.columns, 0).sql
                cells.append((kind, Part(kind, (f"ARRAY_AGG(DISTINCT {date} ORDER BY {date})",))))
            else:
                cells.append((kind, self.filled(template, NARROW.get(kind, kind), of.columns, 1, keys=keys)))
        tail: list[Part | str] = [" FROM ", of.part, self.where(of)]
        numbers = list(range(1, len(by) + 1))
        if by:
            form = self.random.random()
            names = ", ".join(str(n) for n in numbers)
            if form < 0.1 and all(kind != "FLOAT64" for kind, _ in by):
                written = f"ROLLUP({', '.join(f'r{n}' for n in numbers)})"
                return self.selecting([*by, *cells], (*tail, f" GROUP BY {written}"), None)
            tail.append(f" GROUP BY {names if form < 0.6 else ', '.join(f'r{n}' for n in numbers)}")
            if self.random.random() < 0.25:
                having = self.random.choice(
                    ("COUNT(*) > 1", "MAX({small}) >= {small}", "COUNTIF({BOOL}) > 0", "SUM({small}) IS NOT NULL")
                )
                # What it compares with has to be grouped: a number is.
                having = re.sub(r"(>=) \{small\}", r"\1 2", having)
                tail.append(Part("optional", (" HAVING ", self.filled(having, "BOOL", of.columns, 1))))
        ordered = len(by) if by and all(kind != "FLOAT64" for kind, _ in by) else None
        return self.selecting([*by, *cells], tuple(tail), ordered)

    def windowed(self, depth: int) -> Relation:
        of = self.source(depth - 1)
        if not of.keys:
            return self.flat(depth)
        keys = [("small", Part("key", (key,))) for key in of.keys]
        cells = [self.window(of) for _ in range(self.random.randint(1, 2))]
        tail: list[Part | str] = [" FROM ", of.part, self.where(of)]
        if self.random.random() < 0.2:
            order = ", ".join(f"{key}{self.direction()}" for key in of.keys)
            word = self.random.choice(("ROW_NUMBER()", "RANK()", "COUNT(*)"))
            tail.append(Part("optional", (f" QUALIFY {word} OVER (ORDER BY {order}) <= 2",)))
        return self.selecting([*keys, *cells], tuple(tail), len(keys))

    def window(self, of: Relation) -> tuple[str, Part]:
        kind, template = self.random.choice(WINDOWS)
        partition = ""
        if self.random.random() < 0.6:
            partition = f"PARTITION BY {self.expression(self.random.choice(('STRING', 'small', 'BOOL', 'DATE', 'INT64')), of.columns, 1).sql}"
        scalars = [c.sql for c in of.columns if c.kind in (*SCALARS, *NARROW)]
        ties = f"{self.random.choice(scalars)}{self.direction()}"
        total = ", ".join(f"{key}{self.direction()}" for key in of.keys or ())
        first = f"{ties}, " if self.random.random() < 0.5 else ""
        given = {
            "p": partition,
            "o": f"ORDER BY {ties}",
            "t": f"ORDER BY {first}{total}",
            "f": self.frame("ROWS"),
            "r": self.frame("RANGE"),
        }
        return kind, self.filled(template, NARROW.get(kind, kind), of.columns, 1, **given)

    def frame(self, unit: str) -> str:
        if self.random.random() < 0.25:
            return "" if unit == "RANGE" else "ROWS UNBOUNDED PRECEDING"
        first = self.random.randrange(len(ROWS) - 1)
        last = self.random.randrange(max(first, 1), len(ROWS))
        return f"{unit} BETWEEN {ROWS[first]} AND {ROWS[last]}"

    def combined(self, depth: int) -> Relation:
        word = self.random.choice(("UNION ALL", "UNION ALL", "UNION DISTINCT", "INTERSECT DISTINCT", "EXCEPT DISTINCT"))
        kinds = self.random.choices(SCALARS if word != "UNION ALL" else KINDS, k=self.random.randint(1, 3))
        parts = []
        for _ in range(self.random.choice((2, 2, 3))):
            of = self.source(depth - 2)
            cells = [(kind, self.expression(kind, of.columns, 1)) for kind in kinds]
            parts.append(self.selecting(cells, (" FROM ", of.part, self.where(of)), None))
        whole = Part("query", (Part("list", tuple(one.part for one in parts), f" {word} "),))
        is_total = word != "UNION ALL" and "FLOAT64" not in kinds
        return Relation(whole, parts[0].columns, tuple(c.sql for c in parts[0].columns) if is_total else None)

    def distinct(self, depth: int) -> Relation:
        of = self.source(depth - 1)
        cells = self.some(of, 1, (*SCALARS, "small"), self.random.randint(1, 2))
        total = None if any(kind in ("FLOAT64", "exact") for kind, _ in cells) else len(cells)
        return self.selecting(cells, (" FROM ", of.part, self.where(of)), total, "DISTINCT ")
