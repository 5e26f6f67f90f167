"""Functions of DATE, TIMESTAMP, DATETIME and TIME."""

import calendar
import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from convergence_assets.warehouse.duckdb.generator import (
    cast_formats,
    intervals,
    python_functions,
    time_formats,
    time_texts,
    zones,
)
from convergence_assets.warehouse.duckdb.generator.calls import Argument, Call, Entries, once
from convergence_assets.warehouse.duckdb.generator.literals import text
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction
from convergence_assets.warehouse.duckdb.generator.refusing import refused as _refused

if TYPE_CHECKING:
    import duckdb

MACROS = (
    *intervals.MACROS,
    *zones.MACROS,
    f"bq_date_in_range(a) AS CASE WHEN a BETWEEN DATE '0001-01-01' AND DATE '9999-12-31' THEN CAST(a AS DATE) WHEN a IS NULL THEN NULL ELSE {_refused('DATE out of range', 'CAST(a AS VARCHAR)', 'DATE')} END",
    f"bq_datetime_in_range(a) AS CASE WHEN a >= TIMESTAMP '0001-01-01' AND a < TIMESTAMP '10000-01-01' THEN a WHEN a IS NULL THEN NULL ELSE {_refused('DATETIME out of range', 'CAST(a AS VARCHAR)', 'TIMESTAMP')} END",
    f"bq_timestamp_in_range(a) AS CASE WHEN a >= TIMESTAMPTZ '0001-01-01 00:00:00+00' AND a < TIMESTAMPTZ '10000-01-01 00:00:00+00' THEN a WHEN a IS NULL THEN NULL ELSE {_refused('TIMESTAMP out of range', 'CAST(a AS VARCHAR)', 'TIMESTAMPTZ')} END",
    "bq_date_of_parts(a, b, c) AS bq_date_in_range(make_date(a, b, c))",
    f"bq_second(a) AS CASE WHEN a BETWEEN 0 AND 60 THEN a WHEN a IS NULL THEN NULL ELSE {_refused('no such second', 'CAST(a AS VARCHAR)', 'BIGINT')} END",
    f"bq_hour(a) AS CASE WHEN a < 24 THEN a WHEN a IS NULL THEN NULL ELSE {_refused('no such hour', 'CAST(a AS VARCHAR)', 'BIGINT')} END",
    "bq_time_of_parts(a, b, c) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL AND c IS NOT NULL"
    " THEN make_time(bq_hour(a), b, CAST(0 AS DOUBLE)) + to_seconds(bq_second(c)) END",
    "bq_datetime_of_parts(a, b, c, d, e, f) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL AND c IS NOT NULL AND d IS NOT NULL AND e IS NOT NULL AND f IS NOT NULL"
    " THEN bq_datetime_in_range(make_timestamp(a, b, c, bq_hour(d), e, CAST(0 AS DOUBLE)) + to_seconds(bq_second(f))) END",
    "bq_since_epoch(a, unit) AS CASE WHEN epoch_us(a) >= 0 THEN epoch_us(a) // unit ELSE -((-epoch_us(a) + unit - 1) // unit) END",
    "bq_timestamp_of_micros(a, unit) AS bq_timestamp_in_range(make_timestamptz(a * unit))",
    "bq_micros_of_time(a) AS (date_part('hour', a) * 3600000000 + date_part('minute', a) * 60000000 + date_part('microsecond', a))",
    "bq_time_of_micros(a) AS CAST(make_timestamp(CAST((a % 86400000000 + 86400000000) % 86400000000 AS BIGINT)) AS TIME)",
    "bq_days(a, n) AS CASE WHEN a IS NOT NULL THEN a + CAST(n AS INTEGER) END",
    "bq_generate_date_array(a, b, step) AS CASE WHEN a IS NULL OR b IS NULL OR step IS NULL THEN NULL"
    f" WHEN step = 0 THEN [{_refused('Sequence step cannot be 0', 'CAST(a AS VARCHAR)', 'DATE')}]"
    " ELSE list_transform(generate_series(CAST(0 AS BIGINT), CAST(b - a AS BIGINT), CAST(greatest(-4000000, least(4000000, step)) AS BIGINT)), lambda n: a + CAST(n AS INTEGER)) END",
    "bq_generate_timestamp_array(a, b, step) AS CASE WHEN a IS NULL OR b IS NULL OR step IS NULL THEN NULL"
    f" WHEN step = 0 THEN [{_refused('Sequence step cannot be 0', 'CAST(a AS VARCHAR)', 'TIMESTAMPTZ')}]"
    " ELSE list_transform(generate_series(epoch_us(a), epoch_us(b), CAST(greatest(-400000000000000000, least(400000000000000000, step)) AS BIGINT)), lambda n: make_timestamptz(n)) END",
    "bq_quarter_number(a) AS ((date_part('year', a) * 12 + date_part('month', a) - 1) // 3)",
    "bq_month_number(a) AS (date_part('year', a) * 12 + date_part('month', a))",
    # k is the weekday, 0 for Sunday, that a week begins with.
    "bq_week_of_year(a, k) AS ((date_part('dayofyear', a) + 6 - (date_part('dayofweek', a) - k + 7) % 7) // 7)",
)

_DAYS = {"DAY": 1, "WEEK": 7}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_MICROSECONDS = {
    "MICROSECOND": 1, "MILLISECOND": 1000, "SECOND": 1_000_000, "MINUTE": 60_000_000, "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}  # fmt: skip
_WEEKDAYS = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
_TYPES = {"DATE": "DATE", "DATETIME": "TIMESTAMP", "TIMESTAMP": "TIMESTAMPTZ"}
# DuckDB's strftime writes these alike from the year 1000 on.
_FORMAT_ELEMENTS = frozenset("AaBbdFGHIjMmpSTuVwYy%")
_STRFTIME = {"F": "%Y-%m-%d", "T": "%H:%M:%S"}
_PARSE_ELEMENTS = {
    "Y": "[1-9][0-9]{3}",
    "m": "[0-9]{2}",
    "d": "[0-9]{2}",
    "H": "[0-9]{2}",
    "M": "[0-9]{2}",
    "S": "[0-5][0-9]",
}
_EXTRACTED = {
    "YEAR": "date_part('year', {0})", "MONTH": "date_part('month', {0})", "DAY": "date_part('day', {0})",
    "QUARTER": "date_part('quarter', {0})", "DAYOFWEEK": "(date_part('dayofweek', {0}) + 1)",
    "DAYOFYEAR": "date_part('dayofyear', {0})", "ISOWEEK": "date_part('week', {0})",
    "ISOYEAR": "date_part('isoyear', {0})", "WEEK": "bq_week_of_year({0}, 0)",
}  # fmt: skip
_EXTRACTED |= {f"WEEK_{day}": f"bq_week_of_year({{0}}, {at})" for at, day in enumerate(_WEEKDAYS)}
_EXTRACTED_TIME = {
    "HOUR": "date_part('hour', {0})", "MINUTE": "date_part('minute', {0})", "SECOND": "date_part('second', {0})",
    "MILLISECOND": "(date_part('millisecond', {0}) % 1000)", "MICROSECOND": "(date_part('microsecond', {0}) % 1000000)",
    "NANOSECOND": "(date_part('microsecond', {0}) % 1000000 * 1000)",
}  # fmt: skip


def add_entries(entries: Entries) -> None:
    _of_now(entries)
    _arithmetic(entries)
    _extracting(entries)
    _constructing(entries)
    _texts(entries)
    intervals.add_entries(entries)


def _of_now(entries: Entries) -> None:
    def in_zone(form: str) -> Callable[[Call], str]:
        return lambda call: form.format(zones.local("now()", call.arguments[0]))

    for name, form in (("date", "CAST({0} AS DATE)"), ("datetime", "{0}"), ("time", "CAST({0} AS TIME)")):
        entries.add(f"current_{name}", "", form.format("CAST(now() AS TIMESTAMP)"))
        entries.add(f"current_{name}", "STRING", in_zone(form))
    entries.add("current_timestamp", "", "now()")


def _arithmetic(entries: Entries) -> None:
    for name in ("date", "datetime", "timestamp"):
        for kind in _TYPES:
            for sign, word in ((1, "add"), (-1, "sub")):
                entries.add(f"{name}_{word}", f"{kind} INT64 ENUM", _moved(sign))
            entries.add(f"{name}_trunc", f"{kind} ENUM", _truncated_value)
            entries.add(f"{name}_diff", f"{kind} {kind} ENUM", _elapsed if kind == "TIMESTAMP" else _difference)
        entries.add(f"{name}_trunc", "TIMESTAMP ENUM STRING", _truncated_value)
    entries.add("time_add", "TIME INT64 ENUM", _moved_time("+"))
    entries.add("time_sub", "TIME INT64 ENUM", _moved_time("-"))
    entries.add("time_diff", "TIME TIME ENUM", _difference_of_times)
    entries.add("time_trunc", "TIME ENUM", _truncated_time)
    entries.add("$add", "DATE INT64", "bq_date_in_range(bq_days({0}, {1}))")
    entries.add("$add", "INT64 DATE", "bq_date_in_range(bq_days({1}, {0}))")
    entries.add("$subtract", "DATE INT64", "bq_date_in_range(bq_days({0}, -{1}))")
    for kind in ("DATE", "DATETIME"):
        entries.add("last_day", kind, _last_day)
        entries.add("last_day", f"{kind} ENUM", _last_day)
    entries.add("generate_date_array", "DATE DATE", "bq_generate_date_array({0}, {1}, CAST(1 AS BIGINT))")
    entries.add("generate_date_array", "DATE DATE INT64 ENUM", _date_array)
    entries.add("generate_timestamp_array", "TIMESTAMP TIMESTAMP INT64 ENUM", _timestamp_array)
    for kind in _TYPES:
        entries.add(f"{kind.lower()}_bucket", f"{kind} INTERVAL", _bucket)
        entries.add(f"{kind.lower()}_bucket", f"{kind} INTERVAL {kind}", _bucket)


def _extracting(entries: Entries) -> None:
    for kind in ("DATE", "DATETIME", "TIME"):
        entries.add("$extract", f"{kind} ENUM", lambda c: _part(c, c.arguments[0].sql))
    entries.add("$extract", "TIMESTAMP ENUM", lambda c: _part(c, f"CAST({c.arguments[0].sql} AS TIMESTAMP)"))
    entries.add(
        "$extract", "TIMESTAMP ENUM STRING", lambda c: _part(c, zones.local(c.arguments[0].sql, c.arguments[2]))
    )
    for name in ("$extract_date", "date"):
        entries.add(name, "DATETIME", "CAST({0} AS DATE)")
        entries.add(name, "TIMESTAMP", "CAST({0} AS DATE)")
        entries.add(name, "TIMESTAMP STRING", lambda c: f"CAST({_datetime(c)} AS DATE)")
    for name in ("$extract_time", "time"):
        entries.add(name, "DATETIME", "CAST({0} AS TIME)")
        entries.add(name, "TIMESTAMP", "CAST(CAST({0} AS TIMESTAMP) AS TIME)")
        entries.add(
            name, "TIMESTAMP STRING", lambda c: f"CAST({zones.local(c.arguments[0].sql, c.arguments[1])} AS TIME)"
        )
    for name in ("$extract_datetime", "datetime"):
        entries.add(name, "TIMESTAMP", "CAST({0} AS TIMESTAMP)")
        entries.add(name, "TIMESTAMP STRING", _datetime)


def _datetime(call: Call) -> str:
    local = zones.local(call.arguments[0].sql, call.arguments[1])
    return once([local], lambda operands: f"bq_datetime_in_range({operands[0]})")


def _constructing(entries: Entries) -> None:
    entries.add("date", "INT64 INT64 INT64", "bq_date_of_parts({0}, {1}, {2})")
    entries.add("date", "DATE", "{0}")
    entries.add("date", "STRING", "CAST(bq_timestamp_of_text({0}) AS DATE)")
    entries.add("datetime", "DATE", "CAST({0} AS TIMESTAMP)")
    entries.add("datetime", "DATETIME", "{0}")
    entries.add("datetime", "DATE TIME", "({0} + {1})")
    entries.add("datetime", "STRING", "bq_datetime_of_text({0})")
    entries.add("datetime", "INT64 INT64 INT64 INT64 INT64 INT64", "bq_datetime_of_parts({0}, {1}, {2}, {3}, {4}, {5})")
    entries.add("time", "TIME", "{0}")
    entries.add("time", "INT64 INT64 INT64", "bq_time_of_parts({0}, {1}, {2})")
    entries.add("timestamp", "TIMESTAMP", "{0}")
    entries.add("timestamp", "DATE", "CAST({0} AS TIMESTAMPTZ)")
    entries.add("timestamp", "DATETIME", "CAST({0} AS TIMESTAMPTZ)")
    entries.add("timestamp", "DATE STRING", lambda c: _instant(f"CAST({c.arguments[0].sql} AS TIMESTAMP)", c))
    entries.add("timestamp", "DATETIME STRING", lambda c: _instant(c.arguments[0].sql, c))
    entries.add("timestamp", "STRING", "bq_timestamp_of_text({0})")
    entries.add("timestamp", "STRING STRING", _timestamp_of_text)
    entries.add("unix_date", "DATE", "CAST({0} - DATE '1970-01-01' AS BIGINT)")
    entries.add("date_from_unix_date", "INT64", "bq_date_in_range(bq_days(DATE '1970-01-01', {0}))")
    for name, unit in (("seconds", 1_000_000), ("millis", 1000), ("micros", 1)):
        entries.add(f"unix_{name}", "TIMESTAMP", f"CAST(bq_since_epoch({{0}}, {unit}) AS BIGINT)")
        entries.add(f"timestamp_{name}", "INT64", f"bq_timestamp_of_micros({{0}}, {unit})")
        entries.add(f"timestamp_from_unix_{name}", "INT64", f"bq_timestamp_of_micros({{0}}, {unit})")
        entries.add(f"timestamp_from_unix_{name}", "TIMESTAMP", "{0}")


def _instant(local: str, call: Call) -> str:
    return once([local], lambda operands: zones.instant(operands[0], call.arguments[1]))


def _timestamp_of_text(call: Call) -> str:
    value, zone = call.arguments
    zones.is_utc(zone)
    return f"make_timestamptz(python_timestamp_in_zone({value.sql}, {zone.sql}))"


_FORMATS_ALSO = {"date": ("DATETIME", "TIMESTAMP"), "datetime": ("TIMESTAMP",), "timestamp": ("DATE", "DATETIME")}


def _texts(entries: Entries) -> None:
    for kind in ("DATE", "DATETIME", "TIME", "TIMESTAMP"):
        entries.add(f"format_{kind.lower()}", f"STRING {kind}", _formatted)
        entries.add(f"parse_{kind.lower()}", "STRING STRING", _parsed)
    for name, kinds in _FORMATS_ALSO.items():
        for kind in kinds:
            entries.add(f"format_{name}", f"STRING {kind}", _formatted)
    entries.add("format_timestamp", "STRING TIMESTAMP STRING", _formatted)
    entries.add("parse_timestamp", "STRING STRING STRING", _parsed)
    entries.add("string", "DATE", "CAST({0} AS VARCHAR)")
    entries.add("string", "DATETIME", "bq_text({0})")
    entries.add("string", "TIME", "bq_text_of_time({0})")
    entries.add("string", "TIMESTAMP", "bq_text({0})")
    entries.add("string", "TIMESTAMP STRING", _string_of_timestamp)


def _string_of_timestamp(call: Call) -> str:
    value, zone = call.arguments
    return f"bq_text({value.sql})" if zones.is_utc(zone) else f"python_zoned_text(epoch_us({value.sql}), {zone.sql})"


def _moved(sign: int) -> Callable[[Call], str]:
    def form(call: Call) -> str:
        value, amount, _ = call.arguments
        kind = _TYPES[value.kind]
        part = call.literal(2, "a part")
        signed = f"({'-' if sign < 0 else ''}{amount.sql})"
        if part in _MONTHS and kind != "TIMESTAMPTZ":
            moved = f"{value.sql} + to_months(CAST({signed} * {_MONTHS[part]} AS INTEGER))"
        elif part in _DAYS and kind != "TIMESTAMPTZ":
            moved = f"{value.sql} + to_days(CAST({signed} * {_DAYS[part]} AS INTEGER))"
        elif part in _MICROSECONDS and kind != "DATE":
            moved = f"{value.sql} + to_microseconds({signed} * {_MICROSECONDS[part]})"
        else:
            raise Unsupported(f"{call.name.upper()} by {part} has no form on the embedded engine", "use another part")
        moved = f"CASE WHEN {value.sql} IS NOT NULL THEN CAST({moved} AS {kind}) END"
        return once([moved], lambda operands: f"bq_{value.kind.lower()}_in_range({operands[0]})")

    return form


def _moved_time(sign: str) -> Callable[[Call], str]:
    def form(call: Call) -> str:
        value, amount, _ = call.arguments
        part = call.literal(2, "a part")
        if part not in _MICROSECONDS or part == "DAY":
            raise Unsupported(f"{call.name.upper()} by {part} has no form on the embedded engine", "use another part")
        moved = f"bq_micros_of_time({value.sql}) {sign} CAST({amount.sql} AS HUGEINT) * {_MICROSECONDS[part]}"
        return once([moved], lambda operands: f"bq_time_of_micros({operands[0]})")

    return form


def _difference_of_times(call: Call) -> str:
    part = call.literal(2, "a part")
    if part not in _MICROSECONDS or part == "DAY":
        raise Unsupported(f"TIME_DIFF by {part} has no form on the embedded engine", "use another part")
    later, earlier = (f"bq_micros_of_time({a.sql}) // {_MICROSECONDS[part]}" for a in call.arguments[:2])
    return f"({later} - {earlier})"


def _truncated_time(call: Call) -> str:
    value, part = call.arguments[0].sql, call.literal(1, "a part")
    if part not in _MICROSECONDS or part == "DAY":
        raise Unsupported(f"TIME_TRUNC to {part} has no form on the embedded engine", "use another part")
    unit = _MICROSECONDS[part]
    return f"bq_time_of_micros(bq_micros_of_time({value}) // {unit} * {unit})"


def _week_start(part: str) -> int | None:
    """Days from Monday back to the day that a week begins with."""
    if part == "ISOWEEK":
        return 0
    name = "SUNDAY" if part == "WEEK" else part.removeprefix("WEEK_")
    return (7 - (_WEEKDAYS.index(name) - 1)) % 7 if name in _WEEKDAYS else None


def _difference(call: Call) -> str:
    """Boundaries between two DATEs or DATETIMEs."""
    operands = [a.sql for a in call.arguments[:2]]
    part = call.literal(2, "a part")
    if (shift := _week_start(part)) is not None:
        # 1969-12-29 is a Monday.
        form = f"bq_since_epoch(CAST({{0}} AS TIMESTAMP) + to_days({3 + shift}), {7 * _MICROSECONDS['DAY']})"
    elif part in _MICROSECONDS and (part == "DAY" or call.arguments[0].kind != "DATE"):
        form = f"bq_since_epoch(CAST({{0}} AS TIMESTAMP), {_MICROSECONDS[part]})"
    elif part in ("YEAR", "ISOYEAR"):
        form = f"date_part('{part.lower()}', {{0}})"
    elif part in _MONTHS:
        form = f"bq_{part.lower()}_number({{0}})"
    else:
        raise Unsupported(f"{call.name.upper()} by {part} has no form on the embedded engine", "use another part")
    return f"({form.format(operands[0])} - {form.format(operands[1])})"


def _elapsed(call: Call) -> str:
    later, earlier, _ = (a.sql for a in call.arguments)
    part = call.literal(2, "a part")
    if part not in _MICROSECONDS:
        raise Unsupported(f"{call.name.upper()} by {part} has no form on the embedded engine", "use HOUR or DAY")
    return f"((epoch_us({later}) - epoch_us({earlier})) // {_MICROSECONDS[part]})"


def _truncated(value: str, part: str, kind: str) -> str:
    """The beginning of a part; out of range is an error. `kind` is DATE or DATETIME."""
    engine_kind = _TYPES[kind]
    if (shift := _week_start(part)) is not None:
        day = f"INTERVAL {shift} DAY"
        first = f"CAST(date_trunc('week', {value} + {day}) - {day} AS {engine_kind})"
        return once([first], lambda operands: f"bq_{kind.lower()}_in_range({operands[0]})")
    if part in ("DAY", "MONTH", "QUARTER", "YEAR") or (kind != "DATE" and part in _MICROSECONDS):
        return f"CAST(date_trunc('{part.lower()}', {value}) AS {engine_kind})"
    if part == "ISOYEAR":
        # A zone's clock may show the year 10000, of which a week belongs to the one before.
        year = f"date_part('isoyear', bq_{kind.lower()}_in_range({value}))"
        return f"CAST(date_trunc('week', make_date({year}, 1, 4)) AS {engine_kind})"
    raise Unsupported(f"truncating to {part} has no form on the embedded engine", "use another part")


def _truncated_value(call: Call) -> str:
    value, part = call.arguments[0], call.literal(1, "a part")
    if value.kind != "TIMESTAMP":
        return _truncated(value.sql, part, value.kind)
    if part in ("MICROSECOND", "MILLISECOND", "SECOND"):
        if len(call.arguments) > 2:
            zones.is_utc(call.arguments[2])
            if not call.arguments[2].is_literal:
                raise Unsupported(f"truncating to {part} in a computed time zone has no form on the embedded engine",
                                  "leave the zone out")  # fmt: skip
        return f"date_trunc('{part.lower()}', {value.sql})"
    zone = call.arguments[2] if len(call.arguments) > 2 else None
    local = zones.local(value.sql, zone) if zone else f"CAST({value.sql} AS TIMESTAMP)"
    if part in ("MINUTE", "HOUR"):
        # The zone's local time decides what is cut off; across a change of its offset that is no whole hour.
        moved = once(
            [local], lambda operands: f"{value.sql} - ({operands[0]} - date_trunc('{part.lower()}', {operands[0]}))"
        )
        return once([moved], lambda operands: f"bq_timestamp_in_range({operands[0]})")
    first = once([local], lambda operands: _truncated(operands[0], part, "DATETIME"))
    if zone is None:
        return f"CAST({first} AS TIMESTAMPTZ)"
    return once([first], lambda operands: zones.instant(operands[0], zone))


def _last_day(call: Call) -> str:
    value = f"CAST({call.arguments[0].sql} AS DATE)"
    part = call.literal(1, "a part") if len(call.arguments) > 1 else "MONTH"
    if part == "MONTH":
        return f"last_day({value})"
    if _week_start(part) is not None:
        shift = f"INTERVAL {_week_start(part)} DAY"
        last = f"CAST(date_trunc('week', {value} + {shift}) - {shift} + INTERVAL 6 DAY AS DATE)"
    elif part in ("QUARTER", "YEAR"):
        months = f"INTERVAL {_MONTHS[part]} MONTH"
        last = f"CAST({_truncated(value, part, 'DATE')} + {months} - INTERVAL 1 DAY AS DATE)"
    elif part == "ISOYEAR":
        last = f"CAST(date_trunc('week', make_date(date_part('isoyear', {value}) + 1, 1, 4)) AS DATE) - 1"
    else:
        raise Unsupported(f"LAST_DAY of {part} has no form on the embedded engine", "use MONTH")
    return once([last], lambda operands: f"bq_date_in_range({operands[0]})")


def _part(call: Call, value: str) -> str:
    part, kind = call.literal(1, "a part"), call.arguments[0].kind
    form = _EXTRACTED.get(part) if kind != "TIME" else None
    form = form or (_EXTRACTED_TIME.get(part) if kind != "DATE" else None)
    if form is None:
        raise Unsupported(f"EXTRACT of {part} has no form on the embedded engine", "use another part")
    return once([value], lambda operands: form.format(operands[0]))


def _local(call: Call, zone_at: int) -> str:
    """A value as the TIMESTAMP, in DuckDB, that a clock shows."""
    value = call.arguments[1]
    match value.kind:
        case "TIME":
            return f"(DATE '1970-01-01' + {value.sql})"
        case "TIMESTAMP" if len(call.arguments) > zone_at:
            return zones.local(value.sql, call.arguments[zone_at])
    return f"CAST({value.sql} AS TIMESTAMP)"


def _formatted(call: Call) -> str:
    pattern, value = call.arguments[0], call.arguments[1]
    kind, local = value.kind, _local(call, 2)

    def slow(local: str) -> str:
        instant = value.sql if kind == "TIMESTAMP" else local
        return f"python_format_time('{kind}', {pattern.sql}, epoch_us({local}), epoch_us({instant}))"

    if not pattern.is_literal:
        return once([local], lambda operands: slow(operands[0]))
    if pattern.value is None:
        return "CAST(NULL AS VARCHAR)"
    unknown = time_formats.unknown_for_format(pattern.value, kind)
    if unknown:
        raise Unsupported(f"the format element %{unknown} has no form on the embedded engine", "use another element")
    elements = time_formats.elements(pattern.value)
    plain = _FORMAT_ELEMENTS.issuperset(elements) and not any(time_formats.is_foreign(e, kind) for e in elements)
    if not plain or not elements or pattern.value.endswith("%"):
        return once([local], lambda operands: slow(operands[0]))
    spelled = text(re.sub("%([FT%])", lambda match: _STRFTIME.get(match[1], match[0]), pattern.value))
    # Older offsets have seconds, which FORMAT_TIMESTAMP leaves out.
    first = 1973 if len(call.arguments) > 2 else 1000
    return once(
        [local],
        lambda operands: (
            f"CASE WHEN date_part('year', {operands[0]}) BETWEEN {first} AND 9999 THEN strftime({operands[0]}, {spelled})"
            f" ELSE {slow(operands[0])} END"
        ),
    )


def _parsed(call: Call) -> str:
    pattern, value = call.arguments[0], call.arguments[1]
    kind = call.name.removeprefix("parse_").upper()
    zone = call.arguments[2].sql if len(call.arguments) > 2 else "'UTC'"
    utc = len(call.arguments) == 2 or zones.is_utc(call.arguments[2])
    target = {"DATE": "DATE", "TIME": "TIME", "DATETIME": "TIMESTAMP", "TIMESTAMP": "TIMESTAMPTZ"}[kind]
    if pattern.is_literal and pattern.value is None:
        return f"CAST(NULL AS {target})"
    slow = f"make_timestamp(python_parse_time('{kind}', {pattern.sql}, {value.sql}, {zone}))"
    if pattern.is_literal:
        problem = time_formats.problem_for_parse(pattern.value, kind)
        if problem:
            raise Unsupported(problem, "use another format")
        shape, spelled = _fast_parse(pattern.value)
        if shape and utc:
            fast = f"strptime({value.sql}, {text(spelled)})"
            return (
                f"CAST(CASE WHEN regexp_full_match({value.sql}, {text(shape)}) THEN {fast} ELSE {slow} END AS {target})"
            )
    return f"CAST({slow} AS {target})"


def _fast_parse(pattern: str) -> tuple[str, str]:
    """The texts that DuckDB's strptime reads alike, and the pattern as it takes it; empty where there are none."""
    spelled = re.sub("%([FT])", lambda match: _STRFTIME[match[1]], pattern)
    elements = time_formats.elements(spelled)
    if not {"Y", "m", "d"} <= set(elements) <= set(_PARSE_ELEMENTS) or len(set(elements)) < len(elements):
        return "", ""
    shape = "".join(
        _PARSE_ELEMENTS[part[1]] if part[0] == "%" else re.escape(part) for part in re.findall(r"%.|[^%]", spelled)
    )
    return (shape, spelled) if re.fullmatch(r"(%.|[-/.:_TZ ])+", spelled) else ("", "")


def _date_array(call: Call) -> str:
    first, last, step, _ = call.arguments
    part = call.literal(3, "a part")
    _nonzero(step)
    if part in _DAYS:
        return f"bq_generate_date_array({first.sql}, {last.sql}, CAST({step.sql} AS HUGEINT) * {_DAYS[part]})"
    if part not in _MONTHS:
        raise Unsupported(f"GENERATE_DATE_ARRAY by {part} has no form on the embedded engine", "step by DAY or WEEK")
    days = ", ".join(f"CAST({a.sql} - DATE '1970-01-01' AS BIGINT)" for a in (first, last))
    numbers = f"python_months_apart({days}, {step.sql}, {_MONTHS[part]})"
    return f"list_transform({numbers}, lambda n: DATE '1970-01-01' + CAST(n AS INTEGER))"


def _timestamp_array(call: Call) -> str:
    first, last, step, _ = call.arguments
    part = call.literal(3, "a part")
    if part not in _MICROSECONDS:
        raise Unsupported(
            f"GENERATE_TIMESTAMP_ARRAY by {part} has no form on the embedded engine", "step by HOUR or DAY"
        )
    _nonzero(step)
    return f"bq_generate_timestamp_array({first.sql}, {last.sql}, CAST({step.sql} AS HUGEINT) * {_MICROSECONDS[part]})"


def _nonzero(step: Argument) -> None:
    if step.is_literal and step.value == 0:
        raise Unsupported("Sequence step cannot be 0", "write another step")


def _bucket(call: Call) -> str:
    value, width = call.arguments[:2]
    parts = ", ".join(f"{part}({width.sql})" for part in ("bq_months_of", "bq_days_of", "bq_micros_of"))
    numbers = [f"epoch_us(CAST({a.sql} AS TIMESTAMP))" for a in (value, *call.arguments[2:])]
    origin = numbers[1] if len(numbers) > 1 else f"CAST({_BUCKET_ORIGIN} AS BIGINT)"
    return f"CAST(make_timestamp(python_time_bucket('{value.kind}', {numbers[0]}, {parts}, {origin})) AS {_TYPES[value.kind]})"


def _months_apart(first: int, last: int, step: int, unit: int) -> list[int]:
    """Days since 1970 from one to another in steps of months; a day that a month lacks becomes its last for good."""
    if step == 0:
        raise ValueError("Sequence step cannot be 0")
    current, days = date(1970, 1, 1) + timedelta(days=first), []
    end = date(1970, 1, 1) + timedelta(days=last)
    while current <= end if step > 0 else current >= end:
        days.append((current - date(1970, 1, 1)).days)
        months = current.year * 12 + current.month - 1 + step * unit
        if not 12 <= months < 120_000:
            break
        current = _day_of_month(months, current.day)
    return days


def _day_of_month(months: int, day: int) -> date:
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day, calendar.monthrange(year, month + 1)[1]))


def _time_bucket(kind: str, value: int, months: int, days: int, micros: int, origin: int) -> int:
    """The beginning of the bucket that a moment lies in, all in microseconds since 1970."""
    units = [bool(months), bool(days), bool(micros)]
    if (
        min(months, days, micros) < 0
        or sum(units) != 1
        or (months and kind == "TIMESTAMP")
        or (micros and kind == "DATE")
    ):
        raise ValueError("exactly one positive part of the INTERVAL makes the width of a bucket")
    if months:
        start = _month_bucket(value, months, origin)
    else:
        width = days * 86_400_000_000 + micros
        start = value - (value - origin) % width
    return zones.in_range(start)


def _month_bucket(value: int, months: int, origin: int) -> int:
    (day, clock), (first, first_clock) = (divmod(number, 86_400_000_000) for number in (value, origin))
    at, since = (date(1970, 1, 1) + timedelta(days=number) for number in (day, first))
    is_last, was_last = (d.day == calendar.monthrange(d.year, d.month)[1] for d in (at, since))
    number, start = (d.year * 12 + d.month - 1 for d in (at, since))
    bucket = number - (number - start) % months
    if bucket == number and ((since.day if is_last and was_last else at.day), clock) < (since.day, first_clock):
        bucket -= months
    if bucket < 12:
        raise ValueError("the bucket is out of range")
    return (_day_of_month(bucket, since.day) - date(1970, 1, 1)).days * 86_400_000_000 + first_clock


_BUCKET_ORIGIN = -631_152_000_000_000  # 1950-01-01
PYTHON_FUNCTIONS = (
    PythonFunction("months_apart", ("BIGINT", "BIGINT", "BIGINT", "BIGINT"), "BIGINT[]", _months_apart),
    PythonFunction(
        "time_bucket", ("VARCHAR", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT"), "BIGINT", _time_bucket
    ),
)


def install_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    """Register what macros and generated SQL call of Python, for this connection alone."""
    for module in (zones, time_formats, time_texts, cast_formats, intervals):
        python_functions.install(connection, module.PYTHON_FUNCTIONS)
    python_functions.install(connection, PYTHON_FUNCTIONS)
