"""Texts of dates and times by the elements of strftime: FORMAT_DATE, PARSE_TIMESTAMP and so on.

https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements has the elements.
"""

import re
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from convergence_assets.warehouse.duckdb.generator import zones
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_SECOND, _DAY = 1_000_000, 86_400_000_000
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
_FIRST_ORDINAL, _LAST_ORDINAL, _EPOCH_ORDINAL = 1, date.max.toordinal(), date(1970, 1, 1).toordinal()
_SPACES = " \t\n\v\f\r"


class Civil(NamedTuple):
    """A moment as a calendar and a clock show it, its offset from UTC and its seconds since 1970."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    micro: int
    offset: int
    epoch: int
    weekday: int
    """0 is Sunday."""
    yearday: int
    """0 is the first of January."""
    iso_year: int
    iso_week: int


def civil(local: int, instant: int) -> Civil:
    """The moment of which these are the local time and the instant. An offset with seconds loses them."""
    offset = (local - instant) // _SECOND
    offset = int(offset / 60) * 60
    days, micros = divmod(instant + offset * _SECOND, _DAY)
    ordinal, years = days + _EPOCH_ORDINAL, 0
    if ordinal < _FIRST_ORDINAL:
        ordinal, years = ordinal + _CYCLE_DAYS, -_CYCLE_YEARS
    elif ordinal > _LAST_ORDINAL:
        ordinal, years = ordinal - _CYCLE_DAYS, _CYCLE_YEARS
    day = date.fromordinal(ordinal)
    iso = day.isocalendar()
    seconds, micro = divmod(micros, _SECOND)
    return Civil(
        day.year + years, day.month, day.day, seconds // 3600, seconds // 60 % 60, seconds % 60, micro, offset,
        instant // _SECOND, day.isoweekday() % 7, day.timetuple().tm_yday - 1, iso.year + years, iso.week,
    )  # fmt: skip


def offset_text(seconds: int, separator: str) -> str:
    minutes = abs(seconds) // 60
    return f"{'-' if seconds < 0 else '+'}{minutes // 60:02}{separator}{minutes % 60:02}"


def _zone_text(seconds: int) -> str:
    hours, minutes = divmod(abs(seconds) // 60, 60)
    sign = "-" if seconds < 0 else "+"
    return "UTC" + (f"{sign}{hours:02}{minutes:02}" if minutes else f"{sign}{hours}" if hours else "")


def _seconds_text(c: Civil, digits: int | None) -> str:
    fraction = f"{c.micro:06}".rstrip("0") if digits is None else f"{c.micro:06}".ljust(digits, "0")[:digits]
    return f"{c.second:02}" + (f".{fraction}" if fraction else "")


_clock = "{0.hour:02}:{0.minute:02}:{0.second:02}".format
_WRITTEN: dict[str, Callable[[Civil], str]] = {
    "A": lambda c: DAYS[c.weekday],
    "a": lambda c: DAYS[c.weekday][:3],
    "B": lambda c: MONTHS[c.month - 1],
    "b": lambda c: MONTHS[c.month - 1][:3],
    "h": lambda c: MONTHS[c.month - 1][:3],
    "C": lambda c: f"{c.year // 100:02}",
    "c": lambda c: f"{DAYS[c.weekday][:3]} {MONTHS[c.month - 1][:3]} {c.day:2} {_clock(c)} {c.year:04}",
    "D": lambda c: f"{c.month:02}/{c.day:02}/{c.year % 100:02}",
    "d": lambda c: f"{c.day:02}",
    "e": lambda c: f"{c.day:2}",
    "F": lambda c: f"{c.year:04}-{c.month:02}-{c.day:02}",
    "G": lambda c: f"{c.iso_year:04}",
    "g": lambda c: f"{c.iso_year % 100:02}",
    "H": lambda c: f"{c.hour:02}",
    "I": lambda c: f"{c.hour % 12 or 12:02}",
    "j": lambda c: f"{c.yearday + 1:03}",
    "k": lambda c: f"{c.hour:2}",
    "l": lambda c: f"{c.hour % 12 or 12:2}",
    "M": lambda c: f"{c.minute:02}",
    "m": lambda c: f"{c.month:02}",
    "n": lambda c: "\n",
    "P": lambda c: "am" if c.hour < 12 else "pm",
    "p": lambda c: "AM" if c.hour < 12 else "PM",
    "Q": lambda c: str((c.month + 2) // 3),
    "R": lambda c: f"{c.hour:02}:{c.minute:02}",
    "r": lambda c: f"{c.hour % 12 or 12:02}:{c.minute:02}:{c.second:02} {'AM' if c.hour < 12 else 'PM'}",
    "S": lambda c: f"{c.second:02}",
    "s": lambda c: str(c.epoch),
    "T": _clock,
    "t": lambda c: "\t",
    "U": lambda c: f"{(c.yearday + 7 - c.weekday) // 7:02}",
    "u": lambda c: str(c.weekday or 7),
    "V": lambda c: f"{c.iso_week:02}",
    "W": lambda c: f"{(c.yearday + 7 - (c.weekday - 1) % 7) // 7:02}",
    "w": lambda c: str(c.weekday),
    "X": _clock,
    "x": lambda c: f"{c.month:02}/{c.day:02}/{c.year % 100:02}",
    "Y": lambda c: str(c.year),
    "y": lambda c: f"{c.year % 100:02}",
    "Z": lambda c: _zone_text(c.offset),
    "z": lambda c: offset_text(c.offset, ""),
    "%": lambda c: "%",
    "Ez": lambda c: offset_text(c.offset, ":"),
    "E4Y": lambda c: f"{c.year:04}",
    "E*S": lambda c: _seconds_text(c, None),
} | {f"E{n}S": lambda c, n=n: _seconds_text(c, n) for n in range(10)}
# C's locale has no other form for these.
_WRITTEN |= {f"E{e}": _WRITTEN[e] for e in "cCxXy"} | {f"O{e}": _WRITTEN[e] for e in "deHImMSuUVwWy"}
_WRITTEN["EY"] = lambda c: f"{c.year:04}"
_ELEMENT = re.compile(r"%(E\*S|E[0-9]+S|E4Y|[EO][A-Za-z]|.)", re.DOTALL)
_PARSED = frozenset(
    {*"AaBbhCcDdeFGgHIJjkLlMmnPpQRrSsTtUuVWwXxYyZz%", "Ez", "EY", "Ey", "EC", "E4Y", "E*S", "OI", "Ou", "Ow", "OU", "OV"}
    | {f"E{n}S" for n in range(7)}
) - {"L"}  # fmt: skip
# What a type has none of: FORMAT_... writes the element itself, PARSE_... refuses it.
_FOREIGN = {
    "DATE": frozenset("cHIklMPpRrSsTXZz"), "TIME": frozenset("AaBbhCcDdeFGgjmQsUuVWwxYyZz"),
    "DATETIME": frozenset("Zz"), "TIMESTAMP": frozenset(),
}  # fmt: skip


def is_foreign(element: str, kind: str) -> bool:
    """Whether a type has no such part."""
    return element[-1] in _FOREIGN[kind] and (len(element) == 1 or element[0] in "EO")


def elements(pattern: str) -> list[str]:
    """The elements of a pattern without their %."""
    return _ELEMENT.findall(pattern)


def unknown_for_format(pattern: str, kind: str) -> str | None:
    """The first element that FORMAT_... has no faithful form of."""
    return next((e for e in elements(pattern) if e not in _WRITTEN and not is_foreign(e, kind)), None)


def formatted(pattern: str, moment: Civil, kind: str) -> str:
    """Raises `ValueError` for an element without a faithful form."""
    if unknown := unknown_for_format(pattern, kind):
        raise ValueError(f"the format element %{unknown} has no form on the embedded engine")

    def written(match: re.Match[str]) -> str:
        write = None if is_foreign(match[1], kind) else _WRITTEN.get(match[1])
        return write(moment) if write else match[0]

    return _ELEMENT.sub(written, pattern)


def problem_for_parse(pattern: str, kind: str) -> str | None:
    """Why a pattern cannot be parsed by; None where it can."""
    pattern_elements = elements(pattern)
    foreign = _FOREIGN[kind] - ({"Q"} if kind == "TIME" else set())
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


class _Reader:
    """Reads a text from the left; each `ValueError` means that it does not fit the pattern."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def done(self) -> bool:
        return self.at >= len(self.text)

    def spaces(self) -> None:
        while not self.done() and self.text[self.at] in _SPACES:
            self.at += 1

    def character(self, expected: str) -> None:
        if self.done() or self.text[self.at] != expected:
            raise ValueError("the text does not fit the format")
        self.at += 1

    def digits(self, width: int) -> str:
        match = re.compile(rf"[0-9]{{1,{width}}}").match(self.text, self.at)
        if match is None:
            raise ValueError("the text does not fit the format")
        self.at = match.end()
        return match[0]

    def number(self, width: int, least: int, most: int) -> int:
        """A number of at most so many characters, its sign one of them."""
        negative = not self.done() and self.text[self.at] == "-"
        if negative:
            self.at, width = self.at + 1, width - 1
            if not width:
                raise ValueError("the text does not fit the format")
        value = int(self.digits(width))
        if negative and not value:
            raise ValueError("the text does not fit the format")
        value = -value if negative else value
        if not least <= value <= most:
            raise ValueError("the text does not fit the format")
        return value

    def spaced(self, least: int, most: int, width: int = 2) -> int:
        """A number as strptime reads it: after blanks, and no more digits than can be."""
        self.spaces()
        value, start = 0, self.at
        while self.at - start < width and not self.done() and self.text[self.at] in "0123456789":
            if self.at > start and value * 10 > most:
                break
            value = value * 10 + int(self.text[self.at])
            self.at += 1
        if self.at == start or not least <= value <= most:
            raise ValueError("the text does not fit the format")
        return value

    def name(self, names: tuple[str, ...]) -> int:
        """The place of a name, whole or its first three letters."""
        rest = self.text[self.at :].lower()
        for place, name in enumerate(names):
            for form in (name.lower(), name[:3].lower()):
                if rest.startswith(form):
                    self.at += len(form)
                    return place
        raise ValueError("the text does not fit the format")

    def offset(self, separator: str) -> int:
        """Minutes east of UTC."""
        match = re.compile(rf"([+-])([0-9]{{2}}){separator}?([0-9]{{2}})?").match(self.text, self.at)
        if separator and match and match[3] is None:
            match = re.compile(rf"([+-])([0-9]{{2}}){separator}?()").match(self.text, self.at)
        if match is None or int(match[2]) > 23 or int(match[3] or 0) > 59:
            raise ValueError("the text does not fit the format")
        self.at = match.end()
        minutes = (int(match[2]) * 60 + int(match[3] or 0)) * (-1 if match[1] == "-" else 1)
        if abs(minutes) > 14 * 60:
            raise ValueError("Timezone offset out of valid range -14:00 to +14:00")
        return minutes


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
    reader, parts, at, place = _Reader(text), _Parts(), 0, 0
    reader.spaces()
    while not reader.done() and at < len(pattern):
        if pattern[at] in _SPACES:
            reader.spaces()
            while at < len(pattern) and pattern[at] in _SPACES:
                at += 1
        elif pattern[at] != "%":
            reader.character(pattern[at])
            at += 1
        else:
            element = _ELEMENT.match(pattern, at)
            if element is None:
                raise ValueError("Format string cannot end with a single '%'")
            at, place = element.end(), place + 1
            _read(element[1], reader, parts, place, followed=pattern[at : at + 1] == "%")
    reader.spaces()
    rest = re.sub(r"(?:[ \t\n\v\f\r]|%n|%t)*", "", pattern[at:], count=1)
    if not reader.done() or rest:
        raise ValueError("the text does not fit the format")
    return _instant(parts, zone)


def _read(element: str, reader: _Reader, parts: _Parts, place: int, *, followed: bool) -> None:
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
            while not reader.done() and reader.text[reader.at] not in _SPACES:
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


def _twelve(reader: _Reader, parts: _Parts) -> None:
    reader.spaces()
    parts.hour, parts.twelve = reader.number(2, 1, 12) % 12, True


def _meridian(reader: _Reader, parts: _Parts) -> None:
    half = reader.text[reader.at : reader.at + 2].lower()
    if half not in ("am", "pm"):
        raise ValueError("the text does not fit the format")
    parts.afternoon, reader.at = half == "pm", reader.at + 2


def _clock_read(reader: _Reader, parts: _Parts, *, seconds: bool) -> None:
    parts.hour, parts.twelve = reader.spaced(0, 23), False
    reader.character(":")
    parts.minute = reader.spaced(0, 59)
    if seconds:
        reader.character(":")
        parts.second = reader.spaced(0, 61)


def _fraction(digits: str, reader: _Reader, parts: _Parts) -> None:
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


def days_since_epoch(year: int, month: int, day: int) -> int:
    """Days since 1970; raises `ValueError` where there is no such day. Years are 0 to 10000."""
    shift = 1 if year < 1 else -1 if year > 9999 else 0
    return date(year + shift * _CYCLE_YEARS, month, day).toordinal() - shift * _CYCLE_DAYS - _EPOCH_ORDINAL


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


def _formatted(kind: str, pattern: str, local: int, instant: int) -> str:
    return formatted(pattern, civil(local, instant), kind)


def _parsed(kind: str, pattern: str, text: str, zone: str) -> int:
    problem = problem_for_parse(pattern, kind)
    if problem:
        raise ValueError(problem)
    zones.zone_of(zone)
    return parsed(pattern, text, zone)


PYTHON_FUNCTIONS = (
    PythonFunction("format_time", ("VARCHAR", "VARCHAR", "BIGINT", "BIGINT"), "VARCHAR", _formatted),
    PythonFunction("parse_time", ("VARCHAR", "VARCHAR", "VARCHAR", "VARCHAR"), "BIGINT", _parsed),
)
