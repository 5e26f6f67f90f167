"""BigQuery's BIGNUMERIC arithmetic: functions over Python's integers that DuckDB calls, exact or an error.

A value is an integer of units of 10^-38; each operation rounds half away from zero to a whole unit, and a result beyond
256 bits is an error. https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from convergence_assets.warehouse.duckdb import bignumeric_encoding

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ONE: int = 10**bignumeric_encoding.SCALE
SMALLEST, LARGEST = -(2**255), 2**255 - 1
_WHOLE_DIGITS = 39
_NUMERIC_PLACES = 9
_NUMERIC_ONE: int = 10**_NUMERIC_PLACES
_LARGEST_NUMERIC = 10**38 - 1
_TEXT = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*", re.ASCII)

Form = Literal["bignumeric", "text", "float64", "int64"]


def from_decimal(value: Decimal) -> int:
    """The units nearest to a finite decimal of any scale."""
    if not value:
        return 0
    if value.adjusted() >= _WHOLE_DIGITS:
        raise OverflowError(f"{value} is beyond BIGNUMERIC")
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    units, shift = int("".join(map(str, digits))), exponent + bignumeric_encoding.SCALE
    units = units * 10**shift if shift >= 0 else _nearest(units, 10 ** min(-shift, len(digits) + 1))
    return -units if sign else units


def to_text(units: int) -> str:
    """BigQuery's text: no exponent and no trailing zeros."""
    whole, fraction = divmod(abs(units), ONE)
    text = f"{whole}.{fraction:0{bignumeric_encoding.SCALE}d}".rstrip("0").rstrip(".")
    return f"-{text}" if units < 0 else text


def _nearest(dividend: int, divisor: int) -> int:
    quotient, rest = divmod(abs(dividend), abs(divisor))
    if 2 * rest >= abs(divisor):
        quotient += 1
    return -quotient if (dividend < 0) != (divisor < 0) else quotient


def _divided(a: int, b: int) -> int:
    if b == 0:
        raise ZeroDivisionError("division by zero")
    return _nearest(a * ONE, b)


def _truncated(a: int, b: int) -> int:
    if b == 0:
        raise ZeroDivisionError("division by zero")
    whole = abs(a) // abs(b)
    return (-whole if (a < 0) != (b < 0) else whole) * ONE


def _remainder(a: int, b: int) -> int:
    if b == 0:
        raise ZeroDivisionError("division by zero")
    rest = abs(a) % abs(b)
    return -rest if a < 0 else rest


def _rounded(a: int, places: int) -> int:
    if places >= bignumeric_encoding.SCALE:
        return a
    step: int = 10 ** (bignumeric_encoding.SCALE - max(places, -_WHOLE_DIGITS - 1))
    return _nearest(a, step) * step


def _total(*sums: str) -> int:
    return sum(int(word) << shift for word, shift in zip(sums, (192, 128, 64, 0), strict=True))


def _average(*sums_and_count: Any) -> int:
    *sums, count = sums_and_count
    return _nearest(_total(*sums), count)


def _from_text(text: str) -> int:
    match = _TEXT.fullmatch(text)
    if not match:
        raise ValueError(f"not a text of BIGNUMERIC: {text[:100]}")
    return from_decimal(Decimal(match[1]))


def _from_double(value: float) -> int:
    dividend, divisor = value.as_integer_ratio()
    return _nearest(dividend * ONE, divisor)


def _to_numeric(a: int) -> str:
    units = _nearest(a, 10 ** (bignumeric_encoding.SCALE - _NUMERIC_PLACES))
    if abs(units) > _LARGEST_NUMERIC:
        raise OverflowError(f"{to_text(a)} is beyond NUMERIC")
    return to_text(units * 10 ** (bignumeric_encoding.SCALE - _NUMERIC_PLACES))


def _to_int64(a: int) -> int:
    whole = _nearest(a, ONE)
    if not -(2**63) <= whole < 2**63:
        raise OverflowError(f"{to_text(a)} is beyond INT64")
    return whole


def _of_numerics(work: Callable[[int, int], int]) -> Callable[[str, str], str]:
    """The text of a NUMERIC out of those of two, each with all of its nine decimals; `work` takes and gives units."""

    def worked(a: str, b: str) -> str:
        units = work(int(a.replace(".", "")), int(b.replace(".", "")))
        if abs(units) > _LARGEST_NUMERIC:
            raise OverflowError("NUMERIC overflow: a result is beyond 9.99e28")
        return to_text(units * 10 ** (bignumeric_encoding.SCALE - _NUMERIC_PLACES))

    return worked


def int64_of_text(text: str) -> int:
    """The INT64 nearest to the number that a text holds; raises `ValueError` or `OverflowError`."""
    return _to_int64(_from_text(text))


@dataclass(frozen=True)
class _Function:
    work: Callable[..., Any]
    takes: tuple[Form, ...]
    gives: Form
    null_on_error: bool = False

    def answer(self, operands: tuple[Any, ...]) -> Any:
        if None in operands:
            return None
        try:
            result = self.work(*operands)
            if self.gives == "bignumeric" and not SMALLEST <= result <= LARGEST:
                raise OverflowError("BIGNUMERIC overflow: a result is beyond 5.79e38")
        except (ArithmeticError, ValueError):
            if self.null_on_error:
                return None
            raise
        return result

    def vectorised(self) -> Callable[..., "pa.Array"]:
        """The function over Arrow columns, with the number of parameters that DuckDB looks for."""

        def run(*columns: "pa.ChunkedArray") -> "pa.Array":
            read = [_read(column, form) for column, form in zip(columns, self.takes, strict=True)]
            return _written([self.answer(operands) for operands in zip(*read, strict=True)], self.gives)

        kind = inspect.Parameter.POSITIONAL_ONLY
        parameters = [inspect.Parameter(f"p{at}", kind) for at in range(len(self.takes))]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run


def _read(column: "pa.ChunkedArray", form: Form) -> list[Any]:
    if form == "bignumeric":
        return bignumeric_encoding.integers(column.combine_chunks())
    values: list[Any] = column.to_pylist()
    return values


def _written(values: list[Any], form: Form) -> "pa.Array":
    import pyarrow as pa

    if form == "bignumeric":
        return bignumeric_encoding.words(values)
    return pa.array(values, {"text": pa.string(), "float64": pa.float64(), "int64": pa.int64()}[form])


_ONE: tuple[Form, ...] = ("bignumeric",)
_TWO: tuple[Form, ...] = ("bignumeric", "bignumeric")
_SUMS: tuple[Form, ...] = ("text",) * 4
_FUNCTIONS = {
    "add": _Function(lambda a, b: a + b, _TWO, "bignumeric"),
    "subtract": _Function(lambda a, b: a - b, _TWO, "bignumeric"),
    "multiply": _Function(lambda a, b: _nearest(a * b, ONE), _TWO, "bignumeric"),
    "divide": _Function(_divided, _TWO, "bignumeric"),
    "safe_divide": _Function(_divided, _TWO, "bignumeric", null_on_error=True),
    "div": _Function(_truncated, _TWO, "bignumeric"),
    "mod": _Function(_remainder, _TWO, "bignumeric"),
    "round": _Function(_rounded, ("bignumeric", "int64"), "bignumeric"),
    "ceil": _Function(lambda a: -(-a // ONE) * ONE, _ONE, "bignumeric"),
    "floor": _Function(lambda a: a // ONE * ONE, _ONE, "bignumeric"),
    "sign": _Function(lambda a: ((a > 0) - (a < 0)) * ONE, _ONE, "bignumeric"),
    "abs": _Function(abs, _ONE, "bignumeric"),
    "negate": _Function(lambda a: -a, _ONE, "bignumeric"),
    "total": _Function(_total, _SUMS, "bignumeric"),
    "average": _Function(_average, (*_SUMS, "int64"), "bignumeric"),
    "from_text": _Function(_from_text, ("text",), "bignumeric"),
    "safe_from_text": _Function(_from_text, ("text",), "bignumeric", null_on_error=True),
    "from_float64": _Function(_from_double, ("float64",), "bignumeric"),
    "text": _Function(to_text, _ONE, "text"),
    "numeric": _Function(_to_numeric, _ONE, "text"),
    "int64": _Function(_to_int64, _ONE, "int64"),
    "float64": _Function(lambda a: a / ONE, _ONE, "float64"),
    "multiply_numeric": _Function(_of_numerics(lambda a, b: _nearest(a * b, _NUMERIC_ONE)), ("text", "text"), "text"),
    "divide_numeric": _Function(_of_numerics(lambda a, b: _nearest(a * _NUMERIC_ONE, b)), ("text", "text"), "text"),
    "div_numeric": _Function(
        _of_numerics(lambda a, b: _truncated(a, b) // ONE * _NUMERIC_ONE), ("text", "text"), "text"
    ),
}
_DUCKDB = {"bignumeric": bignumeric_encoding.TYPE, "text": "VARCHAR", "float64": "DOUBLE", "int64": "BIGINT"}


def _from_digits(texts: "pa.ChunkedArray") -> "pa.Array":
    """Texts of at most 38 digits on each side of the point, by Arrow's own cast: a column at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # Arrow takes no leading plus in a decimal's text (26.0).
    plain = pc.utf8_ltrim(texts.combine_chunks(), "+")
    return bignumeric_encoding.from_decimals(
        plain.cast(pa.decimal256(bignumeric_encoding.DIGITS, bignumeric_encoding.SCALE))
    )


def install_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    """Register the functions as `bignumeric_<name>`, for this connection alone."""
    from duckdb.func import FunctionNullHandling, PythonUDFType

    def register(name: str, called: Callable[..., "pa.Array"], takes: tuple[Form, ...], gives: Form) -> None:
        connection.create_function(
            f"bignumeric_{name}",
            called,
            [connection.type(_DUCKDB[form]) for form in takes],
            connection.type(_DUCKDB[gives]),
            type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
        )

    for name, function in _FUNCTIONS.items():
        if function.gives != "text":
            register(name, function.vectorised(), function.takes, function.gives)
            continue
        # DuckDB 1.5 frees a text of Arrow's while CASE still refers to it: `||` copies it first.
        register(f"arrow_{name}", function.vectorised(), function.takes, function.gives)
        parameters = ", ".join(f"p{at} {_DUCKDB[form]}" for at, form in enumerate(function.takes))
        passed = ", ".join(f"p{at}" for at in range(len(function.takes)))
        connection.execute(
            f"CREATE OR REPLACE TEMP MACRO bignumeric_{name}({parameters}) AS (bignumeric_arrow_{name}({passed}) || '')"
        )
    # A lambda: DuckDB evaluates annotations, and `pa` is imported for type checkers alone.
    register("from_digits", lambda texts: _from_digits(texts), ("text",), "bignumeric")
