"""Templates of expressions, aggregates and window functions with holes in braces, by the kind that they give."""

from tests.warehouse.googlesql.query_literals import DATES, INTS, PAIR, SCALARS, TEXTS

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
