"""CAST of dates and times with FORMAT.

https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements#format_date_time_as_string
"""

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from convergence_assets.warehouse.duckdb.generator import zones
from convergence_assets.warehouse.duckdb.generator.civil_time import DAYS, MONTHS, Civil, civil, days_since_epoch
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction

_SECOND, _DAY = 1_000_000, 86_400_000_000
_CATEGORIES = {
    "year": ("YYYY", "YYY", "YY", "Y", "RRRR", "RR", "Y,YYY", "IYYY", "IYY", "IY", "I", "SYYYY", "YEAR", "SYEAR"),
    "month": ("MM", "MON", "MONTH", "RM"),
    "day": ("DDD", "DD", "D", "DAY", "DY", "J"),
    "hour": ("HH", "HH12", "HH24"),
    "minute": ("MI",),
    "second": ("SS", "SSSSS", *(f"FF{n}" for n in range(1, 10))),
    "half": ("AM", "PM", "A.M.", "P.M."),
    "zone": ("TZH", "TZM"),
    "other": ("CC", "SCC", "Q", "IW", "WW", "W", "AD", "BC", "A.D.", "B.C.", "SP", "TH", "SPTH", "THSP", "FM"),
}  # fmt: skip
_CATEGORY = {name: category for category, names in _CATEGORIES.items() for name in names}
_LONGEST_FIRST = sorted(_CATEGORY, key=len, reverse=True)
_DATE_PARTS, _TIME_PARTS = {"year", "month", "day"}, {"hour", "minute", "second", "half"}
_PARTS = {
    "DATE": _DATE_PARTS, "TIME": _TIME_PARTS, "DATETIME": _DATE_PARTS | _TIME_PARTS,
    "TIMESTAMP": _DATE_PARTS | _TIME_PARTS | {"zone"},
}  # fmt: skip
_PARSED = frozenset({
    "YYYY", "YYY", "YY", "Y", "RRRR", "RR", "Y,YYY", "MM", "MON", "MONTH", "DD", "HH", "HH12", "HH24", "MI", "SS",
    "SSSSS", "A.M.", "P.M.", "TZH", "TZM", *(f"FF{n}" for n in range(1, 10)),
})  # fmt: skip
_NAMED = frozenset({"MON", "MONTH", "A.M.", "P.M.", "TZH"})
_WHITE = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*")


class Element(NamedTuple):
    """An element of a format: its name as it is written and in capitals; a literal text or blanks have no name."""

    name: str
    written: str
    literal: str = ""

    @property
    def category(self) -> str:
        return _CATEGORY.get(self.name, "")


@cache
def elements(pattern: str) -> tuple[Element, ...]:
    """Raises `ValueError` for a format that is none."""
    upper, at, result = "".join(c.upper() if c.isascii() else c for c in pattern), 0, []
    while at < len(pattern):
        element, length = _next(pattern[at:], upper[at:])
        result.append(element)
        at += length
    return tuple(result)


def _next(pattern: str, upper: str) -> tuple[Element, int]:
    if pattern[0] in "-./,';:":
        return Element("", pattern[0], pattern[0]), 1
    if pattern[0] == " ":
        blanks = len(pattern) - len(pattern.lstrip(" "))
        return Element(" ", pattern[:blanks], pattern[:blanks]), blanks
    if pattern[0] == '"':
        quoted = re.match(r'"((?:[^"\\]|\\["\\])*)"', pattern, re.DOTALL)
        if quoted is None:
            raise ValueError('Cannot find matching " for quoted literal')
        return Element("", quoted[0], re.sub(r"\\(.)", r"\1", quoted[1])), quoted.end()
    for name in _LONGEST_FIRST:
        if upper.startswith(name):
            return Element(name, pattern[: len(name)]), len(name)
    raise ValueError(f"Cannot find matched format element at {pattern}")


_WRITTEN: dict[str, Callable[[Civil], str]] = {
    "YYYY": lambda c: f"{c.year:04}",
    "RRRR": lambda c: f"{c.year:04}",
    "YYY": lambda c: f"{c.year % 1000:03}",
    "YY": lambda c: f"{c.year % 100:02}",
    "RR": lambda c: f"{c.year % 100:02}",
    "Y": lambda c: f"{c.year % 10}",
    "MM": lambda c: f"{c.month:02}",
    "MON": lambda c: MONTHS[c.month - 1][:3],
    "MONTH": lambda c: MONTHS[c.month - 1],
    "D": lambda c: str(c.weekday + 1),
    "DD": lambda c: f"{c.day:02}",
    "DDD": lambda c: f"{c.yearday + 1:03}",
    "DAY": lambda c: DAYS[c.weekday],
    "DY": lambda c: DAYS[c.weekday][:3],
    "HH": lambda c: f"{c.hour % 12 or 12:02}",
    "HH12": lambda c: f"{c.hour % 12 or 12:02}",
    "HH24": lambda c: f"{c.hour:02}",
    "MI": lambda c: f"{c.minute:02}",
    "SS": lambda c: f"{c.second:02}",
    "SSSSS": lambda c: f"{(c.hour * 60 + c.minute) * 60 + c.second:05}",
    "AM": lambda c: "PM" if c.hour > 11 else "AM",
    "PM": lambda c: "PM" if c.hour > 11 else "AM",
    "A.M.": lambda c: "P.M." if c.hour > 11 else "A.M.",
    "P.M.": lambda c: "P.M." if c.hour > 11 else "A.M.",
    "TZH": lambda c: f"{'-' if c.offset < 0 else '+'}{abs(c.offset) // 3600:02}",
    "TZM": lambda c: f"{abs(c.offset) // 60 % 60:02}",
} | {f"FF{n}": lambda c, n=n: f"{c.micro:06}000"[:n] for n in range(1, 10)}


def problem_for_format(pattern: str, kind: str) -> str | None:
    """Why no value of that type is written so; None where it is."""
    try:
        format_elements = elements(pattern)
    except ValueError as error:
        return str(error)
    for element in format_elements:
        if element.category and element.category not in _PARTS[kind]:
            return f"{kind} does not support {element.written}"
        if element.category and element.name not in _WRITTEN:
            return f"the format element {element.written} has no form on the embedded engine"
    return None


def formatted(pattern: str, local: int, instant: int) -> str:
    moment = civil(local, instant)
    return "".join(_cased(e, _WRITTEN[e.name](moment)) if e.category else e.literal for e in elements(pattern))


def _cased(element: Element, text: str) -> str:
    written = element.written
    if written[0].islower():
        return text.lower()
    if element.category == "half" or len(written) == 1 or not written[1].islower():
        return text.upper()
    return text


def problem_for_parse(pattern: str, kind: str) -> str | None:
    """Why no text is read so; None where it is."""
    try:
        format_elements = [e for e in elements(pattern) if e.category]
    except ValueError as error:
        return str(error)
    names = [e.name for e in format_elements]
    types = ["FF" if n.startswith("FF") else n for n in names]
    for element in format_elements:
        if element.name not in _PARSED:
            return f"Format element {element.written} is not supported for parsing"
        if element.category not in _PARTS[kind]:
            return f"Format element {element.written} is not allowed for output type {kind}"
    if len(set(types)) < len(types):
        return "a format element appears more than once"
    categories = [e.category for e in format_elements]
    if any(categories.count(c) > 1 for c in ("half", "year", "month", "day", "hour", "minute")):
        return "More than one format element in a category"
    if ("half" in categories) != bool({"HH", "HH12"} & set(names)):
        return "HH and HH12 need A.M. or P.M., and the other way round"
    if "SSSSS" in names and ({"hour", "minute"} & set(categories) or "SS" in names):
        return "SSSSS and other elements of the time cannot exist simultaneously"
    return None


def parsed(pattern: str, text: str, zone: str, now: int) -> int:
    """The instant that a text gives; parts that it lacks are today's. Raises `ValueError`."""
    format_elements = elements(pattern)
    digits_follow = [False] * len(format_elements)
    for at in range(len(format_elements) - 2, -1, -1):
        follower = format_elements[at + 1]
        if follower.category:
            digits_follow[at] = follower.name not in _NAMED
        elif follower.written == '""':
            digits_follow[at] = digits_follow[at + 1]
        else:
            digits_follow[at] = follower.written[0] == '"' and follower.literal[:1].isdigit()
    rules = zones.zone_of(zone)
    today = civil(rules.local(now), now)
    parts = {"year": today.year, "month": today.month, "day": 1, "hour": 0, "minute": 0, "second": 0, "micro": 0}
    twelve, afternoon, offset = 0, False, None
    place = _spaces(text, 0)
    at = 0
    while at < len(format_elements) and place < len(text):
        element = format_elements[at]
        name, exact = element.name, digits_follow[at]
        if name == " ":
            after = _spaces(text, place)
            if after == place:
                raise ValueError("Failed to parse input timestamp string")
            place = after
        elif not element.category:
            if not text.startswith(element.literal, place):
                raise ValueError("Failed to parse input timestamp string")
            place += len(element.literal)
        elif name in ("YYYY", "RRRR"):
            parts["year"], place = _number(text, place, (4, 4) if exact else (1, 5), 0, 10_000)
        elif name in ("YYY", "YY", "Y"):
            size = len(name)
            value, place = _number(text, place, (size if exact else 1, size), 0, 10**size - 1)
            parts["year"] += value - parts["year"] % 10**size
        elif name == "RR":
            value, place = _number(text, place, (2 if exact else 1, 2), 0, 99)
            century, short = divmod(parts["year"], 100)
            century += (value < 50 <= short) - (short < 50 <= value)
            parts["year"] = century * 100 + value
        elif name == "Y,YYY":
            thousands, place = _number(text, place, (1, 2), 0, 10)
            if not text.startswith(",", place):
                raise ValueError("Failed to parse input timestamp string")
            rest, place = _number(text, place + 1, (3, 3), 0, 999)
            parts["year"] = thousands * 1000 + rest
        elif name in ("MON", "MONTH"):
            names = [m[:3] if name == "MON" else m for m in MONTHS]
            parts["month"], place = _named(text, place, names)
        elif name in ("A.M.", "P.M."):
            half, place = _named(text, place, ["A.M.", "P.M."])
            afternoon = half == 2
        elif name in ("HH", "HH12"):
            twelve, place = _number(text, place, (2 if exact else 1, 2), 1, 12)
        elif name == "SSSSS":
            value, place = _number(text, place, (5 if exact else 1, 5), 0, 86_399)
            parts["hour"], parts["minute"], parts["second"] = value // 3600, value // 60 % 60, value % 60
        elif name == "TZH":
            if text[place] not in "+- ":
                raise ValueError("Failed to parse input timestamp string")
            sign = "-" if text[place] == "-" else "+"
            value, place = _number(text, place + 1, (2 if exact else 1, 2), 0, 14)
            offset = (sign, value, offset[2] if offset else 0)
        elif name == "TZM":
            value, place = _number(text, place, (2 if exact else 1, 2), 0, 59)
            offset = (offset[0], offset[1], value) if offset else ("+", 0, value)
        elif name.startswith("FF"):
            size = int(name[2])
            digits = re.compile(rf"[0-9]{{{size if exact else 1},{size}}}").match(text, place)
            if digits is None:
                raise ValueError("Failed to parse input timestamp string")
            parts["micro"], place = int(digits[0][:6].ljust(6, "0")), digits.end()
        else:
            part, least, most = {
                "MM": ("month", 1, 12), "DD": ("day", 1, 31), "HH24": ("hour", 0, 23), "MI": ("minute", 0, 59),
                "SS": ("second", 0, 59),
            }[name]  # fmt: skip
            parts[part], place = _number(text, place, (2 if exact else 1, 2), least, most)
        at += 1
    if _spaces(text, place) < len(text) or any(e.written != '""' for e in format_elements[at:]):
        raise ValueError("Failed to parse input timestamp string")
    if twelve:
        parts["hour"] = twelve % 12 + (12 if afternoon else 0)
    local = days_since_epoch(parts["year"], parts["month"], parts["day"]) * _DAY
    local += ((parts["hour"] * 60 + parts["minute"]) * 60 + parts["second"]) * _SECOND
    if offset is not None:
        rules = zones.zone_of("{}{:02}{:02}".format(*offset))
    return zones.in_range(rules.instant(local) + parts["micro"])


def _spaces(text: str, place: int) -> int:
    match = _WHITE.match(text, place)
    return match.end() if match else place


def _number(text: str, place: int, width: tuple[int, int], least: int, most: int) -> tuple[int, int]:
    match = re.compile(rf"-?[0-9]{{1,{width[1]}}}").match(text, place)
    digits = match[0][: width[1]] if match else ""
    if len(digits) < width[0] or digits in ("", "-") or digits.startswith("-") or not least <= int(digits) <= most:
        raise ValueError("Failed to parse input timestamp string")
    return int(digits), place + len(digits)


def _named(text: str, place: int, names: list[str]) -> tuple[int, int]:
    for number, name in enumerate(names, 1):
        if text[place : place + len(name)].lower() == name.lower():
            return number, place + len(name)
    raise ValueError("Failed to parse input timestamp string")


PYTHON_FUNCTIONS = (
    PythonFunction("cast_time_text", ("VARCHAR", "BIGINT", "BIGINT"), "VARCHAR", formatted),
    PythonFunction("cast_text_time", ("VARCHAR", "VARCHAR", "VARCHAR", "BIGINT"), "BIGINT", parsed),
)
