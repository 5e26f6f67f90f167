"""Functions of STRING and BYTES in Python, as BigQuery has them: parts, places, padding, case.

https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions
"""

from typing import Any, TypeVar

from convergence_assets.warehouse.duckdb.functions import SPACES

T = TypeVar("T", str, bytes)
LARGEST_OUTPUT = 1 << 20
"""Of a function, in bytes."""


def bytes_of(value: str | bytes) -> bytes:
    """A STRING in UTF-8, BYTES as they are."""
    return value.encode() if isinstance(value, str) else value


def _checked_size(size: int, name: str) -> None:
    if size > LARGEST_OUTPUT:
        raise ValueError(f"Output of {name} exceeds max allowed output size of 1MB")


def repeated(value: T, count: int) -> T:
    if count < 0:
        raise ValueError("Second argument in REPEAT() must be non-negative")
    _checked_size(len(bytes_of(value)) * count, "REPEAT")
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
    _checked_size(len(bytes_of(value[:length])) + len(bytes_of(padding)), "LPAD/RPAD")
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
    _checked_size(len(bytes_of(result)), "REPLACE")
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
    _checked_size(len(bytes_of(result)), "TRANSLATE")
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
