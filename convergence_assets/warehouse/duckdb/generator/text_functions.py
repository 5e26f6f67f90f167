"""Functions of STRING and BYTES in Python, as BigQuery has them.

https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions
"""

import base64
import codecs
import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from convergence_assets.warehouse.duckdb.functions import SPACES
from convergence_assets.warehouse.duckdb.generator.refusing import refusal

T = TypeVar("T", str, bytes)

_LARGEST = 1 << 20
_INT64_BITS = (1 << 64) - 1


# Regular expressions and LIKE


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


def _raw(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


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
    return compiled(pattern).search(_raw(value)) is not None


def _extracted(value: T, pattern: T) -> Iterator[tuple[int, int, int]]:
    """Where each match, or the one group in it, begins and ends in bytes (-1 for a group that took no part), and where
    the next is looked for."""
    raw = _raw(value)
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
    return position > len(_raw(value))


def extract(value: T, pattern: T, position: int, occurrence: int) -> T | None:
    """REGEXP_EXTRACT."""
    _checked_place(position, occurrence)
    expression = compiled(pattern)
    if _is_beyond(value, position) and (value or position > 1):
        return None
    rest = value[position - 1 :]
    for count, (start, end, _) in enumerate(_extracted(rest, pattern), 1):
        if count == occurrence:
            return None if start < 0 else _like(_raw(rest)[start:end], value)
    if expression.groups > 1:
        raise ValueError(
            "Regular expressions passed into extraction functions must not have more than 1 capturing group"
        )
    return None


def extract_all(value: T, pattern: T) -> list[T]:
    """REGEXP_EXTRACT_ALL; a group that takes no part gives an empty text."""
    raw = _raw(value)
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
            return position + len(_like(_raw(rest)[: end if after else start], value))
    return 0


def replaced(value: T, pattern: T, replacement: T) -> T:
    """REGEXP_REPLACE."""
    expression, raw, parts = compiled(pattern), _raw(value), checked_replacement(pattern, replacement)
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
    if len(result) > _LARGEST:
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
    raw = _raw(text)
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
    raw = _raw(pattern)
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
    return _like_pattern(pattern).search(_raw(value)) is not None


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


# Parts and places


def _checked_size(size: int, name: str) -> None:
    if size > _LARGEST:
        raise ValueError(f"Output of {name} exceeds max allowed output size of 1MB")


def repeated(value: T, count: int) -> T:
    if count < 0:
        raise ValueError("Second argument in REPEAT() must be non-negative")
    _checked_size(len(_raw(value)) * count, "REPEAT")
    return value * count


def padded_left(value: T, length: int, pattern: T) -> T:
    return _padding(value, length, pattern) + value[:length]


def padded_right(value: T, length: int, pattern: T) -> T:
    return value[:length] + _padding(value, length, pattern)


def _padding(value: T, length: int, pattern: T) -> T:
    if length < 0:
        raise ValueError("Second argument (output size) for LPAD/RPAD cannot be negative")
    if not pattern:
        raise ValueError("Third argument (pad pattern) for LPAD/RPAD cannot be empty")
    _checked_size(length, "LPAD/RPAD")
    missing = max(length - len(value), 0)
    padding = (pattern * (missing // len(pattern) + 1))[:missing]
    _checked_size(len(_raw(value[:length])) + len(_raw(padding)), "LPAD/RPAD")
    return padding


def part(value: T, position: int, length: int) -> T:
    """SUBSTR."""
    if length < 0:
        raise ValueError("Third argument in SUBSTR() cannot be negative")
    start = max(position - 1, 0) if position >= 0 else max(len(value) + position, 0)
    return value[start : start + length]


def left(value: T, length: int) -> T:
    if length < 0:
        raise ValueError("Second argument in LEFT() cannot be negative")
    return value[:length]


def right(value: T, length: int) -> T:
    if length < 0:
        raise ValueError("Second argument in RIGHT() cannot be negative")
    return value[max(len(value) - length, 0) :]


def place(value: T, part_of: T, position: int, occurrence: int) -> int:
    """INSTR."""
    if position == 0 or occurrence < 1:
        raise ValueError("Position must not be 0 and occurrence must be positive")
    index = -1
    if position > 0:
        at = position - 1
        for _ in range(occurrence):
            index = value.find(part_of, at)
            if index < 0:
                return 0
            at = index + 1
        return index + 1
    # Where the last match may end: an empty one behind the character that `position` counts to.
    end = len(value) + position + max(len(part_of), 1)
    if len(value) + position + (not part_of) < 0:
        return 0
    for _ in range(occurrence):
        index = value.rfind(part_of, 0, end) if end >= 0 else -1
        if index < 0:
            return 0
        end = index - 1 + len(part_of)
    return index + 1


def replaced_all(value: T, old: T, new: T) -> T:
    """REPLACE."""
    if not old:
        return value
    result = value.replace(old, new)
    _checked_size(len(_raw(result)), "REPLACE")
    return result


def split(value: T, delimiter: T) -> list[T]:
    if not value:
        return [value]
    if not delimiter:
        return [value[at : at + 1] for at in range(len(value))]
    return value.split(delimiter)


def translated(value: T, source: T, target: T) -> T:
    """TRANSLATE."""
    table: dict[Any, Any] = {}
    for at, character in enumerate(source):
        if character in table:
            raise ValueError("Duplicate character in TRANSLATE source characters")
        table[character] = target[at : at + 1]
    characters = [table.get(character, value[at : at + 1]) for at, character in enumerate(value)]
    result = value[:0].join(characters)
    _checked_size(len(_raw(result)), "TRANSLATE")
    return result


_DELIMITERS = SPACES + '[](){}/|\\<>!?@"^#$&~_,.:;*%+-'


def capitalised(value: str, delimiters: str = _DELIMITERS) -> str:
    """INITCAP, which maps each character to one character."""
    characters, begins = [], True
    for each in value:
        if each in delimiters:
            characters.append(each)
        else:
            characters.append(_capital(each) if begins else "i" if each == "İ" else each.lower())
        begins = each in delimiters
    return "".join(characters)


def _capital(each: str) -> str:
    return next((of for of in (each.upper(), each.title()) if len(of) == 1), each)


_CODES = dict(zip("BFPVCGJKQSXZDTLMNR", "111122222222334556", strict=True))


def soundex(value: str) -> str:
    """SOUNDEX, to which a vowel does not part two letters of one code."""
    letters = [c for c in value if c.isascii() and c.isalpha()]
    if not letters:
        return ""
    result, last = letters[0], _CODES.get(letters[0].upper(), "")
    for letter in letters[1:]:
        code = _CODES.get(letter.upper(), last)
        if code != last:
            result += code
        last = code
    return f"{result[:4]:0<4}"


def edit_distance_within(one: T | None, other: T | None, largest: int | None) -> int | None:
    """EDIT_DISTANCE; `largest` None for no limit."""
    if one is None or other is None:
        return None
    row = list(range(len(other) + 1))
    for at, each in enumerate(one, 1):
        above, row[0] = row[0], at
        for to, against in enumerate(other, 1):
            above, row[to] = row[to], min(above + (each != against), row[to] + 1, row[to - 1] + 1)
    return row[-1] if largest is None else min(row[-1], largest)


# Characters and encodings

# Each byte that is part of no character becomes one U+FFFD; Python's own handler makes one of several.
codecs.register_error("convergence_each_byte", lambda error: ("\ufffd", error.start + 1))  # type: ignore[attr-defined]


def text_of_codes(codes: Sequence[int | None]) -> str | None:
    if None in codes:
        return None
    for code in codes:
        assert code is not None
        if not 0 <= code <= 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ValueError(f"Invalid codepoint {code}")
    return "".join(chr(code) for code in codes if code is not None)


def bytes_of_codes(codes: Sequence[int | None]) -> bytes | None:
    if None in codes:
        return None
    for code in codes:
        assert code is not None
        if not 0 <= code <= 0xFF:
            raise ValueError(f"Invalid extended ASCII code point {code}")
    return bytes(code for code in codes if code is not None)


def character(code: int) -> str:
    """CHR."""
    return text_of_codes([code]) or ""


def codes_of(value: str | bytes) -> list[int]:
    return list(value) if isinstance(value, bytes) else list(map(ord, value))


def normalised(value: str, form: str) -> str:
    return unicodedata.normalize(form, value)  # type: ignore[arg-type]


def normalised_and_folded(value: str, form: str) -> str:
    folded = unicodedata.normalize(form, value).casefold()  # type: ignore[arg-type]
    return unicodedata.normalize(form, folded)  # type: ignore[arg-type]


def text_of_bytes(value: bytes) -> str:
    """SAFE_CONVERT_BYTES_TO_STRING."""
    return value.decode(errors="convergence_each_byte")


def strict_text(value: bytes) -> str:
    """CAST of BYTES AS STRING."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError("Invalid cast of bytes to UTF8 string") from None


_HEXADECIMAL = re.compile(r"\s*[+-]?0[xX][0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?(?:[pP][+-]?[0-9]+)?\s*", re.A)


def int64_of_hex(value: str) -> str:
    """A hexadecimal number in decimal digits; a text that no cast takes for what is none."""
    match = re.fullmatch(r" *([+-]?)0[xX]([0-9a-fA-F]+)\s*", value, re.ASCII)
    return f"{match[1]}{int(match[2], 16)}" if match else refusal(f"not a text of INT64: {value}")


def double_of_text(value: str) -> str:
    """What CAST AS FLOAT64 reads beside decimal numbers."""
    if not _HEXADECIMAL.fullmatch(value):
        raise ValueError(f"Bad double value: {value[:100]}")
    return repr(float.fromhex(value.strip()))


def to_base32(value: bytes) -> str:
    return base64.b32encode(value).decode()


def from_base32(value: str) -> bytes:
    try:
        return base64.b32decode(value.encode())
    except ValueError:
        raise ValueError("Failed to decode invalid base32 string") from None


def from_base64(value: str) -> bytes:
    plain = re.sub(r"[ \t\n\v\f\r]", "", value)
    bare = plain.rstrip("=")
    if (
        not re.fullmatch(r"[A-Za-z0-9+/]*", bare)
        or len(bare) % 4 == 1
        or (len(plain) != len(bare) and len(plain) % 4)
        or len(plain) - len(bare) > 2
    ):
        raise ValueError("Failed to decode invalid base64 string")
    return base64.b64decode(bare + "=" * (-len(bare) % 4))


def sha512(value: str | bytes) -> bytes:
    return hashlib.sha512(_raw(value)).digest()


# FarmHash's Fingerprint64: https://github.com/google/farmhash


_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _rotated(value: int, by: int) -> int:
    value &= _INT64_BITS
    return (value >> by | value << (64 - by)) & _INT64_BITS


def _mixed(value: int) -> int:
    value &= _INT64_BITS
    return value ^ value >> 47


def _joined(one: int, other: int, by: int) -> int:
    a = _mixed((one ^ other) * by)
    return _mixed((other ^ a) * by) * by & _INT64_BITS


def fingerprint(value: str | bytes) -> int:
    """FARM_FINGERPRINT."""
    unsigned = _fingerprint(_raw(value)) & _INT64_BITS
    return unsigned - (1 << 64) if unsigned >> 63 else unsigned


def _fingerprint(raw: bytes) -> int:
    size = len(raw)

    def word(at: int) -> int:
        return int.from_bytes(raw[at : at + 8], "little")

    by = (_K2 + 2 * size) & _INT64_BITS
    if size < 8:
        if size >= 4:
            first, last = (int.from_bytes(raw[at : at + 4], "little") for at in (0, size - 4))
            return _joined(size + (first << 3), last, by)
        if not size:
            return _K2
        return _mixed((raw[0] + (raw[size >> 1] << 8)) * _K2 ^ (size + (raw[-1] << 2)) * _K0) * _K2
    if size <= 16:
        a, b = word(0) + _K2, word(size - 8)
        return _joined((_rotated(b, 37) * by + a) & _INT64_BITS, (_rotated(a, 25) + b) * by & _INT64_BITS, by)
    if size <= 64:
        a = word(0) * (_K1 if size <= 32 else _K2)
        b, c, d = word(8), word(size - 8) * by, word(size - 16) * _K2
        y = (_rotated(a + b, 43) + _rotated(c, 30) + d) & _INT64_BITS
        z = (a + _rotated(b + _K2, 18) + c) & _INT64_BITS
        if size <= 32:
            return _joined(y, z, by)
        z = _joined(y, z, by)
        e, f = word(16) * by, word(24)
        g, h = (y + word(size - 32)) * by, (z + word(size - 24)) * by
        return _joined(
            (_rotated(e + f, 43) + _rotated(g, 30) + h) & _INT64_BITS, (e + _rotated(f + a, 18) + g) & _INT64_BITS, by
        )
    return _long_fingerprint(raw, word)


def _long_fingerprint(raw: bytes, word: Any) -> int:
    def weak(at: int, a: int, b: int) -> tuple[int, int]:
        w, x, y, z = (word(at + 8 * i) for i in range(4))
        a += w
        b = _rotated(b + a + z, 21)
        c = a
        a += x + y
        return (a + z) & _INT64_BITS, (b + _rotated(a, 44) + c) & _INT64_BITS

    seed = 81
    x, y = seed, (seed * _K1 + 113) & _INT64_BITS
    z = _mixed(y * _K2 + 113) * _K2 & _INT64_BITS
    v, w = (0, 0), (0, 0)
    x = (x * _K2 + word(0)) & _INT64_BITS
    end = (len(raw) - 1) // 64 * 64

    def step(at: int, by: int, nine: int) -> None:
        nonlocal x, y, z, v, w
        x = _rotated(x + y + v[0] + word(at + 8), 37) * by & _INT64_BITS
        y = _rotated(y + v[1] + word(at + 48), 42) * by & _INT64_BITS
        x ^= w[1] * nine & _INT64_BITS
        y = (y + v[0] * nine + word(at + 40)) & _INT64_BITS
        z = _rotated(z + w[0], 33) * by & _INT64_BITS
        v = weak(at, v[1] * by, x + w[0])
        w = weak(at + 32, z + w[1], y + word(at + 16))
        z, x = x, z

    for at in range(0, end, 64):
        step(at, _K1, 1)
    by = (_K1 + ((z & 0xFF) << 1)) & _INT64_BITS
    left_over = (len(raw) - 1) & 63
    w = ((w[0] + left_over) & _INT64_BITS, w[1])
    v = ((v[0] + w[0]) & _INT64_BITS, v[1])
    w = ((w[0] + v[0]) & _INT64_BITS, w[1])
    step(len(raw) - 64, by, 9)
    return _joined(
        (_joined(v[0], w[0], by) + _mixed(y) * _K0 + z) & _INT64_BITS, (_joined(v[1], w[1], by) + x) & _INT64_BITS, by
    )
