"""Texts that are cast to DATETIME, TIME and TIMESTAMP, and back where DuckDB does not write them alike."""

import re

from convergence_assets.warehouse.duckdb.generator import zones
from convergence_assets.warehouse.duckdb.generator.civil_time import civil, days_since_epoch
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction

_SECOND, _DAY = 1_000_000, 86_400_000_000
_CLOCK = r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:\.([0-9]{1,6}))?"
_TIME = re.compile(_CLOCK)
_DATETIME = re.compile(rf"([0-9]{{4}})-([0-9]{{1,2}})-([0-9]{{1,2}})(?:[ Tt]{_CLOCK})?")
_TIMESTAMP = re.compile(rf"([0-9]{{4,5}})-([0-9]{{1,2}})-([0-9]{{1,2}})(?:[ Tt](?:{_CLOCK}|(?=[+-])))?", re.DOTALL)
_FIRST, _AFTER_LAST = -62_135_596_800 * _SECOND, 253_402_300_800 * _SECOND


def _clock(parts: tuple[str | None, ...], *, keeps_leap: bool) -> int:
    if parts[0] is None:
        return 0
    hour, minute, second = (int(part or 0) for part in parts[:3])
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError("no such time")
    micro = int((parts[3] or "").ljust(6, "0"))
    return ((hour * 60 + minute) * 60 + second) * _SECOND + (0 if second == 60 and not keeps_leap else micro)


def time_of_text(text: str) -> int:
    """Microseconds since midnight; raises `ValueError`."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"Invalid time string: {text}")
    return _clock(match.groups(), keeps_leap=False) % _DAY


def datetime_of_text(text: str) -> int:
    """Microseconds since 1970; raises `ValueError`."""
    match = _DATETIME.fullmatch(text)
    if match is None:
        raise ValueError(f"Invalid datetime string: {text}")
    local = _day(match) + _clock(match.groups()[3:], keeps_leap=False)
    if not _FIRST <= local < _AFTER_LAST:
        raise ValueError(f"Invalid datetime string: {text}")
    return local


def _day(match: re.Match[str]) -> int:
    year, month, day = (int(part) for part in match.groups()[:3])
    if year > 10_000:
        raise ValueError("year out of range")
    return days_since_epoch(year, month, day) * _DAY


def timestamp_of_text(text: str) -> int:
    """Microseconds since 1970; UTC is the zone of a text without one. Raises `ValueError`."""
    return _instant(text, zones.zone_of("UTC"), takes_zone=True)


def _timestamp_in_zone(text: str, zone: str) -> int:
    return _instant(text, zones.zone_of(zone), takes_zone=False)


def _instant(text: str, default: zones.Zone, *, takes_zone: bool) -> int:
    match = _TIMESTAMP.match(text)
    if match is None:
        raise ValueError(f"Invalid timestamp: {text}")
    local = _day(match) + _clock(match.groups()[3:], keeps_leap=True)
    rest = text[match.end() :]
    if rest and not takes_zone:
        raise ValueError(f"Timezone is not allowed in {text}")
    # A zone follows a time, or the blank after a date.
    if rest and match[4] is None and match[0][-1] not in " Tt":
        raise ValueError(f"Invalid timestamp: {text}")
    return zones.in_range((_zone(rest, text) if rest else default).instant(local))


def _zone(rest: str, text: str) -> zones.Zone:
    prefixed = rest.startswith(" UTC")
    rest = rest[4:] if prefixed else rest
    if rest in ("Z", "z") or (prefixed and not rest):
        return zones.zone_of("UTC")
    if rest[0] in "+-":
        return zones.zone_of(rest)
    if rest[0] != " " or len(rest) < 2 or rest[1] in "+-":
        raise ValueError(f"Invalid timestamp: {text}")
    return zones.zone_of(rest[1:])


def zoned_text(instant: int, zone: str) -> str:
    """A TIMESTAMP as CAST writes it, in a zone."""
    moment = civil(zones.zone_of(zone).local(instant), instant)
    fraction = f".{moment.micro:06}".removesuffix("000") if moment.micro else ""
    sign, minutes = "-" if moment.offset < 0 else "+", abs(moment.offset) // 60
    offset = f"{sign}{minutes // 60:02}" + (f":{minutes % 60:02}" if minutes % 60 else "")
    day = f"{moment.year:04}-{moment.month:02}-{moment.day:02}"
    return f"{day} {moment.hour:02}:{moment.minute:02}:{moment.second:02}{fraction}{offset}"


PYTHON_FUNCTIONS = (
    PythonFunction("time_of_text", ("VARCHAR",), "BIGINT", time_of_text),
    PythonFunction("datetime_of_text", ("VARCHAR",), "BIGINT", datetime_of_text),
    PythonFunction("timestamp_of_text", ("VARCHAR",), "BIGINT", timestamp_of_text),
    PythonFunction("timestamp_in_zone", ("VARCHAR", "VARCHAR"), "BIGINT", _timestamp_in_zone),
    PythonFunction("zoned_text", ("BIGINT", "VARCHAR"), "VARCHAR", zoned_text),
)
