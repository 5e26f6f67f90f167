"""Values as people read them in a check: short, of plain types, and masked where their column is sensitive."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from convergence_assets.quality.expectations import EXAMPLES_KEPT, Scalar

MASK = "***"
EXAMPLE_LENGTH = 120
OBSERVED_LENGTH = 500
ERROR_LENGTH = 500


def example(value: object) -> str:
    """One value as a short string; every kind of missing value is `null`."""
    if isinstance(value, Decimal) and value.is_finite():
        return _digits(value)
    plain = scalar(value)
    if isinstance(plain, str):
        return shortened(plain, EXAMPLE_LENGTH)
    return "null" if plain is None else json.dumps(plain)


def row_example(values: Mapping[str, object], masked: Iterable[str]) -> str:
    """One row as `column=value` pairs, the values of the `masked` columns hidden."""
    hidden = set(masked)
    return ", ".join(f"{name}={MASK if name in hidden else example(value)}" for name, value in values.items())


def examples(shown: Iterable[str]) -> tuple[str, ...]:
    """The first distinct examples."""
    return tuple(dict.fromkeys(shown))[:EXAMPLES_KEPT]


def observed(value: object) -> Scalar:
    """An observed value as a scalar; a collection becomes JSON text, cut where it grows long."""
    if isinstance(value, Mapping):
        text = json.dumps({str(k): _jsonable(v) for k, v in value.items()}, ensure_ascii=False)
    elif isinstance(value, set | frozenset):
        text = _listed(sorted((scalar(v) for v in value), key=lambda v: (type(v).__name__, v)))
    elif isinstance(value, list | tuple):
        text = _listed(value)
    else:
        plain = scalar(value)
        return shortened(plain, OBSERVED_LENGTH) if isinstance(plain, str) else plain
    return shortened(text, OBSERVED_LENGTH)


def scalar(value: object) -> Scalar:
    """A value of any library's type as a plain one; NaN, NaT and NA are None; times are ISO text, at midnight dates;
    a decimal is a number where a double holds all of its digits, else text."""
    if value is None or isinstance(value, str | bool):
        return value
    if type(value).__name__ == "datetime64":
        import pandas as pd

        value = pd.Timestamp(value)  # type: ignore[arg-type]
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, datetime):
        naive_midnight = value.tzinfo is None and value.time() == time()
        return value.date().isoformat() if naive_midnight else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return _number(value)
    item = getattr(value, "item", None)
    if callable(item) and type(value).__module__.startswith("numpy"):
        value = item()
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            return str(value)
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return str(value)


def _number(value: Decimal) -> Scalar:
    """A number where one holds every digit, else the digits as text."""
    if not value.is_finite():
        return None if value.is_nan() else str(value)
    text = _digits(value)
    if "." not in text:
        return int(text)
    double = float(value)
    return double if Decimal(repr(double)) == value else text


def _digits(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shortened(text: str, length: int) -> str:
    """The text on one line, cut to `length` characters."""
    flat = " ".join(text.split()) if "\n" in text else text
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def _listed(values: Sequence[Any]) -> str:
    shown = [_jsonable(v) for v in values[:EXAMPLES_KEPT]]
    text = json.dumps(shown, ensure_ascii=False)
    return text if len(values) <= EXAMPLES_KEPT else f"{text[:-1]}, … {len(values) - EXAMPLES_KEPT} more]"


def _jsonable(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    return scalar(value)
