"""INTERVAL: months, days and microseconds apart, as in DuckDB; with BigQuery's bounds."""

import re
from typing import Any

from convergence_assets.warehouse.duckdb.generator.calls import Call, Entries, once
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction
from convergence_assets.warehouse.duckdb.generator.raising import refused as _refused
from convergence_assets.warehouse.duckdb.generator.types import element_of, fields_of
from convergence_assets.warehouse.googlesql.types import kind_of

_LARGEST_MICROS = 316_224_000_000_000_000
_OUT_OF_RANGE = _refused(
    "Interval is out of range", "CAST(m AS VARCHAR) || ' ' || CAST(d AS VARCHAR) || ' ' || CAST(u AS VARCHAR)", "BIGINT"
)
_M, _D, _U = "bq_months_of(a)", "bq_days_of(a)", "bq_micros_of(a)"
_WHOLE_DAYS = f"({_D} + {_U} // 86400000000)"
_HOURS = f"abs({_U}) // 3600000000"
_FRACTION = f"abs({_U}) % 1000000"
MACROS = (
    "bq_interval(m, d, u) AS CASE WHEN m BETWEEN -120000 AND 120000 AND d BETWEEN -3660000 AND 3660000"
    f" AND u BETWEEN -{_LARGEST_MICROS} AND {_LARGEST_MICROS}"
    f" THEN to_months(CAST(m AS INTEGER)) + to_days(CAST(d AS INTEGER)) + to_microseconds(CAST(u AS BIGINT)) ELSE to_microseconds({_OUT_OF_RANGE}) END",
    "bq_months_of(a) AS (date_part('year', a) * 12 + date_part('month', a))",
    "bq_days_of(a) AS date_part('day', a)",
    "bq_micros_of(a) AS (date_part('hour', a) * 3600000000 + date_part('minute', a) * 60000000 + date_part('microsecond', a))",
    f"bq_text_of_interval(a) AS CASE WHEN {_M} < 0 THEN '-' ELSE '' END || CAST(abs({_M}) // 12 AS VARCHAR) || '-' || CAST(abs({_M}) % 12 AS VARCHAR)"
    f" || ' ' || CAST({_D} AS VARCHAR) || ' ' || CASE WHEN {_U} < 0 THEN '-' ELSE '' END || CAST({_HOURS} AS VARCHAR)"
    f" || ':' || CAST(abs({_U}) // 60000000 % 60 AS VARCHAR) || ':' || CAST(abs({_U}) // 1000000 % 60 AS VARCHAR)"
    f" || CASE WHEN {_FRACTION} = 0 THEN '' WHEN {_FRACTION} % 1000 = 0 THEN '.' || lpad(CAST({_FRACTION} // 1000 AS VARCHAR), 3, '0')"
    f" ELSE '.' || lpad(CAST({_FRACTION} AS VARCHAR), 6, '0') END",
    # Months, days and microseconds of one sign; https://www.postgresql.org/docs/current/functions-datetime.html.
    "bq_justified_hours(m, d, u) AS bq_interval(m, CASE WHEN d > 0 AND u < 0 THEN d - 1 WHEN d < 0 AND u > 0 THEN d + 1 ELSE d END,"
    " CASE WHEN d > 0 AND u < 0 THEN u + 86400000000 WHEN d < 0 AND u > 0 THEN u - 86400000000 ELSE u END)",
    f"bq_justify_hours(a) AS bq_justified_hours({_M}, {_WHOLE_DAYS}, {_U} % 86400000000)",
    "bq_justified_days(m, d, u) AS bq_interval(CASE WHEN m > 0 AND d < 0 THEN m - 1 WHEN m < 0 AND d > 0 THEN m + 1 ELSE m END,"
    " CASE WHEN m > 0 AND d < 0 THEN d + 30 WHEN m < 0 AND d > 0 THEN d - 30 ELSE d END, u)",
    f"bq_justify_days(a) AS bq_justified_days({_M} + {_D} // 30, {_D} % 30, {_U})",
    "bq_justified_months(m, d, u) AS bq_justified_hours("
    "CASE WHEN m > 0 AND (d < 0 OR d = 0 AND u < 0) THEN m - 1 WHEN m < 0 AND (d > 0 OR d = 0 AND u > 0) THEN m + 1 ELSE m END,"
    " CASE WHEN m > 0 AND (d < 0 OR d = 0 AND u < 0) THEN d + 30 WHEN m < 0 AND (d > 0 OR d = 0 AND u > 0) THEN d - 30 ELSE d END, u)",
    f"bq_justify_interval(a) AS bq_justified_months({_M} + {_WHOLE_DAYS} // 30, {_WHOLE_DAYS} % 30, {_U} % 86400000000)",
    f"bq_multiply_interval(a, n) AS bq_interval(CAST({_M} AS HUGEINT) * n, CAST({_D} AS HUGEINT) * n, CAST({_U} AS HUGEINT) * n)",
    f"bq_interval_quotient(a, n, d) AS bq_interval({_M} // n, d // n, (CAST({_U} AS HUGEINT) + CAST(d % n AS HUGEINT) * 86400000000) // n)",
    f"bq_divide_interval(a, n) AS CASE WHEN n = 0 AND a IS NOT NULL THEN to_microseconds({_refused('Interval division by zero', 'CAST(n AS VARCHAR)', 'BIGINT')})"
    f" ELSE bq_interval_quotient(a, n, {_D} + {_M} % n * 30) END",
    "bq_interval_between_datetimes(a) AS bq_interval(0, a // 86400000000, a % 86400000000)",
    f"bq_no_months(m) AS CASE WHEN m = 0 THEN to_days(0) ELSE to_microseconds({_refused('TIMESTAMP +/- INTERVAL with months is not supported', 'CAST(m AS VARCHAR)', 'BIGINT')}) END",
)
_UNITS = {
    "YEAR": (12, 0, 0), "QUARTER": (3, 0, 0), "MONTH": (1, 0, 0), "WEEK": (0, 7, 0), "DAY": (0, 1, 0),
    "HOUR": (0, 0, 3_600_000_000), "MINUTE": (0, 0, 60_000_000), "SECOND": (0, 0, 1_000_000),
}  # fmt: skip
_EXTRACTED = {
    "YEAR": "date_part('year', {0})", "MONTH": "date_part('month', {0})", "DAY": "date_part('day', {0})",
    "HOUR": "date_part('hour', {0})", "MINUTE": "date_part('minute', {0})", "SECOND": "date_part('second', {0})",
    "MILLISECOND": "(date_part('microsecond', {0}) % 1000000 // 1000)",
    "MICROSECOND": "(date_part('microsecond', {0}) % 1000000)",
    "NANOSECOND": "(date_part('microsecond', {0}) % 1000000 * 1000)",
}  # fmt: skip


def add_entries(entries: Entries) -> None:
    entries.add("$interval", "INT64 ENUM", _of_number)
    entries.add("make_interval", "INT64 INT64 INT64 INT64 INT64 INT64", _make_interval)
    for name in ("justify_hours", "justify_days", "justify_interval"):
        entries.add(name, "INTERVAL", f"bq_{name}({{0}})")
    entries.add("$unary_minus", "INTERVAL", "bq_multiply_interval({0}, -1)")
    entries.add("$multiply", "INTERVAL INT64", "bq_multiply_interval({0}, {1})")
    entries.add("$multiply", "INT64 INTERVAL", "bq_multiply_interval({1}, {0})")
    entries.add("$divide", "INTERVAL INT64", "bq_divide_interval({0}, {1})")
    for sign, name in (("+", "$add"), ("-", "$subtract")):
        parts = ", ".join(
            f"{part}({{0}}) {sign} {part}({{1}})" for part in ("bq_months_of", "bq_days_of", "bq_micros_of")
        )
        entries.add(name, "INTERVAL INTERVAL", f"bq_interval({parts})")
        for kind in ("DATE", "DATETIME", "TIMESTAMP"):
            entries.add(name, f"{kind} INTERVAL", _moved(sign, 0, 1))
    for kind in ("DATE", "DATETIME", "TIMESTAMP"):
        entries.add("$add", f"INTERVAL {kind}", _moved("+", 1, 0))
    entries.add("$subtract", "DATE DATE", "bq_interval(0, {0} - {1}, 0)")
    entries.add("$subtract", "DATETIME DATETIME", "bq_interval_between_datetimes(epoch_us({0}) - epoch_us({1}))")
    entries.add("$subtract", "TIMESTAMP TIMESTAMP", "bq_interval(0, 0, epoch_us({0}) - epoch_us({1}))")
    entries.add("$subtract", "TIME TIME", "bq_interval(0, 0, bq_micros_of_time({0}) - bq_micros_of_time({1}))")
    entries.add("$extract", "INTERVAL ENUM", _extracted)


def refuse_result(kind: Any) -> None:
    """Raises `Unsupported` for a result that holds an INTERVAL: Python and Arrow give one without its months."""
    match kind_of(kind):
        case "INTERVAL":
            raise Unsupported("an INTERVAL as a result has no form on the embedded engine", "CAST it to STRING")
        case "ARRAY":
            refuse_result(element_of(kind))
        case "STRUCT":
            for _, of in fields_of(kind):
                refuse_result(of)


def _of_number(call: Call) -> str:
    part = call.literal(1, "a part")
    if part not in _UNITS:
        raise Unsupported(f"INTERVAL of {part} has no form on the embedded engine", "use another part")
    number = f"CAST({call.arguments[0].sql} AS HUGEINT)"
    return f"bq_interval({', '.join(f'{number} * {unit}' if unit else '0' for unit in _UNITS[part])})"


def _make_interval(call: Call) -> str:
    years, months, days, hours, minutes, seconds = (f"CAST({a.sql} AS HUGEINT)" for a in call.arguments)
    micros = f"({hours} * 3600 + {minutes} * 60 + {seconds}) * 1000000"
    return f"bq_interval({years} * 12 + {months}, {days}, {micros})"


def _extracted(call: Call) -> str:
    part = call.literal(1, "a part")
    if part not in _EXTRACTED:
        raise Unsupported(f"EXTRACT of {part} from an INTERVAL has no form on the embedded engine", "use another part")
    return _EXTRACTED[part].format(call.arguments[0].sql)


def _moved(sign: str, at: int, by: int):  # type: ignore[no-untyped-def]
    """A date and time moved by months, days and microseconds, each time within range."""

    def form(call: Call) -> str:
        value, interval = call.arguments[at], call.arguments[by].sql
        parts = [f"{part}({interval})" for part in ("bq_months_of", "bq_days_of", "bq_micros_of")]
        if value.kind == "TIMESTAMP":
            check = "bq_timestamp_in_range"
            moved = f"{value.sql} + bq_no_months({parts[0]})"
        else:
            check = "bq_datetime_in_range"
            moved = f"CAST({value.sql} AS TIMESTAMP) {sign} to_months(CAST({parts[0]} AS INTEGER))"
        moved = once([moved], lambda operands: f"{check}({operands[0]})")
        moved = once(
            [f"{moved} {sign} to_days(CAST({parts[1]} AS INTEGER))"], lambda operands: f"{check}({operands[0]})"
        )
        moved = once([f"{moved} {sign} to_microseconds({parts[2]})"], lambda operands: f"{check}({operands[0]})")
        return f"CASE WHEN {value.sql} IS NOT NULL THEN {moved} END"

    return form


_NUMBER = r"[0-9]+"
_CLOCK = {
    0: f"({_NUMBER})",
    1: f"({_NUMBER}):({_NUMBER})",
    2: rf"({_NUMBER}):({_NUMBER}):({_NUMBER})(?:\.([0-9]{{1,9}}))?",
}
_MONTHS = {"year": rf"([-+])?({_NUMBER})-({_NUMBER})", "month": rf"([-+])?()({_NUMBER})"}
_DAY = rf"([-+]?{_NUMBER})"


def _shape(months: str, day: bool, colons: int | None) -> re.Pattern[str]:
    sections = [_MONTHS[months]] if months != "none" else []
    sections += [_DAY] if day else []
    sections += [f"([-+])?{_CLOCK[colons]}"] if colons is not None else []
    return re.compile(" ".join(sections))


# By the numbers of blanks, colons and dashes after a digit.
_SHAPES: dict[tuple[int, int, int], tuple[str, bool, int | None]] = {
    (2, 2, 1): ("year", True, 2), (2, 1, 1): ("year", True, 1), (2, 0, 1): ("year", True, 0),
    (1, 0, 1): ("year", True, None), (0, 0, 1): ("year", False, None), (2, 0, 0): ("month", True, 0),
    (2, 1, 0): ("month", True, 1), (2, 2, 0): ("month", True, 2), (1, 1, 0): ("none", True, 1),
    (1, 2, 0): ("none", True, 2), (0, 2, 0): ("none", False, 2),
}  # fmt: skip
_ISO = re.compile(r"(-?)([0-9]+)([.,]([0-9]*))?([A-Z])")


def parts_of_text(text: str) -> list[int]:
    """Months, days and microseconds of an INTERVAL's text; raises `ValueError`."""
    months, days, nanos = _of_iso(text) if text.startswith("P") else _of_text(text)
    if nanos % 1000:
        raise ValueError(f"the INTERVAL {text} has nanoseconds")
    return [_within(months), _within(days), _within(nanos // 1000)]


def _within(number: int) -> int:
    return max(-(2**62), min(2**62, number))  # far beyond what an INTERVAL holds


def _of_text(text: str) -> tuple[int, int, int]:
    counts = (text.count(" "), text.count(":"), len(re.findall("(?<=[0-9])-", text)))
    shape = _SHAPES.get(counts)
    match = _shape(*shape).fullmatch(text) if shape else None
    if shape is None or match is None:
        raise ValueError(f"Invalid INTERVAL value '{text}'")
    groups = list(match.groups())
    months = days = nanos = 0
    if shape[0] != "none":
        sign, years, more = groups[:3]
        groups = groups[3:]
        months = (int(years or 0) * 12 + int(more)) * (-1 if sign == "-" else 1)
    if shape[1]:
        days = int(groups.pop(0))
    if shape[2] is not None:
        sign, *clock = groups
        numbers = [int(part or 0) for part in clock[:3]] + [0, 0]
        nanos = ((numbers[0] * 60 + numbers[1]) * 60 + numbers[2]) * 10**9
        nanos += int((clock[3] or "").ljust(9, "0")) if len(clock) > 3 else 0
        nanos *= -1 if sign == "-" else 1
    return months, days, nanos


def _of_iso(text: str) -> tuple[int, int, int]:
    at, in_time, months, days, nanos = 1, False, 0, 0, 0
    if len(text) == 1:
        raise ValueError(f"Invalid INTERVAL value '{text}'")
    while at < len(text):
        if text[at] == "T" and not in_time:
            at, in_time = at + 1, True
            continue
        match = _ISO.match(text, at)
        units = {"H": 3600, "M": 60, "S": 1} if in_time else {"Y": 12, "M": 1, "W": 7, "D": 1}
        if match is None or match[5] not in units or (match[3] and (match[5] != "S" or not 0 < len(match[4]) < 10)):
            raise ValueError(f"Invalid INTERVAL value '{text}'")
        sign = -1 if match[1] else 1
        number = int(match[2]) * units[match[5]] * sign
        if in_time:
            nanos += number * 10**9 + int((match[4] or "").ljust(9, "0")) * sign
        elif match[5] in "YM":
            months += number
        else:
            days += number
        at = match.end()
    return months, days, nanos


PYTHON_FUNCTIONS = (PythonFunction("interval_parts", ("VARCHAR",), "BIGINT[]", parts_of_text),)
