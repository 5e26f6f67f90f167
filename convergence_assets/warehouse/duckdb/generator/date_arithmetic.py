"""Dates and times moved, compared and cut off: DATE_ADD, TIMESTAMP_DIFF, DATE_TRUNC, LAST_DAY and so on."""

from collections.abc import Callable

from convergence_assets.warehouse.duckdb.generator import zones
from convergence_assets.warehouse.duckdb.generator.calls import Call, Entries, once
from convergence_assets.warehouse.duckdb.generator.date_parts import DAYS, MICROSECONDS, MONTHS, TYPES, week_start
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported


def add_entries(entries: Entries) -> None:
    for name in ("date", "datetime", "timestamp"):
        for kind in TYPES:
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


def _moved(sign: int) -> Callable[[Call], str]:
    def form(call: Call) -> str:
        value, amount, _ = call.arguments
        kind = TYPES[value.kind]
        part = call.literal(2, "a part")
        signed = f"({'-' if sign < 0 else ''}{amount.sql})"
        if part in MONTHS and kind != "TIMESTAMPTZ":
            moved = f"{value.sql} + to_months(CAST({signed} * {MONTHS[part]} AS INTEGER))"
        elif part in DAYS and kind != "TIMESTAMPTZ":
            moved = f"{value.sql} + to_days(CAST({signed} * {DAYS[part]} AS INTEGER))"
        elif part in MICROSECONDS and kind != "DATE":
            moved = f"{value.sql} + to_microseconds({signed} * {MICROSECONDS[part]})"
        else:
            raise Unsupported(f"{call.name.upper()} by {part} has no form on the embedded engine", "use another part")
        moved = f"CASE WHEN {value.sql} IS NOT NULL THEN CAST({moved} AS {kind}) END"
        return once([moved], lambda operands: f"bq_{value.kind.lower()}_in_range({operands[0]})")

    return form


def _moved_time(sign: str) -> Callable[[Call], str]:
    def form(call: Call) -> str:
        value, amount, _ = call.arguments
        part = call.literal(2, "a part")
        if part not in MICROSECONDS or part == "DAY":
            raise Unsupported(f"{call.name.upper()} by {part} has no form on the embedded engine", "use another part")
        moved = f"bq_micros_of_time({value.sql}) {sign} CAST({amount.sql} AS HUGEINT) * {MICROSECONDS[part]}"
        return once([moved], lambda operands: f"bq_time_of_micros({operands[0]})")

    return form


def _difference_of_times(call: Call) -> str:
    part = call.literal(2, "a part")
    if part not in MICROSECONDS or part == "DAY":
        raise Unsupported(f"TIME_DIFF by {part} has no form on the embedded engine", "use another part")
    later, earlier = (f"bq_micros_of_time({a.sql}) // {MICROSECONDS[part]}" for a in call.arguments[:2])
    return f"({later} - {earlier})"


def _truncated_time(call: Call) -> str:
    value, part = call.arguments[0].sql, call.literal(1, "a part")
    if part not in MICROSECONDS or part == "DAY":
        raise Unsupported(f"TIME_TRUNC to {part} has no form on the embedded engine", "use another part")
    unit = MICROSECONDS[part]
    return f"bq_time_of_micros(bq_micros_of_time({value}) // {unit} * {unit})"


def _difference(call: Call) -> str:
    """Boundaries between two DATEs or DATETIMEs."""
    operands = [a.sql for a in call.arguments[:2]]
    part = call.literal(2, "a part")
    if (shift := week_start(part)) is not None:
        # 1969-12-29 is a Monday.
        form = f"bq_since_epoch(CAST({{0}} AS TIMESTAMP) + to_days({3 + shift}), {7 * MICROSECONDS['DAY']})"
    elif part in MICROSECONDS and (part == "DAY" or call.arguments[0].kind != "DATE"):
        form = f"bq_since_epoch(CAST({{0}} AS TIMESTAMP), {MICROSECONDS[part]})"
    elif part in ("YEAR", "ISOYEAR"):
        form = f"date_part('{part.lower()}', {{0}})"
    elif part in MONTHS:
        form = f"bq_{part.lower()}_number({{0}})"
    else:
        raise Unsupported(f"{call.name.upper()} by {part} has no form on the embedded engine", "use another part")
    return f"({form.format(operands[0])} - {form.format(operands[1])})"


def _elapsed(call: Call) -> str:
    later, earlier, _ = (a.sql for a in call.arguments)
    part = call.literal(2, "a part")
    if part not in MICROSECONDS:
        raise Unsupported(f"{call.name.upper()} by {part} has no form on the embedded engine", "use HOUR or DAY")
    return f"((epoch_us({later}) - epoch_us({earlier})) // {MICROSECONDS[part]})"


def _truncated(value: str, part: str, kind: str) -> str:
    """The beginning of a part; out of range is an error. `kind` is DATE or DATETIME."""
    engine_kind = TYPES[kind]
    if (shift := week_start(part)) is not None:
        day = f"INTERVAL {shift} DAY"
        first = f"CAST(date_trunc('week', {value} + {day}) - {day} AS {engine_kind})"
        return once([first], lambda operands: f"bq_{kind.lower()}_in_range({operands[0]})")
    if part in ("DAY", "MONTH", "QUARTER", "YEAR") or (kind != "DATE" and part in MICROSECONDS):
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
    if week_start(part) is not None:
        shift = f"INTERVAL {week_start(part)} DAY"
        last = f"CAST(date_trunc('week', {value} + {shift}) - {shift} + INTERVAL 6 DAY AS DATE)"
    elif part in ("QUARTER", "YEAR"):
        months = f"INTERVAL {MONTHS[part]} MONTH"
        last = f"CAST({_truncated(value, part, 'DATE')} + {months} - INTERVAL 1 DAY AS DATE)"
    elif part == "ISOYEAR":
        last = f"CAST(date_trunc('week', make_date(date_part('isoyear', {value}) + 1, 1, 4)) AS DATE) - 1"
    else:
        raise Unsupported(f"LAST_DAY of {part} has no form on the embedded engine", "use MONTH")
    return once([last], lambda operands: f"bq_date_in_range({operands[0]})")
