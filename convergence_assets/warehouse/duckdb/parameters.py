"""Bound parameters as DuckDB takes them without changing their digits."""

from decimal import Context, Decimal, InvalidOperation

from convergence_assets.warehouse.errors import InvalidQuery
from convergence_assets.warehouse.schema import ParameterValue

_NUMERIC = Context(prec=38, Emax=28)
_NINTH = Decimal("0.000000001")


def bound(name: str, value: ParameterValue) -> ParameterValue:
    """A Decimal as NUMERIC, with nine decimals; raises `InvalidQuery` where it does not fit.

    DuckDB 1.5 makes another number of a Decimal with a positive exponent and a double of one beyond 38 digits.
    """
    if not isinstance(value, Decimal):
        return value
    try:
        scaled = value.quantize(_NINTH, context=_NUMERIC)
    except InvalidOperation:
        scaled = None
    if scaled is None or scaled != value:
        raise InvalidQuery(
            f"parameter @{name}: {value} does not fit NUMERIC; bind it as text and CAST it AS BIGNUMERIC"
        )
    return scaled
