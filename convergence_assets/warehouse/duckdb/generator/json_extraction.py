"""What JSON_QUERY, JSON_VALUE, JSON_KEYS and their like take out of texts and JSON values."""

from collections.abc import Iterator, Sequence
from typing import Any

from convergence_assets.warehouse.duckdb.generator import json_paths
from convergence_assets.warehouse.duckdb.generator.json_lenient_parser import DEEPEST, Elements, Members, parsed_text
from convergence_assets.warehouse.duckdb.generator.json_printer import (
    NEEDS_ESCAPE,
    escaped,
    printed_text,
    scalar_text,
    text_of,
)
from convergence_assets.warehouse.duckdb.generator.json_strict_parser import value_of

_NO_LIMIT = 1 << 62


def _within_text(text: str, path: Sequence[str]) -> Any:
    """The first value that the path leads to; None for none, for null and for one that the text breaks off within."""
    try:
        tree = parsed_text(text)
    except ValueError:
        return None
    result = json_paths.first_match(tree, path)
    if result is not json_paths.NOTHING and getattr(result, "complete", True):
        return result
    if getattr(tree, "too_deep", False):
        raise ValueError(f"JSON parsing failed: arrays and objects lie more than {DEEPEST} deep")
    return None


def text_query(text: str, path: str, *, standard: bool) -> str | None:
    value = _within_text(text, json_paths.steps(path, standard=standard))
    return None if value is None else printed_text(value)


def text_value(text: str, path: str, *, standard: bool) -> str | None:
    value = _within_text(text, json_paths.steps(path, standard=standard))
    return None if value is None or isinstance(value, list) else scalar_text(value)


def text_query_array(text: str, path: str, *, standard: bool) -> list[str] | None:
    value = _within_text(text, json_paths.steps(path, standard=standard))
    return [printed_text(v) for v in value] if isinstance(value, Elements | list) and not _is_object(value) else None


def text_value_array(text: str, path: str, *, standard: bool) -> list[str | None] | None:
    value = _within_text(text, json_paths.steps(path, standard=standard))
    if not isinstance(value, list) or _is_object(value) or any(isinstance(v, list) for v in value):
        return None
    return [None if v is None else scalar_text(v) for v in value]


def _is_object(value: Any) -> bool:
    return isinstance(value, Members)


def query(text: str, path: str, *, standard: bool) -> str | None:
    part = json_paths.part(value_of(text), json_paths.steps(path, standard=standard))
    return None if part is json_paths.NOTHING else text_of(part)


def scalar(text: str, path: str, *, standard: bool) -> str | None:
    return _scalar_text(json_paths.part(value_of(text), json_paths.steps(path, standard=standard)))


def _scalar_text(part: Any) -> str | None:
    if part is None or part is json_paths.NOTHING or isinstance(part, dict | list):
        return None
    return part if isinstance(part, str) else text_of(part)


def query_array(text: str, path: str, *, standard: bool) -> list[str] | None:
    part = json_paths.part(value_of(text), json_paths.steps(path, standard=standard))
    return list(map(text_of, part)) if isinstance(part, list) else None


def scalar_array(text: str, path: str, *, standard: bool) -> list[str | None] | None:
    part = json_paths.part(value_of(text), json_paths.steps(path, standard=standard))
    if not isinstance(part, list) or any(isinstance(e, dict | list) for e in part):
        return None
    return [_scalar_text(e) for e in part]


def member(text: str, name: str) -> str | None:
    value = value_of(text)
    return text_of(value[name]) if isinstance(value, dict) and name in value else None


def element(text: str, at: int) -> str | None:
    value = value_of(text)
    return text_of(value[at]) if isinstance(value, list) and 0 <= at < len(value) else None


def type_name(text: str) -> str:
    match value_of(text):
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def keys(text: str | None, depth: int | None, mode: str | None) -> list[str] | None:
    """JSON_KEYS in mode strict, lax or lax recursive."""
    if text is None or mode is None:
        return None
    modes = {"strict": 0, "lax": 1, "lax recursive": _NO_LIMIT}
    if mode.lower() not in modes:
        raise ValueError(f"Invalid JSON mode specified: {mode}")
    depth = _NO_LIMIT if depth is None else depth
    if depth <= 0:
        raise ValueError("max_depth must be positive")
    paths: set[str] = set()
    for path in _keys(value_of(text), "", depth, modes[mode.lower()], modes[mode.lower()]):
        paths.add(path)
    return sorted(paths)


def _keys(value: Any, path: str, depth: int, arrays: int, left: int) -> Iterator[str]:
    if isinstance(value, dict) and depth:
        for name, of in value.items():
            shown = escaped(name) if "." in name or NEEDS_ESCAPE.search(name) else name
            longer = f"{path}.{shown}" if path else shown
            yield longer
            yield from _keys(of, longer, depth - 1, arrays, arrays)
    elif isinstance(value, list) and left:
        for element_value in value:
            yield from _keys(element_value, path, depth, arrays, left - 1)


def flattened(text: str) -> list[str]:
    """JSON_FLATTEN: the elements of nested arrays."""
    return list(map(text_of, _flat(value_of(text))))


def _flat(value: Any) -> Iterator[Any]:
    if not isinstance(value, list):
        yield value
    else:
        for element_value in value:
            yield from _flat(element_value)
