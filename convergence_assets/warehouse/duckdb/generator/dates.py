"""Functions of DATE, TIMESTAMP, DATETIME and TIME: the present, a value of its parts or of another type, and macros."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from convergence_assets.warehouse.duckdb.generator import (
    cast_formats,
    date_arithmetic,
    date_formats,
    date_parts,
    date_series,
    intervals,
    python_functions,
    time_formatting,
    time_parsing,
    time_texts,
    zones,
)
from convergence_assets.warehouse.duckdb.generator.calls import Call, Entries, once
from convergence_assets.warehouse.duckdb.generator.raising import refused as _refused

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


def add_entries(entries: Entries) -> None:
    _of_now(entries)
    date_arithmetic.add_entries(entries)
    date_series.add_entries(entries)
    date_parts.add_entries(entries)
    _constructing(entries)
    date_formats.add_entries(entries)
    intervals.add_entries(entries)


def _of_now(entries: Entries) -> None:
    def in_zone(form: str) -> Callable[[Call], str]:
        return lambda call: form.format(zones.local("now()", call.arguments[0]))

    for name, form in (("date", "CAST({0} AS DATE)"), ("datetime", "{0}"), ("time", "CAST({0} AS TIME)")):
        entries.add(f"current_{name}", "", form.format("CAST(now() AS TIMESTAMP)"))
        entries.add(f"current_{name}", "STRING", in_zone(form))
    entries.add("current_timestamp", "", "now()")


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


def install_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    """Register what macros and generated SQL call of Python, for this connection alone."""
    for module in (zones, time_formatting, time_parsing, time_texts, cast_formats, intervals, date_series):
        python_functions.install(connection, module.PYTHON_FUNCTIONS)
