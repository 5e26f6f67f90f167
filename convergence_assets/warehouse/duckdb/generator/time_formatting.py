"""Dates and times written by the elements of strftime: FORMAT_DATE, FORMAT_TIMESTAMP and so on.

https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements has the elements.
"""

import re
from collections.abc import Callable

from convergence_assets.warehouse.duckdb.generator.civil_time import DAYS, MONTHS, Civil, civil
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction


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
ELEMENT = re.compile(r"%(E\*S|E[0-9]+S|E4Y|[EO][A-Za-z]|.)", re.DOTALL)
# What a type has none of: FORMAT_... writes the element itself, PARSE_... refuses it.
FOREIGN = {
    "DATE": frozenset("cHIklMPpRrSsTXZz"), "TIME": frozenset("AaBbhCcDdeFGgjmQsUuVWwxYyZz"),
    "DATETIME": frozenset("Zz"), "TIMESTAMP": frozenset(),
}  # fmt: skip


def is_foreign(element: str, kind: str) -> bool:
    """Whether a type has no such part."""
    return element[-1] in FOREIGN[kind] and (len(element) == 1 or element[0] in "EO")


def elements(pattern: str) -> list[str]:
    """The elements of a pattern without their %."""
    return ELEMENT.findall(pattern)


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

    return ELEMENT.sub(written, pattern)


def _formatted(kind: str, pattern: str, local: int, instant: int) -> str:
    return formatted(pattern, civil(local, instant), kind)


PYTHON_FUNCTIONS = (PythonFunction("format_time", ("VARCHAR", "VARCHAR", "BIGINT", "BIGINT"), "VARCHAR", _formatted),)
