"""The numbers of JSON Lines as texts, so that each keeps its digits: DuckDB's JSON reader makes doubles of them."""

import re
from pathlib import Path
from typing import IO, Any

from convergence_assets.warehouse.duckdb.reading.forms import MARK

_CHUNK_BYTES = 1 << 18  # what the arrays of a chunk take stays in the processor's cache
_OPENING = b'"' + MARK.encode()
_MARKED = re.compile(re.escape(MARK.encode()) + rb"|\\u[fF]{4}")


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
    with path.open("rb") as opened, into.open("wb") as made:
        rest = b""
        while chunk := opened.read(_CHUNK_BYTES):
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            number = _write(whole + newline, number, made)
        _write(rest, number, made)


def _write(text: bytes, number: int, into: IO[bytes]) -> int:
    if text:
        already = _MARKED.search(text)
        if already:
            raise MarkedAlready(number + text.count(b"\n", 0, already.start()))
        into.write(_quoted(text))
    return number + text.count(b"\n")


def _quoted(text: bytes) -> Any:
    """Whole lines with their numbers quoted, by arrays over their bytes."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    held = np.frombuffer(text, np.uint8)
    outside = np.bitwise_xor.accumulate(_quotes(held, text).view(np.uint8)) == 0
    # `,` `:` `[` `]` `}` and white space: what stands before and after a number.
    between = (held <= 32) | (held == 44) | (held == 58) | (held == 91) | (held == 93) | (held == 125)
    begins = ((held - np.uint8(48)) < 10) | (held == 45)
    begins[1:] &= between[:-1]
    begins[0] = False
    places = np.flatnonzero((begins | between) & outside)
    starts = np.flatnonzero(begins[places])
    if not len(starts):
        return text
    if starts[-1] + 1 == len(places):
        places = np.append(places, len(held))
    bounds = np.empty(2 * len(starts) + 2, np.int32)
    bounds[0], bounds[-1] = 0, len(held)
    bounds[1:-1:2], bounds[2:-1:2] = places[starts], places[starts + 1]
    pieces = pa.Array.from_buffers(pa.binary(), len(bounds) - 1, [None, pa.py_buffer(bounds), pa.py_buffer(text)])
    others = pieces.take(pa.array(np.arange(0, len(pieces), 2, dtype=np.int32)))
    numbers = pieces.take(pa.array(np.arange(1, len(pieces), 2, dtype=np.int32)))
    opened = pc.binary_join_element_wise(others[:-1], numbers, _OPENING)
    row = pa.concat_arrays([opened, others[-1:]])
    return pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(row)], pa.int32()), row), b'"')[0].as_buffer()


def _quotes(held: Any, text: bytes) -> Any:
    """Where a quote opens or closes a text: not after an odd number of backslashes."""
    import numpy as np

    quotes = held == 34
    if b"\\" in text:
        at = np.flatnonzero(held == 92)
        first = np.ones(len(at), bool)
        first[1:] = np.diff(at) != 1
        order = np.arange(len(at))
        run = order - np.maximum.accumulate(np.where(first, order, 0))
        quotes[at[run % 2 == 0] + 1] = False
    return quotes
