"""Time zones as GoogleSQL reads them: the local time of an instant, and the instant of a local time."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from convergence_assets.warehouse.duckdb.generator.calls import Argument
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction

_OFFSET = re.compile(r"(?:UTC)?([+-])([0-9]{1,2})(?::?([0-9]{1,2}))?", re.ASCII)
_LARGEST_OFFSET = 14 * 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000
_QUARTER = 900
# Weekdays and leap years repeat after 400 years, and so do the rules of a zone.
_CYCLE_SECONDS = 146_097 * 86_400
_FIRST, _LAST = -62_135_596_800 + 2 * 86_400, 253_402_300_799 - 2 * 86_400


class Zone:
    """A time zone with its offsets; in microseconds since 1970, local or UTC."""

    def __init__(self, rules: tzinfo) -> None:
        self._rules = rules
        self._at_instants: dict[int, int | None] = {}
        self._at_locals: dict[int, int | None] = {}

    def local(self, instant: int) -> int:
        """The local time of an instant."""
        return instant + self._offset(instant // _SECOND, self._at_instants, self._at_instant) * _SECOND

    def instant(self, local: int) -> int:
        """The instant of a local time: the first of two, and with the offset before the change where there is none."""
        return local - self._offset(local // _SECOND, self._at_locals, self._at_local) * _SECOND

    def _offset(self, second: int, offsets: dict[int, int | None], find) -> int:  # type: ignore[no-untyped-def]
        # Offsets change at few moments: one holds for most quarters of an hour.
        quarter = second // _QUARTER
        if quarter not in offsets:
            if len(offsets) > 100_000:
                offsets.clear()
            first, last = find(quarter * _QUARTER), find(quarter * _QUARTER + _QUARTER - 1)
            offsets[quarter] = first if first == last else None
        offset = offsets[quarter]
        return int(find(second) if offset is None else offset)

    def _at_instant(self, second: int) -> int:
        moment = _EPOCH + timedelta(seconds=_within(second))
        return _seconds(moment.astimezone(self._rules).utcoffset())

    def _at_local(self, second: int) -> int:
        moment = (_EPOCH + timedelta(seconds=_within(second))).replace(tzinfo=self._rules)
        return _seconds(moment.utcoffset())


def _within(second: int) -> int:
    if second < _FIRST:
        return second + _CYCLE_SECONDS
    return second - _CYCLE_SECONDS if second > _LAST else second


def _seconds(offset: timedelta | None) -> int:
    return 0 if offset is None else offset.days * 86_400 + offset.seconds


@cache
def zone_of(name: str) -> Zone:
    """A zone by its name or offset; raises `ValueError` where there is none."""
    minutes = _minutes(name)
    if minutes is not None:
        return Zone(timezone(timedelta(minutes=minutes)))
    if name not in _names():
        raise ValueError(f"Invalid time zone: {name}")
    with (_folder() / name).open("rb") as file:
        return Zone(ZoneInfo.from_file(file, key=name))


def _minutes(name: str) -> int | None:
    """An offset from UTC; None where the name is none."""
    parts = _OFFSET.fullmatch(name)
    if parts is None:
        return None
    hours, minutes = int(parts[2]), int(parts[3] or 0)
    if minutes > 59 or hours * 60 + minutes > _LARGEST_OFFSET:
        raise ValueError(f"Invalid time zone: {name}")
    return (hours * 60 + minutes) * (-1 if parts[1] == "-" else 1)


def _folder() -> Path:
    import tzdata

    return Path(tzdata.__file__).with_name("zoneinfo")


@cache
def _names() -> frozenset[str]:
    return frozenset(_folder().with_name("zones").read_text().split())


def local(value: str, zone: Argument) -> str:
    """The local time, a TIMESTAMP of DuckDB's, of an instant; it may lie in the year 0 or 10000."""
    minutes = _literal(zone)
    if minutes is None:
        return f"bq_local_time({value}, {zone.sql})"
    return f"(CAST({value} AS TIMESTAMP) + to_minutes({minutes}))" if minutes else f"CAST({value} AS TIMESTAMP)"


def instant(value: str, zone: Argument) -> str:
    """The instant of a local time; out of range is an error."""
    minutes = _literal(zone)
    if minutes is None:
        return f"bq_instant_of({value}, {zone.sql})"
    moved = f"{value} - to_minutes({minutes})" if minutes else value
    return f"bq_timestamp_in_range(CAST({moved} AS TIMESTAMPTZ))"


def is_utc(zone: Argument) -> bool:
    return _literal(zone) == 0


def _literal(zone: Argument) -> int | None:
    """The minutes of a zone that is written as a fixed offset; raises `Unsupported` where there is no such zone."""
    if not zone.is_literal or zone.value is None:
        return None
    try:
        zone_of(zone.value)
        return 0 if zone.value == "UTC" else _minutes(zone.value)
    except ValueError as error:
        raise Unsupported(str(error), "name a zone as Europe/Berlin, or an offset as +02:00") from None


def in_range(micros: int) -> int:
    """Raises `ValueError` for an instant that is no TIMESTAMP."""
    if not -62_135_596_800_000_000 <= micros < 253_402_300_800_000_000:
        raise ValueError("TIMESTAMP out of range")
    return micros


def _local(instant: int, name: str) -> int:
    return zone_of(name).local(instant)


def _instant(local: int, name: str) -> int:
    return in_range(zone_of(name).instant(local))


PYTHON_FUNCTIONS = (
    PythonFunction("local", ("BIGINT", "VARCHAR"), "BIGINT", _local),
    PythonFunction("instant", ("BIGINT", "VARCHAR"), "BIGINT", _instant),
)

OF_OTHER_RULES = frozenset({
    "America/Havana", "America/Rainy_River", "America/Winnipeg", "Antarctica/Rothera", "Antarctica/Vostok",
    "Australia/LHI", "Australia/Lord_Howe", "Canada/Central", "Cuba",
})  # fmt: skip
"""Zones whose rules DuckDB 1.5 has from another year than tzdata, or whose clocks change by half an hour."""


def _macros() -> tuple[str, ...]:
    # DuckDB's own rules are a hundred times as fast as Python's, and need neither Arrow nor pandas in a code server.
    names = ", ".join(f"'{name}'" for name in sorted(_names() - OF_OTHER_RULES))
    instants = "a >= TIMESTAMPTZ '1970-01-02 00:00:00+00' AND a < TIMESTAMPTZ '2099-12-30 00:00:00+00'"
    locals_ = "a >= TIMESTAMP '1970-01-02' AND a < TIMESTAMP '2099-12-30'"
    return (
        f"bq_zone_of_duckdb(z) AS z IN ({names})",
        f"bq_local_time(a, z) AS CASE WHEN bq_zone_of_duckdb(z) AND {instants} THEN a AT TIME ZONE z"
        " ELSE make_timestamp(python_local(epoch_us(a), z)) END",
        f"bq_instant_of(a, z) AS CASE WHEN bq_zone_of_duckdb(z) AND {locals_} THEN bq_instant(CAST(a AS TIMESTAMP), z)"
        " ELSE make_timestamptz(python_instant(epoch_us(a), z)) END",
    )


MACROS = _macros()
