"""JSONPaths, and where they lead to in a text's tree and in a JSON value."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from convergence_assets.warehouse.duckdb.generator.json_lenient_parser import Elements, Members

NOTHING = object()
"""What a path leads to that leads nowhere."""


@lru_cache(maxsize=256)
def steps(path: str, *, standard: bool) -> tuple[str, ...]:
    """The names and indices that a JSONPath goes along; `standard` has `."a b"` where the older one has `['a b']`."""
    import re2

    quote = '"' if standard else "'"
    inside = r"(?:[^\\%s]|\\%s|\\[^%s])*" % ((quote,) * 3)
    name = re2.compile(r"\.([\p{L}\p{N}\d_\-\:\s]+)")
    index = re2.compile(r"\[\s*([%s\p{N}\d_\-]+)\s*\]" % ("" if standard else r"\p{L}"))
    escaped = re2.compile(rf'\."({inside})"' if standard else rf"\[\s*'({inside})'\s*\]")
    if not path.startswith("$"):
        raise ValueError("JSONPath must start with '$'")
    result, rest = [], path[1:]
    if rest == "." and not standard:
        rest = ""
    while rest:
        for lexer in (name, index, escaped):
            match = lexer.match(rest)
            if match:
                token = match.group(1)
                result.append(token.replace(f"\\{quote}", quote) if lexer is escaped else token)
                rest = rest[match.end() :]
                break
        else:
            unsupported = re.search(r"\*|\.\.|@", rest)
            if rest == "." and not standard:
                break
            if unsupported:
                raise ValueError(f"Unsupported operator in JSONPath: {unsupported[0]}")
            raise ValueError(f"Invalid token in JSONPath at: {rest}")
    return tuple(result)


@lru_cache(maxsize=256)
def strict_steps(path: str) -> tuple[Any, ...]:
    """A path whose brackets are of arrays alone: names are texts, indices numbers."""
    import re2

    steps(path, standard=True)
    name = re2.compile(r"\.([\p{L}\p{N}\d_\-\:\s]+)")
    index = re2.compile(r"\[\s*([0-9]+)\s*\]")
    escaped = re2.compile(r'\."((?:[^\\"]|\\"|\\[^"])*)"')
    result: list[str | int] = []
    rest = path[1:]
    while rest:
        for lexer in (name, index, escaped):
            match = lexer.match(rest)
            if match:
                token = match.group(1)
                result.append(int(token) if lexer is index else token.replace('\\"', '"'))
                rest = rest[match.end() :]
                break
        else:
            raise ValueError(f"Invalid token in JSONPath at: {rest}")
    return tuple(result)


def first_match(tree: Any, path: Sequence[str], at: int = 0) -> Any:
    """The first value in the text's order that the path leads to, or `NOTHING`."""
    if at == len(path):
        return tree
    if isinstance(tree, Members):
        for name, value in tree:
            if name == path[at]:
                result = first_match(value, path, at + 1)
                if result is not NOTHING:
                    return result
    elif isinstance(tree, Elements | list):
        index = _index(path[at])
        if index is not None and index < len(tree):
            return first_match(tree[index], path, at + 1)
    return NOTHING


def _index(step: str) -> int | None:
    digits = re.match(r"[0-9]+", step)
    return int(digits[0]) if digits else None


def part(value: Any, path: Sequence[str]) -> Any:
    """What a path leads to in a JSON value, or `NOTHING`."""
    for step in path:
        if isinstance(value, dict):
            if step not in value:
                return NOTHING
            value = value[step]
        elif isinstance(value, list):
            if not re.fullmatch(r"[ \t\n\v\f\r]*\+?[0-9]+[ \t\n\v\f\r]*", step) or int(step) >= len(value):
                return NOTHING
            value = value[int(step)]
        else:
            return NOTHING
    return value


def strict_part(value: Any, path: Sequence[Any]) -> Any:
    """What a path of `strict_steps` leads to in a JSON value, or `NOTHING`."""
    for step in path:
        if not leads_on(value, step):
            return NOTHING
        value = value[step]
    return value


def leads_on(value: Any, step: Any) -> bool:
    """Whether a name is one of an object's, or an index one of an array's."""
    if isinstance(value, dict):
        return isinstance(step, str) and step in value
    return isinstance(value, list) and isinstance(step, int) and step < len(value)
