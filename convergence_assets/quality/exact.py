"""Numbers of INT64, NUMERIC and BIGNUMERIC compared exactly, in a frame and in BigQuery's SQL alike."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

EXACT = frozenset({"INT64", "NUMERIC", "BIGNUMERIC"})
"""Types whose values a double does not hold."""

_PLACES = {"INT64": 0, "NUMERIC": 9, "BIGNUMERIC": 38}
_LIMITS = {
    "INT64": (-(2**63), 2**63 - 1),
    "NUMERIC": (1 - 10**38, 10**38 - 1),
    "BIGNUMERIC": (-(2**255), 2**255 - 1),
}
"""The least and the greatest value, in units of the last decimal.
https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types"""

Bound = tuple[Literal["<=", ">=", "=="], int] | bool
"""A comparison with a number of units, or what it is for every value."""


def decimal_of(value: Any) -> Decimal | None:
    """A finite number as it is written: 0.3 is three tenths. None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float):
        value = Decimal(repr(value))
    return value if isinstance(value, Decimal) and value.is_finite() else None


def number_of(value: Any) -> Any:
    """A number as an int where it is whole, else as a Decimal; any other value as it is."""
    exact = decimal_of(value)
    if exact is None or (exact and exact.adjusted() > 100):
        return value if exact is None else exact
    return int(exact) if exact == exact.to_integral_value() else exact


def bound(type_: str, sign: str, value: Decimal) -> Bound:
    """`x sign value` for values x of the type, with a value that the type holds; `!=` is not a bound."""
    least, most = _LIMITS[type_]
    units = Fraction(value) * 10 ** _PLACES[type_]
    if sign == "==":
        return ("==", int(units)) if units.denominator == 1 and least <= units <= most else False
    if sign in ("<", "<="):
        last = units.numerator // units.denominator
        last -= sign == "<" and units.denominator == 1
        return True if last >= most else False if last < least else ("<=", last)
    first = -(-units.numerator // units.denominator)
    first += sign == ">" and units.denominator == 1
    return True if first <= least else False if first > most else (">=", first)


def units_as_decimal(type_: str, units: int) -> Decimal:
    """The value of a number of units."""
    sign, digits = (1 if units < 0 else 0), tuple(int(digit) for digit in str(abs(units)))
    return Decimal((sign, digits, -_PLACES[type_]))


def literal(type_: str, units: int) -> str:
    """A number of units as BigQuery's literal of the type."""
    if type_ == "INT64":
        return str(units)
    text = f"{units_as_decimal(type_, units):f}"
    return f"{type_} '{text.rstrip('0').rstrip('.') if '.' in text else text}'"


def comparison(column: str, type_: str, sign: str, value: Decimal) -> str:
    """`column sign value` in SQL, TRUE or FALSE wherever the column, an expression, is not NULL."""
    if sign == "!=":
        return f"NOT ({comparison(column, type_, '==', value)})"
    limit = bound(type_, sign, value)
    if isinstance(limit, bool):
        return str(limit).upper()
    return f"{column} {'=' if limit[0] == '==' else limit[0]} {literal(type_, limit[1])}"


def membership(column: str, type_: str, values: Iterable[Decimal]) -> str:
    """`column IN (values)` in SQL; what the type does not hold is none of its values."""
    bounds = [bound(type_, "==", value) for value in values]
    units = sorted({limit[1] for limit in bounds if not isinstance(limit, bool)})
    return f"{column} IN ({', '.join(literal(type_, limit) for limit in units)})" if units else "FALSE"
