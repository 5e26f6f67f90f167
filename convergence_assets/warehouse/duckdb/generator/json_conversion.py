"""SQL's values of JSON's: INT64(json), LAX_STRING(json) and their like."""

import math
import re
from collections.abc import Callable
from typing import Any

from convergence_assets.warehouse.duckdb import bignumeric
from convergence_assets.warehouse.duckdb.generator import encodings, float_texts
from convergence_assets.warehouse.duckdb.generator.json_printer import LARGEST_DOUBLE_INTEGER, scalar_text
from convergence_assets.warehouse.duckdb.generator.json_strict_parser import value_of

_FLOAT_TEXT = re.compile(
    r"(?i)\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?(?:inf|infinity|nan))\s*", re.A
)


def to_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("The provided JSON input is not a boolean")
    return value


def to_string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("The provided JSON input is not a string")
    return value


def to_int64(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:
        raise ValueError("The provided JSON input is not an integer")
    return value


def to_float64(value: Any, mode: str = "round") -> float:
    if mode not in ("exact", "round"):
        raise ValueError(f"Invalid `wide_number_mode` specified: {mode}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("The provided JSON input is not a number")
    if isinstance(value, int) and mode == "exact" and abs(value) > LARGEST_DOUBLE_INTEGER:
        raise ValueError(f"JSON number: {value} cannot be converted to FLOAT64 without loss of precision")
    return float(value)


def lax_bool(value: Any) -> bool | None:
    match value:
        case bool():
            return value
        case int() | float():
            return value != 0
        case str():
            return {"true": True, "false": False}.get(value.lower())
    return None


def lax_int64(value: Any) -> int | None:
    match value:
        case int():
            return int(value) if -(1 << 63) <= value < 1 << 63 else None
        case float():
            fraction, whole_float = math.modf(value)
            whole = int(whole_float) + (0 if abs(fraction) < 0.5 else -1 if value < 0 else 1)
            return whole if -(1 << 63) <= whole < 1 << 63 else None
        case str():
            try:
                return bignumeric.int64_of_text(value)
            except (ArithmeticError, ValueError):
                return None
    return None


def lax_float64(value: Any) -> str | None:
    """As a text, of NaN too."""
    match value:
        case bool():
            return None
        case int() | float():
            return repr(float(value))
        case str():
            number = _FLOAT_TEXT.fullmatch(value)
            if number:
                return repr(float(number[1]))
            try:
                return encodings.double_of_text(value)
            except ValueError:
                return None
    return None


def lax_string(value: Any) -> str | None:
    match value:
        case float():
            return float_texts.round_trip(value)
        case None | dict() | list():
            return None
        case str():
            return value
    return scalar_text(value)


def of_array(convert: Callable[[Any], Any], kind: str) -> Callable[[str], list[Any]]:
    def converted(text: str) -> list[Any]:
        value = value_of(text)
        if not isinstance(value, list):
            raise ValueError(f"The provided JSON input is not an array of {kind}")
        return [convert(e) for e in value]

    return converted


def lax_of_array(convert: Callable[[Any], Any]) -> Callable[[str], list[Any] | None]:
    def converted(text: str) -> list[Any] | None:
        value = value_of(text)
        return [convert(e) for e in value] if isinstance(value, list) else None

    return converted
