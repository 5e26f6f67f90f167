"""What random queries are made of: kinds of values, literals of each, and words to choose from."""

INTS, TEXTS, DATES = "ARRAY<INT64>", "ARRAY<STRING>", "ARRAY<DATE>"
PAIR = "STRUCT<a INT64, b STRING>"
SCALARS = (
    "STRING", "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "DATE", "DATETIME", "TIMESTAMP", "TIME", "BYTES",
)  # fmt: skip
KINDS = (*SCALARS, INTS, TEXTS, DATES, PAIR)
# Of these kinds are the columns that sums and offsets are made of: no overflow, and no rounding.
NARROW = {"small": "INT64", "exact": "FLOAT64", "money": "NUMERIC"}
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
