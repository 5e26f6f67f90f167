"""The numbers of JSON Lines as texts, so that each keeps its digits: DuckDB's JSON reader makes doubles of them."""

import re
from pathlib import Path
from typing import IO, Any

from convergence_assets.warehouse.duckdb.reading.forms import MARK

_CHUNK_BYTES = 1 << 18  # what the arrays of a chunk take stays in the processor's cache
_OPENING = b'"' + MARK.encode()
_ESCAPED = re.compile(rb"\\u[fF]{4}")


class MarkedAlready(Exception):
    """A text of the file holds the code point that marks numbers; `line` is where."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}")
        self.line = line


def numbers_as_texts(path: Path, into: Path) -> None:
    """Copy a file of JSON Lines with `"<MARK>1.50"` for each `1.50`; every line must be valid JSON.

    Raises `MarkedAlready`.
    """
    number = 1
    with path.open("rb") as opened, into.open("wb") as output:
        rest = b""
        while chunk := opened.read(_CHUNK_BYTES):
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            number = _write(whole + newline, number, output)
        _write(rest, number, output)


def _write(text: bytes, number: int, into: IO[bytes]) -> int:
    if text:
        at = text.find(MARK.encode())
        if at < 0 and b"\\u" in text and (escaped := _ESCAPED.search(text)):
            at = escaped.start()
        if at >= 0:
            raise MarkedAlready(number + text.count(b"\n", 0, at))
        into.write(_quoted(text))
    return number + text.count(b"\n")


def _quoted(text: bytes) -> Any:
    """Whole lines with their numbers quoted, by arrays over their bytes."""
    import numpy as np

    raw = np.frombuffer(text, np.uint8)
    outside = np.bitwise_xor.accumulate(_quotes(raw, text).view(np.uint8)) == 0
    # `,` `:` `[` `]` `}` and white space: what comes before and after a number.
    between = (raw <= 32) | (raw == 44) | (raw == 58) | (raw == 91) | (raw == 93) | (raw == 125)
    begins = ((raw - np.uint8(48)) < 10) | (raw == 45)
    begins[1:] &= between[:-1]
    begins[0] = False
    places = np.flatnonzero((begins | between) & outside)
    first = np.flatnonzero(begins[places])
    if not len(first):
        return text
    # A number ends at the next place, since an object closes after it.
    starts, ends = places[first], places[first + 1]
    added = np.arange(len(first)) * (len(_OPENING) + 1)
    result = np.empty(len(raw) + len(first) * (len(_OPENING) + 1), np.uint8)
    copied = np.ones(len(result), bool)
    for at, byte in enumerate(_OPENING):
        result[starts + added + at] = byte
        copied[starts + added + at] = False
    result[ends + added + len(_OPENING)] = ord('"')
    copied[ends + added + len(_OPENING)] = False
    result[copied] = raw
    return result


def _quotes(raw: Any, text: bytes) -> Any:
    """Where a quote opens or closes a text: not after an odd number of backslashes."""
    import numpy as np

    quotes = raw == 34
    if b"\\" in text:
        at = np.flatnonzero(raw == 92)
        first = np.ones(len(at), bool)
        first[1:] = np.diff(at) != 1
        order = np.arange(len(at))
        run = order - np.maximum.accumulate(np.where(first, order, 0))
        quotes[at[run % 2 == 0] + 1] = False
    return quotes
