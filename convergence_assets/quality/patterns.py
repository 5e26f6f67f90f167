"""Regular expressions of Python as RE2's, where both find the same in every text."""

import re

# Nothing is known of these two; whether mypy says so depends on what else it reads in the same run (Hypothesis).
from re import _constants as op  # type: ignore[attr-defined,unused-ignore]
from re import _parser  # type: ignore[attr-defined,unused-ignore]
from typing import Any

_LONGEST_REPEAT = 1000
"""RE2's own limit of a counted repetition."""


class _Differs(ValueError):
    pass


def as_re2(pattern: str) -> str | None:
    """The pattern for RE2's unanchored search, or None where RE2 lacks something of it or reads it otherwise.

    Python's `$` also stands before a last line break, and its `\\d` for every script's digits.
    """
    try:
        parsed = _parser.parse(pattern)
        if parsed.state.flags != re.UNICODE.value:
            return None
        return _sequence(parsed, last=True)
    except (_Differs, re.error, OverflowError, RecursionError):
        return None


def _sequence(items: Any, last: bool) -> str:
    parts = list(items)
    return "".join(_item(one, last and position == len(parts) - 1) for position, one in enumerate(parts))


def _item(item: tuple[Any, Any], last: bool) -> str:
    kind, value = item
    if kind is op.LITERAL:
        return _character(value)
    if kind is op.NOT_LITERAL:
        return f"[^{_character(value)}]"
    if kind is op.ANY:
        return r"[^\n]"
    if kind is op.IN:
        return _class(value)
    if kind is op.AT:
        return _position(value, last)
    if kind is op.BRANCH:
        return f"(?:{'|'.join(_sequence(branch, last) for branch in value[1])})"
    if kind is op.SUBPATTERN and not value[1] and not value[2]:
        return f"(?:{_sequence(value[3], last)})"
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        least, most, repeated = value
        if least > _LONGEST_REPEAT or (most is not op.MAXREPEAT and most > _LONGEST_REPEAT):
            raise _Differs
        upper = "" if most is op.MAXREPEAT else str(most)
        return f"(?:{_sequence(repeated, last=False)}){{{least},{upper}}}"
    raise _Differs


def _class(members: Any) -> str:
    parts = []
    for kind, value in members:
        if kind is op.NEGATE:
            parts.append("^")
        elif kind is op.LITERAL:
            parts.append(_character(value))
        elif kind is op.RANGE:
            parts.append(f"{_character(value[0])}-{_character(value[1])}")
        elif kind is op.CATEGORY and value is op.CATEGORY_DIGIT:
            parts.append(r"\p{Nd}")
        else:
            raise _Differs
    return f"[{''.join(parts)}]"


def _position(value: Any, last: bool) -> str:
    if value in (op.AT_BEGINNING, op.AT_BEGINNING_STRING):
        return r"\A"
    if value is op.AT_END_STRING:
        return r"\z"
    if value is op.AT_END and last:
        return r"\n?\z"
    raise _Differs


def _character(code: int) -> str:
    character = chr(code)
    if character.isascii() and character.isalnum():
        return character
    return rf"\x{{{code:x}}}"
