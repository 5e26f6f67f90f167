"""BIGNUMERIC's form in DuckDB and Arrow: a signed integer of 256 bits, in units of 10^-38, as four words.

BigQuery's range of a BIGNUMERIC is exactly that of such an integer. As a STRUCT, most significant word first, the
words compare, sort, group and join as the numbers do, and DuckDB casts nothing else to them, so that a BIGNUMERIC never
meets another type unscaled. (DuckDB 1.5 does not scale an integer that meets a BIGNUM, and has no product of two.)
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_WORDS = {"w3": "BIGINT", "w2": "UBIGINT", "w1": "UBIGINT", "w0": "UBIGINT"}
WORDS = tuple(_WORDS)
TYPE = f"STRUCT({', '.join(f'{name} {kind}' for name, kind in _WORDS.items())})"
DIGITS, SCALE = 76, 38
_BYTES = 32

_Convert = Callable[["pa.Array"], "pa.Array"]


def decimal_of(units: int, scale: int = SCALE) -> Decimal:
    """The number that so many units of 10^-scale are, with all its decimals."""
    return Decimal((units < 0, tuple(map(int, str(abs(units)))), -scale))


def integers(column: "pa.Array") -> list[int | None]:
    """The units of each BIGNUMERIC of a column in words."""
    raw = _matrix(column).tobytes()
    units = [int.from_bytes(raw[at : at + _BYTES], "little", signed=True) for at in range(0, len(raw), _BYTES)]
    if not column.null_count:
        return list(units)
    return [u if valid else None for u, valid in zip(units, column.is_valid().to_pylist(), strict=True)]


def words(units: Sequence[int | None]) -> "pa.Array":
    """A column in words; raises OverflowError beyond 256 bits."""
    import numpy as np
    import pyarrow as pa

    raw = b"".join((u or 0).to_bytes(_BYTES, "little", signed=True) for u in units)
    absent = pa.array([u is None for u in units], pa.bool_())
    return _in_words(np.frombuffer(raw, np.uint64).reshape(-1, 4), absent)


def with_decimals(table: "pa.Table") -> "pa.Table":
    """The table with each column and member in words as decimal256(76, 38), BIGNUMERIC as BigQuery's client gives it.

    Raises OverflowError for a value of 77 digits, which BigQuery holds and Arrow's decimal does not.
    """
    return _table(table, _is_words, _to_decimals)


def with_words(table: "pa.Table") -> "pa.Table":
    """The table with each decimal of more than 38 digits in words; DuckDB reads none of those.

    Raises OverflowError for a value that BIGNUMERIC does not hold exactly.
    """
    import pyarrow as pa

    return _table(table, pa.types.is_decimal256, from_decimals)


def _table(table: "pa.Table", chosen: "Callable[[pa.DataType], bool]", convert: _Convert) -> "pa.Table":
    import pyarrow as pa

    for at, field in enumerate(table.schema):
        if _holds(field.type, chosen):
            chunks = table.column(at).chunks or [pa.nulls(0, field.type)]
            converted = pa.chunked_array([_converted(chunk, chosen, convert) for chunk in chunks])
            table = table.set_column(at, field.name, converted)
    return table


def _holds(kind: "pa.DataType", chosen: "Callable[[pa.DataType], bool]") -> bool:
    return chosen(kind) or any(_holds(kind.field(at).type, chosen) for at in range(kind.num_fields))


def _converted(array: "pa.Array", chosen: "Callable[[pa.DataType], bool]", convert: _Convert) -> "pa.Array":
    import pyarrow as pa

    if chosen(array.type):
        return convert(array)
    if not _holds(array.type, chosen):
        return array
    if pa.types.is_struct(array.type):
        members = [_converted(member, chosen, convert) for member in array.flatten()]
        return pa.StructArray.from_arrays(members, names=[f.name for f in array.type], mask=array.is_null())
    elements = _converted(array.values, chosen, convert)
    return pa.ListArray.from_arrays(array.offsets, elements, mask=array.is_null())


def _is_words(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(kind)) and tuple(f.name for f in kind) == WORDS


def _matrix(column: "pa.Array") -> Any:
    """The words as rows of four, least significant first: in memory the integer itself, as in a decimal256."""
    import numpy as np

    matrix = np.empty((len(column), 4), np.uint64)
    for at, word in enumerate(reversed(column.flatten())):
        matrix[:, at] = word.fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
    return matrix


def _in_words(matrix: Any, absent: "pa.Array") -> "pa.Array":
    import numpy as np
    import pyarrow as pa

    limbs = [pa.array(matrix[:, 3 - at].copy().view(np.uint64 if at else np.int64)) for at in range(4)]
    return pa.StructArray.from_arrays(limbs, names=list(WORDS), mask=absent)


def _to_decimals(array: "pa.Array") -> "pa.Array":
    import pyarrow as pa

    buffers = [array.is_valid().buffers()[1], pa.py_buffer(_matrix(array).tobytes())]
    decimals = pa.Array.from_buffers(pa.decimal256(DIGITS, SCALE), len(array), buffers)
    try:
        decimals.validate(full=True)
    except pa.ArrowInvalid:
        raise OverflowError(f"a BIGNUMERIC has more than {DIGITS} digits; CAST it AS STRING to read it") from None
    return decimals


def from_decimals(array: "pa.Array") -> "pa.Array":
    """Decimals of any precision in words; raises OverflowError for one that BIGNUMERIC does not hold exactly."""
    import numpy as np
    import pyarrow as pa

    try:
        scaled = array.cast(pa.decimal256(DIGITS, SCALE))
    except pa.ArrowInvalid as error:
        raise OverflowError(f"a decimal does not fit BIGNUMERIC: {error}") from None
    matrix = np.frombuffer(scaled.buffers()[1], np.uint64).reshape(-1, 4)
    return _in_words(matrix[scaled.offset : scaled.offset + len(scaled)], scaled.is_null())
