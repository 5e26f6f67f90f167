"""JSON as BigQuery prints it: parts of texts as they are written, and values of its type JSON.

A JSON value is kept as the text that BigQuery prints of it: members ordered by name and each once, no blanks.
"""

import json
import re
from decimal import Decimal
from typing import Any

from convergence_assets.warehouse.duckdb.generator import float_texts
from convergence_assets.warehouse.duckdb.generator.json_lenient_parser import Members, Number

LARGEST_DOUBLE_INTEGER = 1 << 53
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
NEEDS_ESCAPE = re.compile('[\\\\"\x00-\x1f\u2028\u2029]')


def printed_text(value: Any) -> str:
    """A part of a text without its blanks, its numbers as they are written."""
    if isinstance(value, Members):
        return "{" + ",".join(f"{escaped(name)}:{printed_text(of)}" for name, of in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(printed_text, value)) + "]"
    return scalar_text(value) if not isinstance(value, str) or isinstance(value, Number) else escaped(value)


def scalar_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def escaped(text: str) -> str:
    """A text in quotes, as TO_JSON_STRING writes it."""
    return f'"{NEEDS_ESCAPE.sub(_escape, text)}"' if NEEDS_ESCAPE.search(text) else f'"{text}"'


def _escape(match: re.Match[str]) -> str:
    return _ESCAPED.get(match[0]) or f"\\u{ord(match[0]):04x}"


def text_of(value: Any) -> str:
    """The text that BigQuery prints of a JSON value."""
    match value:
        case dict():
            return "{" + ",".join(f"{quoted(name)}:{text_of(value[name])}" for name in sorted(value)) + "}"
        case list():
            return "[" + ",".join(map(text_of, value)) + "]"
        case str():
            return quoted(value)
        case float():
            return float_texts.of_json(value)
    return scalar_text(value)


def quoted(text: str) -> str:
    """A text in quotes, as a JSON value prints it: without TO_JSON_STRING's escapes of the two separators."""
    return json.dumps(text, ensure_ascii=False)


def of_numeric(text: str, wide_as_text: bool) -> str:
    """The JSON number of a NUMERIC; in quotes where a FLOAT64 does not hold it and it is to be kept."""
    if "." not in text and -(1 << 63) <= int(text) < 1 << 64:
        return f'"{text}"' if wide_as_text and abs(int(text)) > LARGEST_DOUBLE_INTEGER else text
    printed = float_texts.of_json(float(text))
    return f'"{text}"' if wide_as_text and Decimal(printed) != Decimal(text) else printed


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\[\]{},:"]+', re.DOTALL)


def pretty(text: str) -> str:
    """A compact JSON text on lines of their own, as TO_JSON_STRING(value, true) prints it."""
    parts: list[str] = []
    depth = 0
    tokens = _TOKEN.findall(text)
    for before, token in zip(["", *tokens], tokens, strict=False):
        closes, opened = token in "]}", before in ("[", "{")
        depth -= closes
        if closes != opened or (opened and not closes) or before == ",":
            parts.append("" if not before else f"\n{'  ' * depth}")
        parts.append(": " if token == ":" else token)
        depth += token in "[{"
    return "".join(parts)


def of_interval(months: int, days: int, micros: int) -> str:
    """An INTERVAL as ISO 8601 has it, with a sign at each part."""
    years, months = _parts(months, 12)
    seconds, fraction = _parts(micros, 1_000_000)
    minutes, seconds = _parts(seconds, 60)
    hours, minutes = _parts(minutes, 60)
    date = "".join(f"{count}{unit}" for count, unit in ((years, "Y"), (months, "M"), (days, "D")) if count)
    clock = "".join(f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M")) if count)
    if seconds or fraction:
        sign = "-" if micros < 0 else ""
        decimals = f".{abs(fraction):06d}".rstrip("0") if fraction else ""
        clock += f"{sign}{abs(seconds)}{decimals}S"
    return f"P{date}T{clock}" if clock else f"P{date or '0Y'}"


def _parts(count: int, size: int) -> tuple[int, int]:
    whole, rest = divmod(abs(count), size)
    return (-whole, -rest) if count < 0 else (whole, rest)
