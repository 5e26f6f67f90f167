"""Regular expressions and LIKE, of RE2 as BigQuery's are.

https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from convergence_assets.warehouse.duckdb.generator.string_functions_in_python import LARGEST_OUTPUT, T, bytes_of


@lru_cache(maxsize=256)
def _compiled(pattern: bytes, latin: bool) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1 if latin else re2.Options.Encoding.UTF8
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        words = error.args[0] if error.args else error
        words = words.decode() if isinstance(words, bytes) else words
        raise ValueError(f"Cannot parse regular expression: {words}") from None


def compiled(pattern: str | bytes) -> Any:
    """A regular expression over UTF-8's bytes; raises `ValueError` with RE2's words."""
    if isinstance(pattern, str):
        return _compiled(pattern.encode(), False)
    return _compiled(pattern, True)


def _like(value: bytes, example: T) -> T:
    return value.decode() if isinstance(example, str) else value


def _character(value: str | bytes, raw: bytes, at: int) -> int:
    """How many bytes the character at a place has."""
    if isinstance(value, bytes):
        return 1
    first = raw[at]
    return 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4


def matches(value: T, pattern: T) -> bool:
    """REGEXP_CONTAINS."""
    return compiled(pattern).search(bytes_of(value)) is not None


def _extracted(value: T, pattern: T) -> Iterator[tuple[int, int, int]]:
    """Where each match, or the one group in it, begins and ends in bytes (-1 for a group that took no part), and where
    the next is looked for."""
    raw = bytes_of(value)
    expression: Any = compiled(pattern)
    if expression.groups > 1:
        raise ValueError(
            "Regular expressions passed into extraction functions must not have more than 1 capturing group"
        )
    at = 0
    while True:
        match: Any = expression.search(raw, at)
        if match is None:
            return
        at = match.end()
        if match.start() == match.end() and at < len(raw):
            at += _character(value, raw, at)
        yield (*match.span(expression.groups), at)
        if at >= len(raw):
            return


def _checked_place(position: int, occurrence: int) -> None:
    if position < 1 or occurrence < 1:
        raise ValueError("position and occurrence must be positive")


def _is_beyond(value: str | bytes, position: int) -> bool:
    """BigQuery counts bytes here: a position behind a text of longer characters may still be within."""
    return position > len(bytes_of(value))


def extract(value: T, pattern: T, position: int, occurrence: int) -> T | None:
    """REGEXP_EXTRACT."""
    _checked_place(position, occurrence)
    expression = compiled(pattern)
    if _is_beyond(value, position) and (value or position > 1):
        return None
    rest = value[position - 1 :]
    for count, (start, end, _) in enumerate(_extracted(rest, pattern), 1):
        if count == occurrence:
            return None if start < 0 else _like(bytes_of(rest)[start:end], value)
    if expression.groups > 1:
        raise ValueError(
            "Regular expressions passed into extraction functions must not have more than 1 capturing group"
        )
    return None


def extract_all(value: T, pattern: T) -> list[T]:
    """REGEXP_EXTRACT_ALL; a group that takes no part gives an empty text."""
    raw = bytes_of(value)
    return [_like(raw[max(start, 0) : max(end, 0)], value) for start, end, _ in _extracted(value, pattern)]


def instr(value: T, pattern: T, position: int, occurrence: int, after: int) -> int:
    """REGEXP_INSTR: where a match begins, or where it has ended if `after` is 1."""
    if after not in (0, 1):
        raise ValueError("Invalid return_position_after_match.")
    _checked_place(position, occurrence)
    if compiled(pattern).groups > 1:
        raise ValueError(
            "Regular expressions passed into extraction functions must not have more than 1 capturing group"
        )
    if _is_beyond(value, position) or not pattern:
        return 0
    rest = value[position - 1 :]
    for count, (start, end, following) in enumerate(_extracted(rest, pattern), 1):
        if count == occurrence:
            if start < 0:
                return 0
            # Without a group BigQuery counts from where it goes on, which for an empty match is a character later.
            if not compiled(pattern).groups:
                start, end = following - (end - start), following
            return position + len(_like(bytes_of(rest)[: end if after else start], value))
    return 0


def replaced(value: T, pattern: T, replacement: T) -> T:
    """REGEXP_REPLACE."""
    expression, raw, parts = compiled(pattern), bytes_of(value), checked_replacement(pattern, replacement)
    pieces, at, last = [], 0, -1
    while at <= len(raw):
        match = expression.search(raw, at)
        if match is None:
            pieces.append(raw[at:])
            break
        start, end = match.span()
        pieces.append(raw[at:start])
        at = start
        if start != end or start != last:
            pieces += [p if isinstance(p, bytes) else (match.group(p) or b"") for p in parts]
        if start != end:
            at = end
        elif at < len(raw):
            width = _character(value, raw, at)
            pieces.append(raw[at : at + width])
            at += width
        else:
            break
        last = end
    result = b"".join(pieces)
    if len(result) > LARGEST_OUTPUT:
        raise ValueError("REGEXP_REPLACE: exceeded maximum output length")
    return _like(result, value)


def checked_replacement(pattern: str | bytes, replacement: str | bytes) -> list[bytes | int]:
    """Literal parts and numbers of groups; raises `ValueError` for one that the pattern does not have."""
    parts, groups = _replacement(replacement), compiled(pattern).groups
    if any(isinstance(p, int) and p > groups for p in parts):
        raise ValueError(f"Invalid REGEXP_REPLACE pattern: there are {groups} groups")
    return parts


def _replacement(text: str | bytes) -> list[bytes | int]:
    """Literal parts and numbers of groups."""
    raw = bytes_of(text)
    parts: list[bytes | int] = []
    for plain, escaped in re.findall(rb"([^\\]+)|\\(.?)", raw, re.DOTALL):
        if plain:
            parts.append(plain)
        elif escaped == b"\\":
            parts.append(b"\\")
        elif escaped.isdigit():
            parts.append(int(escaped))
        else:
            raise ValueError("Invalid REGEXP_REPLACE pattern: a backslash is followed by a digit or a backslash")
    return parts


@lru_cache(maxsize=256)
def _like_pattern(pattern: str | bytes) -> Any:
    raw = bytes_of(pattern)
    parts = []
    for escaped, wild, plain in re.findall(rb"\\(.?[\x80-\xbf]*)|([%_])|([^\\%_]+)", raw, re.DOTALL):
        if wild:
            parts.append(b".*" if wild == b"%" else b".")
        elif escaped or plain:
            parts.append(_quoted(escaped or plain))
        else:
            raise ValueError("LIKE pattern ends with a backslash")
    return _compiled(b"(?s)\\A" + b"".join(parts) + b"\\z", isinstance(pattern, bytes))


def _quoted(raw: bytes) -> bytes:
    return b"".join(bytes((b,)) if b >= 0x80 or bytes((b,)).isalnum() else b"\\x%02x" % b for b in raw)


def is_like(value: T, pattern: T) -> bool:
    """LIKE."""
    return _like_pattern(pattern).search(bytes_of(value)) is not None


def is_like_of(value: T | None, patterns: Sequence[T | None] | None, word: str, negated: bool) -> bool | None:
    """LIKE ANY and LIKE ALL over an ARRAY; `negated` for NOT LIKE."""
    decides = word == "any"
    unknown = False
    for pattern in patterns or ():
        if value is None or pattern is None:
            unknown = True
        elif (is_like(value, pattern) is not negated) is decides:
            return decides
    return None if unknown else not decides
