"""JSON as BigQuery reads and prints it: values of its type JSON, and texts in STRINGs that it searches as they are.

A JSON value is kept as the text that BigQuery prints of it: members ordered by name and each once, no blanks.
https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from convergence_assets.warehouse.duckdb import bignumeric
from convergence_assets.warehouse.duckdb.generator import shortest, text_functions

_DEEPEST = 1000
_LARGEST_DOUBLE_INTEGER = 1 << 53
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_NEEDS_ESCAPE = re.compile('[\\\\"\x00-\x1f\u2028\u2029]')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_FLOAT_TEXT = re.compile(
    r"(?i)\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?(?:inf|infinity|nan))\s*", re.A
)
_BLANKS = " \t\n\v\f\r"
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_NO_LIMIT = 1 << 62


class Number(str):
    """A number as it is written."""

    __slots__ = ()


class Members(list[Any]):
    """The (name, value) pairs of an object in their order, one name maybe often."""

    complete = True
    too_deep = False


class Elements(list[Any]):
    """The elements of an array; not complete where the text ends or breaks within."""

    complete = True
    too_deep = False


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_TEXT_DECODER = json.JSONDecoder(
    object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant, strict=False
)


# Paths


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


# Texts in STRINGs


def parsed_text(text: str) -> Any:
    """The tree of a text as far as it can be read; raises `ValueError` where nothing can."""
    if not _SURROGATE.search(text):
        try:
            return _TEXT_DECODER.decode(text)
        except (ValueError, RecursionError):
            pass
    return _Lenient(text).tree()


class TooDeep(Exception):
    """A text's arrays and objects lie deeper in one another than BigQuery reads."""


class _Lenient:
    """What BigQuery reads beside JSON: single quotes, absent elements, trailing commas; what comes before a mistake."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def tree(self) -> Any:
        root: list[Any] = []
        open_containers: list[Any] = []
        try:
            self._read(root, open_containers)
        except (ValueError, IndexError, TooDeep) as error:
            for container in open_containers:
                container.complete = False
                container.too_deep = isinstance(error, TooDeep)
        if not root:
            raise ValueError("no JSON")
        return root[0]

    def _read(self, root: list[Any], stack: list[Any]) -> None:
        names: list[str] = []

        def put(value: Any) -> None:
            if not stack:
                root.append(value)
            elif isinstance(stack[-1], Members):
                stack[-1].append((names[-1], value))
            else:
                stack[-1].append(value)

        def entered(container: Any, end: str) -> bool:
            """Whether there is a first entry; the container is closed where there is none."""
            put(container)
            stack.append(container)
            names.append("")
            if len(stack) > _DEEPEST:
                raise TooDeep
            if self._next() == end:
                self._at += 1
                stack.pop()
                names.pop()
                return False
            return True

        while True:
            # A value begins here.
            if stack and isinstance(stack[-1], Members):
                names[-1] = self._name()
            character = self._next()
            if character == "{":
                self._at += 1
                if entered(Members(), "}"):
                    continue
            elif character == "[":
                self._at += 1
                if entered(Elements(), "]"):
                    continue
            elif character in ("]", ","):
                put(None)
            else:
                put(self._scalar(character))
            # A value has ended: what comes after it?
            while stack:
                end = "}" if isinstance(stack[-1], Members) else "]"
                character = self._next()
                self._at += 1
                if character == "," and self._next() != end:
                    break
                if character == ",":
                    self._at += 1
                elif character != end:
                    raise ValueError("no comma")
                stack.pop()
                names.pop()
            if not stack:
                return

    def _next(self) -> str:
        while self._text[self._at] in _BLANKS:
            self._at += 1
        return self._text[self._at]

    def _name(self) -> str:
        quote = self._next()
        if quote not in "\"'":
            raise ValueError("no name")
        name = self._string(quote)
        if self._next() != ":":
            raise ValueError("no colon")
        self._at += 1
        return name

    def _scalar(self, first: str) -> Any:
        if first in "\"'":
            return self._string(first)
        for word, value in (("true", True), ("false", False), ("null", None)):
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        number = _NUMBER.match(self._text, self._at)
        if number is None:
            raise ValueError("no value")
        after = self._text[number.end() : number.end() + 1]
        if after in ("e", "E") or (after == "." and not re.search(r"[.eE]", number[0])):
            raise ValueError("a number breaks off")
        self._at = number.end()
        return Number(number[0])

    def _string(self, quote: str) -> str:
        text, at = self._text, self._at + 1
        parts = []
        while text[at] != quote:
            if text[at] != "\\":
                parts.append(text[at])
                at += 1
                continue
            kind = text[at + 1]
            if kind in "ux":
                width = 4 if kind == "u" else 2
                digits = text[at + 2 : at + 2 + width]
                if not re.fullmatch(rf"[0-9a-fA-F]{{{width}}}", digits):
                    raise ValueError("no escape")
                code = int(digits, 16)
                parts.append("\ufffd" if 0xD800 <= code < 0xE000 else chr(code))
                at += 2 + width
            elif kind in "01234567":
                octal = re.compile("[0-7]{1,3}").match(text, at + 1)
                assert octal is not None
                parts.append(chr(int(octal[0], 8)))
                at = octal.end()
            else:
                parts.append(_SHORT.get(kind, kind))
                at += 2
        self._at = at + 1
        return "".join(parts)


_NOTHING = object()


def first_match(tree: Any, path: Sequence[str], at: int = 0) -> Any:
    """The first value in the text's order that the path leads to, or `_NOTHING`."""
    if at == len(path):
        return tree
    if isinstance(tree, Members):
        for name, value in tree:
            if name == path[at]:
                result = first_match(value, path, at + 1)
                if result is not _NOTHING:
                    return result
    elif isinstance(tree, Elements | list):
        index = _index(path[at])
        if index is not None and index < len(tree):
            return first_match(tree[index], path, at + 1)
    return _NOTHING


def _index(step: str) -> int | None:
    digits = re.match(r"[0-9]+", step)
    return int(digits[0]) if digits else None


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
    return f'"{_NEEDS_ESCAPE.sub(_escape, text)}"' if _NEEDS_ESCAPE.search(text) else f'"{text}"'


def _escape(match: re.Match[str]) -> str:
    return _ESCAPED.get(match[0]) or f"\\u{ord(match[0]):04x}"


def _within_text(text: str, path: Sequence[str]) -> Any:
    """The first value that the path leads to; None for none, for null and for one that the text breaks off within."""
    try:
        tree = parsed_text(text)
    except ValueError:
        return None
    result = first_match(tree, path)
    if result is not _NOTHING and getattr(result, "complete", True):
        return result
    if getattr(tree, "too_deep", False):
        raise ValueError(f"JSON parsing failed: arrays and objects lie more than {_DEEPEST} deep")
    return None


def text_query(text: str, path: str, *, standard: bool) -> str | None:
    value = _within_text(text, steps(path, standard=standard))
    return None if value is None else printed_text(value)


def text_value(text: str, path: str, *, standard: bool) -> str | None:
    value = _within_text(text, steps(path, standard=standard))
    return None if value is None or isinstance(value, list) else scalar_text(value)


def text_query_array(text: str, path: str, *, standard: bool) -> list[str] | None:
    value = _within_text(text, steps(path, standard=standard))
    return [printed_text(v) for v in value] if isinstance(value, Elements | list) and not _is_object(value) else None


def text_value_array(text: str, path: str, *, standard: bool) -> list[str | None] | None:
    value = _within_text(text, steps(path, standard=standard))
    if not isinstance(value, list) or _is_object(value) or any(isinstance(v, list) for v in value):
        return None
    return [None if v is None else scalar_text(v) for v in value]


def _is_object(value: Any) -> bool:
    return isinstance(value, Members)


# Values of type JSON


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
    object_pairs_hook=_first_of_each, parse_int=_int, parse_float=_float, parse_constant=_refuse_constant
)


def _exact_float(text: str) -> float:
    value = _float(text)
    if len(text) > 1500 or Decimal(shortest.of_json(value)) != Decimal(text):
        raise ValueError(f"Input number: {text[:100]} cannot round-trip through string representation")
    return value


def _exact_int(text: str) -> int | float:
    if len(text) <= 20 and -(1 << 63) <= int(text) < 1 << 64:
        return int(text)
    return _exact_float(text)


_EXACT_DECODER = json.JSONDecoder(
    object_pairs_hook=_first_of_each, parse_int=_exact_int, parse_float=_exact_float, parse_constant=_refuse_constant
)


def value_of(text: str, decoder: json.JSONDecoder = _DECODER) -> Any:
    """A JSON value from its text; raises `ValueError` where it is none."""
    try:
        value = decoder.decode(text.removeprefix("\ufeff"))
        if _SURROGATE.search(text):
            printed_text(_TEXT_DECODER.decode(text.removeprefix("\ufeff"))).encode()
    except UnicodeEncodeError:
        raise ValueError("a surrogate of JSON's text has no partner") from None
    except RecursionError:
        raise ValueError("JSON is nested too deep") from None
    return value


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
            return shortest.of_json(value)
    return scalar_text(value)


def quoted(text: str) -> str:
    """A text in quotes, as a JSON value prints it: without TO_JSON_STRING's escapes of the two separators."""
    return json.dumps(text, ensure_ascii=False)


def of_numeric(text: str, wide_as_text: bool) -> str:
    """The JSON number of a NUMERIC; in quotes where a FLOAT64 does not hold it and it is to be kept."""
    if "." not in text and -(1 << 63) <= int(text) < 1 << 64:
        return f'"{text}"' if wide_as_text and abs(int(text)) > _LARGEST_DOUBLE_INTEGER else text
    printed = shortest.of_json(float(text))
    return f'"{text}"' if wide_as_text and Decimal(printed) != Decimal(text) else printed


def parsed(text: str, mode: str) -> str:
    """PARSE_JSON."""
    if mode not in ("exact", "round"):
        raise ValueError(f"Invalid `wide_number_mode` specified: {mode}")
    try:
        return text_of(value_of(text, _EXACT_DECODER if mode == "exact" else _DECODER))
    except ValueError as error:
        raise ValueError(f"Invalid input to PARSE_JSON: {error}") from None


def _part(value: Any, path: Sequence[str]) -> Any:
    for step in path:
        if isinstance(value, dict):
            if step not in value:
                return _NOTHING
            value = value[step]
        elif isinstance(value, list):
            if not re.fullmatch(r"[ \t\n\v\f\r]*\+?[0-9]+[ \t\n\v\f\r]*", step) or int(step) >= len(value):
                return _NOTHING
            value = value[int(step)]
        else:
            return _NOTHING
    return value


def query(text: str, path: str, *, standard: bool) -> str | None:
    part = _part(value_of(text), steps(path, standard=standard))
    return None if part is _NOTHING else text_of(part)


def scalar(text: str, path: str, *, standard: bool) -> str | None:
    return _scalar_text(_part(value_of(text), steps(path, standard=standard)))


def _scalar_text(part: Any) -> str | None:
    if part is None or part is _NOTHING or isinstance(part, dict | list):
        return None
    return part if isinstance(part, str) else text_of(part)


def query_array(text: str, path: str, *, standard: bool) -> list[str] | None:
    part = _part(value_of(text), steps(path, standard=standard))
    return list(map(text_of, part)) if isinstance(part, list) else None


def scalar_array(text: str, path: str, *, standard: bool) -> list[str | None] | None:
    part = _part(value_of(text), steps(path, standard=standard))
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


# SQL's values of JSON's


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
    if isinstance(value, int) and mode == "exact" and abs(value) > _LARGEST_DOUBLE_INTEGER:
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
                return text_functions.double_of_text(value)
            except ValueError:
                return None
    return None


def lax_string(value: Any) -> str | None:
    match value:
        case float():
            return shortest.round_trip(value)
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
            shown = escaped(name) if "." in name or _NEEDS_ESCAPE.search(name) else name
            longer = f"{path}.{shown}" if path else shown
            yield longer
            yield from _keys(of, longer, depth - 1, arrays, arrays)
    elif isinstance(value, list) and left:
        for element_value in value:
            yield from _keys(element_value, path, depth, arrays, left - 1)


def of_members(names: Sequence[str | None] | None, values: Sequence[str] | None) -> str:
    """JSON_OBJECT of names and JSON values; the first of a name counts."""
    if names is None or values is None:
        raise ValueError("Invalid input to JSON_OBJECT: the arrays of keys and of values cannot be NULL")
    members: dict[str, str] = {}
    for name, value in zip(names, values, strict=True):
        if name is None:
            raise ValueError("Invalid input to JSON_OBJECT: A key cannot be NULL")
        members.setdefault(name, value)
    return "{" + ",".join(f"{quoted(name)}:{members[name]}" for name in sorted(members)) + "}"


def without(text: str, paths: Sequence[str | None]) -> str:
    """JSON_REMOVE."""
    value = value_of(text)
    for path in paths:
        if path is None:
            continue
        *above, last = strict_steps(path) or (None,)
        if last is None:
            raise ValueError("The JSONPath cannot be '$'")
        parent = _strict_part(value, above)
        if isinstance(parent, dict) and isinstance(last, str):
            parent.pop(last, None)
        elif isinstance(parent, list) and isinstance(last, int) and last < len(parent):
            del parent[last]
    return text_of(value)


def _strict_part(value: Any, path: Sequence[Any]) -> Any:
    for step in path:
        if not _leads_on(value, step):
            return _NOTHING
        value = value[step]
    return value


def _leads_on(value: Any, step: Any) -> bool:
    """Whether a name is one of an object's, or an index one of an array's."""
    if isinstance(value, dict):
        return isinstance(step, str) and step in value
    return isinstance(value, list) and isinstance(step, int) and step < len(value)


_LARGEST_ARRAY = 1_000_000


def with_values(
    text: str | None, paths: Sequence[str | None], values: Sequence[str], create: bool | None
) -> str | None:
    """JSON_SET."""
    if text is None or create is None:
        return text
    root = [value_of(text)]
    for path, new in zip(paths, values, strict=True):
        if path is not None:
            _set(root, (0, *strict_steps(path)), value_of(new), create=create)
    return text_of(root[0])


def _set(root: list[Any], path: Sequence[Any], new: Any, *, create: bool) -> None:
    *above, last = path
    # Nothing is made where the path breaks at a value of another kind: look before.
    value: Any = root
    for at, step in enumerate(path):
        if value is None:
            if not create and at:
                return
            break
        if isinstance(step, int) and isinstance(value, list):
            if step >= _LARGEST_ARRAY:
                raise ValueError(f"Exceeded maximum array size of {_LARGEST_ARRAY}")
            if step >= len(value):
                if not create:
                    return
                break
        elif isinstance(step, str) and isinstance(value, dict):
            if step not in value:
                if not create:
                    return
                break
        else:
            return
        value = value[step]
    container: Any = root
    for step, after in zip(above, path[1:], strict=True):
        if isinstance(container, list) and step >= len(container):
            container += [None] * (step + 1 - len(container))
        inner = container.get(step) if isinstance(container, dict) else container[step]
        if inner is None:
            inner = {} if isinstance(after, str) else []
            container[step] = inner
        container = inner
    if isinstance(container, list) and last >= len(container):
        container += [None] * (last + 1 - len(container))
    container[last] = new


def appended(
    text: str | None, paths: Sequence[str | None], values: Sequence[str], arrays: Sequence[bool], each: bool | None
) -> str | None:
    """JSON_ARRAY_APPEND; `arrays`: which values come from an ARRAY, whose elements are appended if `each`."""
    if text is None or each is None:
        return text
    root = [value_of(text)]
    for steps, new, spread in _array_changes(paths, values, arrays, each):
        *above, last = steps
        parent = _strict_part(root, above)
        if not _leads_on(parent, last):
            continue
        if parent[last] is None:
            parent[last] = []
        if isinstance(parent[last], list):
            parent[last] += _elements(new, spread)
    return text_of(root[0])


def inserted(
    text: str | None, paths: Sequence[str | None], values: Sequence[str], arrays: Sequence[bool], each: bool | None
) -> str | None:
    """JSON_ARRAY_INSERT."""
    if text is None or each is None:
        return text
    root = [value_of(text)]
    for steps, new, spread in _array_changes(paths, values, arrays, each):
        *above, last = steps
        if not above or not isinstance(last, int):
            continue
        *higher, name = above
        parent = _strict_part(root, higher)
        if not _leads_on(parent, name):
            continue
        if parent[name] is None:
            parent[name] = []
        array = parent[name]
        if isinstance(array, list):
            if last >= _LARGEST_ARRAY:
                raise ValueError(f"Exceeded maximum array size of {_LARGEST_ARRAY}")
            elements = _elements(new, spread)
            if not elements and last >= len(array):
                # BigQuery makes the place before it sees that nothing comes there.
                last += 1
            array += [None] * (last - len(array))
            array[last:last] = elements
    return text_of(root[0])


def _array_changes(
    paths: Sequence[str | None], values: Sequence[str], arrays: Sequence[bool], each: bool
) -> Iterator[tuple[tuple[str | int, ...], str, bool]]:
    """Of each change the steps to its place, the new value, and whether that is put there element by element."""
    for path, new, is_array in zip(paths, values, arrays, strict=True):
        if path is not None and not (is_array and each and new == "null"):
            yield (0, *strict_steps(path)), new, is_array and each


def _elements(new: str, each: bool) -> list[Any]:
    value = value_of(new)
    return value if each and isinstance(value, list) else [value]


def stripped(text: str | None, path: str | None, arrays: bool | None, empty: bool | None) -> str | None:
    """JSON_STRIP_NULLS."""
    if text is None or path is None or arrays is None or empty is None:
        return text
    root = [value_of(text)]
    part = _strict_part(root, (0, *strict_steps(path)))
    if part is not _NOTHING:
        bare = _stripped(part, arrays=arrays, empty=empty)
        parent = _strict_part(root, (0, *strict_steps(path)[:-1])) if strict_steps(path) else root
        parent[strict_steps(path)[-1] if strict_steps(path) else 0] = None if bare is _NOTHING else bare
    return text_of(root[0])


def _stripped(value: Any, *, arrays: bool, empty: bool) -> Any:
    if isinstance(value, dict):
        members = {name: _stripped(of, arrays=arrays, empty=empty) for name, of in value.items()}
        members = {name: of for name, of in members.items() if of is not None and of is not _NOTHING}
        return members if members or not empty else _NOTHING
    if isinstance(value, list):
        elements = [_stripped(e, arrays=arrays, empty=empty) for e in value]
        if not arrays:
            return [{} if e is _NOTHING else e for e in elements]
        elements = [e for e in elements if e is not None and e is not _NOTHING]
        return elements if elements or not empty else _NOTHING
    return value


def flattened(text: str) -> list[str]:
    """JSON_FLATTEN: the elements of nested arrays."""
    return list(map(text_of, _flat(value_of(text))))


def _flat(value: Any) -> Iterator[Any]:
    if not isinstance(value, list):
        yield value
    else:
        for element_value in value:
            yield from _flat(element_value)


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
