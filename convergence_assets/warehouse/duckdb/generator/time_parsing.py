"""Dates and times read by the elements of strptime: PARSE_DATE, PARSE_TIMESTAMP and so on.

https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements has the elements.
"""

import re

from convergence_assets.warehouse.duckdb.generator import zones
from convergence_assets.warehouse.duckdb.generator.civil_time import DAYS, MONTHS, civil, days_since_epoch
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction
from convergence_assets.warehouse.duckdb.generator.time_formatting import ELEMENT, FOREIGN, elements
from convergence_assets.warehouse.duckdb.generator.time_text_reader import SPACES, Reader

_SECOND, _DAY = 1_000_000, 86_400_000_000
_PARSED = frozenset(
    {*"AaBbhCcDdeFGgHIJjkLlMmnPpQRrSsTtUuVWwXxYyZz%", "Ez", "EY", "Ey", "EC", "E4Y", "E*S", "OI", "Ou", "Ow", "OU", "OV"}
    | {f"E{n}S" for n in range(7)}
) - {"L"}  # fmt: skip


def problem_for_parse(pattern: str, kind: str) -> str | None:
    """Why a pattern cannot be parsed by; None where it can."""
    pattern_elements = elements(pattern)
    foreign = FOREIGN[kind] - ({"Q"} if kind == "TIME" else set())
    for element in pattern_elements:
        if element[-1] in foreign and (len(element) == 1 or element[0] in "EO"):
            return f"Invalid format: %{element} is not allowed for the {kind} type"
        if element not in _PARSED:
            return f"the format element %{element} has no form on the embedded engine"
    plain = {e[-1] for e in pattern_elements if e in _PARSED}
    if plain & set("V") or (plain & set("UW") and plain & set("Aauw")):
        return "parsing a week with its day has no form on the embedded engine"
    if pattern.endswith("%") and (len(pattern) - len(pattern.rstrip("%"))) % 2:
        return "Format string cannot end with a single '%'"
    return None


class _Parts:
    """What was read of a text so far, as in GoogleSQL's ParseTime."""

    def __init__(self) -> None:
        self.year, self.month, self.day = 1970, 1, 1
        self.hour = self.minute = self.second = self.micro = 0
        self.twelve = self.afternoon = False
        self.offset: int | None = None
        self.zone: str | None = None
        self.epoch: int | None = None
        self.century, self.uses_century, self.explicit_century = 0, False, False
        self.last = {"year": -1, "month": -1, "day": -1}
        self.plain = False
        self.later: list[tuple[str, int, int]] = []

    def seen(self, place: int, *names: str) -> None:
        self.plain = True
        for name in names:
            self.last[name] = place


def parsed(pattern: str, text: str, zone: str) -> int:
    """The instant, in microseconds since 1970, that a text gives; raises `ValueError`."""
    pattern, text = pattern.removesuffix("\0"), text.removesuffix("\0")
    reader, parts, at, place = Reader(text), _Parts(), 0, 0
    reader.spaces()
    while not reader.done() and at < len(pattern):
        if pattern[at] in SPACES:
            reader.spaces()
            while at < len(pattern) and pattern[at] in SPACES:
                at += 1
        elif pattern[at] != "%":
            reader.character(pattern[at])
            at += 1
        else:
            element = ELEMENT.match(pattern, at)
            if element is None:
                raise ValueError("Format string cannot end with a single '%'")
            at, place = element.end(), place + 1
            _read(element[1], reader, parts, place, followed=pattern[at : at + 1] == "%")
    reader.spaces()
    rest = re.sub(r"(?:[ \t\n\v\f\r]|%n|%t)*", "", pattern[at:], count=1)
    if not reader.done() or rest:
        raise ValueError("the text does not fit the format")
    return _instant(parts, zone)


def _read(element: str, reader: Reader, parts: _Parts, place: int, *, followed: bool) -> None:
    match element:
        case "Y" | "EY":
            parts.year = reader.number(4, 0, 9999) if followed else reader.number(5, 0, 10000)
            parts.uses_century = parts.explicit_century = False
            parts.seen(place, "year")
        case "E4Y":
            start = reader.at
            parts.year = reader.number(4, 0, 9999)
            if reader.at - start != 4:
                raise ValueError("the text does not fit the format")
            parts.uses_century = False
            parts.seen(place, "year")
        case "C" | "EC":
            parts.century = reader.number(2, 0, 99) if followed else reader.number(3, 0, 100)
            if not parts.uses_century:
                parts.year = 1900
            parts.uses_century = parts.explicit_century = True
            parts.seen(place, "year")
        case "y" | "Ey":
            parts.year = 1900 + reader.number(2, 0, 99)
            if not parts.explicit_century:
                parts.century = 20 if parts.year < 1969 else 19
            parts.uses_century = True
            parts.seen(place, "year")
        case "m":
            parts.month = reader.number(2, 1, 12)
            parts.seen(place, "month")
        case "B" | "b" | "h":
            reader.spaces()
            parts.month = reader.name(MONTHS) + 1
            parts.seen(place, "month")
        case "d":
            parts.day = reader.number(2, 1, 31)
            parts.seen(place, "day")
        case "e":
            parts.day = reader.spaced(1, 31)
            parts.seen(place, "day")
        case "H":
            parts.hour, parts.twelve = reader.number(2, 0, 23), False
        case "k":
            parts.hour = reader.spaced(0, 23)
        case "I" | "l" | "OI":
            _twelve(reader, parts)
        case "M":
            parts.minute = reader.number(2, 0, 59)
        case "S":
            parts.second = reader.number(2, 0, 60)
        case "Q":
            parts.month, parts.day = reader.number(1, 1, 4) * 3 - 2, 1
            parts.seen(place, "month", "day")
        case "p" | "P":
            _meridian(reader, parts)
        case "r":
            _twelve(reader, parts)
            reader.character(":")
            parts.minute = reader.number(2, 0, 59)
            reader.character(":")
            parts.second = reader.number(2, 0, 60)
            reader.spaces()
            _meridian(reader, parts)
        case "R" | "T" | "X":
            _clock_read(reader, parts, seconds=element != "R")
        case "D" | "x":
            parts.month = reader.spaced(1, 12)
            reader.character("/")
            parts.day = reader.spaced(1, 31)
            reader.character("/")
            short = reader.spaced(0, 99)
            parts.year = short + (1900 if short >= 69 else 2000)
            parts.seen(place, "year", "month", "day")
        case "F":
            parts.year = reader.spaced(0, 9999, 4)
            reader.character("-")
            parts.month = reader.spaced(1, 12)
            reader.character("-")
            parts.day = reader.spaced(1, 31)
            parts.seen(place, "year", "month", "day")
        case "c":
            reader.name(DAYS)
            reader.spaces()
            parts.month = reader.name(MONTHS) + 1
            parts.day = reader.spaced(1, 31)
            reader.spaces()
            _clock_read(reader, parts, seconds=True)
            parts.year = reader.spaced(0, 9999, 4)
            parts.seen(place, "year", "month", "day")
        case "z":
            parts.offset = reader.offset("")
        case "Ez":
            if not reader.done() and reader.text[reader.at] == "Z":
                parts.offset, reader.at = 0, reader.at + 1
            else:
                parts.offset = reader.offset(":")
        case "Z":
            start = reader.at
            while not reader.done() and reader.text[reader.at] not in SPACES:
                reader.at += 1
            parts.zone, parts.offset = reader.text[start : reader.at], None
            zones.zone_of(parts.zone)
        case "s":
            parts.epoch = reader.number(12, -62_135_596_800, 253_402_300_799)
            parts.seen(place, "year", "month", "day")
        case "n" | "t":
            reader.spaces()
        case "%":
            reader.character("%")
        case "A" | "a":
            reader.name(DAYS)
        case "u" | "Ou":
            reader.spaced(1, 7, 1)
        case "w" | "Ow":
            reader.spaced(0, 6, 1)
        case "U" | "W" | "OU":
            parts.plain = True
            parts.later.append((element[-1], reader.spaced(0, 53), place))
        case "j":
            parts.plain = True
            parts.later.append(("j", reader.spaced(1, 366, 3), place))
        case "J":
            parts.later.append(("J", reader.number(3, 1, 371), place))
        case "g":
            short = reader.number(2, 0, 99)
            parts.later.append(("G", short + (2000 if short <= 68 else 1900), place))
        case "G":
            parts.later.append(("G", reader.number(20, 0, 99_999), place))
        case _ if element[0] == "E" and element[-1] == "S":
            _fraction(element[1:-1], reader, parts)
        case _:
            raise ValueError(f"the format element %{element} cannot be parsed")


def _twelve(reader: Reader, parts: _Parts) -> None:
    reader.spaces()
    parts.hour, parts.twelve = reader.number(2, 1, 12) % 12, True


def _meridian(reader: Reader, parts: _Parts) -> None:
    half = reader.text[reader.at : reader.at + 2].lower()
    if half not in ("am", "pm"):
        raise ValueError("the text does not fit the format")
    parts.afternoon, reader.at = half == "pm", reader.at + 2


def _clock_read(reader: Reader, parts: _Parts, *, seconds: bool) -> None:
    parts.hour, parts.twelve = reader.spaced(0, 23), False
    reader.character(":")
    parts.minute = reader.spaced(0, 59)
    if seconds:
        reader.character(":")
        parts.second = reader.spaced(0, 61)


def _fraction(digits: str, reader: Reader, parts: _Parts) -> None:
    parts.second = reader.number(2, 0, 60)
    if digits == "0" or reader.done() or reader.text[reader.at] != ".":
        return
    reader.at += 1
    fraction = reader.digits(1000 if digits == "*" else int(digits))
    parts.micro = int(fraction[:6].ljust(6, "0"))


def _instant(parts: _Parts, zone: str) -> int:
    if parts.epoch is not None:
        return zones.in_range(parts.epoch * _SECOND)
    if parts.twelve and parts.afternoon:
        parts.hour += 12
    micro = parts.micro
    if parts.second > 60:
        raise ValueError("Out-of-range datetime field in parsing function")
    if parts.second == 60:
        parts.second, micro = 59, _SECOND
    if parts.uses_century:
        parts.year += parts.century * 100 - 1900
    _adjusted(parts)
    days = days_since_epoch(parts.year, parts.month, parts.day)
    local = days * _DAY + ((parts.hour * 60 + parts.minute) * 60 + parts.second) * _SECOND
    if parts.offset is not None:
        return zones.in_range(local - parts.offset * 60 * _SECOND + micro)
    return zones.in_range(zones.zone_of(parts.zone or zone).instant(local) + micro)


def _adjusted(parts: _Parts) -> None:
    """Days and weeks of a year, where they come after month and day."""
    later = [e for e in parts.later if e[0] not in "JG"] if parts.plain else [e for e in parts.later if e[0] in "JG"]
    if not later:
        return
    if not parts.plain:
        years = [value for name, value, _ in later if name == "G"]
        if not years:
            return
        first = days_since_epoch(years[-1], 1, 4)
        first -= (first + 3) % 7
        numbers = [value for name, value, _ in later if name == "J"]
        weeks = (days_since_epoch(years[-1] + 1, 1, 4) - (days_since_epoch(years[-1] + 1, 1, 4) + 3) % 7 - first) // 7
        if numbers and numbers[-1] > weeks * 7:
            raise ValueError("the ISO year has fewer days")
        day_number = first + (numbers[-1] - 1 if numbers else 0)
        shown = civil(day_number * _DAY, day_number * _DAY)
        parts.year, parts.month, parts.day = shown.year, shown.month, shown.day
        return
    name, value, place = later[-1]
    january = days_since_epoch(parts.year, 1, 1)
    length = days_since_epoch(parts.year, 12, 31) - january + 1
    if name == "j":
        if value > length:
            raise ValueError("the year has fewer days")
        day_number = january + value - 1
    else:
        weekday = (january + 4 - (1 if name == "W" else 0)) % 7  # 0 is the day that a week begins with
        before = (7 - weekday) % 7
        if not (1 if before == 0 else 0) <= value <= (53 if length - before > 364 else 52):
            raise ValueError("the year has no such week")
        day_number = january + before + 7 * (value - 1)
    shown = civil(day_number * _DAY, day_number * _DAY)
    if parts.last["year"] < place:
        parts.year = shown.year
    if parts.last["month"] < place:
        parts.month = shown.month
    if parts.last["day"] < place:
        parts.day = shown.day


def _parsed(kind: str, pattern: str, text: str, zone: str) -> int:
    problem = problem_for_parse(pattern, kind)
    if problem:
        raise ValueError(problem)
    zones.zone_of(zone)
    return parsed(pattern, text, zone)


PYTHON_FUNCTIONS = (PythonFunction("parse_time", ("VARCHAR", "VARCHAR", "VARCHAR", "VARCHAR"), "BIGINT", _parsed),)
