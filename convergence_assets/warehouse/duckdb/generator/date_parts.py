"""Parts of dates and times: how long they are, and EXTRACT."""

from convergence_assets.warehouse.duckdb.generator import zones
from convergence_assets.warehouse.duckdb.generator.calls import Call, Entries, once
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported

DAYS = {"DAY": 1, "WEEK": 7}
MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
MICROSECONDS = {
    "MICROSECOND": 1, "MILLISECOND": 1000, "SECOND": 1_000_000, "MINUTE": 60_000_000, "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}  # fmt: skip
_WEEKDAYS = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
TYPES = {"DATE": "DATE", "DATETIME": "TIMESTAMP", "TIMESTAMP": "TIMESTAMPTZ"}
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


def _part(call: Call, value: str) -> str:
    part, kind = call.literal(1, "a part"), call.arguments[0].kind
    form = _EXTRACTED.get(part) if kind != "TIME" else None
    form = form or (_EXTRACTED_TIME.get(part) if kind != "DATE" else None)
    if form is None:
        raise Unsupported(f"EXTRACT of {part} has no form on the embedded engine", "use another part")
    return once([value], lambda operands: form.format(operands[0]))


def week_start(part: str) -> int | None:
    """Days from Monday back to the day that a week begins with."""
    if part == "ISOWEEK":
        return 0
    name = "SUNDAY" if part == "WEEK" else part.removeprefix("WEEK_")
    return (7 - (_WEEKDAYS.index(name) - 1)) % 7 if name in _WEEKDAYS else None
