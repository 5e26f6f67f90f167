"""Values of type JSON, read from texts that are JSON and nothing else: PARSE_JSON."""

import json
from decimal import Decimal
from typing import Any

from convergence_assets.warehouse.duckdb.generator import float_texts
from convergence_assets.warehouse.duckdb.generator.json_lenient_parser import SURROGATE, TEXT_DECODER, refuse_constant
from convergence_assets.warehouse.duckdb.generator.json_printer import printed_text, text_of


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"number overflow parsing '{text[:100]}'")
    return value


def _int(text: str) -> int | float:
    if len(text) > 20:
        return _float(text)
    value = int(text)
    return value if -(1 << 63) <= value < 1 << 64 else _float(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_first_of_each, parse_int=_int, parse_float=_float, parse_constant=refuse_constant
)


def _exact_float(text: str) -> float:
    value = _float(text)
    if len(text) > 1500 or Decimal(float_texts.of_json(value)) != Decimal(text):
        raise ValueError(f"Input number: {text[:100]} cannot round-trip through string representation")
    return value


def _exact_int(text: str) -> int | float:
    if len(text) <= 20 and -(1 << 63) <= int(text) < 1 << 64:
        return int(text)
    return _exact_float(text)


_EXACT_DECODER = json.JSONDecoder(
    object_pairs_hook=_first_of_each, parse_int=_exact_int, parse_float=_exact_float, parse_constant=refuse_constant
)


def value_of(text: str, decoder: json.JSONDecoder = _DECODER) -> Any:
    """A JSON value from its text; raises `ValueError` where it is none."""
    try:
        value = decoder.decode(text.removeprefix("\ufeff"))
        if SURROGATE.search(text):
            printed_text(TEXT_DECODER.decode(text.removeprefix("\ufeff"))).encode()
    except UnicodeEncodeError:
        raise ValueError("a surrogate of JSON's text has no partner") from None
    except RecursionError:
        raise ValueError("JSON is nested too deep") from None
    return value


def parsed(text: str, mode: str) -> str:
    """PARSE_JSON."""
    if mode not in ("exact", "round"):
        raise ValueError(f"Invalid `wide_number_mode` specified: {mode}")
    try:
        return text_of(value_of(text, _EXACT_DECODER if mode == "exact" else _DECODER))
    except ValueError as error:
        raise ValueError(f"Invalid input to PARSE_JSON: {error}") from None
