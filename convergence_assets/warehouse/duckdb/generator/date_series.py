"""Series of dates and times, and buckets of one: GENERATE_DATE_ARRAY, DATE_BUCKET and their like."""

import calendar
from datetime import date, timedelta

from convergence_assets.warehouse.duckdb.generator import zones
from convergence_assets.warehouse.duckdb.generator.calls import Argument, Call, Entries
from convergence_assets.warehouse.duckdb.generator.date_parts import DAYS, MICROSECONDS, MONTHS, TYPES
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction

_BUCKET_ORIGIN = -631_152_000_000_000  # 1950-01-01


def add_entries(entries: Entries) -> None:
    entries.add("generate_date_array", "DATE DATE", "bq_generate_date_array({0}, {1}, CAST(1 AS BIGINT))")
    entries.add("generate_date_array", "DATE DATE INT64 ENUM", _date_array)
    entries.add("generate_timestamp_array", "TIMESTAMP TIMESTAMP INT64 ENUM", _timestamp_array)
    for kind in TYPES:
        entries.add(f"{kind.lower()}_bucket", f"{kind} INTERVAL", _bucket)
        entries.add(f"{kind.lower()}_bucket", f"{kind} INTERVAL {kind}", _bucket)


def _date_array(call: Call) -> str:
    first, last, step, _ = call.arguments
    part = call.literal(3, "a part")
    _nonzero(step)
    if part in DAYS:
        return f"bq_generate_date_array({first.sql}, {last.sql}, CAST({step.sql} AS HUGEINT) * {DAYS[part]})"
    if part not in MONTHS:
        raise Unsupported(f"GENERATE_DATE_ARRAY by {part} has no form on the embedded engine", "step by DAY or WEEK")
    days = ", ".join(f"CAST({a.sql} - DATE '1970-01-01' AS BIGINT)" for a in (first, last))
    numbers = f"python_months_apart({days}, {step.sql}, {MONTHS[part]})"
    return f"list_transform({numbers}, lambda n: DATE '1970-01-01' + CAST(n AS INTEGER))"


def _timestamp_array(call: Call) -> str:
    first, last, step, _ = call.arguments
    part = call.literal(3, "a part")
    if part not in MICROSECONDS:
        raise Unsupported(
            f"GENERATE_TIMESTAMP_ARRAY by {part} has no form on the embedded engine", "step by HOUR or DAY"
        )
    _nonzero(step)
    return f"bq_generate_timestamp_array({first.sql}, {last.sql}, CAST({step.sql} AS HUGEINT) * {MICROSECONDS[part]})"


def _nonzero(step: Argument) -> None:
    if step.is_literal and step.value == 0:
        raise Unsupported("Sequence step cannot be 0", "write another step")


def _bucket(call: Call) -> str:
    value, width = call.arguments[:2]
    parts = ", ".join(f"{part}({width.sql})" for part in ("bq_months_of", "bq_days_of", "bq_micros_of"))
    numbers = [f"epoch_us(CAST({a.sql} AS TIMESTAMP))" for a in (value, *call.arguments[2:])]
    origin = numbers[1] if len(numbers) > 1 else f"CAST({_BUCKET_ORIGIN} AS BIGINT)"
    return f"CAST(make_timestamp(python_time_bucket('{value.kind}', {numbers[0]}, {parts}, {origin})) AS {TYPES[value.kind]})"


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


PYTHON_FUNCTIONS = (
    PythonFunction("months_apart", ("BIGINT", "BIGINT", "BIGINT", "BIGINT"), "BIGINT[]", _months_apart),
    PythonFunction(
        "time_bucket", ("VARCHAR", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT"), "BIGINT", _time_bucket
    ),
)
