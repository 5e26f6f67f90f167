"""Functions of DATE, TIMESTAMP, DATETIME and TIME."""

import re
from collections.abc import Callable

from convergence_assets.warehouse.duckdb.generator.calls import Argument, Call, Entries
from convergence_assets.warehouse.duckdb.generator.literals import text
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.refusing import refused as _refused

MACROS = (
    f"bq_date_in_range(a) AS CASE WHEN a BETWEEN DATE '0001-01-01' AND DATE '9999-12-31' THEN CAST(a AS DATE) WHEN a IS NULL THEN NULL ELSE {_refused('DATE out of range', 'CAST(a AS VARCHAR)', 'DATE')} END",
    f"bq_datetime_in_range(a) AS CASE WHEN a >= TIMESTAMP '0001-01-01' AND a < TIMESTAMP '10000-01-01' THEN a WHEN a IS NULL THEN NULL ELSE {_refused('DATETIME out of range', 'CAST(a AS VARCHAR)', 'TIMESTAMP')} END",
    f"bq_timestamp_in_range(a) AS CASE WHEN a >= TIMESTAMPTZ '0001-01-01 00:00:00+00' AND a < TIMESTAMPTZ '10000-01-01 00:00:00+00' THEN a WHEN a IS NULL THEN NULL ELSE {_refused('TIMESTAMP out of range', 'CAST(a AS VARCHAR)', 'TIMESTAMPTZ')} END",
    "bq_date_of_parts(a, b, c) AS bq_date_in_range(make_date(a, b, c))",
    "bq_datetime_of_parts(a, b, c, d, e, f) AS bq_datetime_in_range(make_timestamp(a, b, c, d, e, CAST(f AS DOUBLE)))",
    "bq_since_epoch(a, unit) AS CASE WHEN epoch_us(a) >= 0 THEN epoch_us(a) // unit ELSE -((-epoch_us(a) + unit - 1) // unit) END",
    "bq_timestamp_of_micros(a, unit) AS bq_timestamp_in_range(make_timestamptz(a * unit))",
    "bq_generate_date_array(a, b, step) AS CASE WHEN a IS NULL OR b IS NULL OR step IS NULL THEN NULL"
    f" WHEN step = 0 THEN [{_refused('Sequence step cannot be 0', 'CAST(a AS VARCHAR)', 'DATE')}]"
    " ELSE list_transform(generate_series(CAST(0 AS BIGINT), CAST(b - a AS BIGINT), step), lambda n: a + CAST(n AS INTEGER)) END",
    "bq_generate_timestamp_array(a, b, step) AS CASE WHEN a IS NULL OR b IS NULL OR step IS NULL THEN NULL"
    f" WHEN step = 0 THEN [{_refused('Sequence step cannot be 0', 'CAST(a AS VARCHAR)', 'TIMESTAMPTZ')}]"
    " ELSE list_transform(generate_series(epoch_us(a), epoch_us(b), step), lambda n: make_timestamptz(n)) END",
)

_DAYS = {"DAY": 1, "WEEK": 7, "ISOWEEK": 7}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12, "ISOYEAR": 12}
_MICROSECONDS = {
    "MICROSECOND": 1, "MILLISECOND": 1000, "SECOND": 1_000_000, "MINUTE": 60_000_000, "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}  # fmt: skip
_WEEKDAYS = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
_FORMAT_ELEMENTS = frozenset("AaBbdFGHIjMmpSTuVwYy%")
_PARSE_ELEMENTS = frozenset("dmY%")
_EXTRACTED = {
    "YEAR": "date_part('year', {0})", "MONTH": "date_part('month', {0})", "DAY": "date_part('day', {0})",
    "QUARTER": "date_part('quarter', {0})", "DAYOFWEEK": "(date_part('dayofweek', {0}) + 1)",
    "DAYOFYEAR": "date_part('dayofyear', {0})", "ISOWEEK": "date_part('week', {0})",
    "ISOYEAR": "date_part('isoyear', {0})", "WEEK": "CAST(strftime({0}, '%U') AS BIGINT)",
    "WEEK_MONDAY": "CAST(strftime({0}, '%W') AS BIGINT)",
}  # fmt: skip
_EXTRACTED_TIME = {
    "HOUR": "date_part('hour', {0})", "MINUTE": "date_part('minute', {0})", "SECOND": "date_part('second', {0})",
    "MILLISECOND": "(date_part('millisecond', {0}) % 1000)", "MICROSECOND": "(date_part('microsecond', {0}) % 1000000)",
}  # fmt: skip


def add_entries(entries: Entries) -> None:
    entries.add("current_date", "", "CAST(now() AS DATE)")
    entries.add("current_date", "STRING", "CAST(bq_local(now(), {0}) AS DATE)")
    entries.add("current_timestamp", "", "now()")
    entries.add("current_datetime", "", "CAST(now() AS TIMESTAMP)")
    entries.add("current_datetime", "STRING", "bq_local(now(), {0})")
    for sign, name in ((1, "add"), (-1, "sub")):
        entries.add(f"date_{name}", "DATE INT64 ENUM", _moved(sign, "DATE"))
        entries.add(f"datetime_{name}", "DATETIME INT64 ENUM", _moved(sign, "TIMESTAMP"))
        entries.add(f"timestamp_{name}", "TIMESTAMP INT64 ENUM", _moved(sign, "TIMESTAMPTZ"))
    entries.add("$add", "DATE INT64", "bq_date_in_range({0} + CAST({1} AS INTEGER))")
    entries.add("$add", "INT64 DATE", "bq_date_in_range({1} + CAST({0} AS INTEGER))")
    entries.add("$subtract", "DATE INT64", "bq_date_in_range({0} - CAST({1} AS INTEGER))")
    entries.add("date_diff", "DATE DATE ENUM", _date_difference)
    entries.add("datetime_diff", "DATETIME DATETIME ENUM", _datetime_difference)
    entries.add("timestamp_diff", "TIMESTAMP TIMESTAMP ENUM", _elapsed)
    entries.add("date_trunc", "DATE ENUM", lambda c: _truncated(c.arguments[0].sql, c.literal(1, "a part"), "DATE"))
    entries.add(
        "datetime_trunc", "DATETIME ENUM", lambda c: _truncated(c.arguments[0].sql, c.literal(1, "a part"), "TIMESTAMP")
    )
    entries.add("timestamp_trunc", "TIMESTAMP ENUM", lambda c: _truncated_timestamp(c, "'UTC'"))
    entries.add("timestamp_trunc", "TIMESTAMP ENUM STRING", lambda c: _truncated_timestamp(c, c.arguments[2].sql))
    entries.add("last_day", "DATE", "last_day({0})")
    entries.add("last_day", "DATE ENUM", _last_day)
    entries.add("$extract", "DATE ENUM", lambda c: _part(c, c.arguments[0].sql, times=False))
    entries.add("$extract", "DATETIME ENUM", lambda c: _part(c, c.arguments[0].sql, times=True))
    entries.add("$extract", "TIME ENUM", lambda c: _part(c, c.arguments[0].sql, times=True))
    entries.add(
        "$extract", "TIMESTAMP ENUM", lambda c: _part(c, f"CAST({c.arguments[0].sql} AS TIMESTAMP)", times=True)
    )
    entries.add(
        "$extract",
        "TIMESTAMP ENUM STRING",
        lambda c: _part(c, f"bq_local({c.arguments[0].sql}, {c.arguments[2].sql})", times=True),
    )
    entries.add("$extract_date", "DATETIME", "CAST({0} AS DATE)")
    entries.add("$extract_date", "TIMESTAMP", "CAST({0} AS DATE)")
    entries.add("$extract_date", "TIMESTAMP STRING", "CAST(bq_local({0}, {1}) AS DATE)")
    entries.add("$extract_time", "DATETIME", "CAST({0} AS TIME)")
    entries.add("$extract_time", "TIMESTAMP", "CAST(CAST({0} AS TIMESTAMP) AS TIME)")
    entries.add("$extract_time", "TIMESTAMP STRING", "CAST(bq_local({0}, {1}) AS TIME)")
    entries.add("$extract_datetime", "TIMESTAMP", "CAST({0} AS TIMESTAMP)")
    entries.add("$extract_datetime", "TIMESTAMP STRING", "bq_local({0}, {1})")
    entries.add("date", "INT64 INT64 INT64", "bq_date_of_parts({0}, {1}, {2})")
    entries.add("date", "DATE", "{0}")
    entries.add("date", "DATETIME", "CAST({0} AS DATE)")
    entries.add("date", "TIMESTAMP", "CAST({0} AS DATE)")
    entries.add("date", "TIMESTAMP STRING", "CAST(bq_local({0}, {1}) AS DATE)")
    entries.add("date", "STRING", "bq_date_of_text({0})")
    entries.add("datetime", "DATE", "CAST({0} AS TIMESTAMP)")
    entries.add("datetime", "DATETIME", "{0}")
    entries.add("datetime", "DATE TIME", "({0} + {1})")
    entries.add("datetime", "TIMESTAMP", "CAST({0} AS TIMESTAMP)")
    entries.add("datetime", "TIMESTAMP STRING", "bq_local({0}, {1})")
    entries.add("datetime", "INT64 INT64 INT64 INT64 INT64 INT64", "bq_datetime_of_parts({0}, {1}, {2}, {3}, {4}, {5})")
    entries.add("time", "INT64 INT64 INT64", "make_time({0}, {1}, CAST({2} AS DOUBLE))")
    entries.add("time", "DATETIME", "CAST({0} AS TIME)")
    entries.add("time", "TIMESTAMP", "CAST(CAST({0} AS TIMESTAMP) AS TIME)")
    entries.add("timestamp", "TIMESTAMP", "{0}")
    entries.add("timestamp", "DATE", "CAST({0} AS TIMESTAMPTZ)")
    entries.add("timestamp", "DATETIME", "CAST({0} AS TIMESTAMPTZ)")
    entries.add("timestamp", "DATE STRING", "bq_instant(CAST({0} AS TIMESTAMP), {1})")
    entries.add("timestamp", "DATETIME STRING", "bq_instant({0}, {1})")
    entries.add("timestamp", "STRING", "bq_timestamp_of_text({0})")
    entries.add("format_date", "STRING DATE", _formatted)
    entries.add("format_datetime", "STRING DATETIME", _formatted)
    entries.add("format_timestamp", "STRING TIMESTAMP", _formatted)
    entries.add("format_timestamp", "STRING TIMESTAMP STRING", _formatted)
    entries.add("parse_date", "STRING STRING", _parsed_date)
    entries.add("unix_date", "DATE", "CAST({0} - DATE '1970-01-01' AS BIGINT)")
    entries.add("date_from_unix_date", "INT64", "bq_date_in_range(DATE '1970-01-01' + CAST({0} AS INTEGER))")
    for name, unit in (("seconds", 1_000_000), ("millis", 1000), ("micros", 1)):
        entries.add(f"unix_{name}", "TIMESTAMP", f"CAST(bq_since_epoch({{0}}, {unit}) AS BIGINT)")
        entries.add(f"timestamp_{name}", "INT64", f"bq_timestamp_of_micros({{0}}, {unit})")
        entries.add(f"timestamp_from_unix_{name}", "INT64", f"bq_timestamp_of_micros({{0}}, {unit})")
    entries.add("generate_date_array", "DATE DATE", "bq_generate_date_array({0}, {1}, CAST(1 AS BIGINT))")
    entries.add("generate_date_array", "DATE DATE INT64 ENUM", _date_array)
    entries.add("generate_timestamp_array", "TIMESTAMP TIMESTAMP INT64 ENUM", _timestamp_array)


def _moved(sign: int, kind: str) -> Callable[[Call], str]:
    check = {"DATE": "bq_date_in_range", "TIMESTAMP": "bq_datetime_in_range", "TIMESTAMPTZ": "bq_timestamp_in_range"}[
        kind
    ]

    def form(call: Call) -> str:
        value, amount, _ = call.arguments
        part = call.literal(2, "a part")
        signed = f"({'-' if sign < 0 else ''}{amount.sql})"
        if part in _MONTHS and part != "ISOYEAR" and kind != "TIMESTAMPTZ":
            moved = f"{value.sql} + to_months(CAST({signed} * {_MONTHS[part]} AS INTEGER))"
        elif part in _DAYS and kind != "TIMESTAMPTZ" and part != "ISOWEEK":
            moved = f"{value.sql} + to_days(CAST({signed} * {_DAYS[part]} AS INTEGER))"
        elif part in _MICROSECONDS and kind != "DATE":
            moved = f"{value.sql} + to_microseconds({signed} * {_MICROSECONDS[part]})"
        else:
            raise Unsupported(f"{call.name.upper()} by {part} has no form on the embedded engine", "use another part")
        return f"{check}(CAST({moved} AS {kind}))"

    return form


def _week_start(part: str) -> int | None:
    """Days from Monday back to the day that a week begins with."""
    if part == "ISOWEEK":
        return 0
    name = "SUNDAY" if part == "WEEK" else part.removeprefix("WEEK_")
    return (7 - (_WEEKDAYS.index(name) - 1)) % 7 if name in _WEEKDAYS else None


def _date_difference(call: Call) -> str:
    later, earlier, _ = (a.sql for a in call.arguments)
    part = call.literal(2, "a part")
    if part == "DAY":
        return f"CAST({later} - {earlier} AS BIGINT)"
    if (shift := _week_start(part)) is not None:
        weeks = [f"date_trunc('week', {value} + {shift})" for value in (later, earlier)]
        return f"(date_diff('day', {weeks[1]}, {weeks[0]}) // 7)"
    if part in _MONTHS:
        return f"date_diff('{part.lower()}', {earlier}, {later})"
    raise Unsupported(
        f"DATE_DIFF by {part} has no form on the embedded engine", "use DAY, WEEK, MONTH, QUARTER or YEAR"
    )


def _datetime_difference(call: Call) -> str:
    later, earlier, _ = (a.sql for a in call.arguments)
    part = call.literal(2, "a part")
    if part in _MICROSECONDS or part in _MONTHS:
        return f"date_diff('{part.lower()}', {earlier}, {later})"
    if (shift := _week_start(part)) is not None:
        weeks = [f"date_trunc('week', {value} + INTERVAL {shift} DAY)" for value in (later, earlier)]
        return f"(date_diff('day', {weeks[1]}, {weeks[0]}) // 7)"
    raise Unsupported(f"DATETIME_DIFF by {part} has no form on the embedded engine", "use another part")


def _elapsed(call: Call) -> str:
    later, earlier, _ = (a.sql for a in call.arguments)
    part = call.literal(2, "a part")
    if part not in _MICROSECONDS:
        raise Unsupported(f"TIMESTAMP_DIFF by {part} has no form on the embedded engine", "use HOUR or DAY")
    return f"((epoch_us({later}) - epoch_us({earlier})) // {_MICROSECONDS[part]})"


def _truncated(value: str, part: str, kind: str) -> str:
    if (shift := _week_start(part)) is not None:
        day = f"INTERVAL {shift} DAY"
        return f"CAST(date_trunc('week', {value} + {day}) - {day} AS {kind})"
    if part in ("DAY", "MONTH", "QUARTER", "YEAR") or (kind != "DATE" and part in _MICROSECONDS):
        return f"CAST(date_trunc('{part.lower()}', {value}) AS {kind})"
    if part == "ISOYEAR":
        january = f"make_date(date_part('isoyear', {value}), 1, 4)"
        return f"CAST(date_trunc('week', {january}) AS {kind})"
    raise Unsupported(f"truncating to {part} has no form on the embedded engine", "use another part")


def _truncated_timestamp(call: Call, zone: str) -> str:
    value, part = call.arguments[0].sql, call.literal(1, "a part")
    if part in ("MICROSECOND", "MILLISECOND", "SECOND"):
        return f"date_trunc('{part.lower()}', {value})"
    if part in ("MINUTE", "HOUR") and zone != "'UTC'":
        raise Unsupported(
            f"truncating to {part} in a timezone has no form on the embedded engine", "leave the zone out"
        )
    return f"bq_instant({_truncated(f'bq_local({value}, {zone})', part, 'TIMESTAMP')}, {zone})"


def _last_day(call: Call) -> str:
    value, part = call.arguments[0].sql, call.literal(1, "a part")
    if part == "MONTH":
        return f"last_day({value})"
    units = {
        "QUARTER": "INTERVAL 3 MONTH",
        "YEAR": "INTERVAL 1 YEAR",
        "WEEK": "INTERVAL 7 DAY",
        "ISOWEEK": "INTERVAL 7 DAY",
    }
    if part in units or part.startswith("WEEK_"):
        step = units.get(part, "INTERVAL 7 DAY")
        return f"CAST({_truncated(value, part, 'DATE')} + {step} - INTERVAL 1 DAY AS DATE)"
    raise Unsupported(f"LAST_DAY of {part} has no form on the embedded engine", "use MONTH")


def _part(call: Call, value: str, *, times: bool) -> str:
    part = call.literal(1, "a part")
    form = _EXTRACTED.get(part) if call.arguments[0].kind != "TIME" else None
    form = form or (_EXTRACTED_TIME.get(part) if times else None)
    if form is None:
        raise Unsupported(f"EXTRACT of {part} has no form on the embedded engine", "use another part")
    return form.format(value)


def _formatted(call: Call) -> str:
    pattern = call.literal(0, "a format")
    if pattern is None:
        return "CAST(NULL AS VARCHAR)"
    _elements(pattern, _FORMAT_ELEMENTS)
    value = call.arguments[1].sql
    if call.arguments[1].kind == "TIMESTAMP":
        value = (
            f"bq_local({value}, {call.arguments[2].sql})" if len(call.arguments) > 2 else f"CAST({value} AS TIMESTAMP)"
        )
    if not pattern:
        return f"left(CAST({value} AS VARCHAR), 0)"
    return f"strftime(CAST({value} AS TIMESTAMP), {text(pattern)})"


def _elements(pattern: str, allowed: frozenset[str]) -> None:
    wrong = [e for e in re.findall(r"%(.?)", pattern, re.DOTALL) if e not in allowed]
    if wrong:
        raise Unsupported(f"the format element %{wrong[0]} has no form on the embedded engine",
                          "use " + ", ".join(f"%{e}" for e in sorted(allowed)))  # fmt: skip


def _parsed_date(call: Call) -> str:
    pattern = call.literal(0, "a format")
    if pattern is None:
        return "CAST(NULL AS DATE)"
    _elements(pattern, _PARSE_ELEMENTS)
    if sorted(re.findall("%(.)", pattern)) != ["Y", "d", "m"]:
        raise Unsupported(
            "PARSE_DATE without %Y, %m and %d once each has no form on the embedded engine", "use %Y, %m and %d"
        )
    return f"CAST(strptime({call.arguments[1].sql}, {text(pattern)}) AS DATE)"


def _date_array(call: Call) -> str:
    first, last, step, _ = call.arguments
    part = call.literal(3, "a part")
    if part not in ("DAY", "WEEK"):
        raise Unsupported(f"GENERATE_DATE_ARRAY by {part} has no form on the embedded engine", "step by DAY or WEEK")
    _nonzero(step)
    return f"bq_generate_date_array({first.sql}, {last.sql}, {step.sql} * {_DAYS[part]})"


def _timestamp_array(call: Call) -> str:
    first, last, step, _ = call.arguments
    part = call.literal(3, "a part")
    if part not in _MICROSECONDS:
        raise Unsupported(
            f"GENERATE_TIMESTAMP_ARRAY by {part} has no form on the embedded engine", "step by HOUR or DAY"
        )
    _nonzero(step)
    return f"bq_generate_timestamp_array({first.sql}, {last.sql}, {step.sql} * {_MICROSECONDS[part]})"


def _nonzero(step: Argument) -> None:
    if step.is_literal and step.value == 0:
        raise Unsupported("Sequence step cannot be 0", "write another step")
