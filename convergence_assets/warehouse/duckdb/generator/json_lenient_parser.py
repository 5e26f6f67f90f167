"""Texts of JSON in STRINGs, read as BigQuery searches them: as far as they are JSON, with numbers as they are written.

https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions
"""

import json
import re
from typing import Any

DEEPEST = 1000
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BLANKS = " \t\n\v\f\r"
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


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


def refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


TEXT_DECODER = json.JSONDecoder(
    object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=refuse_constant, strict=False
)


def parsed_text(text: str) -> Any:
    """The tree of a text as far as it can be read; raises `ValueError` where nothing can."""
    if not SURROGATE.search(text):
        try:
            return TEXT_DECODER.decode(text)
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
            if len(stack) > DEEPEST:
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
